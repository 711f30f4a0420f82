"""The second pass's own reading of DICOM bytes: a flat stream of elements with their paths.

Shares nothing with the first pass.

Strict: what it cannot read it reports as such, so that nothing passes unread.
"""

from __future__ import annotations

import functools
import struct
import zlib
from typing import NamedTuple

from pydicom.datadict import dictionary_VR

_WIDE = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_NARROW = frozenset((
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
))  # fmt: skip
_NARROW_HEAD = struct.Struct("<HH2sH")
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_NO_END = 0xFFFFFFFF
_INFLATED_LIMIT = 1 << 30
_DEEPEST = 5000  # levels; what is kept of a path grows with its depth, so a small file could fill the memory
_SYNTAX_IMPLICIT, _SYNTAX_BIG, _SYNTAX_DEFLATED = (
    b"1.2.840.10008.1.2",
    b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.2.1.99",
)


class Unreadable(ValueError):
    """The bytes are not what a DICOM file's are; says where."""


class Seen(NamedTuple):
    """An element: the path of its sequences and item numbers, tag, VR, where its value stands.

    The VR is the dictionary's (`UN` of what it does not know) where the file says none, or UN.

    `nested` elements of sequences come on their own; a sequence itself comes with an empty value.
    """

    path: tuple[int, ...]
    tag: int
    vr: bytes
    start: int
    end: int


_seen = functools.partial(tuple.__new__, Seen)  # half the time of Seen(...), which takes keywords too


class Body(NamedTuple):
    """A file taken apart: its bytes (inflated if they were deflated), and its elements. `meta` ones are group 2."""

    content: memoryview
    meta: dict[int, bytes]
    preamble_is_blank: bool
    elements: list[Seen]


def take_apart(raw: memoryview, sequences: frozenset[int]) -> Body:
    """Reads a whole file.

    :param sequences: tags that are sequences where no VR says so.
    :raises Unreadable: if anything in it cannot be read.
    """
    if bytes(raw[128:132]) != b"DICM":
        raise Unreadable("no DICOM prefix")
    meta, at = _group_two(raw)
    syntax = meta.get(0x00020010, b"").rstrip(b" \0")
    content = raw
    if syntax == _SYNTAX_DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflated = inflater.decompress(raw[at:], _INFLATED_LIMIT)
        if not inflater.eof:
            raise Unreadable("deflated bytes do not end")
        content, at = memoryview(inflated), 0
    explicit, big = syntax != _SYNTAX_IMPLICIT, syntax == _SYNTAX_BIG
    stream = _Stream(content, at, explicit=explicit, big=big, sequences=sequences)
    stream.walk()
    return Body(content, meta, raw[:128] == bytes(128), stream.found)


@functools.lru_cache(maxsize=8192)
def vr_of(tag: int) -> bytes:
    """The VR of PS3.6, the first of two; `UN` of a tag that is not there."""
    try:
        return dictionary_VR(tag)[:2].encode("ascii")
    except KeyError:
        return b"UN"


def _group_two(raw: memoryview) -> tuple[dict[int, bytes], int]:
    at, found = 132, {}
    while at + 8 <= len(raw) and raw[at] == 2 and raw[at + 1] == 0:
        tag = 0x00020000 | raw[at + 3] << 8 | raw[at + 2]
        wide = bytes(raw[at + 4 : at + 6]) in _WIDE
        size = int.from_bytes(raw[at + 8 : at + 12] if wide else raw[at + 6 : at + 8], "little")
        begin = at + (12 if wide else 8)
        if begin + size > len(raw):
            raise Unreadable("file meta information is cut")
        found[tag], at = bytes(raw[begin : begin + size]), begin + size
    return found, at


class _Open(NamedTuple):
    """An item or a sequence that has begun: where it ends, if it says so, and what held around it."""

    is_item: bool
    end: int | None
    explicit: bool
    path: tuple[int, ...]


class _Stream:
    """One pass over a data set. Open sequences and items are kept in a list, not in the call stack.

    `path` and `explicit` hold where it stands; `counts` says how many items each open sequence has had.
    """

    def __init__(
        self, content: memoryview, at: int, *, explicit: bool, big: bool, sequences: frozenset[int]
    ) -> None:
        self.content, self.at, self.big, self.explicit = content, at, big, explicit
        self.sequences = sequences
        self.found: list[Seen] = []
        self.opened: list[_Open] = []
        self.counts: list[int] = []
        self.path: tuple[int, ...] = ()

    def _int(self, at: int, size: int) -> int:
        if at + size > len(self.content):
            raise Unreadable(f"cut at byte {at}")
        return int.from_bytes(self.content[at : at + size], "big" if self.big else "little")

    def walk(self) -> None:
        """Finds every element, in file order."""
        while not self._is_over():
            tag = self._int(self.at, 2) << 16 | self._int(self.at + 2, 2)
            if tag in (_ITEM_END, _SEQUENCE_END):
                self._delimited(is_item=tag == _ITEM_END)
            elif tag == _ITEM:
                self._begin_item()
            elif self.opened and not self.opened[-1].is_item:
                raise Unreadable(f"no item at byte {self.at}")
            else:
                self._pass_element(tag)

    def _is_over(self) -> bool:
        """Leaves what ends here; whether nothing but padding follows."""
        opened = self.opened
        while opened and opened[-1].end is not None and self.at >= opened[-1].end:
            self._leave()
        if self.at < len(self.content) and (opened or any(self.content[self.at : self.at + 8])):
            return False
        self._only_padding()
        return True

    def _leave(self) -> None:
        left = self.opened.pop()
        self.explicit, self.path = left.explicit, left.path
        if not left.is_item:
            self.counts.pop()

    def _delimited(self, *, is_item: bool) -> None:
        last = self.opened[-1] if self.opened else None
        if last is None or last.is_item is not is_item or last.end is not None:
            raise Unreadable(f"a stray delimiter at byte {self.at}")
        self._leave()
        self.at += 8

    def _begin_item(self) -> None:
        if not self.opened or self.opened[-1].is_item:
            raise Unreadable(f"a stray item at byte {self.at}")
        size = self._int(self.at + 4, 4)
        self.at += 8
        end = None if size == _NO_END else self.at + size
        self.opened.append(_Open(True, end, self.explicit, self.path))
        self.path = (*self.path, self.counts[-1])
        self.counts[-1] += 1

    def _pass_element(self, tag: int) -> None:
        seen, sequence, end, inner = self._element(tag, self.path, self.explicit)
        self.found.append(seen)
        if sequence:
            if len(self.counts) == _DEEPEST:
                raise Unreadable(f"nested deeper than {_DEEPEST} levels at byte {self.at}")
            self.opened.append(_Open(False, end, self.explicit, self.path))
            self.counts.append(0)
            self.path, self.explicit = (*self.path, tag), inner
        elif self.explicit and not self.big:
            around = self.opened[-1].end if self.opened else None
            self._narrow_ones(self.path, around or len(self.content))

    def _narrow_ones(self, path: tuple[int, ...], end: int) -> None:
        """The elements with a 16-bit length that follow in the same data set, little endian: nearly all of a header.

        Stops before whatever is anything else.
        """
        content, found, total = self.content, self.found, len(self.content)
        head, begin, end = _NARROW_HEAD.unpack_from, self.at + 8, min(end, total)
        while begin <= end:
            group, number, vr, size = head(content, begin - 8)
            leaves = begin + size
            if vr not in _NARROW or group == 0xFFFE or leaves > total:
                break
            found.append(_seen((path, group << 16 | number, vr, begin, leaves)))
            begin = leaves + 8
        self.at = begin - 8

    def _only_padding(self) -> None:
        if self.opened:
            raise Unreadable("a sequence does not end")
        rest = self.content[self.at :]
        if any(any(rest[i : i + 65536]) for i in range(0, len(rest), 65536)):
            raise Unreadable(f"bytes after the data set, from byte {self.at}")

    def _element(
        self, tag: int, path: tuple[int, ...], explicit: bool
    ) -> tuple[Seen, bool, int | None, bool]:
        vr = bytes(self.content[self.at + 4 : self.at + 6]) if explicit else b""
        if vr and not (vr.isalpha() and vr.isupper()):
            vr = b""
        if not vr:
            size, begin = self._int(self.at + 4, 4), self.at + 8
        elif vr in _WIDE:
            size, begin = self._int(self.at + 8, 4), self.at + 12
        else:
            size, begin = self._int(self.at + 6, 2), self.at + 8
        known = tag in self.sequences
        sequence = vr == b"SQ" or (known and vr in (b"", b"UN")) or (size == _NO_END and vr in (b"", b"UN"))
        sequence = sequence and tag != 0x7FE00010
        inner = explicit and vr != b"UN"
        if sequence:
            self.at = begin
            return (
                Seen(path, tag, b"SQ", begin, begin),
                True,
                None if size == _NO_END else begin + size,
                inner,
            )
        vr = vr if vr not in (b"", b"UN") else vr_of(tag)
        if size == _NO_END:
            end = self._fragments(begin)
            self.at = end + 8
            return Seen(path, tag, vr, begin, end), False, None, inner
        if begin + size > len(self.content):
            raise Unreadable(f"a value leaves the file at byte {begin}")
        self.at = begin + size
        return Seen(path, tag, vr, begin, begin + size), False, None, inner

    def _fragments(self, at: int) -> int:
        while True:
            tag = self._int(at, 2) << 16 | self._int(at + 2, 2)
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM:
                raise Unreadable(f"no fragment at byte {at}")
            at += 8 + self._int(at + 4, 4)
