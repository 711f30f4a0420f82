"""A clinic follows its cases: lists, one case, its report, acknowledgement and withdrawal."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from cases.documents import Preprocessed, Returned, StoredObject
from cases.order import Priority
from cases.states import CASE_STATES
from cases.texts import in_lines
from gateway import words
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.shapes import (
    AuditRow,
    AuditRows,
    CaseDetail,
    CaseLines,
    CaseState,
    RouteDecision,
    RouteShown,
    SlideShown,
    StudyShown,
)
from gateway.signin import Caller, Signed
from storage import audit, cases, listing, readings, signing
from storage.cases import Case, UnknownCase
from storage.database import Connection
from storage.signing import Report

Words = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(in_lines)
]
# States in which the report at hand is the newest that was signed.
_FETCHABLE = ("returned", "acknowledged")


class Why(BaseModel):
    """The reason, in a person's own words; kept in the vault."""

    model_config = ConfigDict(extra="forbid")
    why: Words


class Acknowledge(BaseModel):
    """Who is signed in acknowledges; with `report_version`, that version and no other."""

    model_config = ConfigDict(extra="forbid")

    report_version: int | None = Field(
        None, ge=1, description="the version that was read; refused if another one stands"
    )


def _is_case_state(word: str) -> str:
    if word not in CASE_STATES:
        raise ValueError(f"no case state is called that; there are {', '.join(CASE_STATES)}")
    return word


def list_cases(
    asking: Signed,
    state: Annotated[str, AfterValidator(_is_case_state)] | None = None,
    service: str | None = None,
    priority: Priority | None = None,
    only_open: Annotated[bool, Query(alias="open")] = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: str | None = None,
) -> CaseLines:
    """Cases, the newest first: a clinic's own, for managers and operators all.

    `after` is the `next` of the page before.
    """
    with asking.transaction() as connection:
        found = listing.lines(
            connection,
            organisation=asking.scope("case.see"),
            state=state,
            service=service,
            priority=priority,
            only_open=only_open,
            limit=limit + 1,
            after=after,
        )
        shown = found[:limit]
        asking.audit(connection, "case.see", note=" ".join(x.case.id for x in shown))
    following = shown[-1].case.id if len(found) > limit else None
    return CaseLines(cases=tuple(words.case_line(asking, x) for x in shown), next=following)


def show_case(asking: Signed, case_id: str) -> CaseDetail:
    """One case: where it is, how it got there, what it waits for and what its files hold."""
    with asking.transaction() as connection:
        case = asking.case(connection, case_id, "case.see")
        asking.audit(connection, "case.see", case_id)
        listed = listing.line(connection, case_id)
        rows = listing.milestones(connection, case_id)
        report = signing.current(connection, case_id)
        documents = cases.documents(connection, case_id)
        own = asking.may("case.see-identity", case)
        said = audit.remarks(connection, case_id) if own else []
    if listed is None:
        raise UnknownCase(f"no case {case_id}")
    return CaseDetail(
        **words.case_line(asking, listed).model_dump(),
        timeline=words.timeline(rows),
        legs=words.legs(rows, listed.now),
        reason=words.reason(
            case.reason_code,
            case.reason_detail,
            clinic=asking.who.role == "clinic",
            held=case.state == "quarantined",
        ),
        report=words.report_line(asking.network, report),
        **_contents(documents.get("preprocess")),
        remarks=words.remarks(said),
    )


def _contents(document: dict[str, Any] | None) -> dict[str, Any]:
    """What preprocess found, without names of files and without descriptions, which a clinic's devices fill freely."""
    if document is None:
        return {}
    found = Preprocessed.model_validate(document)
    return {
        "slides": tuple(
            SlideShown(format=s.format, mpp=s.mpp, width=s.levels[0][0], height=s.levels[0][1], label=s.label)
            for s in found.slides
            if s.levels
        ),
        "studies": tuple(
            StudyShown(
                modalities=tuple(sorted({x.modality for x in study.series})),
                series=len(study.series),
                instances=sum(len(x.instances) for x in study.series),
            )
            for study in found.studies
        ),
    }


def acknowledge(asking: Signed, case_id: str, body: Acknowledge) -> CaseState:
    """Acknowledge the report by name: whoever is signed in has seen it. Doing it twice is doing it once."""
    with asking.transaction() as connection:
        case = _requested(asking, asking.case(connection, case_id, "report.acknowledge", lock=True))
        _require_version(signing.current(connection, case_id), body.report_version)
        if case.state != "acknowledged":
            case = cases.move(connection, case_id, "acknowledged", actor=asking.who.account)
            asking.audit(connection, "report.acknowledge", case_id)
    return CaseState(case_id=case_id, state=case.state)


def _require_version(standing: Report | None, read: int | None) -> None:
    if standing is not None and read is not None and standing.version != read:
        raise Refusal(
            409,
            "report-changed",
            f"Version {read} was read, and version {standing.version} stands.",
            "Read the report again, then acknowledge it.",
        )


def cancel(asking: Signed, case_id: str, body: Why) -> CaseState:
    """Withdraw a case: whatever waits for it stops, and a reader who holds it is told."""
    with asking.transaction() as connection:
        _requested(asking, asking.case(connection, case_id, "case.cancel", lock=True))
        case = cases.move(connection, case_id, "cancelled", actor=asking.who.account)
        readings.cancel_open(connection, case_id)
        audit.remark(connection, asking.who, "case.cancel", case_id, body.why)
        asking.audit(connection, "case.cancel", case_id)
    return CaseState(case_id=case_id, state=case.state)


def _requested(asking: Caller, case: Case) -> Case:
    """A laboratory sees the cases that it scanned; it neither ends them nor answers for the requester."""
    if case.clinic != asking.who.organisation:
        raise Refusal(
            403, "requester-only", "Only who requested the case may do this.", "Ask the requesting clinic."
        )
    return case


def route(asking: Signed, case_id: str) -> RouteShown:
    """Why this partner: the decision with its reasons and alternatives, and all earlier decisions."""
    with asking.transaction() as connection:
        asking.case(connection, case_id, "case.see-route")
        asking.audit(connection, "case.see-route", case_id)
        rows = listing.route_decisions(connection, case_id)
    if not rows:
        raise Refusal(404, "not-routed", "No partner has been chosen for this case yet.", "Look again later.")
    decisions = tuple(_decision(asking, row) for row in rows)
    return RouteShown(case_id=case_id, decision=decisions[0], history=decisions)


def _decision(asking: Caller, row: dict[str, Any]) -> RouteDecision:
    partner = words.organisation(asking.network, row["partner"])
    return RouteDecision(
        **row["document"],
        partner_name=partner.name,
        partner_name_zh=partner.name_zh,
        decided_at=row["decided_at"],
    )


def report_pdf(asking: Signed, case_id: str) -> Response:
    """The signed report as PDF, under the patient's real name."""
    return _report(asking, case_id, "pdf", "application/pdf")


def report_fhir(asking: Signed, case_id: str) -> Response:
    """The signed report as FHIR R4 DiagnosticReport, under the patient's real name."""
    return _report(asking, case_id, "fhir", "application/fhir+json")


def _report(asking: Caller, case_id: str, form: str, media_type: str) -> Response:
    with asking.transaction() as connection:
        case = asking.case(connection, case_id, "report.fetch")
        asking.audit(connection, "report.fetch", case_id, note=form)
        document = cases.documents(connection, case_id).get("return")
    if document is None:
        raise Refusal(
            404, "no-report", "There is no report of this case yet.", "Look again when its state is returned."
        )
    if case.state not in _FETCHABLE:
        raise Refusal(
            409,
            "report-changing",
            "The reader has changed this report, and its new version is on its way.",
            "Look again when the case's state is returned; do not act on an earlier version.",
        )
    stored: StoredObject = getattr(Returned.model_validate(document), form)
    content = asking.parts.s3.get(stored.zone, stored.key)
    if hashlib.sha256(content).hexdigest() != stored.sha256:
        raise Refusal(
            409,
            "report-differs",
            "The stored report is not the one that was written.",
            "Tell an operator at once.",
        )
    with asking.transaction() as connection:
        _note_fetched(connection, asking, case_id)
    ending = "pdf" if form == "pdf" else "json"
    named = {"Content-Disposition": f'inline; filename="{case_id}.{ending}"'}
    return Response(content, media_type=media_type, headers=named)


def _note_fetched(connection: Connection, asking: Caller, case_id: str) -> None:
    """The first time that this version's report leaves the house is a milestone."""
    case = cases.get(connection, case_id, lock=True)
    known = connection.execute(
        "SELECT FROM milestone WHERE case_id = %s AND name = 'report_fetched' AND case_version = %s",
        (case_id, case.version),
    ).fetchone()
    if known is None:
        cases.add_milestone(
            connection, case_id, "report_fetched", case.state, case.version, actor=asking.who.account
        )


def show_audit(
    asking: Signed,
    case_id: str | None = None,
    account: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> AuditRows:
    """Who looked at what and who did what, the newest first."""
    with asking.transaction() as connection:
        found = audit.rows(connection, case_id=case_id, account=account, limit=limit)
        asking.audit(connection, "audit.see", case_id)
    return AuditRows(rows=tuple(AuditRow.model_validate(row) for row in found))


ROUTES = (
    Route("GET", "/api/cases", list_cases, action="case.see", tag="cases"),
    Route("GET", "/api/cases/{case_id}", show_case, action="case.see", tag="cases"),
    Route("GET", "/api/cases/{case_id}/route", route, action="case.see-route", tag="cases"),
    Route(
        "GET", "/api/cases/{case_id}/report.pdf", report_pdf, action="report.fetch", tag="cases",
        media_type="application/pdf",
    ),
    Route(
        "GET", "/api/cases/{case_id}/report.json", report_fhir, action="report.fetch", tag="cases",
        media_type="application/fhir+json",
    ),
    Route("POST", "/api/cases/{case_id}/acknowledge", acknowledge, action="report.acknowledge", tag="cases"),
    Route("POST", "/api/cases/{case_id}/cancel", cancel, action="case.cancel", tag="cases"),
    Route("GET", "/api/audit", show_audit, action="audit.see", tag="operating"),
)  # fmt: skip
