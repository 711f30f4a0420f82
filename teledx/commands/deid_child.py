"""One file in the killable child: asked what preprocessing would ask of it, then de-identified."""

from __future__ import annotations

from pathlib import Path

from cases.errors import Quarantine
from cases.order import Patient
from imaging import identity, kinds
from imaging.deid.folder import Run, deidentify_one
from imaging.deid.known import KnownIdentity, from_order
from imaging.deid.objects import LeftOut
from imaging.deid.report import FileReport
from imaging.dicom.read import inspect
from imaging.slides.written import require_no_text
from teledx.commands.deid_files import Asked


def treat(file: Path, root: Path, dest: Path, beside: Path, asked: Asked) -> FileReport:
    """What became of `file`; if there is an order, it must be of that patient."""
    name = str(file.relative_to(root))
    run = _run(asked)
    try:
        _require(file, run, asked.order.patient if asked.order else None)
    except LeftOut as why:
        return FileReport(name=name, verdict="left-out", reasons=(("left-out", str(why)),))
    except Quarantine as why:
        return FileReport(name=name, verdict="withheld", reasons=((why.code, why.detail),))
    return deidentify_one(file, root=root, dest=dest, run=run, beside=beside)


def _run(asked: Asked) -> Run:
    return Run(
        secret=asked.secret,
        clinic=asked.clinic,
        profile=asked.profile,
        keep_names=asked.keep_names,
        known=from_order(asked.order) if asked.order else KnownIdentity(),
    )


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
        from workers.deidentify_slides import (
            identity_values,
        )  # and with it the store's client: for slides alone

        require_no_text(file, identity_values=identity_values(run.known))
    elif patient is not None:
        identity.check(patient, [inspect(file)])
