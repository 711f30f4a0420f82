"""Cases whose instances lie at a partner, told in the index by the functions that the stages use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file

from cases.indexed import IndexedInstance
from imaging.dicom.index import index
from storage import dicom_index
from storage.database import Database
from storage.s3 import S3
from tests.storage.filled import delivered


def sample(name: str) -> Path:
    """One of pydicom's own test files."""
    return Path(str(get_testdata_file(name, download=False)))


def written(folder: Path, source: str | Path, **changes: object) -> Path:
    """A copy of a file with other attributes."""
    dataset = pydicom.dcmread(sample(source) if isinstance(source, str) else source)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    if "SOPInstanceUID" in changes:
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path = folder / f"{dataset.SOPInstanceUID}-{len(list(folder.iterdir()))}.dcm"
    dataset.save_as(path)
    return path


def at_partner_with(
    region: Database, s3: S3, files: Sequence[Path], *, number: int = 1, partner: str = "yinzhou2"
) -> str:
    """A case on the partner's worklist, with these files in its bucket and index; returns its id."""
    case_id = delivered(region, number=number, partner=partner)
    told = [index(path, f"dicom/{number}-{place}.dcm") for place, path in enumerate(files)]
    keys = [f"{case_id}/deliver/001/{instance.name}" for instance in told]
    for path, key in zip(files, keys, strict=True):
        content = path.read_bytes()
        s3.put_new(
            f"partner-{partner}", key, content, "application/dicom", hashlib.sha256(content).hexdigest()
        )
    tell(region, case_id, told, keys, partner)
    return case_id


def tell(
    region: Database, case_id: str, told: Sequence[IndexedInstance], keys: Sequence[str], partner: str
) -> None:
    with region.transaction() as connection:
        dicom_index.keep(connection, case_id, told)
        dicom_index.delivered(connection, case_id, partner, keys)


def address(told: IndexedInstance | pydicom.Dataset, level: str = "instance") -> str:
    """The path of an instance, its series or its study."""
    if isinstance(told, IndexedInstance):
        uids = (told.study_uid, told.series_uid, told.sop_uid)
    else:
        uids = (told.StudyInstanceUID, told.SeriesInstanceUID, told.SOPInstanceUID)
    steps = [f"/{name}/{uid}" for name, uid in zip(("studies", "series", "instances"), uids, strict=True)]
    return "/dicomweb" + "".join(steps[: ("study", "series", "instance").index(level) + 1])
