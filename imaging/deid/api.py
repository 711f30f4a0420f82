"""De-identification for other programs: one call for a data set or a file, both passes included."""

from __future__ import annotations

import functools
import io
import tempfile
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from imaging.deid import dicom, second_pass
from imaging.deid.dicom import FileDone
from imaging.deid.folder import Run
from imaging.deid.known import KnownIdentity
from imaging.ocr import Engine

_NOBODY = KnownIdentity()


def deidentify_file(
    source: Path,
    target: Path,
    *,
    secret: bytes,
    clinic: str = "",
    profile: str = "network",
    known: KnownIdentity = _NOBODY,
) -> FileDone:
    """Writes the de-identified DICOM file `source` to `target`, once the second pass has found nothing in it.

    :param secret: at least 16 bytes; the same secret, clinic and patient give the same pseudonym, UIDs and dates.
    :param profile: `network`, `basic`, or either with options: `basic+retain-uids`.
    :param known: identity beyond what the file's own attributes say.
    :raises cases.errors.Quarantine: if the file is withheld; says why, and nothing is at `target`.
    :raises imaging.deid.objects.LeftOut: if such an object stays behind by design: a slide's label or overview.
    :raises FileExistsError: if `target` is there: nothing is ever overwritten.
    :raises ValueError: if there is no such profile, or the secret is too short.
    """
    key = Run(secret=secret, clinic=clinic).key_of(dicom.patient_of(source))
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
        part = Path(beside) / "part"
        done = dicom.deidentify_file(source, part, key, known, profile, engine=_engine())
        second_pass.check(
            source, part, known, key.shift_days, profile, engine=_engine(), blanked=done.blanked
        )
        target.hardlink_to(part)
    return done


def deidentify_dataset(
    dataset: Dataset,
    *,
    secret: bytes,
    clinic: str = "",
    profile: str = "network",
    known: KnownIdentity = _NOBODY,
) -> Dataset:
    """A new data set, de-identified as a file is; `dataset` stays as it was.

    A data set without a transfer syntax is taken to be uncompressed. Parameters and errors are `deidentify_file`'s.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.dcm", Path(folder) / "out.dcm"
        _saved(dataset, source)
        deidentify_file(source, target, secret=secret, clinic=clinic, profile=profile, known=known)
        return dcmread(io.BytesIO(target.read_bytes()))


def _saved(dataset: Dataset, path: Path) -> None:
    """Writes the data set beside a file meta information of its own where it has none."""
    shallow = Dataset(dataset)
    shallow.file_meta = FileMetaDataset()
    shallow.file_meta.update(getattr(dataset, "file_meta", None) or {})
    if "TransferSyntaxUID" not in shallow.file_meta:
        shallow.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    shallow.save_as(path, enforce_file_format=True)


@functools.cache
def _engine() -> Engine:
    return Engine()
