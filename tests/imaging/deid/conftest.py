"""A patient's key, and canaries: identity in every attribute of Table E.1-1."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from cases.ports import PatientKey
from imaging.deid import part10
from imaging.deid.elements import Element, Encoding, Writer, dictionary_vr
from imaging.deid.known import KnownIdentity
from imaging.deid.profiles import table

EXPLICIT = Encoding(explicit=True)
NAME = "Canaryson^Maria=金丝雀"
PHONE = "13812345678"
CANARY_TEXT = f"Maria Canaryson 金丝雀 {PHONE}"
CANARIES = tuple(
    form.encode(codec)
    for form in ("Canaryson", "CANARYSON", "金丝雀", PHONE, "19510203", "1.2.3.999.", "QZXCANARY")
    for codec in ("utf-8", "gb18030")
)
TAGS = tuple(int(r.tag, 16) for r in table() if len(r.tag) == 8 and "x" not in r.tag)


def sample(name: str) -> Path:
    """One of pydicom's own test files."""
    return Path(str(get_testdata_file(name)))


@pytest.fixture
def key() -> PatientKey:
    return PatientKey(pseudonym="P-ABCDEFGHIJKLM", shift_days=-100, key_id="k1", secret=b"s" * 32)


@pytest.fixture
def known() -> KnownIdentity:
    return KnownIdentity(names=(NAME,), phones=(PHONE,))


def canary(tag: int, text: str = CANARY_TEXT) -> Element:
    """The attribute `tag` with identity in it, as its VR allows."""
    vr = dictionary_vr(tag)
    if vr == "SQ":
        inner = [Element(0x00080080, "LO", text.encode()), Element(0x00080104, "LO", text.encode())]
        inner += [
            Element(0x00081155, "UI", f"1.2.3.999.{tag}".encode()),
            Element(0x0040A123, "PN", NAME.encode()),
        ]
        return Element(tag, "SQ", b"", [inner])
    value = {
        "UI": f"1.2.3.999.{tag}", "DA": "19510203", "DT": "19510203040506.5+0800", "TM": "040506", "IS": "987654321",
        "DS": "987654321", "AS": "071Y", "PN": NAME if text == CANARY_TEXT else "Qzxvalue^Qzx",
        "AE": "CANARYSON", "CS": "CANARYSON",
    }.get(vr, text)  # fmt: skip
    raw = b"F " if tag == 0x00100040 else value.encode()
    if vr in ("US", "SS", "UL", "SL", "FL", "FD", "AT"):
        raw = b"\x01\x02" * 4
    return Element(tag, vr, raw)


def identified(text: str = CANARY_TEXT) -> list[Element]:
    """An image whose every attribute of the table identifies, whatever its IOD would allow."""
    tags = {t for t in TAGS if 8 <= t >> 16 < 0xFFF0} - {0x00080005, 0x00080201}
    elements = [canary(tag, text) for tag in sorted(tags)]
    elements += [
        Element(0x00080005, "CS", b"ISO_IR 192"),
        Element(0x00080016, "UI", CTImageStorage.encode()),
        Element(0x00080060, "CS", b"CT"),
        Element(0x00090010, "LO", b"QZXCANARY"),
        Element(0x00091001, "LO", text.encode()),
        Element(0x50000010, "US", b"\1\0"),
        Element(0x50003000, "OW", text.encode()),
        Element(0x60003000, "OW", text.encode()),
        Element(0x60004000, "LT", text.encode()),
        Element(0x7FE00010, "OW", bytes(range(256)) * 2),
    ]
    return sorted(elements, key=lambda e: e.tag)


def nested(depth: int, inner: list[Element]) -> list[Element]:
    """`inner` below `depth` sequences that no table names."""
    for _ in range(depth):
        inner = [Element(0x00081115, "SQ", b"", [inner])]
    return inner


def part10_bytes(
    elements: list[Element], sop: str = "1.2.3.999.1", syntax: str = ExplicitVRLittleEndian
) -> bytes:
    """A file of these elements."""
    return part10.written_head(CTImageStorage, sop, syntax) + b"".join(Writer(EXPLICIT).chunks(elements))
