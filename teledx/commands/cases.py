"""What a clinic asks about its cases, and what it answers: state, report, acknowledgement, labels, route."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from teledx.client import Gateway, Refused, at
from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.output import Out
from teledx.commands.session import Session
from teledx.commands.table import Command
from teledx.commands.words import duration, local_time
from teledx.commands.words import in_own_language as said


def case_number(typed: str) -> str:
    """A case's number however it was typed: small letters and a hyphen left out are no reason not to know it."""
    plain = typed.strip().upper()
    return f"{plain[:4]}-{plain[4:]}" if len(plain) == 8 and plain.isalnum() else plain


CaseArgument = Annotated[
    str, typer.Argument(metavar="CASE", parser=case_number, help="The case's number, such as K7QX-3M9D.")
]
# States of a case or a drop in which something was withheld or sent back.
ASIDE = ("quarantined", "rejected", "awaiting_clinic")


def status(
    session: Session,
    case: Annotated[
        str | None,
        typer.Argument(metavar="[CASE]", parser=case_number, help="A case or a drop; without: a list."),
    ] = None,
    state: Annotated[str | None, typer.Option(help="List only cases in this state.")] = None,
    service: Annotated[str | None, typer.Option(help="List only cases of this service.")] = None,
    priority: Annotated[str | None, typer.Option(help="List only stat, urgent or routine cases.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="List cases that are at an end, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many to list.")] = 50,
) -> int:
    """Where a case is, why it waits and what to do; or a list of the open cases.

    Exit code 3 if the case was set aside, sent back, or waits for an answer of yours.
    """
    with session.region() as gateway:
        if case is not None:
            return _one(session.out, gateway, case)
        listed = gateway.get(
            at("cases"),
            state=state,
            service=service,
            priority=priority,
            open=None if everything else True,
            limit=limit,
        )
    session.out.answer(listed, lambda out: _list(out, listed))
    return Exit.OK


def fetch(
    session: Session,
    case: CaseArgument,
    pdf: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as PDF.")] = None,
    fhir: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as FHIR R4 DiagnosticReport.")
    ] = None,
) -> None:
    """Fetch a case's report under the patient's real name, as PDF, as FHIR, or both.

    Without a file it says whether a report is there, who signed it and when.
    """
    with session.region() as gateway:
        wanted = [
            (form, path) for form, path in (("report.pdf", pdf), ("report.json", fhir)) if path is not None
        ]
        written = [
            {"file": str(path), "bytes": gateway.download(at("cases", case, form), path)}
            for form, path in wanted
        ]
        report = None if written else gateway.get(at("cases", case))["report"]
    if written:
        lines = "\n".join(f"{w['file']}  {w['bytes']} bytes" for w in written)
        session.out.answer({"case_id": case, "written": written}, lines)
        return
    if report is None:
        raise Stop(Exit.NOT_FOUND, "There is no report yet.", f"See why it waits: teledx status {case}")
    session.out.answer({"case_id": case, "report": report}, lambda out: _report(out, report))


def acknowledge(
    session: Session,
    case: CaseArgument,
    version: Annotated[
        int | None, typer.Option(min=1, help="The report's version that you read; refused if another stands.")
    ] = None,
) -> None:
    """Acknowledge a report by your own name: you have read it. This ends the case."""
    with session.region() as gateway:
        answer = gateway.post(at("cases", case, "acknowledge"), {"report_version": version})
    session.out.answer(answer, f"{case} is acknowledged.")


def cancel(
    session: Session,
    case: CaseArgument,
    why: Annotated[str, typer.Option(help="Why it is withdrawn; those who work on it read this.")],
) -> None:
    """Withdraw a case that is not reported yet."""
    with session.region() as gateway:
        answer = gateway.post(at("cases", case, "cancel"), {"why": why})
    session.out.answer(answer, f"{case} is withdrawn.")


def labels(
    session: Session,
    case: CaseArgument,
    confirm: Annotated[
        list[int] | None, typer.Option(metavar="NUMBER", help="This slide's label says what the order says.")
    ] = None,
    wrong: Annotated[
        list[int] | None, typer.Option(metavar="NUMBER", help="It is not the ordered slide.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the pictures into this folder.")
    ] = None,
) -> int:
    """Look at slide labels that no machine could read, and say whether each is the right slide.

    Look at the picture before you confirm: what you confirm is not compared again.
    """
    with session.region() as gateway:
        if confirm or wrong:
            answer = gateway.post(
                at("cases", case, "labels"), {"confirmed": confirm or [], "wrong": wrong or []}
            )
            session.out.answer(answer, "Your answer is kept; the case goes on.")
            return Exit.OK
        found = gateway.get(at("cases", case, "labels"))
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            for slide in (s for s in found["slides"] if s["picture"]):
                gateway.download(slide["picture"], save / f"{case}-label-{slide['number']}.png")
    head = ("number", "pathology number", "block", "stain", "state")
    rows = [[s["number"], s["pathology_number"], s["block"], s["stain"], s["state"]] for s in found["slides"]]
    session.out.answer(
        found, lambda out: out.table(head, rows, empty="No label of this case has to be confirmed.")
    )
    return Exit.SET_ASIDE if any(s["state"] == "asked" for s in found["slides"]) else Exit.OK


def explain(session: Session, case: CaseArgument) -> None:
    """Why a case went to its partner: the rule, the reasons in words, and what became of the other partners."""
    with session.region() as gateway:
        found = gateway.get(at("cases", case, "route"))
    session.out.answer(found, lambda out: _route(out, found))


def _list(out: Out, listed: dict[str, Any]) -> None:
    head = ("case", "accession", "patient", "service", "priority", "state", "due", "why it waits")
    rows = [
        (
            c["case_id"],
            c["accession_number"],
            c["patient_name"],
            said(c, "service_name"),
            c["priority"],
            c["state"],
            f"{local_time(c['due_at'])}{' OVERDUE' if c['overdue'] else ''}",
            said(c, "waits_for"),
        )
        for c in listed["cases"]
    ]
    out.table(head, rows, empty="No cases.")
    if listed.get("next"):
        out.note("There are more; narrow the list or raise --limit.")


def _one(out: Out, gateway: Gateway, case: str) -> int:
    """A case; or a drop that has not become one, which is asked for under the same number."""
    try:
        detail = gateway.get(at("cases", case))
    except Refused as error:
        if error.status != 404:
            raise
        return _drop(out, gateway.get(at("drops", case)))
    out.answer(detail, lambda out: _detail(out, detail))
    return Exit.SET_ASIDE if detail["state"] in ASIDE else Exit.OK


def _drop(out: Out, drop: dict[str, Any]) -> int:
    out.answer(drop, lambda out: show_drop(out, drop))
    return Exit.SET_ASIDE if drop["state"] in ASIDE else Exit.OK


def show_drop(out: Out, drop: dict[str, Any]) -> None:
    """A drop in words: its state, its case, and for what did not pass why and what to do."""
    out.facts((("drop", drop["drop"]), ("state", drop["state"]), ("case", drop["case_id"])))
    show_reason(out, drop.get("reason"))
    for problem in drop["problems"]:
        out.line(f"  - {problem}")
    for name in drop["missing"]:
        out.line(f"  missing: {name}")


def show_reason(out: Out, reason: dict[str, Any] | None) -> None:
    if reason:
        out.facts(
            (("reason", said(reason, "what")), ("found", reason["detail"]), ("to do", said(reason, "todo")))
        )


def show_remarks(out: Out, remarks: list[dict[str, Any]]) -> None:
    """What people said of it."""
    for remark in remarks:
        out.line(f"{local_time(remark['at'])}  {remark['by']}: {remark['words']}")


def _detail(out: Out, case: dict[str, Any]) -> None:
    out.facts(
        (
            ("case", case["case_id"]),
            ("accession", case["accession_number"]),
            ("patient", case["patient_name"]),
            ("service", f"{said(case, 'service_name')} ({case['priority']})"),
            ("partner", case["partner"]),
            ("state", case["state"]),
            ("due", f"{local_time(case['due_at'])}{' OVERDUE' if case['overdue'] else ''}"),
            ("waits", said(case, "waits_for")),
        )
    )
    show_reason(out, case["reason"])
    show_remarks(out, case["remarks"])
    if case["report"]:
        _report(out, case["report"])
    out.line()
    out.table(
        ("when", "milestone", "by"),
        [(local_time(m["happened_at"]), said(m, "what"), m["by"]) for m in case["timeline"]],
        empty="No milestones.",
    )
    out.table(
        ("leg", "time in it"),
        [(said(leg, "name"), duration(leg["seconds"])) for leg in case["legs"]],
        empty="No legs.",
    )


def _report(out: Out, report: dict[str, Any]) -> None:
    who = f"{said(report, 'reader_name')}, {said(report['reader_organisation'], 'name')}"
    signed = f"{report['status']} (version {report['version']}), {local_time(report['signed_at'])}"
    out.facts((("report", signed), ("signed by", who)))


def _route(out: Out, found: dict[str, Any]) -> None:
    decision = found["decision"]
    out.facts(
        (
            ("case", found["case_id"]),
            ("partner", f"{said(decision, 'partner_name')} ({decision['partner']})"),
            ("rule", decision["rule"]),
            ("decided", local_time(decision["decided_at"])),
            ("due", local_time(decision["due_at"])),
        )
    )
    for reason in said(decision, "reasons"):
        out.line(f"  - {reason}")
    for other in decision["alternatives"]:
        standing = "could read it" if other["eligible"] else "cannot read it"
        out.line(f"otherwise {other['partner']}, which {standing}: {' '.join(said(other, 'reasons'))}")
    for earlier in found["history"][1:]:
        out.line(
            f"before: {earlier['partner_name']}, {local_time(earlier['decided_at'])}, by rule {earlier['rule']}"
        )


COMMANDS = (
    Command(
        words="status",
        run=status,
        panel="Clinics",
        signed_in=True,
        examples=("teledx status", "teledx status K7QX-3M9D", "teledx status --state quarantined --json"),
    ),
    Command(
        words="report fetch",
        run=fetch,
        panel="Clinics",
        signed_in=True,
        default=True,
        examples=(
            "teledx report K7QX-3M9D --pdf report.pdf",
            "teledx report K7QX-3M9D --fhir report.json",
            "teledx report K7QX-3M9D",
        ),
    ),
    Command(
        words="acknowledge",
        run=acknowledge,
        panel="Clinics",
        signed_in=True,
        examples=("teledx acknowledge K7QX-3M9D", "teledx acknowledge K7QX-3M9D --version 2"),
    ),
    Command(
        words="cancel",
        run=cancel,
        panel="Clinics",
        signed_in=True,
        examples=("teledx cancel K7QX-3M9D --why 'ordered twice'",),
    ),
    Command(
        words="labels",
        run=labels,
        panel="Clinics",
        signed_in=True,
        examples=(
            "teledx labels K7QX-3M9D --save labels/",
            "teledx labels K7QX-3M9D --confirm 1 --confirm 2",
            "teledx labels K7QX-3M9D --wrong 3",
        ),
    ),
    Command(
        words="route explain",
        run=explain,
        panel="Operators",
        signed_in=True,
        examples=("teledx route explain K7QX-3M9D",),
    ),
)
