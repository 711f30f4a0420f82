"""A reader's doors: the worklist, claiming and keeping a work item, its pictures, and the report."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from cases.documents import Brief, ReportBody
from cases.texts import in_lines, in_one_line
from gateway import words
from gateway.cases import Why
from gateway.reading_shapes import (
    Ended,
    FileLink,
    FileLinks,
    Lease,
    PreviewLink,
    ReportShown,
    Signed,
    WorkItemLine,
    Worklist,
)
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.signin import Caller
from gateway.signin import Signed as SignedIn
from storage import readings, signing, worklist
from storage.database import Connection
from storage.readings import UnknownWorkItem
from storage.signing import Report
from storage.worklist import Listed

Long = Annotated[str, StringConstraints(max_length=50_000), AfterValidator(in_lines)]
CodeValue = Annotated[str, StringConstraints(max_length=64), AfterValidator(in_one_line)]
CodeMeaning = Annotated[str, StringConstraints(max_length=400), AfterValidator(in_one_line)]
State = Literal["SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED", "open"]


class Typed(ReportBody):
    """What the reader wrote, within bounds. A draft may be empty anywhere."""

    findings: Long
    conclusion: Long
    recommendation: Long = ""
    codes: tuple[tuple[CodeValue, CodeMeaning], ...] = Field((), max_length=100)

    def body(self) -> ReportBody:
        return ReportBody.model_validate(self.model_dump())


class Draft(BaseModel):
    model_config = ConfigDict(extra="forbid")
    body: Typed


class Correction(Why):
    """The whole corrected text, and why it is corrected."""

    body: Typed


def list_items(asking: SignedIn, state: State = "open", subspecialty: str | None = None) -> Worklist:
    """What waits for this organisation's readers, stat first, then what is due first.

    `open` is SCHEDULED and IN PROGRESS.
    """
    states = worklist.OPEN if state == "open" else (state,)
    with asking.transaction() as connection:
        found = worklist.items(connection, states=states, subspecialty=subspecialty)
        asking.audit(connection, "worklist.see", note=" ".join(x.item.case_id for x in found))
    return Worklist(work_items=tuple(_line(asking, x) for x in found))


def show_item(asking: SignedIn, work_item_id: UUID) -> WorkItemLine:
    """One work item with its brief, its report so far and, for its holder, the draft."""
    with asking.transaction() as connection:
        return _whole(connection, asking, work_item_id, "case.see-brief")


def claim(asking: SignedIn, work_item_id: UUID) -> WorkItemLine:
    """Take a work item: it is this reader's until the lease ends; every heartbeat and draft renews it."""
    with asking.transaction() as connection:
        readings.claim(connection, work_item_id, asking.who.account, lease=asking.parts.reading_lease)
        return _whole(connection, asking, work_item_id, "work-item.claim")


def heartbeat(asking: SignedIn, work_item_id: UUID) -> Lease:
    """Still reading: the lease runs anew."""
    with asking.transaction() as connection:
        until = readings.heartbeat(
            connection, work_item_id, asking.who.account, lease=asking.parts.reading_lease
        )
    return Lease(lease_until=until)


def release(asking: SignedIn, work_item_id: UUID, body: Why) -> Ended:
    """Put the work item back on the worklist, for a colleague."""
    with asking.transaction() as connection:
        successor = readings.release(connection, work_item_id, asking.who.account, body.why)
        asking.audit(connection, "work-item.release", successor.case_id)
    return Ended(work_item_id=work_item_id, state="CANCELED", successor=successor.id)


def decline(asking: SignedIn, work_item_id: UUID, body: Why) -> Ended:
    """Give the case back for the whole organisation: the region chooses another partner."""
    with asking.transaction() as connection:
        ended = readings.decline(connection, work_item_id, asking.who.account, body.why)
        asking.audit(connection, "work-item.decline", ended.case_id)
    return Ended(work_item_id=work_item_id, state=ended.state)


def draft(asking: SignedIn, work_item_id: UUID, body: Draft) -> Lease:
    """Keep what is typed so far, and the lease."""
    with asking.transaction() as connection:
        until = readings.keep_draft(
            connection, work_item_id, asking.who.account, body.body.body(), lease=asking.parts.reading_lease
        )
    return Lease(lease_until=until)


def preliminary(asking: SignedIn, work_item_id: UUID, body: Draft) -> Signed:
    """A preliminary report; the reading goes on."""
    _require_text(body.body)
    with asking.transaction() as connection:
        report = signing.preliminary(connection, work_item_id, asking.who.account, body.body.body())
        asking.audit(connection, "report.write", report.case_id)
    return _signed(report)


def sign(asking: SignedIn, work_item_id: UUID, body: Draft) -> Signed:
    """Sign the report: the reading is complete and the report goes back to the clinic."""
    _require_text(body.body)
    with asking.transaction() as connection:
        report = signing.sign(connection, work_item_id, asking.who.account, body.body.body())
        asking.audit(connection, "report.sign", report.case_id)
    return _signed(report)


def addendum(asking: SignedIn, report_id: UUID, body: Draft) -> Signed:
    """Add to a signed report: the body is the whole text with the addition. It returns to the clinic once more."""
    _require_text(body.body)
    with asking.transaction() as connection:
        report = signing.addendum(connection, report_id, asking.who.account, body.body.body())
        asking.audit(connection, "report.sign", report.case_id, note="addendum")
    return _signed(report)


def correction(asking: SignedIn, report_id: UUID, body: Correction) -> Signed:
    """Correct a signed report: the body is the whole corrected text. It returns to the clinic once more."""
    _require_text(body.body)
    with asking.transaction() as connection:
        report = signing.correction(connection, report_id, asking.who.account, body.body.body(), body.why)
        asking.audit(connection, "report.sign", report.case_id, note="correction")
    return _signed(report)


def preview(asking: SignedIn, work_item_id: UUID, number: int) -> Response:
    """A small picture of a series or slide, without identity."""
    with asking.transaction() as connection:
        found = _files(connection, asking, work_item_id, "preview")
    if not 1 <= number <= len(found):
        raise Refusal(404, "not-found", "There is no such picture.", "Look at the work item again.")
    wanted = found[number - 1]
    content = asking.parts.s3.get(_bucket(asking), wanted.key)
    if hashlib.sha256(content).hexdigest() != wanted.sha256:
        raise Refusal(
            409,
            "file-differs",
            "The stored picture is not the one that was sent.",
            "Tell the region at once.",
        )
    return Response(content, media_type=wanted.media_type)


def files(asking: SignedIn, work_item_id: UUID) -> FileLinks:
    """The case's files in the partner's own bucket, each with a link for some minutes."""
    with asking.transaction() as connection:
        found = _files(connection, asking, work_item_id, "file")
    lifetime, bucket = asking.parts.download_lifetime, _bucket(asking)
    links = tuple(
        FileLink(
            name=f.key.split("/", 3)[3],
            size=f.size,
            sha256=f.sha256,
            media_type=f.media_type,
            url=asking.parts.s3.presigned_get(bucket, f.key, lifetime),
        )
        for f in found
    )
    return FileLinks(expires_at=datetime.now(UTC) + lifetime, files=links)


def _bucket(asking: Caller) -> str:
    return asking.network.partner(asking.who.organisation).bucket


def _files(
    connection: Connection, asking: Caller, work_item_id: UUID, role: str
) -> list[worklist.PartnerFile]:
    item = readings.get(connection, work_item_id)
    if not readings.is_given(connection, item.case_id):
        raise UnknownWorkItem(f"no work item {work_item_id}")
    asking.audit(connection, "images.see", item.case_id, note=role)
    return worklist.files(connection, item.case_id, item.partner, role)


def _whole(connection: Connection, asking: Caller, work_item_id: UUID, action: str) -> WorkItemLine:
    listed = worklist.item(connection, work_item_id)
    case_id = listed.item.case_id
    asking.audit(connection, action, case_id)
    mine = listed.item.reader == asking.who.account
    report = signing.current(connection, case_id)
    return _line(asking, listed).model_copy(
        update={"draft": listed.item.draft if mine else None, "report": _shown(report) if report else None}
    )


def _shown(report: Report) -> ReportShown:
    return ReportShown(
        report_id=report.id,
        status=report.status,
        version=report.version,
        body=report.body,
        why=report.why,
        signed_by=report.signed_by,
        signed_at=report.signed_at,
    )


def _line(asking: Caller, listed: Listed) -> WorkItemLine:
    item = listed.item
    if item.partner != asking.who.organisation:
        raise UnknownWorkItem(f"no work item {item.id}")
    runs = listed.due_at is not None and item.state in worklist.OPEN
    left = (listed.due_at - listed.now).total_seconds() if listed.due_at and runs else None
    overdue = left is not None and left < 0
    name, name_zh = words.service_names(asking.network, listed.service)
    place, place_zh = words.place(listed.priority, overdue=overdue)
    address = f"/api/work-items/{item.id}/previews"
    return WorkItemLine(
        work_item_id=item.id,
        case_id=item.case_id,
        state=item.state,
        purpose=item.purpose,
        subspecialty=item.subspecialty,
        service=listed.service,
        service_name=name,
        service_name_zh=name_zh,
        priority=listed.priority,
        case_state=listed.case_state,
        due_at=listed.due_at,
        seconds_left=left,
        overdue=overdue,
        brief=Brief.model_validate(listed.brief),
        claimed_by=item.reader,
        claimed_by_me=item.state == "IN PROGRESS" and item.reader == asking.who.account,
        lease_until=item.lease_until,
        previews=tuple(PreviewLink(number=n, url=f"{address}/{n}") for n in range(1, listed.previews + 1)),
        place_reason=place,
        place_reason_zh=place_zh,
    )


def _require_text(body: Typed) -> None:
    empty = [part for part in ("findings", "conclusion") if not getattr(body, part).strip()]
    if empty:
        raise Refusal(
            422,
            "report-incomplete",
            "A report says what was found and what follows from it.",
            "Fill in the parts listed.",
            problems=[f"{part}: is empty" for part in empty],
        )


def _signed(report: Report) -> Signed:
    return Signed(report_id=report.id, version=report.version, status=report.status)


_ITEM = "/api/work-items/{work_item_id}"
ROUTES = (
    Route("GET", "/api/worklist", list_items, action="worklist.see", tag="reading"),
    Route("GET", _ITEM, show_item, action="case.see-brief", tag="reading"),
    Route("POST", f"{_ITEM}/claim", claim, action="work-item.claim", tag="reading"),
    Route("POST", f"{_ITEM}/heartbeat", heartbeat, action="work-item.claim", tag="reading"),
    Route("POST", f"{_ITEM}/release", release, action="work-item.release", tag="reading"),
    Route("POST", f"{_ITEM}/decline", decline, action="work-item.decline", tag="reading"),
    Route("PUT", f"{_ITEM}/draft", draft, action="report.write", tag="reading"),
    Route("POST", f"{_ITEM}/preliminary", preliminary, action="report.write", tag="reading"),
    Route("POST", f"{_ITEM}/sign", sign, action="report.sign", tag="reading"),
    Route(
        "GET",
        f"{_ITEM}/previews/{{number}}",
        preview,
        action="images.see",
        tag="reading",
        media_type="image/png",
    ),
    Route("GET", f"{_ITEM}/files", files, action="images.see", tag="reading"),
    Route("POST", "/api/reports/{report_id}/addendum", addendum, action="report.sign", tag="reading"),
    Route("POST", "/api/reports/{report_id}/correction", correction, action="report.sign", tag="reading"),
)
