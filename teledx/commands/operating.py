"""What an operator does with cases that were set aside and with runs that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from teledx.client import at
from teledx.commands.cases import case_number, show_reason, show_remarks
from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.output import Out
from teledx.commands.session import Session
from teledx.commands.table import Command
from teledx.commands.words import local_time

HeldArgument = Annotated[
    str,
    typer.Argument(metavar="CASE", parser=case_number, help="The number of the quarantined case or drop."),
]
WhyOption = Annotated[str, typer.Option(help="Why; it is kept with your name.")]


def quarantine_list(session: Session) -> int:
    """Cases and drops that a person must look at, the longest waiting first. Exit code 3 if there are any."""
    with session.region() as gateway:
        found = gateway.get(at("quarantine"))
    head = ("case or drop", "clinic", "since", "stage", "reason", "found")
    rows = [
        (
            held["case_id"] or held["drop"],
            held["clinic"],
            local_time(held["since"]),
            held["stage"],
            held["reason"]["code"],
            held["reason"]["detail"],
        )
        for held in found["cases"]
    ]
    session.out.answer(found, lambda out: out.table(head, rows, empty="Nothing is in quarantine."))
    return Exit.SET_ASIDE if rows else Exit.OK


def quarantine_show(
    session: Session,
    case: HeldArgument,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write what was found in pictures, marked, to this PNG file; a second one to FILE-2.png. "
            "They may show the patient's name.",
        ),
    ] = None,
) -> None:
    """What was found, what to do, and whom to ring up. That you looked is kept."""
    with session.region() as gateway:
        found = gateway.get(at("quarantine", case))
        if picture and not found["pictures"]:
            raise Stop(Exit.FAILED, "Nothing was marked in pictures of this case.", "Leave out --picture.")
        if picture:
            for each in found["pictures"]:
                gateway.download(each["url"], _numbered(picture, each["number"]))
    session.out.answer(found, lambda out: _held(out, found))


def _numbered(file: Path, number: int) -> Path:
    return file if number == 1 else file.with_stem(f"{file.stem}-{number}")


def quarantine_release(
    session: Session,
    case: HeldArgument,
    why: WhyOption,
    blank: Annotated[
        bool, typer.Option("--blank", help="Of doubtful pictures: have what is marked in them blanked.")
    ] = False,
    leave: Annotated[
        bool, typer.Option("--leave", help="Of doubtful pictures: nothing that is marked identifies anybody.")
    ] = False,
) -> None:
    """Let a quarantined case go on: the stage that set it aside runs again, and may set it aside again.

    Of doubtful pictures say what becomes of what is marked in them, once you have looked at them all
    (`quarantine show --picture`). It holds for these very files and findings.
    """
    if blank and leave:
        raise typer.BadParameter("either --blank or --leave")
    pictures = "blank" if blank else "leave" if leave else None
    with session.region() as gateway:
        answer = gateway.post(at("quarantine", case, "release"), {"why": why, "pictures": pictures})
    session.out.answer(answer, f"{case} goes on; it is {answer['state']}.")


def quarantine_reject(session: Session, case: HeldArgument, why: WhyOption) -> None:
    """Send a quarantined case back to its clinic, with the reason, what to do, and your words."""
    with session.region() as gateway:
        answer = gateway.post(at("quarantine", case, "reject"), {"why": why})
    session.out.answer(answer, f"{case} is sent back to its clinic.")


def failed_list(session: Session) -> int:
    """Stage runs that ended in a defect of the software, the newest first. Exit code 1 if there are any."""
    with session.region() as gateway:
        found = gateway.get(at("failed"))
    head = ("run", "case", "stage", "attempt", "ended", "error")
    rows = [
        (r["run_id"], r["case_id"], r["stage"], r["attempt"], local_time(r["ended_at"]), r["error"])
        for r in found["runs"]
    ]
    session.out.answer(found, lambda out: out.table(head, rows, empty="Nothing has failed."))
    return Exit.FAILED if rows else Exit.OK


def failed_replay(
    session: Session,
    run: Annotated[
        list[int] | None, typer.Argument(metavar="[RUN]...", help="Numbers from `failed list`.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that have failed.")] = False,
) -> None:
    """Run failed stages again, from their first attempt: after the defect was corrected."""
    if bool(run) == every:
        raise typer.BadParameter("name runs, or give --all")
    with session.region() as gateway:
        chosen = run or [r["run_id"] for r in gateway.get(at("failed"))["runs"]]
        answers = [gateway.post(at("failed", number, "replay")) for number in chosen]
    session.out.answer(
        {"replayed": answers}, f"Running again: {', '.join(map(str, chosen)) or 'none had failed'}."
    )


def audit(
    session: Session,
    case: Annotated[
        str | None, typer.Argument(metavar="[CASE]", help="Only what concerns this case.")
    ] = None,
    account: Annotated[str | None, typer.Option(metavar="ID", help="Only what this account did.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many rows.")] = 50,
) -> None:
    """Who looked at what and who did what, the newest first. That you looked is kept, too."""
    with session.region() as gateway:
        found = gateway.get(at("audit"), case_id=case, account=account, limit=limit)
    head = ("when", "account", "organisation", "action", "case", "note")
    rows = [
        (
            local_time(row["at"]),
            *(row[name] for name in ("account", "organisation", "action", "case_id", "note")),
        )
        for row in found["rows"]
    ]
    session.out.answer(found, lambda out: out.table(head, rows, empty="No row fits."))


def _held(out: Out, held: dict[str, Any]) -> None:
    out.facts(
        (
            ("case", held["case_id"]),
            ("drop", held["drop"]),
            ("clinic", held["clinic"]),
            ("phone", held["clinic_phone"]),
            ("accession", held["accession_number"]),
            ("since", local_time(held["since"])),
            ("was", held["held_from"]),
            ("set aside by", held["stage"]),
        )
    )
    show_reason(out, held["reason"])
    head = ("picture", "found", "frames")
    rows = [
        (each["number"], found["what"], f"{found['first_frame']}-{found['last_frame']}")
        for each in held["pictures"]
        for found in each["found"]
    ]
    if rows:
        out.table(head, rows, empty="")
    show_remarks(out, held["remarks"])


def _row(words: str, run: Any, *examples: str) -> Command:
    return Command(words=words, run=run, panel="Operators", signed_in=True, examples=examples)


COMMANDS = (
    _row("quarantine list", quarantine_list, "teledx quarantine list", "teledx quarantine list --json"),
    _row(
        "quarantine show",
        quarantine_show,
        "teledx quarantine show K7QX-3M9D",
        "teledx quarantine show K7QX-3M9D --picture found.png",
    ),
    _row(
        "quarantine release",
        quarantine_release,
        "teledx quarantine release K7QX-3M9D --why 'the clinic confirmed the birth date by telephone'",
        "teledx quarantine release K7QX-3M9D --blank --why 'the name stands beside the echo'",
    ),
    _row(
        "quarantine reject",
        quarantine_reject,
        "teledx quarantine reject K7QX-3M9D --why 'the files belong to another patient'",
    ),
    _row("audit", audit, "teledx audit K7QX-3M9D", "teledx audit --account chen --limit 20"),
    _row("failed list", failed_list, "teledx failed list"),
    _row("failed replay", failed_replay, "teledx failed replay 1207", "teledx failed replay --all"),
)
