"""`teledx deid`: a folder de-identified as the network does it, for research or for trying the profile out."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teledx.commands import order_file
from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.output import Out
from teledx.commands.progress import bar
from teledx.commands.session import Session
from teledx.commands.table import Command
from teledx.commands.uploads import at_once

if TYPE_CHECKING:
    from teledx.commands.deid_child import CameOut, Whose

FILE_SECONDS = 600.0


@dataclass
class Outcome:
    """What became of the folder: `withheld` with reasons, `left` what stays behind by design; names as they were."""

    written: list[dict[str, str]] = field(default_factory=list)
    withheld: list[dict[str, str]] = field(default_factory=list)
    left: list[dict[str, str]] = field(default_factory=list)
    placing: threading.Lock = field(default_factory=threading.Lock)

    def as_json(self) -> dict[str, Any]:
        return {"written": self.written, "withheld": self.withheld, "left": self.left}


def deid(
    session: Session,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", exists=True, help="A file or a folder; it is only read.")
    ],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="A new or empty folder.")],
    clinic: Annotated[
        str, typer.Option(metavar="ID", help="Whose patients they are: pseudonyms depend on it.")
    ],
    order: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The order: every file must be of its patient."),
    ] = None,
    patient: Annotated[
        str,
        typer.Option(metavar="PATIENT_ID", help="The patient of files that name none."),
    ] = "",
    keyring: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The keyring, if not in TELEDX_KEYRING.")
    ] = None,
    key: Annotated[
        str, typer.Option(metavar="ID", help="The key, if not the one that new patients get.")
    ] = "",
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Files at once.")] = 2,
) -> int:
    """De-identify DICOM files and slides as the network does: by table, and proved by the second pass.

    What is not proved is withheld and listed with its reason: exit code 3. Names of results are derived and say
    nothing of the source; which became what is in the answer (--json) alone, so keep that with the originals. The same
    clinic, patient and key give the same pseudonym, UIDs and shifted dates as in the network.
    """
    whose = _whose(session, clinic, order, patient, keyring, key)
    files = _files(source, dest)
    outcome = _run(session.out, source, files, dest, whose, parallel)
    session.out.answer(outcome.as_json(), lambda out: _show(out, outcome, dest))
    return Exit.SET_ASIDE if outcome.withheld else Exit.OK


def _whose(
    session: Session, clinic: str, order: Path | None, patient: str, keyring: Path | None, key: str
) -> Whose:
    from cases.order import Order
    from imaging.deid.known import KnownIdentity, from_order
    from teledx.commands import keys
    from teledx.commands.deid_child import Whose

    folder = keys.folder_of(session, keyring)
    ring = keys.read(folder)
    name = key or ring.current
    if name not in ring.secrets:
        raise Stop(
            Exit.NOT_FOUND, f"There is no key '{name}' in {folder}.", f"There are: {', '.join(ring.secrets)}."
        )
    document = order_file.read(order) if order is not None else None
    if document is not None:
        order_file.check(document)
    written = Order.model_validate_json(json.dumps(document)) if document is not None else None
    return Whose(
        clinic=clinic,
        key_id=name,
        secret=ring.secrets[name],
        patient_id=patient,
        patient=written.patient if written else None,
        known=from_order(written) if written else KnownIdentity(),
    )


def _files(source: Path, dest: Path) -> list[Path]:
    """Every file of the source. Raises `Stop` if the destination is not a place of its own."""
    here, there = source.resolve(), dest.resolve()
    if there == here or there.is_relative_to(here) or here.is_relative_to(there):
        raise Stop(Exit.USAGE, "Source and destination lie in each other.", "Name a folder elsewhere.")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise Stop(
            Exit.USAGE, f"{dest} is not an empty folder.", "Name a new one: nothing is ever overwritten."
        )
    found = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    if not found:
        raise Stop(Exit.USAGE, f"There is no file in {source}.", "Name the folder of the images.")
    return found


def _run(out: Out, source: Path, files: list[Path], dest: Path, whose: Whose, parallel: int) -> Outcome:
    """Each file through the child and, once it is proved, to its place."""
    from workers.child import Child

    outcome, child = Outcome(), Child(workers=parallel)
    dest.mkdir(parents=True, exist_ok=True)
    unproved = Path(tempfile.mkdtemp(prefix=".unproved-", dir=dest))

    def work(number: int) -> None:
        path = files[number]
        name = path.name if path == source else path.relative_to(source).as_posix()
        _one(
            outcome, name, dest, lambda target: _in_child(child, path, target, whose), unproved / str(number)
        )

    try:
        total = sum(f.stat().st_size for f in files)
        with bar("De-identifying", total, quiet=out.as_json) as advance, at_once(parallel) as pool:
            work_of = {pool.submit(work, number): number for number in range(len(files))}
            for done in as_completed(work_of):
                done.result()
                advance(files[work_of[done]].stat().st_size)
    finally:
        child.close()
        shutil.rmtree(unproved, ignore_errors=True)
    return outcome


def _in_child(child: Any, path: Path, target: Path, whose: Whose) -> CameOut:
    from teledx.commands import deid_child

    came_out: CameOut = child.run_for(FILE_SECONDS, deid_child.one, path, target, whose)
    return came_out


def _one(outcome: Outcome, name: str, dest: Path, treat: Callable[[Path], CameOut], target: Path) -> None:
    from cases.errors import Quarantine, SetAside

    try:
        came_out = treat(target)
        if not came_out.name:
            outcome.left.append({"file": name, "why": came_out.why})
            return
        place = dest / came_out.name
        place.parent.mkdir(parents=True, exist_ok=True)
        with outcome.placing:
            if place.exists():
                raise Quarantine("uid-conflict", "another file became the same instance")
            target.rename(place)
        outcome.written.append({"file": name, "became": came_out.name, "sha256": came_out.sha256})
    except SetAside as reason:
        target.unlink(missing_ok=True)
        why = {
            "code": reason.code,
            "what": reason.reason.what,
            "todo": reason.reason.todo,
            "detail": reason.detail,
        }
        outcome.withheld.append({"file": name, **why})


def _show(out: Out, outcome: Outcome, dest: Path) -> None:
    patients = {row["became"].partition("/")[0] for row in outcome.written}
    out.line(f"{len(outcome.written)} files of {len(patients)} patients are in {dest}.")
    if outcome.left:
        out.line(f"{len(outcome.left)} stay behind by design: {_kinds(row['why'] for row in outcome.left)}.")
    if outcome.withheld:
        rows = [(row["file"], row["code"], row["detail"] or row["what"]) for row in outcome.withheld]
        out.table(("withheld", "reason", "found"), rows, empty="")


def _kinds(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))


COMMANDS = (
    Command(
        words="deid",
        run=deid,
        panel="Operators",
        examples=(
            "teledx deid images/ out/ --clinic jiangshan",
            "teledx deid images/ out/ --clinic jiangshan --order order.json --json",
            "teledx deid slide.svs out/ --clinic jiangshan --patient JS20260001 --keyring /etc/teledx/keys",
        ),
    ),
)
