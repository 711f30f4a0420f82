"""Executing a profile on a data set, at every level, with an explicit stack: one small function per action."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from pydicom.uid import UID_dictionary

from cases.ports import PatientKey
from imaging.deid import content, graphics, keys, private
from imaging.deid.dates import AGE, TIME, age_at, read_date, shifted_date, shifted_datetime
from imaging.deid.elements import DataSet, Element, dictionary_vr
from imaging.deid.known import KnownIdentity, declared_charset
from imaging.deid.profiles import CLASS_UIDS, Action, Profile
from imaging.deid.text import clean
from imaging.dicom import charsets
from imaging.slides.icc import neutral_profile

REMOVED = "REMOVED"
_TEXTS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_MULTI = frozenset({"LO", "PN", "SH", "UC"})
_LATIN_TEXTS = frozenset({"AE", "CS"})
_OPAQUE = frozenset({"OB", "OW", "UN"})
_CODES = frozenset({0x00080100, 0x00080102, 0x00080103, 0x00080119, 0x00080120})
_FORMS = {
    "AS": AGE,
    "TM": TIME,
    "DA": re.compile(r"\d{8}|\d{4}\.\d{2}\.\d{2}"),
    "DT": re.compile(r"\d{4}(?:\d{2}){0,5}(?:\.\d{1,6})?(?:[+-]\d{4})?"),
    "DS": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"),
    "IS": re.compile(r"[+-]?\d{1,12}"),
}
_UIDS = re.compile(rb"[0-9.\\]*\0? ?")
_DUMMIES = {
    "AE": REMOVED, "AS": "000Y", "AT": "\0" * 4, "CS": REMOVED, "DA": "19000101", "DS": "0", "DT": "19000101000000",
    "FD": "\0" * 8, "FL": "\0" * 4, "IS": "0", "LO": REMOVED, "LT": REMOVED, "PN": REMOVED, "SH": REMOVED,
    "SL": "\0" * 4, "SS": "\0" * 2, "ST": REMOVED, "SV": "\0" * 8, "TM": "000000", "UC": REMOVED, "UL": "\0" * 4,
    "UR": "urn:removed", "US": "\0" * 2, "UT": REMOVED, "UV": "\0" * 8,
    "OB": "\0" * 2, "OW": "\0" * 2, "OF": "\0" * 4, "OL": "\0" * 4, "OD": "\0" * 8, "OV": "\0" * 8, "UN": "\0" * 2,
}  # fmt: skip
_FALLBACK = {"X": Action.REMOVE, "Z": Action.EMPTY}
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


def _depends_on_itself(element: Element, place: _Place) -> bool:
    """Whether what becomes of an element lies in itself and its place's key alone: not in its neighbours (private
    creators, the concept of a content item, an overlay's other parts), and not in its items."""
    if element.items is not None or element.fragments or len(element.value) > _REMEMBERED_BYTES:
        return False
    return not place.about.code and not element.tag & 0x10000 and element.tag >> 24 != 0x60


@dataclass(slots=True)
class _Place:
    """Where an element stands: the character sets in force, and whether its sequence is made a dummy whole.

    `safe`: the level's private attributes that are kept, with their VRs; `about`: what its content item is about.
    """

    declared: tuple[str, ...]
    dummies: bool = False
    root: bool = False
    safe: Mapping[int, str] = field(default_factory=dict)
    about: content.About = content.NOTHING


@dataclass
class Execution:
    """One profile at work on one data set, in place. `counts` says how often each action fell.

    `overlays`: the groups 60xx of the root that were looked at and may stay.
    """

    key: PatientKey
    known: KnownIdentity
    profile: Profile
    overlays: frozenset[int] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)
    unicode: bool = False
    age: str | None = None

    def __post_init__(self) -> None:
        self._memory = _memory_of(self.key, self.known, self.profile)

    def run(self, root: DataSet) -> None:
        """Treats every element at every level; says afterwards in which character set the text now is."""
        self.age = computed_age(root)
        stack = [(root, _Place(("ISO_IR 6",), root=True))]
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

    def _look_around(self, elements: DataSet, place: _Place) -> None:
        """What a level says of its own elements: whose private attributes are safe, and what its text is about."""
        options = self.profile.options
        if "retain-safe-private" in options and not place.dummies:
            place.safe = private.safe(elements)
        if "clean-structured-content" in options and not place.root:
            place.about = content.about(elements)

    def _treat(self, element: Element, place: _Place, stack: list[tuple[DataSet, _Place]]) -> Element | None:
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
        self, element: Element, action: Action, place: _Place, stack: list[tuple[DataSet, _Place]]
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
            stack.extend((item, _Place(place.declared, dummies)) for item in element.items)
            return element
        if action is not Action.REMOVE and not len(element.value) and element.items is None:
            return element
        if element.vr == "UN" and element.items is None and not element.private:
            element.vr = dictionary_vr(tag) if dictionary_vr(tag) != "SQ" else "UN"
        return _EXECUTE[action](self, element, place)

    def _keep_content(self, element: Element) -> bool:
        """Takes out the content items that the table removes; whether the sequence may stay after that."""
        items, options = element.items or [], self.profile.options
        if "clean-structured-content" not in options:
            return True
        element.items = content.kept(items, options)
        self.counts["remove"] += len(items) - len(element.items)
        return bool(element.items or not items) or element.tag != content.CONTENT

    def _action(self, element: Element, place: _Place) -> Action:
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

    def _private(self, element: Element, place: _Place) -> Action:
        vr = place.safe[element.tag]
        if vr == private.CREATOR:
            return Action.ALONE
        element.vr = vr
        return private.action(vr, keeps_uids="retain-uids" in self.profile.options)

    @staticmethod
    def _in_dummy(action: Action, vr: str = "") -> Action:
        if action in (Action.KEEP, Action.CLEAN) and (not vr or vr in _TEXTS):
            return Action.DUMMY
        return action

    # --- one function per action

    def _remove(self, element: Element, place: _Place) -> Element | None:
        return None

    def _empty(self, element: Element, place: _Place) -> Element | None:
        element.value, element.items, element.fragments = b"", None, False
        return element

    def _dummy(self, element: Element, place: _Place) -> Element | None:
        if element.vr == "UI":
            return self._uid(element, place)
        element.value, element.fragments = _DUMMIES[element.vr].encode("ascii"), False
        return element

    def _uid(self, element: Element, place: _Place) -> Element | None:
        if element.vr != "UI":
            return self._fall_back(element, place)
        originals = bytes(element.value).decode("latin-1").rstrip(" \0").split("\\")
        replaced = [
            o if not o or o in UID_dictionary else keys.uid(self.key.secret, o.strip()) for o in originals
        ]
        element.value = _even("\\".join(replaced).encode("ascii"), b"\0")
        return element

    def _keep(self, element: Element, place: _Place) -> Element | None:
        """Kept: but text is written in UTF-8, without what is known; a number or a time must be one.

        Opaque bytes that the table names are not kept: nobody can look into them.
        """
        vr = element.vr
        if vr in _OPAQUE and element.tag in self.profile.basic:
            return self._fall_back(element, place)
        if vr in _TEXTS or vr in _LATIN_TEXTS:
            return self._kept_text(element, place, strong=True)
        if vr == "UI" and not _UIDS.fullmatch(bytes(element.value)):
            return self._empty(element, place)
        form = _FORMS.get(vr)
        if form is not None:
            values = bytes(element.value).decode("latin-1").rstrip("\0").split("\\")
            if not all(form.fullmatch(v.strip(" ")) for v in values if v.strip(" ")):
                return self._empty(element, place)
        return element

    def _colour(self, element: Element, place: _Place) -> Element | None:
        """A profile that cannot be made anew goes whole."""
        profile = neutral_profile(bytes(element.value))
        if profile is None:
            return None
        element.value = profile
        return element

    def _alone(self, element: Element, place: _Place) -> Element | None:
        return element

    def _clean(self, element: Element, place: _Place) -> Element | None:
        if element.vr not in _TEXTS and element.vr not in _LATIN_TEXTS:
            return (
                self._keep(element, place)
                if element.vr in ("AS", "DS", "IS")
                else self._fall_back(element, place)
            )
        return self._kept_text(element, place, strong=False)

    def _kept_text(self, element: Element, place: _Place, *, strong: bool) -> Element | None:
        read = charsets.decode(bytes(element.value), place.declared)
        if read.lossy or (element.vr in ("SH", "CS", "AE") and len(element.value) > 1024):
            return self._fall_back(element, place)
        text = read.text if not read.cut else read.text.rstrip("\ufffd")
        if element.tag not in _CODES:
            parts = text.split("\\") if element.vr in _MULTI | _LATIN_TEXTS else [text]
            text = "\\".join(clean(part, self.known, strong=strong) for part in parts)
        if not text.strip("\\ "):
            return self._fall_back(element, place)
        return self._with_text(element, text)

    def _with_text(self, element: Element, text: str) -> Element | None:
        if text.isascii():
            raw = text.encode("ascii")
        elif element.vr in _LATIN_TEXTS:
            return self._empty(element, _Place(()))
        else:
            raw = text.encode("utf-8")
            self.unicode = True
        if element.vr not in ("UC", "UT") and len(raw) > 0xFFFE:
            raw = raw[:0xFFFE].decode("utf-8", "ignore").encode("utf-8")
        element.value = raw
        return element

    def _shift(self, element: Element, place: _Place) -> Element | None:
        if element.vr == "TM" or element.tag == 0x00080201:
            return self._keep(element, place)
        if element.vr not in ("DA", "DT"):
            return self._fall_back(element, place)
        shifted = shifted_date if element.vr == "DA" else shifted_datetime
        values = bytes(element.value).decode("latin-1").strip(" \0").split("\\")
        moved = [shifted(v, self.key.shift_days) if v.strip(" ") else "" for v in values]
        if None in moved or not any(moved):
            return self._fall_back(element, place)
        element.value = "\\".join(m or "" for m in moved).encode("ascii")
        return element

    def _fall_back(self, element: Element, place: _Place) -> Element | None:
        """What the basic column says, where an option cannot be carried out on this value."""
        code = self.profile.basic.get(element.tag, "X" if element.private else "Z")
        return _EXECUTE[_FALLBACK.get(code, Action.DUMMY if code[-1] == "D" else Action.EMPTY)](
            self, element, place
        )

    def _pseudonym(self, element: Element, place: _Place) -> Element | None:
        element.value = self.key.pseudonym.encode("ascii")
        return element

    def _token(self, element: Element, place: _Place) -> Element | None:
        text = charsets.decode(bytes(element.value), place.declared).text
        if text:
            element.value = keys.token(self.key.secret, self.profile.roles[element.tag], text).encode("ascii")
        return element

    def _recorded_age(self, element: Element, place: _Place) -> Element | None:
        recorded = bytes(element.value).decode("latin-1").strip(" \0")
        if not place.root or self.age is None:
            return element if AGE.fullmatch(recorded) else self._empty(element, place)
        if not AGE.fullmatch(recorded) or recorded in ("000Y", "001Y"):
            element.value = self.age.encode("ascii")
        return element

    def _insert_age(self, root: DataSet) -> None:
        if self.age is None or self.profile.rules.get(_AGE) is not Action.AGE:
            return
        if not any(e.tag == _AGE and len(e.value) for e in root):
            insert(root, Element(_AGE, "AS", self.age.encode("ascii")))


_EXECUTE: dict[Action, Callable[[Execution, Element, _Place], Element | None]] = {
    Action.REMOVE: Execution._remove,
    Action.EMPTY: Execution._empty,
    Action.DUMMY: Execution._dummy,
    Action.UID: Execution._uid,
    Action.KEEP: Execution._keep,
    Action.ALONE: Execution._alone,
    Action.CLEAN: Execution._clean,
    Action.SHIFT: Execution._shift,
    Action.PSEUDONYM: Execution._pseudonym,
    Action.TOKEN: Execution._token,
    Action.AGE: Execution._recorded_age,
    Action.DESCEND: Execution._keep,
    Action.GRAPHICS: Execution._remove,
    Action.COLOUR: Execution._colour,
}


def _even(raw: bytes, padding: bytes) -> bytes:
    return raw + padding * (len(raw) & 1)


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
