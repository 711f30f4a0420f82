"""Figures for managers and for metrics, in SQL over the rows; every time is the database's, every duration seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from psycopg.types.json import Jsonb

from cases.milestones import MILESTONES, Milestone
from cases.states import CASE_ENDED, CASE_OPEN
from cases.turnaround import LEG_OF_STATE, LEGS
from storage.database import Connection, Row

# A leg is the sum of its visits; a visit runs from a milestone to the next one, and a clock that runs behind the one
# before it makes no negative visit. The same as `cases.turnaround.legs`, which a test holds it to.
_LEGS = """
WITH chosen AS (
    SELECT c.id FROM cases c WHERE c.received_at >= clock_timestamp() - make_interval(days => %(days)s)
      AND (%(service)s::text IS NULL OR c.service = %(service)s)
      AND (%(organisation)s::text IS NULL OR %(organisation)s IN (c.clinic, c.scanning_site))
), stamped AS (
    SELECT m.case_id, m.id, coalesce(%(by_name)s::jsonb ->> m.name, %(by_state)s::jsonb ->> m.state) AS leg,
        max(m.happened_at) OVER (PARTITION BY m.case_id ORDER BY m.id) AS at
    FROM milestone m JOIN chosen ON chosen.id = m.case_id
), visits AS (
    SELECT case_id, leg, greatest(interval '0',
        coalesce(lead(at) OVER (PARTITION BY case_id ORDER BY id), clock_timestamp()) - at) AS stay
    FROM stamped
), legs AS (
    SELECT case_id, leg, extract(epoch FROM sum(stay)) AS seconds
    FROM visits WHERE leg IS NOT NULL GROUP BY case_id, leg
)
"""
_BY_LEG = (
    _LEGS
    + """
SELECT leg, count(*) AS cases,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)::float8 AS p50,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY seconds)::float8 AS p90,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds)::float8 AS p95
FROM legs GROUP BY leg
"""
)
_TOTAL = """
WITH whole AS (
    SELECT extract(epoch FROM min(r.happened_at) - min(d.happened_at)) AS seconds
    FROM cases c
    JOIN milestone d ON d.case_id = c.id AND d.name = 'received'
    JOIN milestone r ON r.case_id = c.id AND r.name = 'returned'
    WHERE c.received_at >= clock_timestamp() - make_interval(days => %(days)s)
      AND (%(service)s::text IS NULL OR c.service = %(service)s)
      AND (%(organisation)s::text IS NULL OR %(organisation)s IN (c.clinic, c.scanning_site))
    GROUP BY c.id
)
SELECT count(*) AS cases,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)::float8 AS p50,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY seconds)::float8 AS p90,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds)::float8 AS p95
FROM whole
"""


def turnaround(
    connection: Connection, *, days: int, service: str | None = None, organisation: str | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """({leg, cases, p50, p90, p95} of each leg in its order, the same of receipt to first returned report).

    Of cases received in the last `days`; an open case counts its running leg up to now.
    """
    begins = {n: k.starts for n, k in MILESTONES.items() if k.starts in LEGS and LEGS[k.starts].state is None}
    values = {
        "days": days,
        "service": service,
        "organisation": organisation,
        "by_name": Jsonb(begins),
        "by_state": Jsonb(LEG_OF_STATE),
    }
    rows = {row["leg"]: row for row in connection.execute(_BY_LEG, values).fetchall()}
    total = connection.execute(_TOTAL, values).fetchone()
    assert total is not None, "an aggregate gives a row"
    return [rows[leg] for leg in LEGS if leg in rows], total


def lanes(connection: Connection) -> list[dict[str, Any]]:
    """{lane, waiting, running, oldest_seconds} of every lane that has a run without an outcome."""
    return connection.execute(
        "SELECT lane, count(*) FILTER (WHERE owner IS NULL) AS waiting,"
        " count(*) FILTER (WHERE owner IS NOT NULL) AS running,"
        " extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest_seconds"
        " FROM stage_run WHERE outcome IS NULL GROUP BY lane ORDER BY lane"
    ).fetchall()


def states(connection: Connection, organisation: str | None = None) -> list[dict[str, Any]]:
    """{state, cases} of the cases that are not at an end."""
    return connection.execute(
        "SELECT state, count(*) AS cases FROM cases WHERE NOT state = ANY(%(ended)s)"
        " AND (%(organisation)s::text IS NULL OR %(organisation)s IN (clinic, scanning_site))"
        " GROUP BY state ORDER BY state",
        {"ended": list(CASE_ENDED), "organisation": organisation},
    ).fetchall()


def partners(connection: Connection) -> list[dict[str, Any]]:
    """{partner, waiting, in_reading, oldest_seconds} of every partner that has an open work item."""
    return connection.execute(
        "SELECT partner, count(*) FILTER (WHERE state = 'SCHEDULED') AS waiting,"
        " count(*) FILTER (WHERE state = 'IN PROGRESS') AS in_reading,"
        " coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS oldest_seconds"
        " FROM work_item WHERE state IN ('SCHEDULED', 'IN PROGRESS') GROUP BY partner ORDER BY partner"
    ).fetchall()


def worklist(connection: Connection) -> list[dict[str, Any]]:
    """{partner, state, open} of the open work items."""
    return connection.execute(
        "SELECT partner, state, count(*) AS open FROM work_item WHERE state IN ('SCHEDULED', 'IN PROGRESS')"
        " GROUP BY partner, state ORDER BY partner, state"
    ).fetchall()


def circuits(connection: Connection) -> list[dict[str, Any]]:
    """{partner, open}: whether the line to a partner that failed lately is down."""
    return connection.execute(
        "SELECT partner, coalesce(open_until > clock_timestamp(), false) AS open FROM partner_circuit ORDER BY partner"
    ).fetchall()


def waiting_for_people(connection: Connection) -> dict[str, int]:
    """How many cases and drops are quarantined, runs failed and cases overdue."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM cases WHERE state = 'quarantined') AS case,"
        " (SELECT count(*) FROM vault.drops WHERE state = 'quarantined') AS drop,"
        " (SELECT count(*) FROM stage_run WHERE outcome = 'failed') AS failed,"
        " (SELECT count(*) FROM cases WHERE due_at < clock_timestamp() AND state = ANY(%s)) AS overdue",
        ([s for s in (*CASE_OPEN, "awaiting_clinic", "quarantined") if s != "returned"],),
    ).fetchone()
    assert row is not None, "SELECT of aggregates gives a row"
    return row


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A case with its log, as service levels are judged by it."""

    case_id: str
    service: str
    priority: str
    log: tuple[Milestone, ...]


def logs(connection: Connection, *, days: int, organisation: str | None = None) -> Iterator[Logged]:
    """The cases received in the last `days`, or still open, with their logs."""
    query = (
        "SELECT c.id, c.service, c.priority, m.name, m.state, m.happened_at FROM cases c"
        " JOIN milestone m ON m.case_id = c.id"
        " WHERE (c.received_at >= clock_timestamp() - make_interval(days => %(days)s) OR NOT c.state = ANY(%(ended)s))"
        " AND (%(organisation)s::text IS NULL OR %(organisation)s IN (c.clinic, c.scanning_site))"
        " ORDER BY c.id, m.id"
    )
    # A cursor of the server's own: a year of milestones need not fit into this process.
    with connection.cursor(name="logs") as rows:
        rows.itersize = 5000
        rows.execute(query, {"days": days, "ended": list(CASE_ENDED), "organisation": organisation})
        for (case_id, service, priority), group in groupby(rows, _of_case):
            log = tuple(Milestone(name=r["name"], state=r["state"], at=r["happened_at"]) for r in group)
            yield Logged(case_id=case_id, service=service, priority=priority, log=log)


def _of_case(row: Row) -> tuple[str, str, str]:
    return row["id"], row["service"], row["priority"]


def station_use(
    connection: Connection, *, days: int, organisation: str | None = None
) -> list[dict[str, Any]]:
    """{clinic, station, modality, studies, images, seconds, first, last}: what each station wrote in the last `days`.

    Hours in use are the sum of the spans from first to last acquisition, spans that overlap counted once. `first` and
    `last` are the station's own clock. `station` is the name that it writes of itself.
    """
    return connection.execute(_STATION_USE, {"days": days, "organisation": organisation}).fetchall()


_STATION_USE = """
WITH used AS (
    SELECT clinic, station, modality, images, first_acquired_at AS first, last_acquired_at AS last,
        max(last_acquired_at) OVER (PARTITION BY clinic, station, modality ORDER BY first_acquired_at
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
    FROM station_use
    WHERE recorded_at >= clock_timestamp() - make_interval(days => %(days)s)
      AND (%(organisation)s::text IS NULL OR clinic = %(organisation)s)
)
SELECT clinic, station, modality, count(*) AS studies, sum(images) AS images, min(first) AS first, max(last) AS last,
    coalesce(sum(greatest(0, extract(epoch FROM last - greatest(first, coalesce(reached, first))))), 0)::float8
    AS seconds
FROM used GROUP BY clinic, station, modality ORDER BY clinic, station, modality
"""


def now(connection: Connection) -> datetime:
    """The database's clock."""
    row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None, "SELECT gives a row"
    found: datetime = row["now"]
    return found
