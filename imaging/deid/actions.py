"""What each action of a profile makes of one element: one small function per action."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydicom.uid import UID_dictionary

from cases.ports import PatientKey
from imaging.deid import content, keys
from imaging.deid.dates import AGE, TIME, shifted_date, shifted_datetime
from imaging.deid.elements import Element
from imaging.deid.known import KnownIdentity
from imaging.deid.profiles import Action, Profile
from imaging.deid.text import clean
from imaging.dicom import charsets
from imaging.slides.icc import neutral_profile

REMOVED = "REMOVED"
TEXTS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
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


@dataclass(slots=True)
class Place:
    """Where an element stands: the character sets in force, and whether its sequence is made a dummy whole.

    `safe`: the level's private attributes that are kept, with their VRs; `about`: what its content item is about.
    """

    declared: tuple[str, ...]
    dummies: bool = False
    root: bool = False
    safe: Mapping[int, str] = field(default_factory=dict)
    about: content.About = content.NOTHING


@dataclass
class Actions:
    """A profile's actions for one patient. `unicode`: some text was written in UTF-8; `age`: the computed one."""

    key: PatientKey
    known: KnownIdentity
    profile: Profile
    unicode: bool = False
    age: str | None = None

    def carry_out(self, action: Action, element: Element, place: Place) -> Element | None:
        """The element as `action` makes it, changed in place; None if it goes."""
        return _EXECUTE[action](self, element, place)

    def _remove(self, element: Element, place: Place) -> Element | None:
        return None

    def _empty(self, element: Element, place: Place) -> Element | None:
        element.value, element.items, element.fragments = b"", None, False
        return element

    def _dummy(self, element: Element, place: Place) -> Element | None:
        if element.vr == "UI":
            return self._uid(element, place)
        element.value, element.fragments = _DUMMIES[element.vr].encode("ascii"), False
        return element

    def _uid(self, element: Element, place: Place) -> Element | None:
        if element.vr != "UI":
            return self._fall_back(element, place)
        originals = bytes(element.value).decode("latin-1").rstrip(" \0").split("\\")
        replaced = [
            o if not o or o in UID_dictionary else keys.uid(self.key.secret, o.strip()) for o in originals
        ]
        element.value = _even("\\".join(replaced).encode("ascii"), b"\0")
        return element

    def _keep(self, element: Element, place: Place) -> Element | None:
        """Kept: but text is written in UTF-8, without what is known; a number or a time must be one.

        Opaque bytes that the table names are not kept: nobody can look into them.
        """
        vr = element.vr
        if vr in _OPAQUE and element.tag in self.profile.basic:
            return self._fall_back(element, place)
        if vr in TEXTS or vr in _LATIN_TEXTS:
            return self._kept_text(element, place, strong=True)
        if vr == "UI" and not _UIDS.fullmatch(bytes(element.value)):
            return self._empty(element, place)
        form = _FORMS.get(vr)
        if form is not None:
            values = bytes(element.value).decode("latin-1").rstrip("\0").split("\\")
            if not all(form.fullmatch(v.strip(" ")) for v in values if v.strip(" ")):
                return self._empty(element, place)
        return element

    def _colour(self, element: Element, place: Place) -> Element | None:
        """A profile that cannot be made anew goes whole."""
        profile = neutral_profile(bytes(element.value))
        if profile is None:
            return None
        element.value = profile
        return element

    def _alone(self, element: Element, place: Place) -> Element | None:
        return element

    def _clean(self, element: Element, place: Place) -> Element | None:
        if element.vr not in TEXTS and element.vr not in _LATIN_TEXTS:
            return (
                self._keep(element, place)
                if element.vr in ("AS", "DS", "IS")
                else self._fall_back(element, place)
            )
        return self._kept_text(element, place, strong=False)

    def _kept_text(self, element: Element, place: Place, *, strong: bool) -> Element | None:
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
            return self._empty(element, Place(()))
        else:
            raw = text.encode("utf-8")
            self.unicode = True
        if element.vr not in ("UC", "UT") and len(raw) > 0xFFFE:
            raw = raw[:0xFFFE].decode("utf-8", "ignore").encode("utf-8")
        element.value = raw
        return element

    def _shift(self, element: Element, place: Place) -> Element | None:
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

    def _fall_back(self, element: Element, place: Place) -> Element | None:
        """What the basic column says, where an option cannot be carried out on this value."""
        code = self.profile.basic.get(element.tag, "X" if element.private else "Z")
        instead = _FALLBACK.get(code, Action.DUMMY if code[-1] == "D" else Action.EMPTY)
        return self.carry_out(instead, element, place)

    def _pseudonym(self, element: Element, place: Place) -> Element | None:
        element.value = self.key.pseudonym.encode("ascii")
        return element

    def _token(self, element: Element, place: Place) -> Element | None:
        text = charsets.decode(bytes(element.value), place.declared).text
        if text:
            element.value = keys.token(self.key.secret, self.profile.roles[element.tag], text).encode("ascii")
        return element

    def _recorded_age(self, element: Element, place: Place) -> Element | None:
        recorded = bytes(element.value).decode("latin-1").strip(" \0")
        if not place.root or self.age is None:
            return element if AGE.fullmatch(recorded) else self._empty(element, place)
        if not AGE.fullmatch(recorded) or recorded in ("000Y", "001Y"):
            element.value = self.age.encode("ascii")
        return element


_EXECUTE: dict[Action, Callable[[Actions, Element, Place], Element | None]] = {
    Action.REMOVE: Actions._remove,
    Action.EMPTY: Actions._empty,
    Action.DUMMY: Actions._dummy,
    Action.UID: Actions._uid,
    Action.KEEP: Actions._keep,
    Action.ALONE: Actions._alone,
    Action.CLEAN: Actions._clean,
    Action.SHIFT: Actions._shift,
    Action.PSEUDONYM: Actions._pseudonym,
    Action.TOKEN: Actions._token,
    Action.AGE: Actions._recorded_age,
    Action.DESCEND: Actions._keep,
    Action.GRAPHICS: Actions._remove,
    Action.COLOUR: Actions._colour,
}


def _even(raw: bytes, padding: bytes) -> bytes:
    return raw + padding * (len(raw) & 1)
