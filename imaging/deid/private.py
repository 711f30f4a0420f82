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
_SIZES = {"FD": 8, "FL": 4, "SL": 4, "SS": 2, "UL": 4, "US": 2}
_FORMS = {
    "CS": re.compile(rb"[A-Z0-9_ ]{0,16}(?:\\[A-Z0-9_ ]{0,16})*\0?"),
    "DS": re.compile(rb"[0-9+\-.eE ]{1,16}(?:\\[0-9+\-.eE ]{1,16})*\0?"),
    "IS": re.compile(rb"[0-9+\- ]{1,13}(?:\\[0-9+\- ]{1,13})*\0?"),
    "UI": re.compile(rb"[0-9.]{1,64}(?:\\[0-9.]{1,64})*\0?"),
}
_TEXTS = frozenset({"LO", "LT", "SH"})
_LONGEST = 0xFFFE


@functools.cache
def table() -> Mapping[tuple[str, int, int], str]:
    """VR by private creator, group, and number within the block."""
    raw = json.loads(resources.files("imaging.deid").joinpath("table_e3_10_1.json").read_text("utf-8"))
    return {(creator, int(group, 16), int(e, 16)): vr for creator, group, e, vr, _ in raw["rows"]}


def safe(elements: DataSet) -> dict[int, str]:
    """The private attributes of one level that the table names, by tag, with the VR that it gives them."""
    owners = {
        (e.tag >> 16, e.tag & 0xFF): bytes(e.value).decode("latin-1").strip(" \0")
        for e in elements
        if e.private and 0x10 <= e.tag & 0xFFFF <= 0xFF and e.items is None
    }
    if not owners:
        return {}
    return {
        e.tag: vr
        for e in elements
        if e.private
        and (owner := owners.get((e.tag >> 16, e.tag >> 8 & 0xFF))) is not None
        and (vr := table().get((owner, e.tag >> 16, e.tag & 0xFF))) is not None
        and _fits(e, vr)
    }


def _fits(element: Element, vr: str) -> bool:
    """Whether the value is one of that VR: anything else behind a safe tag is not safe."""
    if element.items is not None or element.fragments or element.vr not in (vr, "UN"):
        return False
    if vr in _FORMS and _FORMS[vr].fullmatch(element.value) is None:
        return False
    return 0 < len(element.value) <= _LONGEST and not len(element.value) % _SIZES.get(vr, 1)


def creators_of(kept: Mapping[int, str]) -> frozenset[int]:
    """The tags of the private creators whose blocks hold something that is kept."""
    return frozenset(tag & 0xFFFF0000 | tag >> 8 & 0xFF for tag in kept)


def action(vr: str, *, keeps_uids: bool) -> Action:
    """What happens to a safe attribute of that VR."""
    if vr == "UI":
        return Action.KEEP if keeps_uids else Action.UID
    return Action.CLEAN if vr in _TEXTS else Action.KEEP


def without_ownerless_creators(elements: DataSet) -> DataSet:
    """The level without the creators of blocks of which nothing was kept in the end."""
    used = creators_of({e.tag: "" for e in elements if e.private and e.tag & 0xFFFF > 0xFF})
    return [e for e in elements if not e.private or e.tag & 0xFFFF > 0xFF or e.tag in used]
