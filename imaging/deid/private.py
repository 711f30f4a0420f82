"""Private attributes that are kept: those of PS3.15 Table E.3.10-1 whose values can be looked into, and no others."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from importlib import resources

from imaging.deid.elements import DataSet, Element
from imaging.deid.profiles import Action

# bytes of one value; text and numbers written as text have no such size
_SIZES = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "UL": 4, "US": 2}
_FORMS = {
    "CS": re.compile(rb"[A-Z0-9_ ]{0,16}(?:\\[A-Z0-9_ ]{0,16})*\0?"),
    "DS": re.compile(rb"[0-9+\-.eE ]{1,16}(?:\\[0-9+\-.eE ]{1,16})*\0?"),
    "IS": re.compile(rb"[0-9+\- ]{1,13}(?:\\[0-9+\- ]{1,13})*\0?"),
    "UI": re.compile(rb"[0-9.]{1,64}(?:\\[0-9.]{1,64})*\0?"),
}
_TEXTS = frozenset({"LO", "LT", "SH", "ST"})
_LONGEST = 0xFFFE
CREATOR = "a private creator"


@functools.cache
def table() -> Mapping[tuple[str, int, int], str]:
    """VR by private creator, group, and number within the block."""
    raw = json.loads(resources.files("imaging.deid").joinpath("table_e3_10_1.json").read_text("utf-8"))
    return {(creator, int(group, 16), int(e, 16)): vr for creator, group, e, vr, _ in raw["rows"]}


def safe(elements: DataSet) -> dict[int, str]:
    """The private attributes of one level that the table names, by tag, with the VR that it gives them.

    The creators of their blocks are among them, with `CREATOR` in place of a VR.
    """
    own = [e for e in elements if e.tag & 0x10000]
    owners = {
        e.tag: bytes(e.value).decode("latin-1").strip(" \0")
        for e in own
        if 0x10 <= e.tag & 0xFFFF <= 0xFF and e.items is None
    }
    found: dict[int, str] = {}
    for element in own if owners else ():
        tag = element.tag
        creator = tag & 0xFFFF0000 | tag >> 8 & 0xFF
        vr = table().get((owners.get(creator, ""), tag >> 16, tag & 0xFF)) if tag & 0xFF00 else None
        if vr is not None and _fits(element, vr):
            found[tag], found[creator] = vr, CREATOR
    return found


def _fits(element: Element, vr: str) -> bool:
    """Whether the value is one of that VR: anything else behind a safe tag is not safe."""
    if element.items is not None or element.fragments or element.vr not in (vr, "UN"):
        return False
    if vr in _FORMS and _FORMS[vr].fullmatch(element.value) is None:
        return False
    return 0 < len(element.value) <= _LONGEST and not len(element.value) % _SIZES.get(vr, 1)


def action(vr: str, *, keeps_uids: bool) -> Action:
    """What happens to a safe attribute of that VR."""
    if vr == "UI":
        return Action.KEEP if keeps_uids else Action.UID
    return Action.CLEAN if vr in _TEXTS else Action.KEEP


def without_ownerless_creators(elements: DataSet) -> DataSet:
    """The level without the creators of blocks of which nothing was kept in the end."""
    used = {e.tag & 0xFFFF0000 | e.tag >> 8 & 0xFF for e in elements if e.tag & 0x10000 and e.tag & 0xFF00}
    return [e for e in elements if not e.tag & 0x10000 or e.tag & 0xFF00 or e.tag in used]
