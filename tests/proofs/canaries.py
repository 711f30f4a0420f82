"""Identities that must never leave the region, and every way of writing them that a search has to know."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import date
from functools import cache
from urllib.parse import quote

from teledx.samples.orders import SamplePatient

# A person who does not exist, with a name of four characters, so that no picture holds its bytes by chance.
PATIENT = SamplePatient(
    id="MRN-CANARY-70341",
    name="欧阳诗琪",
    name_latin="Ouyang Shiqi",
    sex="female",
    birth_date=date(1990, 3, 7),
)
NATIONAL_ID, INSURANCE = "330227199003074821", "INS330200918273645"
MOBILE, LANDLINE = "13857412345", "0574-88417263"
ADDRESS = "姜山镇茅山村十二号"
MOTHER = "司马婉清"
DOCTOR, TECHNICIAN = "诸葛明远", "Zhuge^Mingyuan"
ACCESSION, EARLIER_ACCESSION = "ACC-CANARY-5518", "ACC-CANARY-4407"
PATHOLOGY_NUMBER = "S26-90817"
FREE_TEXT = (
    f"患者{PATIENT.name}(Ouyang Shiqi,病案号{PATIENT.id}),1990年3月7日出生,身份证{NATIONAL_ID},"
    f"电话{MOBILE},家住{ADDRESS},母亲{MOTHER}陪同,咳嗽两周,请排除肺部占位。"
    f"OUYANG SHIQI, born 1990-03-07, phone {LANDLINE}."
)

# what -> as it is written
CANARIES: dict[str, str] = {
    "name": PATIENT.name,
    "name, given": "诗琪",
    "name, pinyin": "Ouyang Shiqi",
    "name, PN": "Ouyang^Shiqi",
    "name, one word": "ouyangshiqi",
    "record number": PATIENT.id,
    "national ID": NATIONAL_ID,
    "insurance": INSURANCE,
    "mobile": MOBILE,
    "mobile, spaced": "138 5741 2345",
    "landline": LANDLINE,
    "address": ADDRESS,
    "mother": MOTHER,
    "doctor": DOCTOR,
    "technician": TECHNICIAN,
    "birth date, DICOM": "19900307",
    "birth date, ISO": "1990-03-07",
    "birth date, Chinese": "1990年3月7日",
    "accession number": ACCESSION,
    "earlier accession number": EARLIER_ACCESSION,
    "pathology number": PATHOLOGY_NUMBER,
}
# Two characters in GB18030 or UTF-16 are four bytes, which pictures hold by chance: searched in UTF-8 alone.
_SHORT = 3


@cache
def forms() -> dict[bytes, str]:
    """Every byte string to look for (lower case where it is ASCII) and what it says."""
    found: dict[bytes, str] = {}
    for what, value in CANARIES.items():
        for how, form in _forms(value):
            found.setdefault(form, f"{what}, {how}")
    return found


def _forms(value: str) -> Iterator[tuple[str, bytes]]:
    encodings = ("utf-8",) if len(value) < _SHORT else ("utf-8", "gb18030", "utf-16-le", "utf-16-be")
    for encoding in encodings:
        encoded = value.encode(encoding)
        yield encoding, encoded.lower()
        percent = quote(encoded, safe="").encode().lower()
        if percent != encoded.lower() and len(percent) > 8:
            yield f"{encoding}, percent", percent
        if len(encoded) >= 8:
            yield f"{encoding}, hexadecimal", encoded.hex().encode()
            for shift in range(3):
                yield f"{encoding}, base64", _base64(encoded, shift)
    escaped = json.dumps(value)[1:-1].encode().lower()
    if escaped != value.encode().lower():
        yield "JSON escapes", escaped


def _base64(encoded: bytes, shift: int) -> bytes:
    """The part of a base64 text that these bytes decide alone, when they stand `shift` bytes behind a multiple of 3."""
    whole = base64.b64encode(bytes(shift) + encoded)
    behind = -(-shift * 4 // 3) if shift else 0
    return whole[behind : (shift + len(encoded)) * 8 // 6]


def found_in(content: bytes) -> list[str]:
    """What of the canaries stands in `content`, in words."""
    lowered = content.lower()
    return sorted(
        {told for form, told in forms().items() if form in (content if "base64" in told else lowered)}
    )
