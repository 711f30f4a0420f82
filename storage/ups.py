"""Work items as a partner's own reading software sees them (UPS): searching, claims with a transaction UID, progress.

Nothing here moves a work item: `storage.readings` does. What of its case is told, is told while a work item gives it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from cases.stages import PRIORITIES
from cases.ups import SOP_CLASS, work_item_of
from storage import readings
from storage.database import Connection, Row
from storage.dicom_search import HOW, Unmatchable
from storage.readings import UnknownWorkItem, WorkItem

_STEPS = """
SELECT w.*, c.priority, c.service, c.due_at, c.brief, c.pseudonym,
    ARRAY(SELECT s.study_uid::text FROM dicom_study s WHERE s.case_id = c.id ORDER BY s.number) AS studies
FROM work_item w LEFT JOIN cases c ON c.id = w.case_id
    AND EXISTS (SELECT FROM work_item g WHERE g.case_id = w.case_id AND g.state <> 'CANCELED')
"""
_ORDER = " ORDER BY array_position(%s::text[], c.priority), c.due_at NULLS LAST, w.created_at, w.id LIMIT %s OFFSET %s"
_INPUT = """
SELECT i.study_uid, i.series_uid, array_agg(ARRAY[i.sop_class, i.sop_uid]::text[] ORDER BY i.number) AS instances
FROM dicom_instance i WHERE i.case_id = %s AND i.key IS NOT NULL
GROUP BY i.study_uid, i.series_uid ORDER BY min(i.number)
"""


@dataclass(frozen=True, kw_only=True)
class Key:
    """An attribute that workitems can be searched by: what it is in SQL, and how it is matched."""

    column: str
    kind: str


_SEX = "CASE c.brief->>'sex' WHEN 'female' THEN 'F' WHEN 'male' THEN 'M' WHEN 'other' THEN 'O' END"
_PRIORITY = (
    "CASE c.priority WHEN 'stat' THEN 'HIGH' WHEN 'urgent' THEN 'MEDIUM' WHEN 'routine' THEN 'LOW' END"
)
_STUDIES = "ARRAY(SELECT s.study_uid::text FROM dicom_study s WHERE s.case_id = c.id)"
# tag | in SQL | how it is matched
_KEYS: tuple[tuple[str, str, str], ...] = (
    ("00080016", f"'{SOP_CLASS}'::text", "uid"),
    ("00080018", "w.id", "work item"),
    ("00100010", "lower(c.pseudonym)", "name"),
    ("00100020", "c.pseudonym", "text"),
    ("00100040", _SEX, "text"),
    ("0020000D", _STUDIES, "any of"),
    ("00404005", "w.created_at", "moment"),
    ("00404011", "c.due_at", "moment"),
    ("00404041", "'READY'::text", "text"),
    ("00741000", "w.state", "text"),
    ("00741200", _PRIORITY, "text"),
    ("00741202", "w.subspecialty", "text"),
    ("00741204", "left(c.brief->>'procedure', 64)", "text"),
)
KEYS = {tag: Key(column=column, kind=kind) for tag, column, kind in _KEYS}


def search(connection: Connection, values: Sequence[tuple[str, str]], limit: int, offset: int) -> list[Row]:
    """The workitems that match, in the order in which they should be read; one more than `limit` if there are more.

    Raises `Unmatchable`.
    """
    conditions, given = ["true"], []
    for tag, value in values:
        condition, parameters = _condition(KEYS[tag], value)
        conditions.append(condition)
        given += parameters
    statement = f"{_STEPS} WHERE {' AND '.join(conditions)} {_ORDER}"
    told = [*given, list(PRIORITIES), limit + 1, offset]
    return connection.execute(statement.encode(), told).fetchall()


def step(connection: Connection, work_item_id: UUID) -> Row:
    """One workitem. Raises `UnknownWorkItem`."""
    row = connection.execute(f"{_STEPS} WHERE w.id = %s".encode(), (work_item_id,)).fetchone()
    if row is None:
        raise UnknownWorkItem(f"no work item {work_item_id}")
    return row


def input_of(connection: Connection, row: Row) -> list[Row]:
    """The series to read: `study_uid`, `series_uid`, `instances` as (class, UID). None where the case is not given."""
    if row["brief"] is None:
        return []
    return connection.execute(_INPUT, (row["case_id"],)).fetchall()


def locked(connection: Connection, work_item_id: UUID) -> tuple[WorkItem, str | None]:
    """The work item, locked after its case, and the transaction UID of its claim. Raises `UnknownWorkItem`."""
    found = readings.get(connection, work_item_id, lock=True)
    row = connection.execute("SELECT transaction_uid FROM work_item WHERE id = %s", (found.id,)).fetchone()
    assert row is not None, "the row is locked"
    return found, row["transaction_uid"]


def claim(
    connection: Connection, work_item_id: UUID, reader: str, transaction_uid: str, *, lease: timedelta
) -> WorkItem:
    """Claim a work item that is SCHEDULED, to be known by this transaction UID from then on."""
    found = readings.claim(connection, work_item_id, reader, lease=lease)
    connection.execute(
        "UPDATE work_item SET transaction_uid = %s WHERE id = %s", (transaction_uid, work_item_id)
    )
    return found


def keep_progress(
    connection: Connection, work_item_id: UUID, reader: str, told: dict[str, Any], *, lease: timedelta
) -> None:
    """Keep what the holder tells of its progress (`percent`, `words`, `reason`), and renew the lease."""
    readings.heartbeat(connection, work_item_id, reader, lease=lease)
    connection.execute(
        "UPDATE work_item SET progress = coalesce(progress, '{}') || %s WHERE id = %s",
        (Jsonb(told), work_item_id),
    )


def request_cancel(connection: Connection, work_item_id: UUID, by: str, reason: str) -> None:
    """Keep that somebody asks the holder to cancel; subscribers are told."""
    connection.execute(
        "UPDATE work_item SET cancel_requested = jsonb_build_object('by', %s::text, 'reason', %s::text,"
        " 'at', clock_timestamp()) WHERE id = %s",
        (by, reason, work_item_id),
    )


def _condition(key: Key, value: str) -> tuple[str, list[Any]]:
    if key.kind == "work item":
        uids = value.replace("\\", ",").split(",")
        return f"{key.column} = ANY(%s)", [[found for uid in uids if (found := work_item_of(uid.strip()))]]
    if key.kind == "moment":
        return _by_moment(key.column, value)
    return HOW[key.kind](key.column, value)


_MOMENT = r"(\d{8}(?:\d\d){0,3})(\.\d{1,6})?([+\-]\d{4})?"
_MOMENTS = re.compile(rf"(?P<first>{_MOMENT})?(?P<range>-(?P<last>{_MOMENT})?)?")
_PRECISION = {
    8: timedelta(days=1),
    10: timedelta(hours=1),
    12: timedelta(minutes=1),
    14: timedelta(seconds=1),
}
_SHAPE = "%Y%m%d%H%M%S"


def _by_moment(column: str, value: str) -> tuple[str, list[Any]]:
    """A date and time (PS3.5 DT; UTC unless it says its offset), or a range of two of which either end may be open."""
    match = _MOMENTS.fullmatch(value)
    if match is None or not (match["first"] or match["last"]):
        raise Unmatchable(
            "a date and time is YYYYMMDDHHMMSS, or its beginning from the day on, or a range of two"
        )
    ends = (match["first"], match["last"] if match["range"] else match["first"])
    conditions, given = ["true"], []
    if ends[0]:
        conditions.append(f"{column} >= %s")
        given.append(_span(ends[0])[0])
    if ends[1]:
        conditions.append(f"{column} < %s")
        given.append(_span(ends[1])[1])
    return f"({' AND '.join(conditions)})", given


def _span(text: str) -> tuple[datetime, datetime]:
    """The first moment that a date and time names, and the first after it."""
    match = re.fullmatch(_MOMENT, text)
    assert match is not None, "the caller has matched it"
    digits, fraction, offset = match.groups()
    try:
        start = datetime.strptime(digits.ljust(14, "0"), _SHAPE).replace(tzinfo=UTC)
        start -= datetime.strptime(offset or "+0000", "%z").utcoffset() or timedelta()
    except (ValueError, OverflowError):
        raise Unmatchable("a date and time is one of the calendar") from None
    if fraction:
        start += timedelta(microseconds=int(fraction[1:].ljust(6, "0")))
        return start, start + timedelta(microseconds=10 ** (7 - len(fraction)))
    return start, start + _PRECISION[len(digits)]
