"""A CT whose every attribute of PS3.15 Table E.1-1 names its patient, and how many of them still do in an output."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from imaging.deid.elements import dictionary_vr
from imaging.deid.profiles import table

NAME, TEXT, PHONE = "Canaryson^Maria", "Maria Canaryson 13812345678", "13812345678"
FORMS = re.compile(r"canaryson|13812345678|1\.2\.3\.999\.|1951-?02-?03", re.IGNORECASE)
NESTED = 0x00081115  # Referenced Series Sequence: no row of the table
# What a canary is by VR. Times, ages, numbers and sex alone have none: they are kept by intent, or say nothing.
VALUES = {
    "LO": TEXT, "LT": TEXT, "ST": TEXT, "UT": TEXT, "UC": TEXT, "SH": "Maria Canaryson", "PN": NAME, "AE": "CANARYSON",
    "CS": "CANARYSON", "UR": "https://canaryson.example.org", "DA": "19510203", "DT": "19510203040506",
    "OB": TEXT.encode() + b" ", "OW": TEXT.encode() + b" ", "UN": TEXT.encode() + b" ",
}  # fmt: skip
SEX = 0x00100040


def canary_file(path: Path) -> int:
    """Writes the file; returns how many attributes hold a canary, at the root and as many in a nested item."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    tags = [tag for tag in _tags() if _put(dataset, tag)]
    item = Dataset()
    for tag in tags:
        _put(item, tag)
    dataset.add_new(NESTED, "SQ", [item])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some values are not their VR's is what is meant
        dataset.save_as(path)
    return len(tags)


def leaks(path: Path) -> tuple[int, int]:
    """How many of the table's attributes still hold a canary: at the root, and in the nested item."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        items = dataset[NESTED].value if NESTED in dataset else []
        return _held(dataset), sum(_held(item) for item in items)


def _held(dataset: Dataset) -> int:
    return sum(tag in dataset and _holds(dataset[tag]) for tag in _tags())


def _holds(element: DataElement) -> bool:
    if element.VR == "SQ":
        return any(_holds(inner) for item in element.value for inner in item)
    value: Any = element.value
    text = bytes(value).decode("latin-1") if isinstance(value, bytes) else str(value)
    return FORMS.search(text) is not None


def _tags() -> list[int]:
    tags = [int(row.tag, 16) for row in table() if re.fullmatch("[0-9A-F]{8}", row.tag)]
    return [tag for tag in tags if 8 <= tag >> 16 < 0xFFF0 and tag != SEX]


def _put(dataset: Dataset, tag: int) -> bool:
    vr = dictionary_vr(tag)
    if vr == "SQ":
        item = Dataset()
        item.InstitutionName = TEXT
        item.PersonName = NAME
        item.ReferencedSOPInstanceUID = f"1.2.3.999.{tag}"
        dataset.add_new(tag, vr, [item])
    elif vr == "UI":
        dataset.add_new(tag, vr, f"1.2.3.999.{tag}")
    elif vr in VALUES:
        dataset.add_new(tag, vr, VALUES[vr])
    else:
        return False
    return True
