"""The circuit of each partner's line: failures open it for a while, a success closes it (`storage.transition`)."""

from __future__ import annotations

from storage.database import Connection

# Seconds that the line rests after the n-th failure in a row: 5, 10, 20, ... up to five minutes.
FIRST_REST = 5
LONGEST_REST = 300


def record_failure(connection: Connection, partner: str, error: str) -> None:
    """One more failure in a row; the partner's deliveries rest, and then at most two at a time try again."""
    connection.execute(
        "INSERT INTO partner_circuit AS c (partner, failures, open_until, last_error)"
        " VALUES (%(partner)s, 1, clock_timestamp() + make_interval(secs => %(first)s), %(error)s)"
        " ON CONFLICT (partner) DO UPDATE SET failures = c.failures + 1, last_error = %(error)s,"
        " open_until = clock_timestamp()"
        "   + make_interval(secs => least(%(longest)s, %(first)s * 2 ^ least(c.failures, 10)))",
        {"partner": partner, "error": error, "first": FIRST_REST, "longest": LONGEST_REST},
    )
