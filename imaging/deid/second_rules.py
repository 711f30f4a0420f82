"""What the second pass lets stay beyond the basic column, by its own reading of the tables and of the output.

Shares nothing with the first pass but the tables, which it reads in its own way.
"""

from __future__ import annotations

import functools
import json
import re
import struct
from collections.abc import Iterable
from importlib import resources
from typing import Any, NamedTuple

import cv2
import numpy as np

from cases.errors import Quarantine
from imaging.deid.second_reader import Body, Seen
from imaging.slides.second_pass import judge_profile

_BASES = {
    "basic": "",
    "network": "clean-pixel-data+clean-graphics+clean-structured-content+clean-descriptors"
    "+retain-patient-characteristics+retain-safe-private+retain-longitudinal-modified-dates",
}
# how a value of each VR must look, and how many bytes one has
_WRITTEN = {
    b"DS": re.compile(rb"[0-9+\-.eE \\]*\0?"),
    b"IS": re.compile(rb"[0-9+\- \\]*\0?"),
    b"CS": re.compile(rb"[A-Z0-9_ \\]*\0?"),
    b"UI": re.compile(rb"[0-9.\\]*\0?"),
}
_WIDTHS = {b"AT": 4, b"FD": 8, b"FL": 4, b"SL": 4, b"UL": 4, b"SS": 2, b"US": 2}
_OVERLAY = frozenset((0x10, 0x11, 0x15, 0x40, 0x50, 0x51, 0x100, 0x102, 0x1301, 0x1302, 0x1303, 0x3000))
_CONCEPT, _CODE, _SCHEME, _VALUE_TYPE = 0x0040A043, 0x00080100, 0x00080102, 0x0040A040
# what can be written into a value of such a type, or of none, is anything
_ANYTHING = ("", "TEXT", "DATE", "TIME", "DATETIME", "PNAME", "UIDREF")
_DRAWINGS, _SHAPES, _DRAWN_TEXT = 0x00700001, 0x00700009, (0x00700008, 0x00700209)
_TEXT_HEIGHTS = range(5, 65)  # pixels


def columns(profile: str) -> frozenset[str]:
    """The option columns of a profile by name: `basic+retain-uids`."""
    base, _, added = profile.partition("+")
    return frozenset(filter(None, f"{_BASES[base]}+{added}".split("+")))


@functools.cache
def rows(chosen: frozenset[str]) -> dict[int, tuple[str, frozenset[str]]]:
    """By tag: the basic code, and what the chosen columns say (`column code`)."""
    return {
        int(tag, 16): (actions["basic"], frozenset(f"{c} {actions[c]}" for c in chosen if c in actions))
        for tag, _, _, actions in _read("table_e1_1.json")["rows"]
        if re.fullmatch(r"[0-9A-F]{8}", tag)
    }


@functools.cache
def _read(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((resources.files("imaging.deid") / name).read_bytes())
    return read


@functools.cache
def _safe_list() -> dict[str, bytes]:
    """VR by `creator (gggg,xxee)`."""
    return {
        f"{creator} ({group},xx{number})": vr.encode("ascii")
        for creator, group, number, vr, _ in _read("table_e3_10_1.json")["rows"]
    }


def safe_private(body: Body) -> dict[tuple[tuple[int, ...], int], bytes]:
    """Private attributes that Table E.3.10-1 names, and creators of blocks that hold one: path and tag, and VR."""
    owners: dict[tuple[tuple[int, ...], int], str] = {}
    found: dict[tuple[tuple[int, ...], int], bytes] = {}
    for seen in body.elements:
        if not seen.tag >> 16 & 1:
            continue
        low, value = seen.tag & 0xFFFF, bytes(body.content[seen.start : seen.end])
        if low < 0x100:
            owners[seen.path, seen.tag] = value.decode("latin-1").rstrip(" \0")
            continue
        block = seen.tag & 0xFFFF0000 | low >> 8
        name = f"{owners.get((seen.path, block), '')} ({seen.tag >> 16:04X},xx{low & 0xFF:02X})"
        vr = _safe_list().get(name)
        if vr is not None and seen.vr in (b"UN", vr) and _looks_like(vr, value):
            found[seen.path, seen.tag] = vr
            found[seen.path, block] = b"LO"
    return found


def _looks_like(vr: bytes, value: bytes) -> bool:
    if vr in _WRITTEN:
        return _WRITTEN[vr].fullmatch(value) is not None
    return not len(value) % _WIDTHS.get(vr, 1)


class Concept(NamedTuple):
    """The coding scheme and code that name a content item, and its value type; empty where it says none."""

    scheme: str = ""
    code: str = ""
    kind: str = ""


def concepts(body: Body) -> dict[tuple[int, ...], Concept]:
    """What names each content item, by the item's path."""
    said: dict[tuple[int, ...], dict[int, str]] = {}
    for seen in body.elements:
        if seen.tag == _VALUE_TYPE:
            item = seen.path
        elif seen.tag in (_CODE, _SCHEME) and seen.path[-2:] == (_CONCEPT, 0):
            item = seen.path[:-2]
        else:
            continue
        value = bytes(body.content[seen.start : seen.end]).decode("latin-1").strip(" \0")
        said.setdefault(item, {})[seen.tag] = value
    return {
        path: Concept(*_present(of.get(_SCHEME, ""), of[_CODE]), of.get(_VALUE_TYPE, ""))
        for path, of in said.items()
        if _CODE in of
    }


def _present(scheme: str, code: str) -> tuple[str, str]:
    """The code of today for one of SNOMED's old identifiers."""
    if scheme in ("SRT", "SNM3", "99SDM"):
        for today, old in _read("table_e3_4_1.json")["retired"]:
            if old == code:
                return "SCT", today
    return scheme, code


@functools.lru_cache(maxsize=1024)
def _content_codes(concept: Concept, chosen: frozenset[str]) -> tuple[str, ...]:
    """What the rows that hold for a content item say: of the chosen columns, or else of the basic one."""
    found = []
    for scheme, code, kind, _, said in _read("table_e3_4_1.json")["rows"]:
        if (scheme, code) == concept[:2]:
            found.append((kind, "".join(said[c] for c in chosen if c in said) or said["basic"]))
    exact = tuple(what for kind, what in found if kind == concept.kind)
    return exact or tuple(what for _, what in found if concept.kind in _ANYTHING)


def must_go(concept: Concept, chosen: frozenset[str]) -> bool:
    """Whether an item that is named so may not stand in an output."""
    return "X" in _content_codes(concept, chosen)


def may_say(concept: Concept | None, chosen: frozenset[str]) -> bool:
    """Whether the text, or the UID, of such a content item may be more than a dummy."""
    if concept is None:
        return False
    what = _content_codes(concept, chosen)
    if what:
        return all(set(code) <= {"C", "K"} for code in what)
    machines = _read("table_e3_4_1.json")["written by machines"]
    return concept.scheme == "DCM" and any(code == concept.code for code, _ in machines)


def texts_in_drawings(body: Body) -> frozenset[int]:
    """Sequences that hold text, or annotations without any shape, where drawings may hold shapes alone."""
    drawn = {seen.path for seen in body.elements if seen.tag == _SHAPES}
    found = {seen.tag for seen in body.elements if seen.tag in _DRAWN_TEXT}
    if any(seen.path[-2:-1] == (_DRAWINGS,) and seen.path not in drawn for seen in body.elements):
        found.add(_DRAWINGS)
    return frozenset(found)


def wrong_overlay(body: Body, seen: Seen) -> str | None:
    """What is wrong with an attribute of an overlay that stays."""
    part = seen.tag & 0xFFFF
    if seen.path or part not in _OVERLAY:
        return "an attribute of an overlay that is removed"
    if part != 0x3000:
        return None
    height, width = (_one_number(body, seen.tag >> 16, side) for side in (0x10, 0x11))
    if not height or not width:
        return "an overlay without a size"
    return "marks like text in an overlay" if _text_like(body, seen, height, width) else None


def _is_big(body: Body) -> bool:
    return body.meta.get(0x00020010, b"").rstrip(b" \0") == b"1.2.840.10008.1.2.2"


def _one_number(body: Body, group: int, part: int) -> int:
    for seen in body.elements:
        if seen.tag == group << 16 | part and not seen.path and seen.end - seen.start == 2:
            return int.from_bytes(body.content[seen.start : seen.end], "big" if _is_big(body) else "little")
    return 0


def _text_like(body: Body, seen: Seen, height: int, width: int) -> bool:
    """Whether four marks of like height and some width stand in one row close together: so letters do."""
    raw = np.frombuffer(body.content[seen.start : seen.end], np.uint8)
    if _is_big(body) and seen.vr == b"OW":
        raw = raw.view("<u2").byteswap().view(np.uint8)
    bits = np.unpackbits(raw, bitorder="little")
    whole = bits[: bits.size // width * width].reshape(-1, width)
    for top in range(0, whole.shape[0], height):
        _, _, boxes, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(whole[top : top + height]))
        marks = [
            (int(x), int(y), int(w), int(h))
            for x, y, w, h, _ in boxes[1:]
            if h in _TEXT_HEIGHTS and 0.3 * h <= w <= 2 * h
        ]
        if _in_a_row(sorted(marks)):
            return True
    return False


def _in_a_row(marks: Iterable[tuple[int, int, int, int]]) -> bool:
    rows_of_marks: list[list[tuple[int, int, int, int]]] = []
    for mark in marks:
        x, y, _, h = mark
        for row in rows_of_marks:
            last_x, last_y, last_w, last_h = row[-1]
            near = x - last_x - last_w <= 1.5 * h and abs(y + h / 2 - last_y - last_h / 2) <= h / 2
            if near and 0.6 <= h / last_h <= 1.7:
                row.append(mark)
                break
        else:
            rows_of_marks.append([mark])
        if any(len(row) >= 4 for row in rows_of_marks):
            return True
    return False


def wrong_profile(profile: bytes) -> str | None:
    """What is wrong with an ICC profile (0028,2000) that would leave."""
    try:
        judge_profile(profile)
    except (Quarantine, struct.error):
        return "a colour profile that says more than colours"
    return None
