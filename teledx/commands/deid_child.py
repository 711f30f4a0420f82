"""One file of a folder, de-identified in the killable child; the same passes as for a case of the network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cases.errors import Quarantine
from cases.order import Patient
from cases.ports import PatientKey
from imaging import identity, kinds
from imaging.deid.known import KnownIdentity
from imaging.dicom.read import inspect
from imaging.slides import deid
from imaging.slides.plan import write
from imaging.slides.written import require_no_text
from teledx.bootstrap import derive
from workers import native
from workers.deidentify_slides import identity_values

SUFFIXES = {"svs": "svs", "generic-tiff": "tiff"}


@dataclass(frozen=True, kw_only=True)
class Whose:
    """The clinic and key that pseudonyms come from.

    `patient` is the order's, whose every file must be; without one, `patient_id` is of files that name none.
    """

    clinic: str
    key_id: str
    secret: bytes
    patient_id: str
    patient: Patient | None
    known: KnownIdentity

    def key_of(self, patient_id: str) -> PatientKey:
        pseudonym, shift, own = derive(self.secret, self.clinic, patient_id)
        return PatientKey(pseudonym=pseudonym, shift_days=shift, key_id=self.key_id, secret=own)


@dataclass(frozen=True, kw_only=True)
class CameOut:
    """`name` is the derived place below the destination; '' if the file stays behind by design, `why` says which."""

    name: str
    why: str = ""
    sha256: str = ""


def one(source: Path, target: Path, whose: Whose) -> CameOut:
    """Write what may leave of `source` to `target`, proved by the second pass.

    :raises Quarantine: whatever keeps the file back; something may then lie at `target`, unproved.
    """
    kind = kinds.kind_of(source)
    refused = kinds.refusal(kind)
    if refused:
        raise refused
    if kind.family == "archive":
        raise Quarantine("format-unknown", "an archive; unpack it first")
    if kind.family in ("document", "litter"):
        return CameOut(name="", why=f"a {kind.format} file")
    return (
        _slide(source, target, whose, kind.format)
        if kind.family == "slide"
        else _instance(source, target, whose)
    )


def _instance(source: Path, target: Path, whose: Whose) -> CameOut:
    found = inspect(source)
    if whose.patient is not None:
        identity.check(whose.patient, [found])
    patient_id = whose.patient.id if whose.patient else found.identity.patient_id.strip() or whose.patient_id
    if not patient_id:
        raise Quarantine("identity-mismatch", "the file names no patient ID; give --patient")
    key = whose.key_of(patient_id)
    (treated,) = native.treat([(source, target)], key, whose.known, frozenset())
    done = treated.done
    if done is None:
        return CameOut(name="", why="a slide's label or overview")
    place = "/".join((key.pseudonym, done.study_uid, done.series_uid, f"{done.sop_instance_uid}.dcm"))
    return CameOut(name=place, sha256=done.sha256)


def _slide(source: Path, target: Path, whose: Whose, form: str) -> CameOut:
    patient_id = whose.patient.id if whose.patient else whose.patient_id
    if not patient_id:
        raise Quarantine("slide-unsafe", "a slide names no patient; give --order or --patient")
    values = identity_values(whose.known)
    require_no_text(source, identity_values=values)
    plan = deid.plan_slide(source)
    write(plan, source, target)
    deid.check_written(target, identity_values=(*values, *plan.removed_values))
    with target.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    name = f"{whose.key_of(patient_id).pseudonym}/slides/{digest[:24]}.{SUFFIXES[form]}"
    return CameOut(name=name, sha256=digest)
