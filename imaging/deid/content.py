"""Clean Structured Content (PS3.15 E.3.4): what becomes of a content item's value, by its value type and concept.

Codes (CODE), numbers (NUM), coordinates (SCOORD, SCOORD3D, TCOORD) and references are attributes with rules of
their own. Here are text, which a person writes, and items that say who the subject is.
"""

from __future__ import annotations

import functools
import json
from importlib import resources

from imaging.deid.elements import DataSet
from imaging.deid.profiles import Action

CONTENT = 0x0040A730
_CONCEPT_NAME, _TEXT = 0x0040A043, 0x0040A160
_CODE, _SCHEME = 0x00080100, 0x00080102


@functools.cache
def _concepts(kind: str) -> frozenset[str]:
    raw = json.loads(resources.files("imaging.deid").joinpath("structured_content.json").read_text("utf-8"))
    return frozenset(code for code, _ in raw[kind])


def concept_of(item: DataSet) -> str:
    """The code of the concept that names a content item, of DICOM's own terms (DCM); empty if it has none."""
    for element in item:
        if element.tag == _CONCEPT_NAME and element.items:
            values = {e.tag: bytes(e.value).decode("latin-1").strip(" \0") for e in element.items[0]}
            return values.get(_CODE, "") if values.get(_SCHEME) == "DCM" else ""
        if element.tag > _CONCEPT_NAME:
            break
    return ""


def action(tag: int, concept: str) -> Action | None:
    """The rule for a value of an item of that concept; None if its attribute's own rule says it all."""
    if tag == _TEXT:
        return Action.CLEAN if concept in _concepts("cleaned texts") else Action.DUMMY
    return None


def without_subject(items: list[DataSet], *, retains_characteristics: bool) -> list[DataSet]:
    """The items of a Content Sequence that do not say who the subject is."""
    gone = _concepts("removed")
    if not retains_characteristics:
        gone |= _concepts("removed unless patient characteristics are retained")
    return [item for item in items if concept_of(item) not in gone]


def is_narrative(elements: DataSet) -> bool:
    """Whether a tree holds text that cleaning would not keep: then it is a report that somebody wrote."""
    stack = [elements]
    while stack:
        level = stack.pop()
        concept = concept_of(level)
        for element in level:
            if element.tag == _TEXT and len(element.value) and action(_TEXT, concept) is Action.DUMMY:
                return True
            stack.extend(element.items or ())
    return False
