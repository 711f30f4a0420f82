"""A data set as DICOM JSON (PS3.18 Annex F); large binary values are named by a path in place of being repeated."""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import dictionary_VR as choice_of_vr

from imaging.deid.elements import DataSet, Element, Encoding, dictionary_vr
from imaging.dicom import charsets

CHARSET, PIXEL_REPRESENTATION = 0x00080005, 0x00280103
# Binary values from this many bytes on stand outside (PS3.18 F.2.6 leaves the number to the server).
INLINE_MOST = 1024
# How pixel data is encoded, not what the instance is: frames are told apart by the server.
_OF_THE_ENCODING = frozenset((0x7FE00001, 0x7FE00002, 0xFFFCFFFC))
PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))

_NUMBERS = {
    "FL": "f", "FD": "d", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q", "AT": "HH",
}  # fmt: skip
# The width of a word, for byte order (PS3.5 7.3).
_WORDS = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_IN_ONE_PIECE = frozenset(("LT", "ST", "UT", "UR"))
_IN_CHARSET = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_IN_UN = Encoding(explicit=False)  # PS3.5 6.2.2: little-endian, whatever is around it
_PERSON_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_DECIMAL = re.compile(r"[+\-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+\-]?\d+)?")
_INTEGER = re.compile(r"[+\-]?\d+")


@dataclass
class Model:
    """Turns one data set into its JSON form.

    `outside` is filled with the values that a BulkDataURI stands for, each with the width of its big-endian words
    (0: none).
    """

    encoding: Encoding
    signed: bool = False
    outside: dict[str, tuple[memoryview | bytes, int]] = field(default_factory=dict)

    def of(self, elements: DataSet) -> dict[str, Any]:
        """The JSON form. Elements are in UTF-8 from then on, whatever they were in."""
        stored = next((e.value for e in elements if e.tag == PIXEL_REPRESENTATION), b"")
        self.signed = any(bytes(stored))
        return self._data_set(elements, self.encoding, (), "")

    def _data_set(
        self, elements: DataSet, encoding: Encoding, declared: tuple[str, ...], path: str
    ) -> dict[str, Any]:
        own = next((e for e in elements if e.tag == CHARSET), None)
        if own is not None:
            declared = tuple(term.strip() for term in bytes(own.value).decode("latin-1").split("\\"))
        told: dict[str, Any] = {}
        for element in elements:
            if element.tag in _OF_THE_ENCODING or element.tag & 0xFFFF == 0:
                continue
            name = f"{element.tag:08X}"
            told[name] = self._element(element, encoding, declared, path + name)
        if own is not None and bytes(own.value).strip(b" \0"):
            told[f"{CHARSET:08X}"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
        return told

    def _element(
        self, element: Element, encoding: Encoding, declared: tuple[str, ...], path: str
    ) -> dict[str, Any]:
        if element.items is not None:
            inner = element.encoding or encoding
            items = [
                self._data_set(item, inner, declared, f"{path}.{number}.")
                for number, item in enumerate(element.items, 1)
            ]
            return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        vr = self._vr(element, encoding)
        if element.vr == "UN":
            encoding = _IN_UN
        if vr in _WORDS:
            return self._binary(element, vr, encoding, path)
        values = _values(vr, bytes(element.value), encoding, declared)
        return {"vr": vr, "Value": values} if values else {"vr": vr}

    def _vr(self, element: Element, encoding: Encoding) -> str:
        """The VR; where the dictionary leaves a choice of signs, the pixels' own decides (PS3.5 A.1). What came as
        UN and is in the dictionary is what that says (PS3.5 6.2.2)."""
        if element.vr == "UN" and not element.private:
            known = dictionary_vr(element.tag)
            return "UN" if known == "SQ" else known
        if not encoding.explicit and element.vr == "US" and self.signed:
            return "SS" if choice_of_vr(element.tag) == "US or SS" else "US"
        return element.vr

    def _binary(self, element: Element, vr: str, encoding: Encoding, path: str) -> dict[str, Any]:
        width = _WORDS[vr] if encoding.big and _WORDS[vr] > 1 else 0
        if not len(element.value):
            return {"vr": vr}
        if element.tag in PIXELS or element.fragments or len(element.value) > INLINE_MOST:
            self.outside[path] = (element.value, width)
            return {"vr": vr, "BulkDataURI": path}
        little = swapped(bytes(element.value), width)
        return {"vr": vr, "InlineBinary": base64.b64encode(little).decode("ascii")}


def swapped(words: bytes, width: int) -> bytes:
    """Words of `width` bytes in the other byte order; as they are for a width of 0."""
    if not width:
        return words
    turned = bytearray(words)
    for at in range(width):
        turned[at::width] = words[width - 1 - at :: width]
    return bytes(turned)


def _values(vr: str, raw: bytes, encoding: Encoding, declared: tuple[str, ...]) -> list[Any]:
    if vr in _NUMBERS:
        return _numbers(vr, raw, ">" if encoding.big else "<")
    if vr in _IN_CHARSET:
        text = charsets.decode(raw, declared).text.replace("\0", "")
    else:
        text = raw.decode("ascii", "replace").replace("\0", "").strip()
    if not text:
        return []
    if vr in _IN_ONE_PIECE:
        return [text]
    shape = _SHAPES.get(vr, _plain)
    return [shape(part.strip(" \0")) if part.strip(" \0") else None for part in text.split("\\")]


def _numbers(vr: str, raw: bytes, order: str) -> list[Any]:
    form = struct.Struct(order + _NUMBERS[vr])
    whole = raw[: len(raw) - len(raw) % form.size]
    if vr == "AT":
        return [f"{group:04X}{number:04X}" for group, number in form.iter_unpack(whole)]
    return [_finite(value) for (value,) in form.iter_unpack(whole)]


def _finite(value: float) -> float | str:
    """JSON has no NaN and no infinity; PS3.18 F.2.3.1 writes them as strings."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _plain(text: str) -> str:
    return text


def _integer(text: str) -> int | str:
    return int(text) if _INTEGER.fullmatch(text) else text


def _decimal(text: str) -> float | str:
    """A number where it is one; PS3.18 F.2.3 lets a string stand where it is not."""
    if not _DECIMAL.fullmatch(text):
        return text
    value = int(text) if _INTEGER.fullmatch(text) else float(text)
    return value if math.isfinite(value) else text


def _person(text: str) -> dict[str, str]:
    groups = zip(_PERSON_GROUPS, text.split("="), strict=False)
    return {group: name.strip() for group, name in groups if name.strip()}


_SHAPES: Mapping[str, Callable[[str], Any]] = {"IS": _integer, "DS": _decimal, "PN": _person}
