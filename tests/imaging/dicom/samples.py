"""The sample instances that installed packages carry, and instances made from them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import data_store
import deid_data
import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import generate_uid

PYDICOM = Path(pydicom.__file__).parent / "data"
TEST_FILES = PYDICOM / "test_files"
CHARSETS = PYDICOM / "charset_files"
SHARED = Path(__file__).parents[3].parent / "shared" / "data"
_NO_DICOM = (".py", ".pyc", ".txt", ".md", ".json", ".zip", ".dump", ".icc", ".gz")


def all_files() -> list[Path]:
    """Every file of the packages that is or pretends to be DICOM, in a fixed order."""
    roots = [TEST_FILES, CHARSETS, Path(data_store.__path__[0]), Path(deid_data.__path__[0])]
    found = [path for root in roots for path in sorted(root.rglob("*")) if path.is_file()]
    return [path for path in found if path.suffix not in _NO_DICOM and path.name != "README"]


def by_name(name: str) -> Path:
    return next(path for path in all_files() if path.name == name)


def ct(**changes: Any) -> FileDataset:
    """pydicom's CT_small with elements changed."""
    dataset = pydicom.dcmread(TEST_FILES / "CT_small.dcm")
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    if "SOPInstanceUID" in changes:
        dataset.file_meta.MediaStorageSOPInstanceUID = changes["SOPInstanceUID"]
    return dataset


def written(dataset: FileDataset) -> bytes:
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def ct_series(count: int, spacing: float = 5.0, **changes: Any) -> list[bytes]:
    """An axial series of `count` slices, numbered from 1, `spacing` mm apart."""
    study, series = generate_uid(), generate_uid()
    return [
        written(
            ct(
                StudyInstanceUID=study,
                SeriesInstanceUID=series,
                SOPInstanceUID=generate_uid(),
                InstanceNumber=number + 1,
                ImagePositionPatient=[-100.0, -100.0, number * spacing],
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
                **changes,
            )
        )
        for number in range(count)
    ]


def nested(depth: int, *, explicit: bool, undefined: bool) -> bytes:
    """CT_small's header with one sequence `depth` deep in front of its pixel data, made without recursion."""
    tag = b"\x40\x00\x30\xa7" + (b"SQ\0\0" if explicit else b"")  # Content Sequence (0040,A730)
    if undefined:
        opened = tag + b"\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        raw = opened * depth + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * depth
    else:
        size = len(tag) + 12  # of a sequence around its content
        raw = b"".join(
            tag + (rest + 8).to_bytes(4, "little") + b"\xfe\xff\x00\xe0" + rest.to_bytes(4, "little")
            for rest in range(size * (depth - 1), -1, -size)
        )
    name = "MR_small_implicit.dcm" if not explicit else "CT_small.dcm"
    whole = (TEST_FILES / name).read_bytes()
    pixels = whole.rindex(b"\xe0\x7f\x10\x00")
    return whole[:pixels] + raw + whole[pixels:]


def top(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword, ""))
