"""PostgreSQL: the role and its rights, the schema, the clock, the network in force, and work that nobody does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg

from cases.errors import TeledxError
from cases.network import load
from queues.timers import LOCKS
from storage import migrations
from storage.database import Connection
from teledx.commands.checks.finding import CONNECT_SECONDS, Examined, Finding, right, skipped, warning, wrong
from teledx.commands.words import duration

ROLES = ("teledx_region", "teledx_partner")
OLDEST_SERVER = 150_000
SKEW_WARNING, SKEW_WRONG = 2.0, 30.0
# A run that has waited longer than this while none runs: nobody works.
UNWORKED_SECONDS = 120


def reachable(examined: Examined) -> Iterator[Finding]:
    """The server answers and lets us in; the version is one that the suite runs on."""
    url = examined.settings.database_url.get_secret_value()
    if not url:
        yield skipped("database", "TELEDX_DATABASE_URL is not set; this process does without")
        return
    if examined.connection is None:
        yield wrong("database", _refusal(url), "Check TELEDX_DATABASE_URL, the server, and what is between.")
        return
    version = examined.connection.info.server_version
    said = f"PostgreSQL {version // 10_000}.{version % 10_000} as {examined.role}"
    if version < OLDEST_SERVER:
        yield wrong("database", said, "Use PostgreSQL 15 or newer.")
    else:
        yield right("database", said)


def role(examined: Examined) -> Iterator[Finding]:
    """We are one of the two roles, and no lock of the database is open to us that should be closed."""
    if examined.connection is None:
        return
    if examined.role not in ROLES:
        yield wrong(
            "role", f"{examined.role} is no role of the programs", f"Sign in as {' or '.join(ROLES)}."
        )
    row = examined.connection.execute(
        "SELECT rolsuper OR rolbypassrls OR rolcreaterole AS powerful FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    owns = examined.connection.execute(
        "SELECT count(*) AS owned FROM pg_tables WHERE tableowner = current_user"
    ).fetchone()
    vault = examined.connection.execute(
        "SELECT coalesce(bool_or(has_schema_privilege(nspname, 'USAGE')), false) AS opened"
        " FROM pg_namespace WHERE nspname = 'vault'"
    ).fetchone()
    assert row is not None, "every role has a row"
    assert owns is not None, "count gives a row"
    assert vault is not None, "bool_or gives a row"
    if row["powerful"] or owns["owned"]:
        yield wrong(
            "rights",
            "this role passes by row-level security",
            f"Sign in as {' or '.join(ROLES)}.",
        )
    elif examined.is_partner_side and vault["opened"]:
        yield wrong(
            "rights",
            "the partner's role can open the vault",
            "REVOKE ALL ON SCHEMA vault FROM teledx_partner",
        )
    else:
        yield right("rights", "no more than the role needs")


def schema(examined: Examined) -> Iterator[Finding]:
    """The schema is the one that this release was written for, or a newer one."""
    if examined.connection is None:
        return
    if not _may_read(examined.connection, "schema_version"):
        if _exists(examined.connection, "schema_version"):
            yield skipped("schema", f"{examined.role} may not read its version; ask with the region's role")
        else:
            yield wrong("schema", "there is none", "Run: teledx migrate")
        return
    present = {
        row["name"] for row in examined.connection.execute("SELECT name FROM schema_version").fetchall()
    }
    ours = migrations.available()
    missing = [name for name in ours if name not in present]
    newer = sorted(present - set(ours))
    if missing:
        yield wrong("schema", f"lacks {', '.join(missing)}", "Run: teledx migrate")
    elif newer:
        yield warning("schema", f"is of a newer release ({newer[-1]})", "Update the programs here, too.")
    else:
        yield right("schema", ours[-1])


def clock(examined: Examined) -> Iterator[Finding]:
    """The database's clock is the one that counts; ours signs links and writes logs."""
    if examined.connection is None:
        return
    before = time.time()
    row = examined.connection.execute("SELECT clock_timestamp() AS now").fetchone()
    middle = (before + time.time()) / 2
    assert row is not None, "SELECT gives a row"
    yield skew("clock", (row["now"] - datetime.fromtimestamp(middle, UTC)).total_seconds(), "the database's")


def skew(what: str, seconds: float, whose: str) -> Finding:
    """How far a clock is from ours; `seconds` positive: it is ahead."""
    said = f"{whose} is {duration(abs(seconds))} {'ahead of' if seconds >= 0 else 'behind'} ours"
    todo = "Let both machines take their time from one server (NTP)."
    if abs(seconds) > SKEW_WRONG:
        return wrong(what, said, todo)
    return warning(what, said, todo) if abs(seconds) > SKEW_WARNING else right(what, said)


def network(examined: Examined) -> Iterator[Finding]:
    """A network is in force, and this release can read it."""
    if examined.connection is None or not _may_read(examined.connection, "network_version"):
        return
    row = examined.connection.execute(
        "SELECT version, document, applied_by FROM network_version ORDER BY version DESC LIMIT 1"
    ).fetchone()
    if row is None:
        yield wrong("network", "none is in force", "Run: teledx network apply FILE")
        return
    try:
        found = load(row["document"])
    except TeledxError as error:
        yield wrong(
            "network",
            f"version {row['version']}: {error}".splitlines()[0],
            "Apply one that this release reads.",
        )
        return
    yield right(
        "network", f"version {row['version']}, {len(found.clinics)} clinics, {len(found.partners)} partners"
    )


def duties(examined: Examined) -> Iterator[Finding]:
    """Some process leads: without one no drop is noticed, and no lost worker is missed."""
    if examined.connection is None or examined.is_partner_side:
        return
    held = examined.connection.execute(
        "SELECT count(DISTINCT objid) AS n FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0"
        " AND objid = ANY(%s::bigint[]::oid[])",
        (list(LOCKS),),
    ).fetchone()
    assert held is not None, "count gives a row"
    if held["n"] == len(LOCKS):
        yield right("duties", "the inbox is watched and lost workers are missed")
    else:
        said = "no process looks after the inbox and after lost workers"
        yield warning("duties", said, "Start a worker that leads: teledx worker --role express (or all)")


def work(examined: Examined) -> Iterator[Finding]:
    """Somebody works, nothing failed, no line is down."""
    if examined.connection is None or not _may_read(examined.connection, "partner_circuit"):
        return
    row = examined.connection.execute(
        "SELECT count(*) FILTER (WHERE outcome = 'failed') AS failed,"
        " count(*) FILTER (WHERE outcome IS NULL AND owner IS NOT NULL) AS running,"
        " count(*) FILTER (WHERE outcome IS NULL AND not_before <= clock_timestamp()) AS due,"
        " coalesce(extract(epoch FROM clock_timestamp() - min(greatest(created_at, not_before))"
        "   FILTER (WHERE outcome IS NULL AND not_before <= clock_timestamp())), 0) AS oldest FROM stage_run"
    ).fetchone()
    assert row is not None, "count gives a row"
    if row["failed"]:
        yield wrong("runs", f"{row['failed']} failed", "See: teledx failed list")
    if row["due"] and not row["running"] and row["oldest"] > UNWORKED_SECONDS:
        said = f"{row['due']} wait, the oldest for {duration(float(row['oldest']))}, and none runs"
        yield wrong("workers", said, "Start workers: teledx worker --role express, --role bulk")
    else:
        yield right("workers", f"{row['running']} runs are being worked on, {row['due']} are due")
    lines = examined.connection.execute(
        "SELECT partner, failures, last_error FROM partner_circuit WHERE open_until > clock_timestamp()"
    ).fetchall()
    for line in lines:
        said = f"{line['failures']} failures in a row: {line['last_error']}"
        yield warning(
            f"line to {line['partner']}", said, "Its cases wait and go by themselves when it is back."
        )


def _may_read(connection: Connection, table: str) -> bool:
    row = connection.execute(
        "SELECT to_regclass(%(t)s) IS NOT NULL AND has_table_privilege(to_regclass(%(t)s), 'SELECT') AS may",
        {"t": table},
    ).fetchone()
    return bool(row and row["may"])


def _exists(connection: Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL AS there", (table,)).fetchone()
    return bool(row and row["there"])


def _refusal(url: str) -> str:
    """What the server, or its absence, says; never the URL, which holds a password."""
    try:
        psycopg.connect(url, connect_timeout=CONNECT_SECONDS).close()
    except psycopg.OperationalError as error:
        return str(error).strip().splitlines()[-1].strip()
    except psycopg.Error as error:
        return type(error).__name__
    return "it let us in only at the second try"
