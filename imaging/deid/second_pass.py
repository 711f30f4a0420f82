"""The independent second pass over a DICOM file that would leave: it believes nothing that the first pass did.

It reads the output with its own reader, holds it against PS3.15 Table E.1-1 and against the source, attribute by
attribute, and searches all bytes for the identity that it finds in the source and that the order knows. It fails
closed: what it cannot read, it reports. Findings name attributes and kinds, never values.
"""

from __future__ import annotations

import bisect
import functools
import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from cases.documents import Area
from cases.errors import Quarantine
from imaging.deid import second_frames, second_pixels, second_rules
from imaging.deid.known import KnownIdentity
from imaging.deid.second_known import NUMBERS, day_of, identity_of
from imaging.deid.second_reader import Body, Seen, Unreadable, take_apart
from imaging.deid.second_search import compiled
from imaging.ocr import Engine

_META_ALLOWED = frozenset(
    {0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013}
)
_NOT_TEXT = frozenset(
    (b"DS", b"IS", b"TM", b"AS", b"DA", b"DT", b"UI", b"FD", b"FL", b"SL", b"SS", b"UL", b"US")
)
_NUMBERS_OF_BYTES = frozenset((b"FD", b"FL", b"SL", b"SS", b"UL", b"US"))
_FEWEST_IN_NUMBERS = 6
_TEXT = frozenset((b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"))
_DUMMIES = frozenset((b"", b"REMOVED", b"0", b"19000101", b"19000101000000", b"000000", b"000Y"))
_REPLACEMENT = re.compile(rb"[A-Z]-[A-Z2-7]{11,13}|urn:removed")  # a token, a pseudonym
_PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_FRAME_TABLES = (0x7FE00001, 0x7FE00002, 0x7FE00003)
_CONTENT, _UID_VALUE = 0x0040A730, 0x0040A124
_TEXT_VALUE = 0x0040A160  # of structured content (PS3.3 C.17.3): no row of its own
_PROFILE = 0x00282000  # ICC Profile
_NO_ROW_BUT_TEXT = (_TEXT_VALUE, 0x00700006)  # nor has text in drawings (PS3.3 C.10.5)
_INSTITUTION = frozenset((0x00080080, 0x00080081, 0x00081040))
_TERM = re.compile(rb"[A-Z0-9_ \\]*")
_STANDARD_ROOT = b"1.2.840.10008."
_PATTERNS = (
    re.compile(rb"(?<![0-9A-Za-z.])[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx](?![0-9A-Za-z.])"),
    re.compile(rb"(?<![0-9A-Za-z.])1[3-9]\d{9}(?![0-9A-Za-z.])"),
    re.compile(rb"[\w.+-]+@[\w-]+\.[\w.-]+"),
)  # fmt: skip
_NO_ROW: tuple[str, frozenset[str]] = ("", frozenset())
_REMEMBERED_BYTES = 256
_WRITTEN_DATE = re.compile(rb"(?<![0-9.])(?:19|20)\d{2}([-/.])\d{1,2}\1\d{1,2}(?![0-9.])")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that must not leave: `where` is an attribute `(gggg,eeee)` or a part of the file, `what` its kind."""

    where: str
    what: str


def check(
    source: Path,
    output: Path,
    known: KnownIdentity,
    shift_days: int,
    profile: str = "network",
    *,
    engine: Engine | None = None,
    blanked: Sequence[Area] = (),
) -> int:
    """Looks through all of `output`; returns its size in bytes.

    :param source: the file that it was made from; what identifies is read from there afresh.
    :param engine: reads text in a picture that may show some; without one pictures are not looked at.
    :param blanked: what is said to be blanked in the pixels, whoever decided so.
    :raises Quarantine: `identity-left`, naming attributes and kinds, never values.
    """
    found, bodies = _looked_through(source, output, known, shift_days, profile)
    if found or bodies is None:
        said = sorted({f"{f.what} in {f.where}" for f in found})
        more = f" and {len(said) - 8} more" if len(said) > 8 else ""
        raise Quarantine("identity-left", "; ".join(said[:8]) + more)
    if engine is not None:
        second_pixels.check(output, *bodies, engine, known, blanked)
    return output.stat().st_size


def findings(
    source: Path, output: Path, known: KnownIdentity, shift_days: int, profile: str = "network"
) -> tuple[Finding, ...]:
    """Everything that must not leave, but for what only pixels show. Never raises for what is in the files."""
    return _looked_through(source, output, known, shift_days, profile)[0]


def _looked_through(
    source: Path, output: Path, known: KnownIdentity, shift_days: int, profile: str
) -> tuple[tuple[Finding, ...], tuple[Body, Body] | None]:
    """What was found, and the source and the output taken apart; None if they cannot be."""
    try:
        result = take_apart(_bytes_of(output), _sequences())
        original = take_apart(_bytes_of(source), _sequences())
    except Unreadable as unreadable:
        return (Finding(where="the file", what=f"unread bytes ({unreadable})"),), None
    before = {seen[:2]: seen for seen in original.elements}
    judge = _Judge(original, result, before, shift_days, second_rules.columns(profile))
    found = (
        *judge.head(),
        *judge.attributes(),
        *_search(original, result, known, judge.columns),
        *(
            Finding(where=_named(tag), what="bytes beside the picture")
            for tag in second_frames.spoken(result)
        ),
    )
    return found, (original, result)


def _bytes_of(path: Path) -> memoryview:
    with path.open("rb") as stream:
        if path.stat().st_size == 0:
            raise Unreadable("the file is empty")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


@functools.cache
def _sequences() -> frozenset[int]:
    from pydicom._dicom_dict import DicomDictionary

    return frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")


@dataclass(frozen=True)
class _Judge:
    """Holds an output against the table and against its source, attribute by attribute."""

    original: Body
    result: Body
    before: dict[tuple[tuple[int, ...], int], Seen]
    shift_days: int
    columns: frozenset[str]

    @functools.cached_property
    def rows(self) -> dict[int, tuple[str, frozenset[str]]]:
        return second_rules.rows(self.columns)

    @functools.cached_property
    def private(self) -> dict[tuple[tuple[int, ...], int], bytes]:
        return second_rules.safe_private(self.result) if "retain-safe-private" in self.columns else {}

    @functools.cached_property
    def concepts(self) -> dict[tuple[int, ...], second_rules.Concept]:
        return second_rules.concepts(self.result) if "clean-structured-content" in self.columns else {}

    def head(self) -> Iterator[Finding]:
        if not self.result.preamble_is_blank:
            yield Finding(where="the preamble", what="bytes")
        for tag in self.result.meta.keys() - _META_ALLOWED:
            yield Finding(where=_named(tag), what="a file meta attribute")
        if len({(s.path, s.tag) for s in self.result.elements}) != len(self.result.elements):
            yield Finding(where="the data set", what="an element that stands twice")
        kept = "retain-uids" in self.columns
        if not kept and self.result.meta.get(0x00020003, b"") == self.original.meta.get(0x00020003, b"-"):
            yield Finding(where=_named(0x00020003), what="the true UID")

    def attributes(self) -> Iterator[Finding]:
        uids = {u for s in self.original.elements if s.vr == b"UI" for u in _values(self.original, s)}
        for seen in self.result.elements:
            if (what := self._wrong(seen, uids)) is not None:
                yield Finding(where=_named(seen.tag), what=what)
        if "clean-graphics" in self.columns:
            for tag in second_rules.texts_in_drawings(self.result):
                yield Finding(where=_named(tag), what="text in a drawing")
        for path, concept in self.concepts.items():
            if second_rules.must_go(concept, self.columns):
                where = _named(path[-2]) if path else "the data set"
                yield Finding(where=where, what="a content item that the table removes")

    def _wrong(self, seen: Seen, uids: set[bytes]) -> str | None:
        path, tag, vr, start, end = seen
        group = tag >> 16
        private = self.private.get((path, tag)) if group & 1 else None
        if group & 1 and private is None:
            return "a private attribute"
        if group >> 8 == 0x60 and "clean-graphics" in self.columns:
            return second_rules.wrong_overlay(self.result, seen)
        beside_the_picture = group >> 8 == 0x7F and not group & 1 and tag not in (*_PIXELS, *_FRAME_TABLES)
        if group >> 8 in (0x50, 0x60) or tag == 0xFFFCFFFC or group < 8 or beside_the_picture:
            return "an attribute of a group that is removed"
        basic, options = self.rows.get(tag, _NO_ROW)
        if basic == "X" and not options:
            return "an attribute that the table removes"
        if start == end:
            return None
        if tag == _PROFILE:
            return second_rules.wrong_profile(bytes(self.result.content[start:end]))
        vr = private or vr
        value = bytes(self.result.content[start:end]) if tag not in _PIXELS else b""
        if vr == b"UI":
            if tag == _UID_VALUE and self._may_say(seen):
                return None
            if private and "retain-uids" not in self.columns:
                basic = "U"
            return self._wrong_uid(basic, options, value, uids)
        if vr in (b"DA", b"DT"):
            return self._wrongday_of(seen, basic, options, value)
        if vr == b"PN" and value.strip(b" \0") not in _DUMMIES and tag != 0x00100010:
            return "a person's name"
        return self._wrong_text(seen, vr, basic, options, value)

    def _may_say(self, seen: Seen) -> bool:
        return second_rules.may_say(self.concepts.get(seen.path), self.columns)

    def _wrong_text(
        self, seen: Seen, vr: bytes, basic: str, options: frozenset[str], value: bytes
    ) -> str | None:
        if vr in _TEXT and _has_pattern(value):
            return "a national ID, telephone number or mail address"
        if vr in _TEXT and any(o.endswith(" C") for o in options) and _WRITTEN_DATE.search(value):
            return "a written date"
        binary = vr in (b"OB", b"OW", b"UN")
        dummy = bool(seen.path) and self._under_dummy(seen.path)
        if seen.tag == _TEXT_VALUE and not dummy and self._may_say(seen):
            return "a written date" if _WRITTEN_DATE.search(value) else None
        if dummy and vr == b"CS" and not basic and _TERM.fullmatch(value.rstrip(b"\0")):
            return None  # a term of structure: what kind of item, how it relates
        if seen.tag in _NO_ROW_BUT_TEXT or (basic and (binary or not options)) or dummy:
            return (
                None if vr in _NOT_TEXT and not basic else self._not_replaced(seen, vr, value.strip(b" \0"))
            )
        return None

    def _wrongday_of(self, seen: Seen, basic: str, options: frozenset[str], value: bytes) -> str | None:
        if basic and not options:
            return None if value.strip(b" \0") in _DUMMIES else "a date that is no dummy"
        if "retain-longitudinal-modified-dates" in self.columns:
            return self._wrong_date(seen, value, self.shift_days)
        if options or "retain-longitudinal-full-dates" in self.columns:
            return self._wrong_date(seen, value, 0)
        return None if value.strip(b" \0") in _DUMMIES else "a date"

    def _not_replaced(self, seen: Seen, vr: bytes, value: bytes) -> str | None:
        """Of an attribute that the profile empties or replaces: text must be a dummy, a token or a pseudonym."""
        if value in _DUMMIES:
            return None
        if vr in (*_TEXT, b"CS", b"AE", b"UR"):
            return None if _REPLACEMENT.fullmatch(value) else "a value that is no replacement"
        same = any(value) and self._source_of(seen).strip(b" \0") == value
        return "the true value" if same else None

    def _source_of(self, seen: Seen) -> bytes:
        """The value that the source has in this place; empty if none."""
        was = self.before.get((seen.path, seen.tag))
        return bytes(self.original.content[was.start : was.end]) if was else b""

    def _under_dummy(self, path: tuple[int, ...]) -> bool:
        for tag in path[::2]:
            basic, options = self.rows.get(tag, _NO_ROW)
            if basic and not options and "U" not in basic:
                return True
        return False

    def _wrong_uid(self, basic: str, options: frozenset[str], value: bytes, uids: set[bytes]) -> str | None:
        if any(o.endswith(" K") for o in options):
            return None
        for uid in value.rstrip(b" \0").split(b"\\"):
            if uid.startswith(_STANDARD_ROOT) and not ("U" in basic and uid in uids):
                continue
            if basic and uid and (uid in uids or not uid.startswith(b"2.25.")):
                return "a true UID"
        return None

    def _wrong_date(self, seen: Seen, value: bytes, days: int) -> str | None:
        if _CONTENT in seen.path[::2] or any(
            seen.path[:end] in self.concepts for end in range(2, len(seen.path) + 1, 2)
        ):
            return self._wrong_content_date(seen, value, days)
        was = self._source_of(seen)
        if not was.strip(b" \0"):
            return "a date that the source does not have"
        for now, then in zip(value.split(b"\\"), was.split(b"\\"), strict=False):
            now_day, then_day = day_of(now), day_of(then)
            if now_day is None or now.strip(b" \0")[:8] == b"19000101":
                continue
            if then_day is None or now_day != then_day + timedelta(days=days):
                return "a date that is not moved by the patient's days"
        return None

    def _wrong_content_date(self, seen: Seen, value: bytes, days: int) -> str | None:
        """Content items may be gone, so that those after them count differently: any of the source's will do."""
        moved = [
            day - timedelta(days=days) for v in value.split(b"\\") if v.strip(b" \0") and (day := day_of(v))
        ]
        there = {
            day_of(then)
            for (_, tag), was in self.before.items()
            if tag == seen.tag
            for then in bytes(self.original.content[was.start : was.end]).split(b"\\")
        }
        if value.strip(b" \0") in _DUMMIES or there.issuperset(moved):
            return None
        return "a date that is not moved by the patient's days"


def _values(body: Body, seen: Seen) -> list[bytes]:
    return bytes(body.content[seen.start : seen.end]).rstrip(b" \0").split(b"\\")


def _named(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _has_pattern(value: bytes) -> bool:
    return _short_has_pattern(value) if len(value) <= _REMEMBERED_BYTES else _meets_pattern(value)


@functools.lru_cache(maxsize=4096)
def _short_has_pattern(value: bytes) -> bool:
    return _meets_pattern(value)


def _meets_pattern(value: bytes) -> bool:
    for pattern in _PATTERNS:
        for met in pattern.finditer(value):
            digits = met[0]
            if len(digits) != 18 or not digits[:17].isdigit() or _check_digit(digits):
                return True
    return False


def _check_digit(number: bytes) -> bool:
    total = sum((digit - 48) * weight for digit, weight in zip(number, _WEIGHTS, strict=False))
    return b"10X98765432"[total % 11] == number[17:].upper()[0]


# --- identity anywhere in the bytes


def _search(original: Body, result: Body, known: KnownIdentity, columns: frozenset[str]) -> Iterator[Finding]:
    keeps_institution = "retain-institution-identity" in columns
    names, numbers, days = identity_of(original, NUMBERS - (_INSTITUTION if keeps_institution else set()))
    if keeps_institution:
        known = replace(known, places=())
    search = compiled(
        tuple(sorted({*names, *known.names, *known.people})),
        tuple(sorted({*numbers, *known.identifiers, *known.phones, *known.addresses, *known.places})),
        tuple(sorted({*days, *known.birth_dates})),
    )
    pixels = [(s.start, s.end) for s in result.elements if s.tag in _PIXELS]
    starts = [s.start for s in result.elements]
    for start, end in search.places(result.content, pixels):
        at = bisect.bisect_right(starts, start) - 1
        seen = result.elements[at] if at >= 0 else None
        if seen is None or not seen.start <= start < seen.end:
            yield Finding(where="bytes between values", what="known identity")
        elif _may_be_meant(seen, bytes(result.content[start:end])):
            yield Finding(where=_named(seen.tag), what="known identity")


def _may_be_meant(seen: Seen, met: bytes) -> bool:
    """Whether what was met is more than chance: numbers repeat short numbers, and codes do. A letter in a number, or
    six bytes in binary values, are none."""
    if seen.vr in _NUMBERS_OF_BYTES:
        return len(met) >= _FEWEST_IN_NUMBERS
    if seen.vr in _NOT_TEXT:
        return any(chr(byte).isalpha() for byte in met)
    return not _is_code(seen)


def _is_code(seen: Seen) -> bool:
    """Code values repeat short numbers by chance; the code's meaning beside it is searched."""
    return seen.tag in (0x00080100, 0x00080102, 0x00080103)
