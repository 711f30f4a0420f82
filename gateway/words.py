"""From rows to what people read: lines, timelines, reasons and names, in English and Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cases import turnaround
from cases.milestones import MILESTONES
from cases.network import Network
from cases.reasons import HELD, REASONS
from cases.states import CASE_ENDED
from cases.waiting import waits_for
from gateway.chinese import zh
from gateway.shapes import CaseLine, LegTime, OrganisationName, ReasonShown, Remark, ReportLine, TimelineEntry
from gateway.signin import Caller
from storage import listing
from storage.cases import Case
from storage.listing import Listed
from storage.signing import Report

# Where a service level that measures this is met already (`cases.turnaround.MEASURES`).
_SERVED = {"turnaround": ("returned",), "reading": ("reported", "returned")}


def organisation(network: Network, organisation_id: str) -> OrganisationName:
    """The name of an organisation, its id where the network in force does not know it any more."""
    try:
        found = network.organisation(organisation_id)
    except KeyError:
        return OrganisationName(id=organisation_id, name=organisation_id, name_zh=organisation_id)
    return OrganisationName(id=found.id, name=found.name, name_zh=found.name_zh)


def service_names(network: Network, service_id: str) -> tuple[str, str]:
    """A service's name in English and Chinese, its id where the network in force does not know it any more."""
    try:
        found = network.service(service_id)
    except KeyError:
        return service_id, service_id
    return found.name, found.name_zh


def person_names(network: Network, account: str) -> tuple[str, str]:
    """A person's name in Latin letters and Chinese, the account where the network does not know it any more."""
    try:
        found = network.account(account)
    except KeyError:
        return account, account
    return found.name, found.name_zh


def is_overdue(network: Network, case: Case, now: datetime) -> bool:
    """Whether an open case is past the end of its service level."""
    if case.due_at is None or case.state in (*CASE_ENDED, "awaiting_clinic"):
        return False
    return (
        case.due_at < now
        and case.state not in _SERVED[network.service_level(case.service, case.priority).measures]
    )


def case_line(asking: Caller, listed: Listed) -> CaseLine:
    """The line of a case, with identity only for those who may see it."""
    case, network = listed.case, asking.network
    identified = asking.may("case.see-identity", case)
    partner = organisation(network, case.partner) if case.partner else None
    waits, waits_zh = waits_for(
        case.state,
        listed.situation,
        reason_code=case.reason_code,
        partner=(partner.name, partner.name_zh) if partner else ("", ""),
    )
    name, name_zh = service_names(network, case.service)
    return CaseLine(
        case_id=case.id,
        accession_number=listed.accession_number if identified else "",
        patient_name=listed.patient_name if identified else "",
        service=case.service,
        service_name=name,
        service_name_zh=name_zh,
        priority=case.priority,
        state=case.state,
        clinic=case.clinic,
        scanning_site=case.scanning_site,
        partner=case.partner,
        received_at=case.received_at,
        due_at=case.due_at,
        overdue=is_overdue(network, case, listed.now),
        waits_for=waits,
        waits_for_zh=waits_zh,
        report_ready=listed.report_ready,
    )


def reason(
    code: str | None, detail: str | None, *, clinic: bool = False, held: bool = False
) -> ReasonShown | None:
    """The reason of that code in words, with what was found, and what its reader does: an operator or the `clinic`."""
    if code is None or code not in REASONS:
        return None
    row = REASONS[code]
    todo, todo_zh = row.todo, row.todo_zh
    if clinic:
        todo, todo_zh = HELD if held else (row.back, row.back_zh)
    return ReasonShown(
        code=row.code,
        what=row.what,
        todo=todo,
        what_zh=row.what_zh,
        todo_zh=todo_zh,
        detail=detail or "",
        detail_zh=zh(detail or ""),
    )


def timeline(rows: Sequence[dict[str, Any]]) -> tuple[TimelineEntry, ...]:
    """The log in words."""
    return tuple(
        TimelineEntry(
            milestone=row["name"],
            what=MILESTONES[row["name"]].what,
            what_zh=MILESTONES[row["name"]].what_zh,
            state=row["state"],
            happened_at=row["happened_at"],
            recorded_at=row["recorded_at"],
            clock=row["clock"],
            by=row["actor"],
        )
        for row in rows
    )


def legs(rows: Sequence[dict[str, Any]], now: datetime) -> tuple[LegTime, ...]:
    """The time in each leg, in the order of the way through the house."""
    spent = turnaround.legs(listing.log(rows), now)
    return tuple(
        LegTime(leg=leg.id, name=leg.name, name_zh=leg.name_zh, seconds=spent[leg.id].total_seconds())
        for leg in turnaround.LEGS.values()
        if leg.id in spent
    )


def report_line(network: Network, report: Report | None) -> ReportLine | None:
    """Who signed which version of the report, and when."""
    if report is None:
        return None
    name, name_zh = person_names(network, report.signed_by)
    return ReportLine(
        report_id=str(report.id),
        status=report.status,
        version=report.version,
        signed_at=report.signed_at,
        reader_name=name,
        reader_name_zh=name_zh,
        reader_organisation=organisation(network, report.partner),
    )


def remarks(rows: Sequence[dict[str, Any]]) -> tuple[Remark, ...]:
    return tuple(
        Remark(by=r["account"], action=r["action"], words=r["words"], at=r["written_at"]) for r in rows
    )


# priority, overdue -> why a work item stands where it stands on the worklist, in English and Chinese
_PLACES: dict[tuple[str, bool], tuple[str, str]] = {
    ("stat", True): ("stat, and past its time: read this first", "急诊且已超时:请最先阅读"),
    ("stat", False): ("stat: ahead of everything that is not", "急诊:优先于其他病例"),
    ("urgent", True): ("urgent, and past its time", "加急且已超时"),
    ("urgent", False): ("urgent: ahead of routine, the earliest due first", "加急:优先于常规,先到期者先读"),
    ("routine", True): ("routine, and past its time", "常规但已超时"),
    ("routine", False): ("routine: the earliest due first", "常规:先到期者先读"),
}


def place(priority: str, *, overdue: bool) -> tuple[str, str]:
    """Why a work item stands where it stands on the worklist."""
    return _PLACES[priority, overdue]
