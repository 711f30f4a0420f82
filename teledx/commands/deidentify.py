"""`teledx deid`: a folder de-identified as the network does it, for research or for trying the profile out."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from teledx.commands import keys, order_file
from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.output import Out
from teledx.commands.progress import bar
from teledx.commands.session import Session
from teledx.commands.table import Command
from teledx.commands.uploads import at_once

if TYPE_CHECKING:
    from cases.order import Order, Patient
    from imaging.deid.folder import FileReport, Run
    from imaging.slides.convert import Conversion, Converter
    from workers.child import Child

FILE_SECONDS = 600.0


def deid(
    session: Session,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A file or a folder; it is only read.")],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="A new or empty folder.")],
    clinic: Annotated[
        str, typer.Option(metavar="ID", help="Whose patients they are: pseudonyms depend on it.")
    ],
    order: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The order: every file must be of its patient.")
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="network: what a reading needs stays; basic: PS3.15 without options. Options are added by name:"
            " basic+retain-uids.",
        ),
    ] = "network",
    keyring: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keyring, if not in TELEDX_KEYRING.")
    ] = None,
    key: Annotated[
        str, typer.Option(metavar="ID", help="The key, if not the one that new patients get.")
    ] = "",
    keep_names: Annotated[
        bool, typer.Option("--keep-names", help="Name results as the source: names may carry identity.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Files at once.")] = 2,
) -> int:
    """De-identify DICOM files and slides as the network does: by table, and proved by the second pass.

    What is not proved is withheld and listed with its reason: exit code 3. Names of results are derived and say
    nothing of the source; which became what is in the answer (--json) alone, so keep that with the originals. The same
    clinic, patient and key give the same pseudonym, UIDs and shifted dates as in the network. Slides of formats that
    are refused are converted first, where TELEDX_SLIDE_CONVERTERS names a program.
    """
    from imaging.deid.folder import Run
    from imaging.deid.known import KnownIdentity, from_order

    asked = _order(order)
    conversion = _conversion(session, keyring)
    run = Run(
        secret=_secret(session, keyring, key),
        clinic=clinic,
        profile=_checked(profile),
        keep_names=keep_names,
        known=from_order(asked) if asked else KnownIdentity(),
    )
    files = _files(source, dest)
    reports = _treated(
        files, source, dest, run, asked, conversion, parallel=parallel, quiet=session.out.as_json
    )
    answer = {"files": [report.as_json() for report in reports]}
    session.out.answer(answer, lambda out: _show(out, reports, dest))
    return Exit.SET_ASIDE if any(r.verdict == "withheld" for r in reports) else Exit.OK


def _checked(profile: str) -> str:
    """The same name. Raises `Stop` if there is no such profile, or an option of it is refused."""
    from imaging.deid import profiles

    try:
        profiles.parsed(profile)
    except ValueError as error:
        raise Stop(Exit.USAGE, f"{error}.", "docs/deidentification.md lists profiles and options.") from None
    return profile


def _order(file: Path | None) -> Order | None:
    from cases.order import Order

    if file is None:
        return None
    document = order_file.read(file)
    order_file.check(document)
    return Order.model_validate_json(json.dumps(document))


def _secret(session: Session, keyring: Path | None, key: str) -> bytes:
    folder = keys.folder_of(session, keyring)
    ring = keys.read(folder)
    name = key or ring.current
    if name not in ring.secrets:
        raise Stop(
            Exit.NOT_FOUND, f"There is no key '{name}' in {folder}.", f"There are: {', '.join(ring.secrets)}."
        )
    return ring.secrets[name]


def _conversion(session: Session, keyring: Path | None) -> Conversion:
    """The converters of the settings; the keyring in use is hidden from them."""
    from teledx import bootstrap

    told = bootstrap.conversion(session.settings)
    return replace(told, hidden=(*told.hidden, keys.folder_of(session, keyring)))


def _files(source: Path, dest: Path) -> list[Path]:
    """Every file of the source. Raises `Stop` if the destination is no place of its own."""
    from imaging.deid.folder import files_below

    here, there = source.resolve(), dest.resolve()
    if there == here or there.is_relative_to(here) or here.is_relative_to(there):
        raise Stop(Exit.USAGE, "Source and destination lie in each other.", "Name a folder elsewhere.")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise Stop(
            Exit.USAGE, f"{dest} is not an empty folder.", "Name a new one: nothing is ever overwritten."
        )
    files = [source] if source.is_file() else files_below(source)
    if not files:
        raise Stop(Exit.USAGE, f"There is no file in {source}.", "Name the folder of the images.")
    return files


@dataclass(frozen=True, kw_only=True)
class _Treatment:
    """How each file is treated, in a child that is killed if it takes too long or too much memory."""

    child: Child
    root: Path
    dest: Path
    beside: Path
    run: Run
    patient: Patient | None
    conversion: Conversion

    def __call__(self, file: Path) -> FileReport:
        from cases.errors import Quarantine
        from imaging.deid.folder import FileReport

        name = str(file.relative_to(self.root))
        try:
            converter = self.conversion.of(file)
            return self._converted(file, name, converter) if converter else self._one(file, self.root)
        except Quarantine as why:
            return FileReport(name=name, verdict="withheld", reasons=((why.code, why.detail),))

    def _one(self, file: Path, root: Path) -> FileReport:
        from teledx.commands.deid_child import one

        where = (file, root, self.dest, self.beside)
        report: FileReport = self.child.run_for(FILE_SECONDS, one, *where, self.run, self.patient)
        return report

    def _converted(self, file: Path, name: str, converter: Converter) -> FileReport:
        """What became of the slide that the converter makes of `file`."""
        from imaging.slides.convert import check_made, converted

        told = self.conversion
        folder = self.beside / f"converted-{hashlib.sha256(os.fsencode(name)).hexdigest()}"
        with converted(file, folder, converter, told.limits, told.hidden) as made:
            self.child.run_for(FILE_SECONDS, check_made, made.path, file, converter.code)
            renamed = folder / "named" / f"{name}{made.path.suffix}"
            renamed.parent.mkdir(parents=True)
            made.path.rename(renamed)
            report = self._one(renamed, folder / "named")
        return replace(report, name=name, converted=f"{converter.code} by {made.by}")


def _treated(
    files: Sequence[Path],
    source: Path,
    dest: Path,
    run: Run,
    order: Order | None,
    conversion: Conversion,
    *,
    parallel: int,
    quiet: bool,
) -> list[FileReport]:
    """A report for each file, in order. Files become in a folder beside the destination, and move in once proved."""
    from workers.child import Child

    dest.mkdir(parents=True, exist_ok=True)
    child = Child(workers=parallel)
    with (
        closing(child),
        tempfile.TemporaryDirectory(prefix=f".{dest.name}.", dir=dest.resolve().parent) as beside,
        bar("De-identifying", sum(f.stat().st_size for f in files), quiet=quiet) as advance,
        at_once(parallel) as pool,
    ):
        treat = _Treatment(
            child=child,
            root=source if source.is_dir() else source.parent,
            dest=dest,
            beside=Path(beside),
            run=run,
            patient=order.patient if order else None,
            conversion=conversion,
        )
        reports = []
        for file, report in zip(files, pool.map(treat, files), strict=True):
            reports.append(report)
            advance(file.stat().st_size)
        return reports


def _show(out: Out, reports: Sequence[FileReport], dest: Path) -> None:
    by_verdict = {v: [r for r in reports if r.verdict == v] for v in ("clean", "left-out", "withheld")}
    out.line(f"{len(by_verdict['clean'])} of {len(reports)} files are in {dest}.")
    converted = sorted({r.converted for r in by_verdict["clean"] if r.converted})
    if converted:
        out.line(f"Converted before: {', '.join(converted)}.")
    why = sorted({detail for r in by_verdict["left-out"] for _, detail in r.reasons})
    if why:
        out.line(f"{len(by_verdict['left-out'])} stay behind by design: {', '.join(why)}.")
    rows = [
        (r.name, code, detail or _what(code)) for r in by_verdict["withheld"] for code, detail in r.reasons
    ]
    if rows:
        out.table(("withheld", "reason", "found"), rows, empty="")


def _what(code: str) -> str:
    from cases.reasons import REASONS

    return REASONS[code].what if code in REASONS else ""


COMMANDS = (
    Command(
        words="deid",
        run=deid,
        panel="Operators",
        examples=(
            "teledx deid images/ out/ --clinic jiangshan",
            "teledx deid images/ out/ --clinic jiangshan --order order.json --json",
            "teledx deid slide.svs out/ --clinic jiangshan --keyring /etc/teledx/keys",
        ),
    ),
)
