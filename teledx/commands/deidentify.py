"""`teledx deid`: files de-identified as the network does it, by whoever has them: a researcher, a trial, a try-out."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teledx.commands import deid_files, keys, order_file
from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.output import Out
from teledx.commands.session import Session
from teledx.commands.table import Command

if TYPE_CHECKING:
    from cases.order import Order
    from imaging.deid.report import FileReport
    from imaging.slides.convert import Conversion

_Source = Annotated[Path, typer.Argument(metavar="SOURCE", help="A file or a folder; it is only read.")]
_Dest = Annotated[Path, typer.Argument(metavar="DEST", help="A new or empty folder, for one file too.")]
_Profile = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="network: what a reading needs stays; basic: PS3.15 without options. Options are added by name:"
        " basic+retain-uids.",
    ),
]
_Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A key: 64 hexadecimal digits or more, as `openssl rand -hex 32` writes, or a keyring's .key file."
        " Without it the key that new patients get, where TELEDX_KEYRING names a keyring, or else one made for"
        " this run and forgotten.",
    ),
]
_Clinic = Annotated[
    str,
    typer.Option(
        metavar="ID", help="Whose patients they are, where it matters that equal patient IDs are two people."
    ),
]
_OrderFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The order: every file must be of its patient.")
]
_KeepNames = Annotated[
    bool, typer.Option("--keep-names", help="Name results as the source: names may carry identity.")
]
_Jobs = Annotated[int, typer.Option(min=1, max=32, help="Files at once.")]
_Report = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A new file for the answer as JSON: it names the originals, so it stays with them, never in DEST.",
    ),
]


def deid(
    session: Session,
    source: _Source,
    dest: _Dest,
    profile: _Profile = "network",
    key: _Key = None,
    keep_names: _KeepNames = False,
    jobs: _Jobs = 2,
    report: _Report = None,
    clinic: _Clinic = "",
    order: _OrderFile = None,
) -> int:
    """De-identify DICOM files and slides as the network does: by table, and proved by the second pass.

    What is not proved is withheld and listed with its reason: exit code 3. Names of results are derived and say
    nothing of the source; which became what is in the report alone. The same key, clinic and patient give the same
    pseudonym, UIDs and shifted dates in every run, and in the network. Slides of formats that are refused are
    converted first, where TELEDX_SLIDE_CONVERTERS names a program.
    """
    files = deid_files.found(source, dest)
    _require_place(report, dest)
    used = _key_of(session, key)
    asked = deid_files.Asked(
        secret=used.secret,
        clinic=clinic,
        profile=_checked(profile),
        keep_names=keep_names,
        order=_order(order),
    )
    conversion = _conversion(session, used)
    told = deid_files.Told(source=source, dest=dest, asked=asked, conversion=conversion, jobs=jobs)
    if used.of == "run":
        session.out.note(
            "A key was made for this run and is kept nowhere: another run gives other pseudonyms."
        )
    reports = deid_files.treated(files, told, quiet=session.out.as_json)
    answer = {"profile": profile, "clinic": clinic, "key": used.of, "files": [r.as_json() for r in reports]}
    _write(report, answer)
    session.out.answer(answer, lambda out: _show(out, reports, dest))
    return Exit.SET_ASIDE if any(r.verdict == "withheld" for r in reports) else Exit.OK


@dataclass(frozen=True, kw_only=True)
class _UsedKey:
    """A key, of which origin it is (`file`, `keyring`, `run`), and where it stands."""

    secret: bytes = field(repr=False)
    of: str
    stands: tuple[Path, ...] = ()


def _key_of(session: Session, file: Path | None) -> _UsedKey:
    if file is not None:
        return _UsedKey(secret=keys.of_file(file), of="file", stands=(file,))
    folder = session.settings.keyring
    if folder is None:
        return _UsedKey(secret=secrets.token_bytes(32), of="run")
    ring = keys.read(folder)
    return _UsedKey(secret=ring.secrets[ring.current], of="keyring", stands=(folder,))


def _conversion(session: Session, used: _UsedKey) -> Conversion | None:
    """The converters of the settings, which do not see the key; None if there are none."""
    if not session.settings.slide_converters:
        return None
    from teledx import bootstrap

    told = bootstrap.conversion(session.settings)
    return replace(told, hidden=(*told.hidden, *used.stands))


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


def _require_place(report: Path | None, dest: Path) -> None:
    """Raises `Stop` if the report would stand beside what may leave, or in a file's place."""
    if report is None:
        return
    if report.resolve().is_relative_to(dest.resolve()):
        raise Stop(
            Exit.USAGE, "The report names the originals.", "Keep it with them, not in the destination."
        )
    if report.exists() or not report.parent.is_dir():
        raise Stop(
            Exit.USAGE, f"{report} is no place for a new file.", "Name a new file in a folder that exists."
        )


def _write(report: Path | None, answer: Any) -> None:
    if report is not None:
        report.touch(mode=0o600, exist_ok=False)
        report.write_text(json.dumps(answer, ensure_ascii=False, indent=2) + "\n", "utf-8")


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
            "teledx deid images/ out/ --key deid.key --report became.json",
            "teledx deid slide.svs out/",
            "teledx deid images/ out/ --clinic jiangshan --order order.json --json",
        ),
    ),
)
