"""Executing a profile on a data set, at every level, with an explicit stack: which action each element gets.

What an action makes of an element is in `imaging.deid.actions`.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from cases.ports import PatientKey
from imaging.deid import content, graphics, private
from imaging.deid.actions import TEXTS, Actions, Place
from imaging.deid.dates import age_at, read_date
from imaging.deid.elements import DataSet, Element, dictionary_vr
from imaging.deid.known import KnownIdentity, declared_charset
from imaging.deid.profiles import CLASS_UIDS, Action, Profile

_CHARSET, _PADDING = 0x00080005, 0xFFFCFFFC
# What of the groups 7Fxx describes or holds the picture; anything else there is another one, or nobody knows what.
_PICTURE = frozenset((0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00008, 0x7FE00009, 0x7FE00010))
_NEVER = frozenset((_CHARSET, _PADDING))
_AGE, _BIRTH, _STUDY_DATE = 0x00101010, 0x00100030, 0x00080020


# What an element became, by (tag, VR, value, character sets, whether inside a dummy): the action's name, the VR, the
# new value (None: removed), whether it is in UTF-8. The instances of a series differ in few values.
_Memory = dict[tuple[int, str, bytes, tuple[str, ...], bool], tuple[str, str, bytes | None, bool]]
_REMEMBERED, _REMEMBERED_BYTES = 8192, 512


@functools.lru_cache(maxsize=16)
def _memory_of(key: PatientKey, known: KnownIdentity, profile: Profile) -> _Memory:
    """The memory for one patient, what is known of whom, and one profile: on these three an outcome depends."""
    return {}


def _depends_on_itself(element: Element, place: Place) -> bool:
    """Whether what becomes of an element lies in itself and its place's key alone: not in its neighbours (private
    creators, the concept of a content item, an overlay's other parts), and not in its items."""
    if element.items is not None or element.fragments or len(element.value) > _REMEMBERED_BYTES:
        return False
    return not place.about.code and not element.tag & 0x10000 and element.tag >> 24 != 0x60


@dataclass
class Execution(Actions):
    """One profile at work on one data set, in place. `counts` says how often each action fell.

    `overlays`: the groups 60xx of the root that were looked at and may stay.
    """

    overlays: frozenset[int] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._memory = _memory_of(self.key, self.known, self.profile)

    def run(self, root: DataSet) -> None:
        """Treats every element at every level; says afterwards in which character set the text now is."""
        self.age = computed_age(root)
        stack = [(root, Place(("ISO_IR 6",), root=True))]
        while stack:
            elements, place = stack.pop()
            place.declared = declared_charset(elements) or place.declared
            self._look_around(elements, place)
            looked_at = [e for e in elements if not e.tag & 0x10000 or e.tag in place.safe]
            self.counts["remove"] += len(elements) - len(looked_at)
            kept = [kept for e in looked_at if (kept := self._treat(e, place, stack)) is not None]
            elements[:] = private.without_ownerless_creators(kept) if place.safe else kept
        self._insert_age(root)
        if self.unicode:
            insert(root, Element(_CHARSET, "CS", b"ISO_IR 192"))

    def _look_around(self, elements: DataSet, place: Place) -> None:
        """What a level says of its own elements: whose private attributes are safe, and what its text is about."""
        options = self.profile.options
        if "retain-safe-private" in options and not place.dummies:
            place.safe = private.safe(elements)
        if "clean-structured-content" in options and not place.root:
            place.about = content.about(elements)

    def _treat(self, element: Element, place: Place, stack: list[tuple[DataSet, Place]]) -> Element | None:
        """What becomes of an element: as it was for the same value of this patient before, or worked out."""
        if not _depends_on_itself(element, place):
            return self._work_out(element, self._action(element, place), place, stack)
        asked = (element.tag, element.vr, bytes(element.value), place.declared, place.dummies)
        outcome = self._memory.get(asked)
        if outcome is None:
            action, unicode = self._action(element, place), self.unicode
            self.unicode = False
            kept = self._work_out(element, action, place, stack)
            if action is not Action.AGE:
                if len(self._memory) >= _REMEMBERED:
                    self._memory.clear()
                value = bytes(kept.value) if kept else None
                self._memory[asked] = action.name.lower(), element.vr, value, self.unicode
            self.unicode |= unicode
            return kept
        word, element.vr, value, unicode = outcome
        self.counts[word] += 1
        if value is None:
            return None
        element.value = value
        self.unicode |= unicode
        return element

    def _work_out(
        self, element: Element, action: Action, place: Place, stack: list[tuple[DataSet, Place]]
    ) -> Element | None:
        tag = element.tag
        self.counts[action.name.lower()] += 1
        if action is Action.GRAPHICS:
            element.items = graphics.without_text(element.items or [])
            if not element.items:
                return None
        if element.items is not None and action not in (Action.REMOVE, Action.EMPTY):
            if not self._keep_content(element):
                return None
            dummies = place.dummies or action is Action.DUMMY
            stack.extend((item, Place(place.declared, dummies)) for item in element.items)
            return element
        if action is not Action.REMOVE and not len(element.value) and element.items is None:
            return element
        if element.vr == "UN" and element.items is None and not element.private:
            element.vr = dictionary_vr(tag) if dictionary_vr(tag) != "SQ" else "UN"
        return self.carry_out(action, element, place)

    def _keep_content(self, element: Element) -> bool:
        """Takes out the content items that the table removes; whether the sequence may stay after that."""
        items, options = element.items or [], self.profile.options
        if "clean-structured-content" not in options:
            return True
        element.items = content.kept(items, options)
        self.counts["remove"] += len(items) - len(element.items)
        return bool(element.items or not items) or element.tag != content.CONTENT

    def _action(self, element: Element, place: Place) -> Action:
        """The rule for an element: its own, its group's, or that of its value representation."""
        tag, vr = element.tag, element.vr
        group = tag >> 16
        if group & 1:
            return self._private(element, place)
        if group >> 8 == 0x60 and place.root and group in self.overlays:
            return Action.KEEP if tag & 0xFFFF in graphics.OVERLAY_PARTS else Action.REMOVE
        if group < 8 or group >> 8 in (0x50, 0x60) or tag & 0xFFFF == 0 or tag in _NEVER:
            return Action.REMOVE
        if group >> 8 == 0x7F and tag not in _PICTURE:
            return Action.REMOVE
        rule = self.profile.rules.get(tag)
        if group == 0x40 and "clean-structured-content" in self.profile.options:
            rule = content.action(tag, place.about, self.profile.options) or rule
        if rule is not None and (rule is not Action.DESCEND or element.items is not None):
            return self._in_dummy(rule) if place.dummies else rule
        known = dictionary_vr(tag)
        if known == "UN" and element.items is None:
            return Action.REMOVE
        vr = known if vr == "UN" else vr
        if tag in CLASS_UIDS:
            return Action.KEEP
        action = self.profile.default(vr)
        return self._in_dummy(action, vr) if place.dummies else action

    def _private(self, element: Element, place: Place) -> Action:
        vr = place.safe[element.tag]
        if vr == private.CREATOR:
            return Action.ALONE
        element.vr = vr
        return private.action(vr, keeps_uids="retain-uids" in self.profile.options)

    @staticmethod
    def _in_dummy(action: Action, vr: str = "") -> Action:
        if action in (Action.KEEP, Action.CLEAN) and (not vr or vr in TEXTS):
            return Action.DUMMY
        return action

    def _insert_age(self, root: DataSet) -> None:
        if self.age is None or self.profile.rules.get(_AGE) is not Action.AGE:
            return
        if not any(e.tag == _AGE and len(e.value) for e in root):
            insert(root, Element(_AGE, "AS", self.age.encode("ascii")))


def value_of(elements: DataSet, tag: int) -> str:
    """The text of a value in the default repertoire at this level; empty if absent."""
    for element in elements:
        if element.tag == tag:
            return bytes(element.value).decode("latin-1").strip(" \0")
    return ""


def insert(elements: DataSet, new: Element) -> None:
    """Puts `new` in its place by tag, instead of any that is there."""
    for at, element in enumerate(elements):
        if element.tag == new.tag:
            elements[at] = new
            return
        if element.tag > new.tag:
            elements.insert(at, new)
            return
    elements.append(new)


def computed_age(root: DataSet) -> str | None:
    """The age at the examination, from the birth date and the first date of study, series or acquisition."""
    born = read_date(value_of(root, _BIRTH))
    examined: date | None = None
    for tag in (_STUDY_DATE, 0x00080021, 0x00080022, 0x00080023):
        examined = examined or read_date(value_of(root, tag))
    return age_at(born, examined) if born and examined else None
