"""One file of a folder in the killable child: asked what preprocessing would ask of it, then de-identified."""

from __future__ import annotations

from pathlib import Path

from cases.errors import Quarantine
from cases.order import Patient
from imaging import identity, kinds
from imaging.deid.folder import FileReport, Run, deidentify_one
from imaging.deid.objects import LeftOut
from imaging.dicom.read import inspect
from imaging.slides.written import require_no_text
from workers.deidentify_slides import identity_values


def one(file: Path, root: Path, dest: Path, beside: Path, run: Run, patient: Patient | None) -> FileReport:
    """What became of `file`; with a `patient`, it must be of that one."""
    name = str(file.relative_to(root))
    try:
        _require(file, run, patient)
    except LeftOut as why:
        return FileReport(name=name, verdict="left-out", reasons=(("left-out", str(why)),))
    except Quarantine as why:
        return FileReport(name=name, verdict="withheld", reasons=((why.code, why.detail),))
    return deidentify_one(file, root=root, dest=dest, run=run, beside=beside)


def _require(file: Path, run: Run, patient: Patient | None) -> None:
    kind = kinds.kind_of(file)
    refused = kinds.refusal(kind)
    if refused:
        raise refused
    if kind.family == "archive":
        raise Quarantine("format-unknown", "an archive; unpack it first")
    if kind.family in ("document", "litter"):
        raise LeftOut(f"a {kind.format} file")
    if kind.family == "slide":
        require_no_text(file, identity_values=identity_values(run.known))
    elif patient is not None:
        identity.check(patient, [inspect(file)])
