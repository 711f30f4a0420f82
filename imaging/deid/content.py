"""Clean Structured Content (PS3.15 E.3.4): what becomes of a content item, by its concept and its value type.

Table E.3.4-1 is `table_e3_4_1.json`. It speaks of whole items: one that it removes goes with all below it. Where it
keeps, cleans or replaces, the value's own attribute says how, except text and UIDs, which have no rule without their
concept. Text of a concept that nothing names becomes a dummy.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

from imaging.deid import profiles
from imaging.deid.elements import DataSet
from imaging.deid.profiles import Action, Row

CONTENT, TEXT, UID = 0x0040A730, 0x0040A160, 0x0040A124
_CONCEPT_NAME, _VALUE_TYPE = 0x0040A043, 0x0040A040
_CODE, _SCHEME = 0x00080100, 0x00080102
_RETIRED_SCHEMES = frozenset(("SRT", "SNM3", "99SDM"))
# Value types that can say anything: of one that the table does not foresee the strictest row of the concept holds.
_FREE = frozenset(("", "TEXT", "DATE", "TIME", "DATETIME", "PNAME", "UIDREF"))


class About(NamedTuple):
    """Coding scheme and code of the concept that names a content item, and its value type; empty if it says none."""

    scheme: str
    code: str
    kind: str


NOTHING = About("", "", "")


@functools.cache
def _read() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((resources.files("imaging.deid") / "table_e3_4_1.json").read_bytes())
    return read


@functools.cache
def table() -> Mapping[tuple[str, str], Mapping[str, Row]]:
    """The rows of Table E.3.4-1: by coding scheme and code, then by value type."""
    rows: dict[tuple[str, str], dict[str, Row]] = {}
    for scheme, code, kind, meaning, actions in _read()["rows"]:
        row = Row(tag="", name=meaning, standard_iod=True, actions=actions)
        rows.setdefault((scheme, code), {})[kind] = row
    return rows


@functools.cache
def _written_by_machines() -> frozenset[tuple[str, str]]:
    return frozenset(("DCM", code) for code, _ in _read()["written by machines"])


@functools.cache
def _codes_of_retired() -> Mapping[str, str]:
    return {retired: code for code, retired in _read()["retired"]}


def about(item: DataSet) -> About:
    """What a content item is about; a retired SNOMED identifier of the table counts as its present code."""
    kind = ""
    for element in item:
        if element.tag == _VALUE_TYPE:
            kind = _word(element.value)
        elif element.tag == _CONCEPT_NAME and element.items:
            values = {e.tag: _word(e.value) for e in element.items[0]}
            scheme, code = values.get(_SCHEME, ""), values.get(_CODE, "")
            if scheme in _RETIRED_SCHEMES and code in _codes_of_retired():
                scheme, code = "SCT", _codes_of_retired()[code]
            return About(scheme, code, kind)
        elif element.tag > _CONCEPT_NAME:
            break
    return NOTHING


def _word(value: bytes | memoryview) -> str:
    return bytes(value).decode("latin-1").strip(" \0")


@functools.lru_cache(maxsize=4096)
def rule(item: About, options: frozenset[str]) -> Action | None:
    """The table's action on a content item; None if it says nothing of it."""
    rows = table().get((item.scheme, item.code), {})
    if item.kind in rows:
        return profiles.resolve(rows[item.kind], options)
    actions = [profiles.resolve(row, options) for row in rows.values()] if item.kind in _FREE else []
    return Action.REMOVE if Action.REMOVE in actions else next(iter(actions), None)


def action(tag: int, item: About, options: frozenset[str]) -> Action | None:
    """The rule for a value of an item; None if its attribute's own rule says it all."""
    if tag == UID:
        return rule(item, options)
    if tag != TEXT:
        return None
    machine = (item.scheme, item.code) in _written_by_machines()
    return rule(item, options) or (Action.CLEAN if machine else Action.DUMMY)


def kept(items: list[DataSet], options: frozenset[str]) -> list[DataSet]:
    """The items of a sequence without those that the table removes."""
    return [item for item in items if rule(about(item), options) is not Action.REMOVE]


def is_narrative(elements: DataSet) -> bool:
    """Whether a tree holds text that a person writes: then it is a report, and nobody cleans it unseen."""
    stack = [elements]
    while stack:
        level = stack.pop()
        item = about(level)
        for element in level:
            if element.tag == TEXT and len(element.value) and _by_a_person(item):
                return True
            stack.extend(element.items or ())
    return False


def _by_a_person(item: About) -> bool:
    """Text of a concept that a machine fills in is none, nor are identifiers, for which cleaning is no option."""
    if (item.scheme, item.code) in _written_by_machines():
        return False
    rows = table().get((item.scheme, item.code), {}).values()
    return not rows or any("clean-descriptors" in row.actions for row in rows)
