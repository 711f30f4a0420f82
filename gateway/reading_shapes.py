"""The JSON of the partner side. Nothing here can hold a patient's identity, or a shifted date as if it were true."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from cases.documents import Brief
from gateway.shapes import Shape


class PreviewLink(Shape):
    number: int
    url: str


class ReportShown(Shape):
    """`body` is a `ReportBody`."""

    report_id: UUID
    status: str
    version: int
    body: dict[str, Any]
    why: str
    signed_by: str
    signed_at: datetime


class WorkItemLine(Shape):
    """One reading: `seconds_left` of the service level is negative when overdue, and absent once it is read.

    `place_reason` says in words why it stands where it stands on the worklist. `draft` and `report` are there for a
    single item, the draft for its holder alone.
    """

    work_item_id: UUID
    case_id: str
    state: str
    purpose: str
    subspecialty: str
    service: str
    service_name: str
    service_name_zh: str
    priority: str
    case_state: str
    due_at: datetime | None
    seconds_left: float | None
    overdue: bool
    brief: Brief
    claimed_by: str | None
    claimed_by_me: bool
    lease_until: datetime | None
    previews: tuple[PreviewLink, ...]
    place_reason: str
    place_reason_zh: str
    draft: dict[str, Any] | None = None
    report: ReportShown | None = None


class Worklist(Shape):
    work_items: tuple[WorkItemLine, ...]


class Lease(Shape):
    lease_until: datetime


class Ended(Shape):
    """`successor`: the work item that waits in place of one that was released."""

    work_item_id: UUID
    state: str
    successor: UUID | None = None


class Signed(Shape):
    report_id: UUID
    version: int
    status: str


class FileLink(Shape):
    """`url` opens the file straight from the partner's own bucket, until `expires_at`."""

    name: str
    size: int
    sha256: str
    media_type: str
    url: str


class FileLinks(Shape):
    expires_at: datetime
    files: tuple[FileLink, ...]
