"""The stage runs: waiting, published, claimed, beating, ended. All times are the database's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from cases.stages import LANES, PRIORITIES, STAT_LANES, lane_of
from storage.database import Connection, Database, Row

# NOTIFY channel on which a new run wakes the relays; the payload is its stage, or '' for anything else that changed.
CHANNEL = "stage_run"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one stage for one version of a case, as claimed by `owner`: a process, and which attempt this is.

    A stale attempt of a process does not own what the same process claimed again.
    """

    id: int
    case_id: str
    stage: str
    case_version: int
    lane: str
    clinic: str
    partner: str | None
    priority: int
    attempt: int
    lost: int
    owner: str
    progress: frozenset[str]
    created_at: datetime

    def log_context(self) -> dict[str, object]:
        """What a log line says of the run; no patient data."""
        return {
            "case": self.case_id,
            "stage": self.stage,
            "version": self.case_version,
            "attempt": self.attempt,
        }


@dataclass(frozen=True, kw_only=True)
class WakeUp:
    """The message: case, stage and version, and the lane that it goes to. Never patient data."""

    run_id: int
    case_id: str
    stage: str
    case_version: int
    lane: str


_ADD = """
INSERT INTO stage_run (case_id, stage, case_version, lane, clinic, partner, priority, not_before)
VALUES (%(case_id)s, %(stage)s, %(case_version)s, %(lane)s, %(clinic)s, %(partner)s, %(priority)s,
        clock_timestamp() + make_interval(secs => %(delay)s))
ON CONFLICT (case_id, stage, case_version) DO NOTHING
"""


def add(
    connection: Connection,
    *,
    case_id: str,
    stage: str,
    case_version: int,
    family: str,
    priority: str,
    clinic: str,
    partner: str | None = None,
    delay: float = 0,
) -> None:
    """Write the next run in the caller's transaction and wake the relays when that commits. Twice is once."""
    values = {
        "case_id": case_id,
        "stage": stage,
        "case_version": case_version,
        "lane": lane_of(stage, family, priority),
        "clinic": clinic,
        "partner": partner,
        "priority": PRIORITIES[priority],
        "delay": delay,
    }
    connection.execute(_ADD, values)
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, stage))


# Order: by priority, then fairly across clinics (the n-th waiting run of a clinic counts the ones it has in flight),
# then by age. A clinic's own turn goes to what it has just dropped, so that its receipts come soon, then to the case
# that is furthest along: what has begun ends before more begins. Rows are found by state and never by an id cursor: a
# late commit would be skipped.
_PICK = """
WITH flying AS (
    SELECT lane, clinic, count(*) AS n FROM stage_run
    WHERE outcome IS NULL AND published_at IS NOT NULL AND lane = ANY(%(lanes)s) GROUP BY lane, clinic
), line AS (
    SELECT r.partner, count(*) AS n FROM stage_run r
    WHERE r.outcome IS NULL AND r.published_at IS NOT NULL AND r.stage = 'deliver' GROUP BY r.partner
), waiting AS (
    SELECT r.id, r.lane, r.priority, r.created_at,
        coalesce(f.n, 0) + row_number() OVER (
            PARTITION BY r.lane, r.clinic
            ORDER BY r.priority, r.stage <> 'receive', r.case_version DESC, r.id
        ) AS turn,
        CASE WHEN r.stage = 'deliver' AND c.failures > 0
             THEN coalesce(l.n, 0) + row_number() OVER (PARTITION BY r.stage, r.partner ORDER BY r.priority, r.id)
             ELSE 0 END AS probe
    FROM stage_run r
    LEFT JOIN flying f ON f.lane = r.lane AND f.clinic = r.clinic
    LEFT JOIN partner_circuit c ON c.partner = r.partner
    LEFT JOIN line l ON l.partner = r.partner
    WHERE r.outcome IS NULL AND r.published_at IS NULL AND r.not_before <= clock_timestamp()
      AND r.lane = ANY(%(lanes)s)
      AND (r.stage <> 'deliver' OR c.open_until IS NULL OR c.open_until <= clock_timestamp())
), chosen AS (
    SELECT id, row_number() OVER (PARTITION BY lane ORDER BY priority, turn, created_at, id) AS place,
        lane, priority
    FROM waiting WHERE probe <= 2
)
SELECT c.id FROM chosen c
WHERE c.place <= %(window)s - (SELECT coalesce(sum(n), 0) FROM flying f WHERE f.lane = c.lane)
ORDER BY c.priority, c.place
"""

_MARK = """
UPDATE stage_run r SET published_at = clock_timestamp(), published_by = %(relay)s
FROM (SELECT id FROM stage_run WHERE id = ANY(%(ids)s) AND published_at IS NULL AND outcome IS NULL
      ORDER BY priority, id FOR UPDATE SKIP LOCKED) chosen
WHERE r.id = chosen.id
RETURNING r.id, r.case_id, r.stage, r.case_version, r.lane
"""


# First half of the advisory locks of `pick`; the second is the lane's number.
_PICK_LOCK = 0x7E1ED1


def pick(connection: Connection, *, lanes: Sequence[str], window: int, relay: str) -> tuple[WakeUp, ...]:
    """Choose and mark runs to wake, at most `window` in flight in each lane; the caller publishes before it commits."""
    # The database is the truth of what is in flight, so two relays of one lane must count one after the other.
    connection.execute(
        "SELECT pg_advisory_xact_lock(%s, n) FROM unnest(%s::int[]) n",
        (_PICK_LOCK, sorted(LANES.index(lane) for lane in lanes)),
    )
    found = connection.execute(_PICK, {"lanes": list(lanes), "window": window}).fetchall()
    if not found:
        return ()
    place = {row["id"]: at for at, row in enumerate(found)}
    rows = connection.execute(_MARK, {"ids": list(place), "relay": relay}).fetchall()
    rows.sort(key=lambda row: place[row["id"]])
    return tuple(
        WakeUp(
            run_id=r["id"],
            case_id=r["case_id"],
            stage=r["stage"],
            case_version=r["case_version"],
            lane=r["lane"],
        )
        for r in rows
    )


_CLAIM = """
UPDATE stage_run SET owner = %(owner)s || '#' || (attempt + 1), heartbeat_at = clock_timestamp(), attempt = attempt + 1,
    started_at = coalesce(started_at, clock_timestamp()), published_at = coalesce(published_at, clock_timestamp())
WHERE case_id = %(case_id)s AND stage = %(stage)s AND case_version = %(case_version)s
  AND outcome IS NULL AND owner IS NULL AND not_before <= clock_timestamp()
RETURNING *
"""


def claim(database: Database, *, case_id: str, stage: str, case_version: int, owner: str) -> Run | None:
    """Commit one more attempt for `owner`; None if the run has ended, is owned, or never was: a stale duplicate."""
    values = {"case_id": case_id, "stage": stage, "case_version": case_version, "owner": owner}
    with database.transaction() as connection:
        row = connection.execute(_CLAIM, values).fetchone()
    return _run(row) if row else None


def beat(database: Database, runs: Sequence[tuple[int, str]]) -> frozenset[int]:
    """Renew the leases of `runs` (id, owner); returns the ids that are still ours."""
    with database.transaction() as connection:
        rows = connection.execute(
            "UPDATE stage_run r SET heartbeat_at = clock_timestamp()"
            " FROM unnest(%s::bigint[], %s::text[]) AS o(id, owner)"
            " WHERE r.id = o.id AND r.owner = o.owner AND r.outcome IS NULL RETURNING r.id",
            ([r[0] for r in runs], [r[1] for r in runs]),
        ).fetchall()
    return frozenset(r["id"] for r in rows)


_STAT_DUE = """
SELECT 1 FROM stage_run
WHERE outcome IS NULL AND lane = ANY(%s) AND not_before <= clock_timestamp()
  AND (owner IS NOT NULL OR created_at > clock_timestamp() - interval '10 seconds')
LIMIT 1
"""


def stat_is_due(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """True while a stage of a stat case runs or was written a moment ago; not if it waits for something else."""
    return connection.execute(_STAT_DUE, (list(STAT_LANES),)).fetchone() is not None


def mark_progress(database: Database, run: Run, parts: Sequence[str]) -> None:
    """Remember that `parts` of a long run are behind us, whatever becomes of this attempt.

    A run that comes forward is not the one that kills its workers, so the lost ones are forgotten.
    """
    with database.transaction() as connection:
        connection.execute(
            "UPDATE stage_run SET progress = progress || %s::jsonb, lost = 0, heartbeat_at = clock_timestamp()"
            " WHERE id = %s AND owner = %s AND outcome IS NULL",
            (json.dumps(list(parts)), run.id, run.owner),
        )


def put_back(connection: Connection, run: Run, *, delay: float, error: str, forgive: bool) -> None:
    """The run waits again: after a pause between slices (`forgive` takes the attempt back) or a transient error."""
    connection.execute(
        "UPDATE stage_run SET owner = NULL, heartbeat_at = NULL, published_at = NULL, published_by = NULL, error = %s,"
        " attempt = attempt - %s, not_before = clock_timestamp() + make_interval(secs => %s)"
        " WHERE id = %s AND owner = %s AND outcome IS NULL",
        (error, int(forgive), delay, run.id, run.owner),
    )
    connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))


def end(connection: Connection, run: Run, outcome: str, error: str | None = None) -> bool:
    """Close the run if it is still ours; False means that another owner has it and nothing may be committed."""
    ended = connection.execute(
        "UPDATE stage_run SET outcome = %s, error = coalesce(%s, error), ended_at = clock_timestamp()"
        " WHERE id = %s AND owner = %s AND outcome IS NULL",
        (outcome, error, run.id, run.owner),
    ).rowcount
    # A place in the window is free.
    connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
    return bool(ended)


# Before its last attempt a run waits a random while: what only stood beside the run that kills its worker goes apart
# from it, and is not taken for it.
_LAPSED = """
UPDATE stage_run SET owner = NULL, heartbeat_at = NULL, published_at = NULL, published_by = NULL, lost = lost + 1,
    error = 'worker lost', not_before = CASE WHEN lost + 2 < %(limit)s THEN not_before
        ELSE clock_timestamp() + random() * make_interval(secs => %(lease)s) END
WHERE outcome IS NULL AND owner IS NOT NULL AND heartbeat_at < clock_timestamp() - make_interval(secs => %(lease)s)
  AND lost + 1 < %(limit)s
RETURNING case_id, stage
"""
_POISONED = """
SELECT * FROM stage_run
WHERE outcome IS NULL AND owner IS NOT NULL AND heartbeat_at < clock_timestamp() - make_interval(secs => %(lease)s)
  AND lost + 1 >= %(limit)s FOR UPDATE SKIP LOCKED
"""
_UNHEARD = """
UPDATE stage_run SET published_at = NULL, published_by = NULL
WHERE outcome IS NULL AND owner IS NULL AND published_at < clock_timestamp() - make_interval(secs => %(lease)s)
RETURNING case_id, stage
"""


def reclaim(connection: Connection, *, lease: float, limit: int = 3) -> tuple[int, tuple[Run, ...]]:
    """Free what a lost worker held and what a lost message promised; returns how many, and the poisoned runs.

    A poisoned run has lost its worker `limit` times; the caller quarantines its case in the same transaction.
    """
    values = {"lease": lease, "limit": limit}
    poisoned = [_run(row) for row in connection.execute(_POISONED, values).fetchall()]
    freed = len(connection.execute(_LAPSED, values).fetchall()) + len(
        connection.execute(_UNHEARD, values).fetchall()
    )
    if freed:
        connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
    return freed, tuple(poisoned)


def _run(row: Row) -> Run:
    return Run(
        id=row["id"],
        case_id=row["case_id"],
        stage=row["stage"],
        case_version=row["case_version"],
        lane=row["lane"],
        clinic=row["clinic"],
        partner=row["partner"],
        priority=row["priority"],
        attempt=row["attempt"],
        lost=row["lost"],
        owner=row["owner"],
        progress=frozenset(row["progress"]),
        created_at=row["created_at"],
    )
