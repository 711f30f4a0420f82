"""What a reader does: look at the worklist, hold a work item, write and sign its report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from teledx.client import at
from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.output import Out
from teledx.commands.session import Session
from teledx.commands.table import Command
from teledx.commands.words import duration, local_time
from teledx.commands.words import in_own_language as said

ItemArgument = Annotated[
    str, typer.Argument(metavar="ITEM", help="The work item's number, as the worklist shows it.")
]
ReportArgument = Annotated[
    str, typer.Argument(metavar="REPORT", help="The report's number, as `sign` printed it.")
]
WhyOption = Annotated[str, typer.Option(help="Why, in a sentence; no patient's name.")]
BodyOption = Annotated[
    str,
    typer.Option(
        "--file",
        metavar="FILE",
        help="JSON with findings, conclusion, recommendation, codes; '-': standard input.",
    ),
]


def worklist(
    session: Session,
    state: Annotated[
        str, typer.Option(help="SCHEDULED (waiting), 'IN PROGRESS' (claimed), open (both).")
    ] = "open",
    subspecialty: Annotated[str | None, typer.Option(help="Only work items of this subspecialty.")] = None,
) -> None:
    """What waits for a reader of your hospital: stat first, then what is due first."""
    with session.partner() as gateway:
        found = gateway.get(at("worklist"), state=state, subspecialty=subspecialty)
    head = ("work item", "case", "service", "priority", "purpose", "state", "left", "place")
    rows = [
        (
            i["work_item_id"],
            i["case_id"],
            said(i, "service_name"),
            i["priority"],
            i["purpose"],
            _holder(i),
            "OVERDUE" if i["overdue"] else _left(i["seconds_left"]),
            said(i, "place_reason"),
        )
        for i in found["work_items"]
    ]
    session.out.answer(found, lambda out: out.table(head, rows, empty="Nothing waits."))


def show(session: Session, item: ItemArgument) -> None:
    """A work item with the question that is asked: what a reader may know of the patient, and no more."""
    with session.partner() as gateway:
        found = gateway.get(at("work-items", item))
    session.out.answer(found, lambda out: _item(out, found))


def claim(session: Session, item: ItemArgument) -> None:
    """Claim a work item: it is yours until you sign, give it back, or are silent until the lease ends."""
    with session.partner() as gateway:
        found = gateway.post(at("work-items", item, "claim"))
    session.out.answer(found, lambda out: _item(out, found))


def keep(session: Session, item: ItemArgument) -> None:
    """Keep a claimed work item for another lease."""
    with session.partner() as gateway:
        found = gateway.post(at("work-items", item, "heartbeat"))
    session.out.answer(found, f"It is yours until {local_time(found['lease_until'])}.")


def release(session: Session, item: ItemArgument, why: WhyOption) -> None:
    """Put a claimed work item back on the worklist of your hospital."""
    _give_back(session, item, "release", why, "It is back on the worklist.")


def decline(session: Session, item: ItemArgument, why: WhyOption) -> None:
    """Decline a case for your hospital: the region sends it to another one."""
    _give_back(session, item, "decline", why, "The region looks for another hospital.")


def draft(session: Session, item: ItemArgument, file: BodyOption) -> None:
    """Keep what you have written so far; nobody else sees it."""
    body = read_body(file)
    with session.partner() as gateway:
        answer = gateway.put(at("work-items", item, "draft"), {"body": body})
    session.out.answer(answer or {"work_item_id": item}, "The draft is kept.")


def preliminary(session: Session, item: ItemArgument, file: BodyOption) -> None:
    """Write a preliminary report; the work item stays yours."""
    _write(session, item, "preliminary", file, "The preliminary report is kept.")


def sign(session: Session, item: ItemArgument, file: BodyOption) -> None:
    """Sign the report. It goes back to the clinic at once; a change later is an addendum or a correction."""
    _write(session, item, "sign", file, "Signed.")


def addendum(session: Session, report: ReportArgument, file: BodyOption) -> None:
    """Add to a signed report; what was signed stays as it is."""
    body = read_body(file)
    with session.partner() as gateway:
        answer = gateway.post(at("reports", report, "addendum"), {"body": body})
    session.out.answer(answer, "The addendum is signed.")


def correction(session: Session, report: ReportArgument, file: BodyOption, why: WhyOption) -> None:
    """Correct a signed report; both versions are kept, and the clinic is told why."""
    body = read_body(file)
    with session.partner() as gateway:
        answer = gateway.post(at("reports", report, "correction"), {"body": body, "why": why})
    session.out.answer(answer, "The correction is signed.")


def files(
    session: Session,
    item: ItemArgument,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Download into this folder, and verify.")
    ] = None,
) -> None:
    """The de-identified files of a work item: list them, or download and verify them."""
    with session.partner() as gateway:
        found = gateway.get(at("work-items", item, "files"))
    if to is not None:
        from teledx.commands.downloads import download

        download(found["files"], to, quiet=session.out.as_json)
    rows = [(f["name"], f["size"], f["sha256"][:16]) for f in found["files"]]
    session.out.answer(
        found, lambda out: out.table(("file", "bytes", "SHA-256 begins"), rows, empty="It has no files.")
    )


def read_body(file: str) -> dict[str, Any]:
    """The report's body from a JSON file, checked before it is sent. Raises `Stop` naming what is wrong."""
    from pydantic import ValidationError

    from cases.documents import ReportBody

    text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    remedy = 'Write {"findings": "...", "conclusion": "..."}; recommendation and codes may follow.'
    try:
        return ReportBody.model_validate(json.loads(text)).model_dump(mode="json")
    except json.JSONDecodeError as error:
        raise Stop(Exit.USAGE, f"The report is not JSON (line {error.lineno}).", remedy) from None
    except ValidationError as error:
        wrong = tuple(
            f"{'.'.join(str(p) for p in e['loc']) or 'the report'}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise Stop(Exit.USAGE, "The report is not complete.", remedy, problems=wrong) from None


def _give_back(session: Session, item: str, how: str, why: str, done: str) -> None:
    with session.partner() as gateway:
        answer = gateway.post(at("work-items", item, how), {"why": why})
    session.out.answer(answer, done)


def _write(session: Session, item: str, how: str, file: str, done: str) -> None:
    body = read_body(file)
    with session.partner() as gateway:
        answer = gateway.post(at("work-items", item, how), {"body": body})
    number = f" Report {answer['report_id']}, version {answer['version']}." if "report_id" in answer else ""
    session.out.answer(answer, f"{done}{number}")


def _left(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _holder(item: dict[str, Any]) -> str:
    if not item.get("claimed_by"):
        return str(item["state"])
    return "yours" if item.get("claimed_by_me") else f"{item['state']}, {item['claimed_by']}"


def _item(out: Out, item: dict[str, Any]) -> None:
    brief = item["brief"] or {}
    out.facts(
        (
            ("work item", item["work_item_id"]),
            ("case", item["case_id"]),
            ("service", f"{said(item, 'service_name')} ({item['priority']}, {item['purpose']})"),
            ("state", _holder(item)),
            ("yours until", local_time(item.get("lease_until"))),
            ("due", local_time(item["due_at"])),
            ("patient", " ".join(str(brief.get(k, "")) for k in ("pseudonym", "sex", "age"))),
            ("procedure", brief.get("procedure")),
            ("body site", f"{brief.get('body_site', '')} ({brief.get('side', '')})"),
            ("question", brief.get("clinical_question")),
            ("history", brief.get("history")),
            ("contrast", brief.get("contrast")),
            ("first diagnosis", brief.get("first_diagnosis")),
        )
    )


_ITEM = "5b0f0c5e-6a0e-4a3b-9d6f-0d7c5f7a1e21"


def _row(words: str, run: Any, *examples: str) -> Command:
    return Command(words=words, run=run, panel="Readers", signed_in=True, examples=examples)


COMMANDS = (
    _row("worklist", worklist, "teledx worklist", "teledx worklist --state 'IN PROGRESS' --json"),
    _row("show", show, f"teledx show {_ITEM}"),
    _row("claim", claim, f"teledx claim {_ITEM}"),
    _row("keep", keep, f"teledx keep {_ITEM}"),
    _row("files", files, f"teledx files {_ITEM}", f"teledx files {_ITEM} --to images/"),
    _row("release", release, f"teledx release {_ITEM} --why 'called to a frozen section'"),
    _row("decline", decline, f"teledx decline {_ITEM} --why 'no neuroradiologist today'"),
    _row("report draft", draft, f"teledx report draft {_ITEM} --file body.json"),
    _row("report preliminary", preliminary, f"teledx report preliminary {_ITEM} --file body.json"),
    _row(
        "report sign",
        sign,
        f"teledx report sign {_ITEM} --file body.json",
        f"teledx report sign {_ITEM} --file -",
    ),
    _row("report addendum", addendum, f"teledx report addendum {_ITEM} --file body.json"),
    _row(
        "report correction",
        correction,
        f"teledx report correction {_ITEM} --file body.json --why 'side was mistaken'",
    ),
)
