"""A partner's worklist, in the order in which it should be read, and the files behind each work item."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cases.stages import PRIORITIES
from storage import readings
from storage.database import Connection, Row
from storage.readings import UnknownWorkItem, WorkItem

OPEN = ("SCHEDULED", "IN PROGRESS")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A work item with what a reader needs of its case. `now` is the database's clock."""

    item: WorkItem
    case_state: str
    service: str
    priority: str
    due_at: datetime | None
    brief: dict[str, Any]
    previews: int
    now: datetime


@dataclass(frozen=True, kw_only=True)
class PartnerFile:
    """One object in the partner's bucket."""

    key: str
    size: int
    sha256: str
    media_type: str


_ITEMS = """
SELECT w.*, c.state AS case_state, c.service, c.priority, c.due_at, c.brief, clock_timestamp() AS now,
    (SELECT count(*) FROM partner_object o WHERE o.case_id = c.id AND o.partner = w.partner AND o.role = 'preview')
    AS previews
FROM work_item w JOIN cases c ON c.id = w.case_id
"""
_WANTED = """
WHERE w.state = ANY(%(states)s) AND (%(subspecialty)s::text IS NULL OR w.subspecialty = %(subspecialty)s)
ORDER BY array_position(%(priorities)s::text[], c.priority), c.due_at NULLS LAST, w.created_at, w.id LIMIT %(limit)s
"""


def items(
    connection: Connection,
    *,
    states: tuple[str, ...] = OPEN,
    subspecialty: str | None = None,
    limit: int = 500,
) -> list[Listed]:
    """The work items that the transaction's tenant may see: stat first, then what is due first."""
    values = {
        "states": list(states),
        "subspecialty": subspecialty,
        "priorities": list(PRIORITIES),
        "limit": limit,
    }
    return [_listed(row) for row in connection.execute(_ITEMS + _WANTED, values).fetchall()]


def item(connection: Connection, work_item_id: UUID) -> Listed:
    """One work item. Raises `UnknownWorkItem`."""
    row = connection.execute(_ITEMS + "WHERE w.id = %s", (work_item_id,)).fetchone()
    if row is None:
        raise UnknownWorkItem(f"no work item {work_item_id}")
    return _listed(row)


def files(connection: Connection, case_id: str, partner: str, role: str) -> list[PartnerFile]:
    """The case's objects in the partner's bucket, of role `file` or `preview`, by key."""
    rows = connection.execute(
        "SELECT key, size, sha256, media_type FROM partner_object WHERE case_id = %s AND partner = %s AND role = %s"
        " ORDER BY key",
        (case_id, partner, role),
    ).fetchall()
    return [PartnerFile(**row) for row in rows]


def _listed(row: Row) -> Listed:
    return Listed(
        item=readings.from_row(row),
        case_state=row["case_state"],
        service=row["service"],
        priority=row["priority"],
        due_at=row["due_at"],
        brief=row["brief"],
        previews=row["previews"],
        now=row["now"],
    )
