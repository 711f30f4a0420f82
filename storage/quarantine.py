"""What was set aside for a person to look at, cases and drops alike, and what that person decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cases.documents import PixelVerdict
from cases.errors import NotAllowed
from storage import audit, cases, drops, pictures, transition
from storage.accounts import Principal
from storage.cases import UnknownCase
from storage.database import Connection


@dataclass(frozen=True, kw_only=True)
class HeldThing:
    """A quarantined case, or a drop that is not a case yet. `accession_number` is identity."""

    id: str
    is_drop: bool
    clinic: str
    service: str | None
    priority: str | None
    since: datetime
    reason_code: str
    reason_detail: str
    held_from: str | None
    stage: str | None
    accession_number: str


_HELD = """
WITH held AS (
SELECT c.id, false AS is_drop, c.clinic, c.service, c.priority, c.changed_at AS since, c.reason_code,
    coalesce(c.reason_detail, '') AS reason_detail, c.held_from, c.held_stage AS stage, o.accession_number
FROM cases c JOIN vault.case_order o ON o.case_id = c.id WHERE c.state = 'quarantined'
UNION ALL
SELECT d.id, true, d.clinic, NULL, NULL, coalesce(d.ended_at, d.first_seen_at), d.reason_code,
    coalesce(d.reason_detail, ''), NULL, 'receive', ''
FROM vault.drops d WHERE d.state = 'quarantined'
) SELECT * FROM held
"""
_ALL = _HELD + " ORDER BY since"
_ONE = _HELD + " WHERE id = %s"
_NO_LONGER = (
    "SELECT state FROM cases WHERE id = %(id)s UNION ALL SELECT state FROM vault.drops WHERE id = %(id)s"
)


def held(connection: Connection) -> list[HeldThing]:
    """Everything in quarantine, the longest waiting first."""
    rows = connection.execute(_ALL).fetchall()
    return [HeldThing(**row) for row in rows]


def get(connection: Connection, held_id: str) -> HeldThing:
    """One quarantined case or drop. Raises `UnknownCase` if there is none of that id in quarantine."""
    row = connection.execute(_ONE, (held_id,)).fetchone()
    if row is None:
        raise UnknownCase(f"nothing in quarantine is {held_id}")
    return HeldThing(**row)


def _to_decide(connection: Connection, held_id: str) -> HeldThing:
    """As `get`; but `NotAllowed` for what left quarantine before, so that a second decision hears of the first."""
    try:
        return get(connection, held_id)
    except UnknownCase:
        moved_on = connection.execute(_NO_LONGER, {"id": held_id}).fetchone()
        if moved_on is None:
            raise
        raise NotAllowed(f"{held_id} is no longer in quarantine, it is {moved_on['state']}") from None


def release(
    connection: Connection, held_id: str, who: Principal, why: str, verdict: PixelVerdict | None = None
) -> str:
    """Let it go on: the stage that set it aside runs again. Returns its state. Raises `UnknownCase`, `NotAllowed`.

    `verdict` is what `who` decided about the pictures that it was set aside for: without one they are doubtful again.
    """
    thing = _to_decide(connection, held_id)
    note = ""
    if verdict is not None:
        if thing.is_drop:
            raise NotAllowed("there is no picture to decide about")
        case = cases.get(connection, held_id, lock=True)
        note = f"{verdict} pictures: {pictures.decide(connection, case, who, verdict, why)}"
    audit.record(connection, who, "quarantine.release", held_id, note=note)
    audit.remark(connection, who, "quarantine.release", held_id, why)
    if thing.is_drop:
        drops.release(connection, held_id, who.account)
        return drops.get(connection, held_id).state
    return transition.replay(connection, held_id, actor=who.account, note=thing.reason_code).state


def reject(connection: Connection, held_id: str, who: Principal, why: str) -> str:
    """Send it back to the clinic with its reason, and `why` in words. Returns its state."""
    thing = _to_decide(connection, held_id)
    audit.record(connection, who, "quarantine.reject", held_id)
    audit.remark(connection, who, "quarantine.reject", held_id, why)
    if thing.is_drop:
        drops.reject(connection, held_id, thing.reason_code)
        return drops.get(connection, held_id).state
    case = cases.move(
        connection,
        held_id,
        "rejected",
        actor=who.account,
        note=thing.reason_code,
        reason_code=thing.reason_code,
        reason_detail=thing.reason_detail,
    )
    return case.state


def failed(connection: Connection, limit: int = 200) -> list[dict[str, object]]:
    """Stage runs that ended in a defect, the newest first; `error` holds no identity."""
    return connection.execute(
        "SELECT id AS run_id, case_id, stage, attempt, coalesce(error, '') AS error, ended_at FROM stage_run"
        " WHERE outcome = 'failed' ORDER BY ended_at DESC LIMIT %s",
        (limit,),
    ).fetchall()
