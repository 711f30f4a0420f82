"""Readings: a work item is claimed with a lease, kept, given back or declined; each step is one transaction.

UPS has no way back from IN PROGRESS (PS3.4 Annex CC), so release, decline and an expired lease cancel the item; all but
a decline create its successor. Locks are taken in one order everywhere: the case, then its work items.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from cases.documents import ReportBody
from cases.errors import NotAllowed, TeledxError
from cases.states import advance
from storage import cases, transition
from storage.database import Connection, Row

LEASE = timedelta(minutes=30)


class UnknownWorkItem(TeledxError):
    """No such work item, or not one of the asking organisation."""


class HeldByAnother(TeledxError):
    """Another reader holds the work item, or nobody does and the deed needs its holder."""


@dataclass(frozen=True, kw_only=True)
class WorkItem:
    """One row of `work_item`; no patient identity."""

    id: UUID
    case_id: str
    partner: str
    purpose: str
    subspecialty: str
    state: str
    reader: str | None
    claimed_at: datetime | None
    lease_until: datetime | None
    draft: dict[str, Any] | None
    successor_of: UUID | None
    ended_because: str | None
    why: str
    created_at: datetime
    ended_at: datetime | None


def is_given(connection: Connection, case_id: str) -> bool:
    """Whether a work item of the asking side still gives it the case: none does once it was declined or withdrawn."""
    row = connection.execute(
        "SELECT FROM work_item WHERE case_id = %s AND state <> 'CANCELED' LIMIT 1", (case_id,)
    ).fetchone()
    return row is not None


def get(connection: Connection, work_item_id: UUID, *, lock: bool = False) -> WorkItem:
    """The work item; with `lock` its case and then itself are locked for this transaction. Raises `UnknownWorkItem`."""
    row = connection.execute("SELECT * FROM work_item WHERE id = %s", (work_item_id,)).fetchone()
    if row and lock:
        cases.get(connection, row["case_id"], lock=True)
        row = connection.execute(
            "SELECT * FROM work_item WHERE id = %s FOR UPDATE", (work_item_id,)
        ).fetchone()
    if row is None:
        raise UnknownWorkItem(f"no work item {work_item_id}")
    return from_row(row)


def from_row(row: Row) -> WorkItem:
    return WorkItem(**{name: row[name] for name in WorkItem.__dataclass_fields__})


def held(connection: Connection, work_item_id: UUID, reader: str) -> WorkItem:
    """The work item, locked, if `reader` holds it. Raises `UnknownWorkItem`, `HeldByAnother` or `NotAllowed`."""
    found = get(connection, work_item_id, lock=True)
    if found.state != "IN PROGRESS":
        raise NotAllowed(f"the work item is {found.state}; claim it first")
    if found.reader != reader:
        raise HeldByAnother("another reader holds this work item")
    return found


def claim(connection: Connection, work_item_id: UUID, reader: str, *, lease: timedelta = LEASE) -> WorkItem:
    """Give the work item to `reader` until the lease ends; claiming what one holds renews the lease.

    What the reader had typed in an earlier item of the case is there again. Raises `UnknownWorkItem`, `HeldByAnother`
    or `NotAllowed`.
    """
    found = get(connection, work_item_id, lock=True)
    if found.state == "IN PROGRESS":
        if found.reader != reader:
            raise HeldByAnother("another reader holds this work item")
        heartbeat(connection, work_item_id, reader, lease=lease)
        return get(connection, work_item_id)
    state = advance("work item", found.state, "claim")
    connection.execute(
        "UPDATE work_item SET state = %s, reader = %s, claimed_at = clock_timestamp(),"
        " lease_until = clock_timestamp() + %s, draft = %s WHERE id = %s",
        (state, reader, lease, _own_draft(connection, found, reader), found.id),
    )
    cases.move(connection, found.case_id, "claimed", actor=reader)
    return get(connection, found.id)


def _own_draft(connection: Connection, found: WorkItem, reader: str) -> Jsonb | None:
    """What this reader last typed for the same reading of the case: a lease that ran out loses nobody's words."""
    row = connection.execute(
        "SELECT draft FROM work_item WHERE case_id = %s AND purpose = %s AND reader = %s AND draft IS NOT NULL"
        " ORDER BY ended_at DESC NULLS FIRST LIMIT 1",
        (found.case_id, found.purpose, reader),
    ).fetchone()
    return Jsonb(row["draft"]) if row else None


def heartbeat(
    connection: Connection, work_item_id: UUID, reader: str, *, lease: timedelta = LEASE
) -> datetime:
    """Renew the holder's lease; returns its new end. A lease that has run out but was not yet taken back is renewed."""
    found = held(connection, work_item_id, reader)
    row = connection.execute(
        "UPDATE work_item SET lease_until = clock_timestamp() + %s WHERE id = %s RETURNING lease_until",
        (lease, found.id),
    ).fetchone()
    assert row is not None, "the row is locked"
    until: datetime = row["lease_until"]
    return until


def keep_draft(
    connection: Connection, work_item_id: UUID, reader: str, body: ReportBody, *, lease: timedelta = LEASE
) -> datetime:
    """Keep what the holder has typed so far, and renew the lease; returns its new end."""
    found = held(connection, work_item_id, reader)
    connection.execute(
        "UPDATE work_item SET draft = %s WHERE id = %s", (Jsonb(body.model_dump(mode="json")), found.id)
    )
    return heartbeat(connection, found.id, reader, lease=lease)


def release(connection: Connection, work_item_id: UUID, reader: str, why: str) -> WorkItem:
    """The holder gives the work item back: it ends, and its successor, which is returned, waits on the worklist."""
    found = held(connection, work_item_id, reader)
    _cancel(connection, found, "released", why)
    cases.move(connection, found.case_id, "released", actor=reader)
    return _successor(connection, found)


def decline(connection: Connection, work_item_id: UUID, reader: str, why: str) -> WorkItem:
    """The partner gives the case back: all its open items end, and the case is routed anew without this partner.

    A work item on the worklist may be declined by any reader; a claimed one by its holder.
    """
    found = get(connection, work_item_id, lock=True)
    if found.state == "IN PROGRESS" and found.reader != reader:
        raise HeldByAnother("another reader holds this work item")
    _cancel(connection, found, "declined", why)
    cancel_open(connection, found.case_id)
    _drop_preliminary(connection, found.case_id)
    case = cases.move(connection, found.case_id, "declined", actor=reader)
    transition.next_run(connection, case, "route")
    return get(connection, found.id)


def _drop_preliminary(connection: Connection, case_id: str) -> None:
    """A preliminary report of a partner that declined stands for nothing; its versions are kept."""
    row = connection.execute(
        "SELECT id, status FROM report WHERE case_id = %s AND status <> 'cancelled' FOR UPDATE", (case_id,)
    ).fetchone()
    if row:
        status = advance("report", row["status"], "cancel")
        connection.execute("UPDATE report SET status = %s WHERE id = %s", (status, row["id"]))


def expire_leases(connection: Connection) -> tuple[WorkItem, ...]:
    """Take back every item whose reader fell silent beyond the lease; returns the successors. For the timers."""
    lapsed = connection.execute(
        "SELECT id FROM work_item WHERE state = 'IN PROGRESS' AND lease_until < clock_timestamp() ORDER BY case_id"
    ).fetchall()
    return tuple(s for row in lapsed if (s := _expire(connection, row["id"])) is not None)


def _expire(connection: Connection, work_item_id: UUID) -> WorkItem | None:
    found = get(connection, work_item_id, lock=True)
    row = connection.execute(
        "SELECT FROM work_item WHERE id = %s AND state = 'IN PROGRESS' AND lease_until < clock_timestamp()",
        (found.id,),
    ).fetchone()
    if row is None:  # renewed, signed or taken back while we waited for the lock
        return None
    _cancel(connection, found, "lease_expired", "")
    cases.move(connection, found.case_id, "lease_expired", actor="timer")
    return _successor(connection, found)


def cancel_open(connection: Connection, case_id: str, because: str = "cancelled") -> int:
    """End every open work item of a case that is withdrawn; the caller has locked the case. Returns how many."""
    rows = connection.execute(
        "SELECT * FROM work_item WHERE case_id = %s AND state IN ('SCHEDULED', 'IN PROGRESS') FOR UPDATE",
        (case_id,),
    ).fetchall()
    for row in rows:
        _cancel(connection, from_row(row), because, "")
    return len(rows)


def declined_by(connection: Connection, case_id: str) -> tuple[str, ...]:
    """The partners that gave this case back, for `cases.routing`."""
    rows = connection.execute(
        "SELECT DISTINCT partner FROM work_item WHERE case_id = %s AND ended_because = 'declined' ORDER BY partner",
        (case_id,),
    )
    return tuple(row["partner"] for row in rows.fetchall())


def complete(connection: Connection, found: WorkItem) -> None:
    """The reading is signed; the caller holds the item's lock."""
    state = advance("work item", found.state, "complete")
    connection.execute(
        "UPDATE work_item SET state = %s, ended_because = 'completed', ended_at = clock_timestamp(), lease_until = NULL"
        " WHERE id = %s",
        (state, found.id),
    )


def _cancel(connection: Connection, found: WorkItem, because: str, why: str) -> None:
    state = advance("work item", found.state, "cancel")
    connection.execute(
        "UPDATE work_item SET state = %s, ended_because = %s, why = %s, ended_at = clock_timestamp(),"
        " lease_until = NULL WHERE id = %s",
        (state, because, why, found.id),
    )


def _successor(connection: Connection, ended: WorkItem) -> WorkItem:
    row = connection.execute(
        "INSERT INTO work_item (case_id, partner, purpose, subspecialty, state, successor_of)"
        " VALUES (%s, %s, %s, %s, 'SCHEDULED', %s) RETURNING *",
        (ended.case_id, ended.partner, ended.purpose, ended.subspecialty, ended.id),
    ).fetchone()
    assert row is not None, "INSERT RETURNING gives a row"
    return from_row(row)
