"""Walking a data set to its end: every length is checked against what holds it, nothing large is kept.

Follows PS3.5 section 7 and Annex A, with pydicom's reading of what senders get wrong, so that both see the same
elements: items that switch to implicit VR (CP-246), VRs that are no letters, UN that hides a sequence.
Iterative, so no depth of nesting can exhaust Python's stack; beyond `MAX_DEPTH` it refuses, because others recurse.
"""

from __future__ import annotations

import struct
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from pydicom._dicom_dict import DicomDictionary
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from cases.errors import Quarantine
from imaging.dicom.stream import Forward

MAX_DEPTH = 32
MAX_ELEMENTS = 5_000_000
MAX_VALUE = 1 << 16
_MOST_BEGINS = 64

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG_LENGTH = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
SHORT_LENGTH = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_16)
_SEQUENCES = frozenset(tag for tag, row in DicomDictionary.items() if row[0] == "SQ")
PIXEL_TAGS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))

Path = tuple[int, ...]


def damaged(what: str) -> Quarantine:
    return Quarantine("file-damaged", what)


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What was met of pixel data: its `length` if native; else its fragments after the offset table, by their edges.

    `begins` are the fragments' distinct first four bytes, the first one's first; `unended` counts those without the
    marker FF D9 in their last 16 bytes, `last_ended` says whether the last has it.
    """

    length: int | None = None
    fragments: int = 0
    begins: tuple[bytes, ...] = ()
    unended: int = 0
    last_ended: bool = False


@dataclass(kw_only=True)
class Walked:
    """The wanted values by path of tags (a path is met once per item), and what was walked over.

    `little` is the byte order of binary values; `deepest` counts levels of sequences.
    """

    little: bool
    values: dict[Path, list[bytes]] = field(default_factory=dict)
    pixels: Pixels | None = None
    elements: int = 0
    deepest: int = 0

    def first(self, *path: int) -> bytes | None:
        found = self.values.get(path)
        return found[0] if found else None


class _Level:
    """A data set (`is_dataset`) or a sequence that we are inside; `end` is absent where the length is undefined."""

    __slots__ = ("end", "implicit", "is_dataset", "path", "seen")

    def __init__(self, *, is_dataset: bool, end: int | None, implicit: bool, path: Path) -> None:
        self.is_dataset = is_dataset
        self.end = end
        self.implicit = implicit
        self.path = path
        self.seen: set[int] = set()


def walk(window: Forward, *, implicit: bool, little: bool, wanted: AbstractSet[Path]) -> Walked:
    """Walks from the window's position to the end of the stream.

    :raises Quarantine: `file-damaged` for whatever does not end where it says it ends; `read-limit`.
    """
    return _Walker(window, little, wanted).run(implicit)


class _Walker:
    def __init__(self, window: Forward, little: bool, wanted: AbstractSet[Path]) -> None:
        self._window = window
        self._wanted = wanted
        self._walked = Walked(little=little)
        self._pair = struct.Struct("<HH" if little else ">HH")
        self._long = struct.Struct("<L" if little else ">L")
        self._short = struct.Struct("<H" if little else ">H")
        self._levels: list[_Level] = []

    def run(self, implicit: bool) -> Walked:
        self._enter(is_dataset=True, end=None, implicit=self._sniff(implicit, top=True), path=())
        levels, window = self._levels, self._window
        while levels:
            level = levels[-1]
            if level.end is not None and window.position >= level.end:
                if window.position > level.end:
                    raise damaged("an element is longer than what holds it")
                levels.pop()
            elif len(levels) == 1 and not window.peek(1):
                levels.pop()
            elif level.is_dataset:
                self._element(level)
            else:
                self._item(level)
        return self._walked

    def _enter(self, *, is_dataset: bool, end: int | None, implicit: bool, path: Path) -> None:
        outer = self._outer_end()
        if end is not None and outer is not None and end > outer:
            raise damaged("an item or a sequence is longer than what holds it")
        self._levels.append(_Level(is_dataset=is_dataset, end=end, implicit=implicit, path=path))
        self._walked.deepest = max(self._walked.deepest, len(path))
        if len(path) > MAX_DEPTH:
            raise damaged(f"sequences are nested deeper than {MAX_DEPTH} levels")

    def _outer_end(self) -> int | None:
        return next((level.end for level in reversed(self._levels) if level.end is not None), None)

    def _sniff(self, implicit: bool, *, top: bool) -> bool:
        """Whether the data set here is in implicit VR: by its first element, as pydicom decides."""
        if implicit and not top:
            return True
        vr = self._window.peek(6)[4:]
        if len(vr) < 2:
            return implicit
        return not (0x40 < vr[0] < 0x5B and 0x40 < vr[1] < 0x5B)

    def _count(self) -> None:
        self._walked.elements += 1
        if self._walked.elements > MAX_ELEMENTS:
            raise Quarantine("read-limit", f"more than {MAX_ELEMENTS} elements")

    def _tag(self) -> int:
        group, element = self._pair.unpack(self._window.take(4))
        return group << 16 | element

    def _length(self) -> int:
        return self._long.unpack(self._window.take(4))[0]

    def _item(self, level: _Level) -> None:
        """One item of a sequence, or the sequence's end."""
        self._count()
        tag, length = self._tag(), self._length()
        if tag == _SEQUENCE_END and level.end is None:
            self._levels.pop()
            return
        if tag != _ITEM:
            raise damaged("a sequence holds something that is no item")
        end = None if length == _UNDEFINED else self._window.position + length
        self._enter(
            is_dataset=True, end=end, implicit=self._sniff(level.implicit, top=False), path=level.path
        )

    def _element(self, level: _Level) -> None:
        self._count()
        tag = self._tag()
        if tag >> 16 == 0xFFFE:
            self._end_of_item(level, tag)
            return
        if tag in level.seen:
            raise damaged("a data set holds the same element twice")
        if tag >> 16 in (0, 2):
            raise damaged("a data set holds elements of the file's header")
        level.seen.add(tag)
        vr, length = self._vr_and_length(level)
        path = (*level.path, tag)
        if length == _UNDEFINED:
            self._undefined(level, path, vr)
        elif vr == b"SQ" or (vr in (None, b"UN") and tag in _SEQUENCES):
            end = self._window.position + length
            self._enter(is_dataset=False, end=end, implicit=level.implicit, path=path)
        else:
            self._value(level, path, length)

    def _end_of_item(self, level: _Level, tag: int) -> None:
        if tag != _ITEM_END or level.end is not None or len(self._levels) == 1:
            raise damaged("a delimiter stands where none belongs")
        self._length()
        self._levels.pop()

    def _vr_and_length(self, level: _Level) -> tuple[bytes | None, int]:
        """The VR (absent in implicit VR) and the length, in the three forms of PS3.5 7.1.2 and 7.1.3."""
        if level.implicit:
            return None, self._length()
        head = self._window.peek(4)
        vr = head[:2]
        if vr in LONG_LENGTH:
            self._window.take(4)
            return vr, self._length()
        if not b"AA" <= vr <= b"ZZ":
            return None, self._length()
        if vr not in SHORT_LENGTH:
            raise damaged("an element has a VR that DICOM does not know")
        self._window.take(4)
        if len(head) < 4:
            raise damaged("the file ends within an element")
        return vr, self._short.unpack(head[2:])[0]

    def _undefined(self, level: _Level, path: Path, vr: bytes | None) -> None:
        """A value of undefined length: fragments of pixel data, else a sequence (PS3.5 6.2.2: UN is implicit VR)."""
        if vr in (b"OB", b"OW") or path[-1] in PIXEL_TAGS:
            pixels = self._fragments()
            if len(path) == 1 and path[0] in PIXEL_TAGS:
                self._walked.pixels = pixels
            return
        if vr not in (None, b"SQ", b"UN"):
            raise damaged("an element of undefined length is neither a sequence nor pixel data")
        self._enter(is_dataset=False, end=None, implicit=level.implicit, path=path)

    def _value(self, level: _Level, path: Path, length: int) -> None:
        end = self._outer_end()
        if end is not None and self._window.position + length > end:
            raise damaged("an element is longer than what holds it")
        if len(path) == 1 and path[0] in PIXEL_TAGS:
            self._walked.pixels = Pixels(length=length)
        if path in self._wanted:
            if length > MAX_VALUE:
                raise damaged(f"an element of the header is longer than {MAX_VALUE} bytes")
            self._walked.values.setdefault(path, []).append(self._window.take(length))
        else:
            self._window.skip(length)

    def _fragments(self) -> Pixels:
        """Encapsulated pixel data (PS3.5 A.4): the offset table, then fragments, then the delimiter."""
        count, unended, ended = -1, 0, False
        begins: dict[bytes, None] = {}
        while True:
            self._count()
            tag, length = self._tag(), self._length()
            if tag == _SEQUENCE_END:
                break
            if tag != _ITEM or length == _UNDEFINED:
                raise damaged("the pixel data holds something that is no fragment")
            count += 1
            if count == 0:
                self._window.skip(length)
                continue
            edge = min(length, 16)
            if len(begins) < _MOST_BEGINS:
                begins[self._window.peek(min(length, 4))] = None
            self._window.skip(length - edge)
            ended = b"\xff\xd9" in self._window.take(edge)
            unended += not ended
        return Pixels(fragments=max(count, 0), begins=tuple(begins), unended=unended, last_ended=ended)
