"""The JSON that both sides and the region answer with. Times are UTC; texts for people come in English and Chinese."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from cases.documents import Alternative


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class OrganisationName(Shape):
    id: str
    name: str
    name_zh: str


class Me(Shape):
    account: str
    name: str
    name_zh: str
    role: Literal["clinic", "reader", "manager", "operator"]
    organisation: OrganisationName
    side: Literal["region", "partner"]
    languages: tuple[str, ...]
    licence: str | None = None


class ServiceShown(Shape):
    """`requestable`: whether the asking organisation may order it."""

    id: str
    name: str
    name_zh: str
    family: str
    modalities: tuple[str, ...]
    subspecialty: str
    requestable: bool


class NetworkShown(Shape):
    name: str
    name_zh: str
    time_zone: str
    services: tuple[ServiceShown, ...]
    clinics: tuple[OrganisationName, ...]
    partners: tuple[OrganisationName, ...]


class ReasonShown(Shape):
    """Why a case or a drop stopped, and what to do; `detail` says what was found, without identity."""

    code: str
    what: str
    todo: str
    what_zh: str
    todo_zh: str
    detail: str = ""
    detail_zh: str = ""


class CaseLine(Shape):
    """`accession_number` and `patient_name` are empty for whoever may not see identity."""

    case_id: str
    accession_number: str
    patient_name: str
    service: str
    service_name: str
    service_name_zh: str
    priority: str
    state: str
    clinic: str
    scanning_site: str
    partner: str | None
    received_at: datetime
    due_at: datetime | None
    overdue: bool
    waits_for: str
    waits_for_zh: str
    report_ready: bool


class CaseLines(Shape):
    """`next`: pass it as `after` for the following ones."""

    cases: tuple[CaseLine, ...]
    next: str | None = None


class TimelineEntry(Shape):
    """`clock` says by whose clock it happened; `by` is a stage of the house or an account."""

    milestone: str
    what: str
    what_zh: str
    state: str
    happened_at: datetime
    recorded_at: datetime
    clock: str
    by: str


class LegTime(Shape):
    leg: str
    name: str
    name_zh: str
    seconds: float


class ReportLine(Shape):
    report_id: str
    status: str
    version: int
    signed_at: datetime
    reader_name: str
    reader_name_zh: str
    reader_organisation: OrganisationName


class SlideShown(Shape):
    format: str
    mpp: tuple[float, float] | None
    width: int
    height: int
    label: str


class StudyShown(Shape):
    modalities: tuple[str, ...]
    series: int
    instances: int


class Remark(Shape):
    """What a person wrote when withdrawing, releasing or rejecting."""

    by: str
    action: str
    words: str
    at: datetime


class CaseDetail(CaseLine):
    timeline: tuple[TimelineEntry, ...]
    legs: tuple[LegTime, ...]
    reason: ReasonShown | None = None
    report: ReportLine | None = None
    slides: tuple[SlideShown, ...] = ()
    studies: tuple[StudyShown, ...] = ()
    remarks: tuple[Remark, ...] = ()


class CaseState(Shape):
    case_id: str
    state: str


class RouteDecision(Shape):
    partner: str
    partner_name: str
    partner_name_zh: str
    rule: str
    reasons: tuple[str, ...]
    reasons_zh: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...]
    due_at: datetime
    decided_at: datetime


class RouteShown(Shape):
    """The decision in force with its reasons, and all earlier ones, the newest first."""

    case_id: str
    decision: RouteDecision
    history: tuple[RouteDecision, ...]


class LabelLine(Shape):
    """A slide whose label could not be read; `picture` is the address of its picture, if there is one.

    `state`: asked, confirmed, or wrong.
    """

    number: int
    file_number: int
    pathology_number: str
    block: str
    stain: str
    state: Literal["asked", "confirmed", "wrong"]
    picture: str | None


class Labels(Shape):
    case_id: str
    slides: tuple[LabelLine, ...]


class PartUrl(Shape):
    """One part: PUT its bytes to `url`. `etag` is there once the store holds the part."""

    number: int
    url: str
    etag: str | None = None


class UploadFile(Shape):
    """`upload_id` is empty for a file of one plain PUT. Every part but the last has `part_size` bytes."""

    name: str
    size: int
    upload_id: str
    part_size: int
    parts: tuple[PartUrl, ...]
    done: bool = False


class NewDrop(Shape):
    drop: str
    prefix: str
    expires_at: datetime
    files: tuple[UploadFile, ...]


class DropState(Shape):
    drop: str
    state: str


class DropLine(Shape):
    """`missing` and the receipt name the clinic's own files, and are shown to that clinic alone."""

    drop: str
    clinic: str
    state: str
    case_id: str | None
    first_seen_at: datetime
    received_at: datetime | None
    missing: tuple[str, ...]
    missing_count: int
    problems: tuple[str, ...]
    problems_zh: tuple[str, ...]
    reason: ReasonShown | None = None
    receipt: dict[str, Any] | None = None


class DropLines(Shape):
    drops: tuple[DropLine, ...]


class Quarantined(Shape):
    """A case or a drop that a person must look at."""

    case_id: str | None
    drop: str | None
    clinic: str
    service: str | None
    priority: str | None
    since: datetime
    held_from: str | None
    stage: str | None
    reason: ReasonShown


class QuarantineLines(Shape):
    cases: tuple[Quarantined, ...]


class Found(Shape):
    """Something written in a picture, in words without identity, and the frames that show it, from 1."""

    what: str
    what_zh: str
    first_frame: int
    last_frame: int


class DoubtfulShown(Shape):
    """A picture in which something is marked; `may_be_left`: it is no name or number of this very case."""

    number: int
    url: str
    found: tuple[Found, ...]
    may_be_left: bool


class QuarantineDetail(Quarantined):
    """`pictures` are to be looked at, each at its `url`, before they are decided about."""

    accession_number: str
    clinic_phone: str
    timeline: tuple[TimelineEntry, ...]
    remarks: tuple[Remark, ...]
    pictures: tuple[DoubtfulShown, ...] = ()


class FailedRun(Shape):
    run_id: int
    case_id: str
    stage: str
    attempt: int
    error: str
    ended_at: datetime


class FailedRuns(Shape):
    runs: tuple[FailedRun, ...]


class AuditRow(Shape):
    at: datetime
    account: str
    organisation: str
    action: str
    case_id: str | None
    note: str


class AuditRows(Shape):
    rows: tuple[AuditRow, ...]
