"""The data elements of a DICOM data set (PS3.5 7), read and written without recursion and without touching pixels.

A data set is a list of `Element`; a sequence's element holds a list of data sets. Values are slices of the buffer
that was read, so a large pixel value is never copied: it is written from where it stands. Every encoding is read
(implicit and explicit little endian, explicit big endian, UN in place of a sequence) and written back as such;
sequences and items are written with undefined length.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import get_entry

Value = bytes | memoryview

# PS3.5 7.1.2: with a length of 32 bits, and of 16
LONG_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
SHORT_VRS = frozenset((
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM",
    "UI", "UL", "US",
))  # fmt: skip
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
_SPLICE_FROM = 1 << 14
_SHORT_VR = {vr.encode("ascii"): vr for vr in SHORT_VRS}
_SHORT_HEAD = struct.Struct("<HH2sH")  # group, element, VR, length: PS3.5 Table 7.1-2, little endian
# by whether big endian: heads without VR, with a VR and a 16-bit length, with a VR and a 32-bit length
_HEADS = {
    big: tuple(struct.Struct(order + form) for form in ("HHL", "HH2sH", "HH2sHL"))
    for big, order in ((False, "<"), (True, ">"))
}


class Damaged(ValueError):
    """The bytes are no data set; says where, never what."""


@dataclass(frozen=True)
class Encoding:
    """How elements are written: `explicit` VR or by dictionary; `big` endian or little."""

    explicit: bool
    big: bool = False


IMPLICIT = Encoding(explicit=False)


class Element:
    """One data element: a value, or the items of a sequence, or the fragments of an encapsulated value.

    `fragments`: the value runs from the first item tag to before the sequence delimiter. `encoding` is that of
    the items (UN sequences are implicit inside explicit data sets, PS3.5 6.2.2).
    """

    __slots__ = ("encoding", "fragments", "items", "tag", "value", "vr")

    def __init__(
        self,
        tag: int,
        vr: str,
        value: Value = b"",
        items: list[list[Element]] | None = None,
        *,
        fragments: bool = False,
        encoding: Encoding | None = None,
    ) -> None:
        self.tag = tag
        self.vr = vr
        self.value = value
        self.items = items
        self.fragments = fragments
        self.encoding = encoding

    @property
    def private(self) -> bool:
        return bool(self.tag >> 16 & 1)


DataSet = list[Element]


@functools.lru_cache(maxsize=8192)
def dictionary_vr(tag: int) -> str:
    """The VR that PS3.6 gives `tag`; `UN` if it knows none, and the wider of two (`OW` of `OB or OW`)."""
    entry = DicomDictionary.get(tag)
    if entry is None:
        if tag >> 16 & 1 or tag & 0xFFFF == 0:
            return "UL" if tag & 0xFFFF == 0 else "UN"
        try:
            entry = get_entry(tag)
        except KeyError:
            return "UN"
    vr: str = entry[0]
    if " or " in vr:
        return "OW" if "OW" in vr else "US"
    return vr if len(vr) == 2 else "UN"


@dataclass(slots=True)
class _Level:
    """A data set or a sequence that is open while reading; `end` is None if its length is undefined."""

    sequence: list[DataSet] | None
    elements: DataSet
    end: int | None
    encoding: Encoding


class Reader:
    """Reads the data set in `buffer` from `start` to the end of the buffer.

    :raises Damaged: if a length leaves its place, or an item stands where none may.
    """

    def __init__(self, buffer: memoryview, start: int, encoding: Encoding) -> None:
        self._buffer = buffer
        self._at = start
        self._size = len(buffer)
        self._little = (struct.Struct("<HH"), struct.Struct("<H"), struct.Struct("<L"))
        self._big = (struct.Struct(">HH"), struct.Struct(">H"), struct.Struct(">L"))
        self._root = _Level(None, [], self._size, encoding)

    def read(self) -> DataSet:
        """The whole data set. Zero bytes after its last element are no part of it."""
        stack = [self._root]
        while stack:
            level = stack[-1]
            if level.end is not None and self._at >= level.end:
                if self._at > level.end:
                    raise Damaged(f"a value crosses its sequence's end at byte {level.end}")
                stack.pop()
            elif level.sequence is not None:
                self._next_item(stack, level)
            elif not self._plain_elements(level):
                self._next_element(stack, level)
        return self._root.elements

    def _plain_elements(self, level: _Level) -> bool:
        """Reads on while explicit little-endian elements of short VRs follow, which is most of any header; whether
        there was one. Whatever is not as it should be is left where it stands, to `_next_element`."""
        if not level.encoding.explicit or level.encoding.big:
            return False
        began = at = self._at
        end = self._size if level.end is None else level.end
        buffer, elements, head, short = self._buffer, level.elements, _SHORT_HEAD.unpack_from, _SHORT_VR
        while (start := at + 8) <= end:
            group, number, raw_vr, length = head(buffer, at)
            vr, following = short.get(raw_vr), start + length
            if vr is None or group == 0xFFFE or following > end:
                break
            elements.append(Element(group << 16 | number, vr, buffer[start:following]))
            at = following
        self._at = at
        return at > began

    def _need(self, count: int, level: _Level) -> None:
        if self._at + count > (self._size if level.end is None else level.end):
            raise Damaged(f"cut short at byte {self._at}")

    def _next_item(self, stack: list[_Level], level: _Level) -> None:
        self._need(8, level)
        tag, length = self._header(level)
        self._at += 8
        if tag == ITEM:
            elements: DataSet = []
            assert level.sequence is not None
            level.sequence.append(elements)
            stack.append(_Level(None, elements, self._end_of(length, level), level.encoding))
        elif tag == SEQUENCE_END and level.end is None:
            stack.pop()
        else:
            raise Damaged(f"no item where one belongs at byte {self._at - 8}")

    def _header(self, level: _Level) -> tuple[int, int]:
        pair, _, long = self._big if level.encoding.big else self._little
        group, element = pair.unpack_from(self._buffer, self._at)
        return group << 16 | element, long.unpack_from(self._buffer, self._at + 4)[0]

    def _end_of(self, length: int, level: _Level) -> int | None:
        if length == UNDEFINED:
            return None
        end = self._at + length
        if end > (self._size if level.end is None else level.end):
            raise Damaged(f"a length leads beyond its place at byte {self._at}")
        return end

    def _next_element(self, stack: list[_Level], level: _Level) -> None:
        if level is self._root and self._size - self._at < 8 and not any(self._buffer[self._at :]):
            self._at = self._size
            return
        self._need(8, level)
        tag, length = self._header(level)
        if tag >> 16 == 0xFFFE:
            self._close_item(stack, level, tag)
            return
        if tag == 0 and level is self._root and self._zeros_follow():
            return
        vr, length = self._vr_and_length(tag, length, level)
        self._value(stack, level, tag, vr, length)

    def _zeros_follow(self) -> bool:
        """Whether nothing but zeros is left: files padded to a sector; then reading is at its end."""
        rest = self._buffer[self._at :]
        if any(any(rest[i : i + 65536]) for i in range(0, len(rest), 65536)):
            return False
        self._at = self._size
        return True

    def _close_item(self, stack: list[_Level], level: _Level, tag: int) -> None:
        if tag != ITEM_END or level is self._root or level.end is not None:
            raise Damaged(f"a delimiter where none belongs at byte {self._at}")
        self._at += 8
        stack.pop()

    def _vr_and_length(self, tag: int, length: int, level: _Level) -> tuple[str, int]:
        """The VR and length of the element, leaving the position at its value."""
        if not level.encoding.explicit:
            self._at += 8
            return dictionary_vr(tag), length
        raw = bytes(self._buffer[self._at + 4 : self._at + 6])
        vr = raw.decode("latin-1")
        _, short, long = self._big if level.encoding.big else self._little
        if vr in SHORT_VRS:
            length = short.unpack_from(self._buffer, self._at + 6)[0]
            self._at += 8
            return vr, length
        if vr in LONG_VRS or (vr.isalpha() and vr.isupper()):
            self._need(12, level)
            length = long.unpack_from(self._buffer, self._at + 8)[0]
            self._at += 12
            return vr if vr in LONG_VRS else "UN", length
        # an element written implicitly in an explicit data set: some devices do, and readers follow
        self._at += 8
        return dictionary_vr(tag), length

    def _value(self, stack: list[_Level], level: _Level, tag: int, vr: str, length: int) -> None:
        known = dictionary_vr(tag)
        if length == UNDEFINED and vr != "SQ" and (vr[0] == "O" or tag == PIXEL_DATA):
            level.elements.append(Element(tag, vr, self._fragments(level), fragments=True))
            return
        end = self._end_of(length, level)
        if vr == "SQ" or end is None or (vr == "UN" and known == "SQ"):
            if vr not in ("SQ", "UN") and known != "UN":
                raise Damaged(f"an undefined length that is no sequence's at byte {self._at}")
            encoding = IMPLICIT if vr == "UN" and level.encoding.explicit else level.encoding
            element = Element(tag, vr if vr == "UN" else "SQ", b"", [], encoding=encoding)
            level.elements.append(element)
            stack.append(_Level(element.items, [], end, encoding))
            return
        level.elements.append(Element(tag, vr, self._buffer[self._at : end]))
        self._at = end

    def _fragments(self, level: _Level) -> memoryview:
        start = self._at
        while True:
            self._need(8, level)
            tag, length = self._header(level)
            self._at += 8
            if tag == SEQUENCE_END:
                return self._buffer[start : self._at - 8]
            if tag != ITEM or length == UNDEFINED:
                raise Damaged(f"no fragment where one belongs at byte {self._at - 8}")
            end = self._end_of(length, level)
            assert end is not None
            self._at = end


class Writer:
    """Turns a data set back into bytes: an iterator of chunks, large values as the slices they were read as."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._small = bytearray()

    def chunks(self, elements: DataSet) -> Iterator[Value]:
        small = self._small
        stack: list[tuple[Iterator[Element | DataSet], Encoding, int]] = [(iter(elements), self._encoding, 0)]
        while stack:
            rest, encoding, closing = stack[-1]
            for following in rest:
                if isinstance(following, list):
                    self._delimiter(ITEM, UNDEFINED, encoding)
                    stack.append((iter(following), encoding, ITEM_END))
                    break
                if following.items:
                    inner = following.encoding or encoding
                    self._head(following.tag, following.vr, UNDEFINED, encoding)
                    stack.append((iter(following.items), inner, SEQUENCE_END))
                    break
                if len(following.value) < _SPLICE_FROM:
                    self._flat(following, encoding)
                else:
                    yield from self._large(following, encoding)
            else:
                stack.pop()
                if closing:
                    self._delimiter(closing, 0, encoding)
        if small:
            yield bytes(small)
            small.clear()

    def _flat(self, element: Element, encoding: Encoding) -> None:
        value, vr = element.value, element.vr
        odd = len(value) & 1
        self._head(element.tag, vr, UNDEFINED if element.fragments else len(value) + odd, encoding)
        self._small += value
        self._after(element, odd, encoding)

    def _large(self, element: Element, encoding: Encoding) -> Iterator[Value]:
        odd = len(element.value) & 1
        length = UNDEFINED if element.fragments else len(element.value) + odd
        self._head(element.tag, element.vr, length, encoding)
        yield bytes(self._small)
        self._small.clear()
        yield element.value
        self._after(element, odd, encoding)

    def _after(self, element: Element, odd: int, encoding: Encoding) -> None:
        if odd:
            self._small += b" " if element.vr in PADDED_WITH_SPACE else b"\0"
        if element.fragments:
            self._delimiter(SEQUENCE_END, 0, encoding)

    def _delimiter(self, tag: int, length: int, encoding: Encoding) -> None:
        self._small += _HEADS[encoding.big][0].pack(tag >> 16, tag & 0xFFFF, length)

    def _head(self, tag: int, vr: str, length: int, encoding: Encoding) -> None:
        group, number = tag >> 16, tag & 0xFFFF
        implicit, short, long = _HEADS[encoding.big]
        if not encoding.explicit:
            self._small += implicit.pack(group, number, length)
        elif vr in SHORT_VRS:
            if length > 0xFFFE:
                raise Damaged(f"a {vr} value of {length} bytes has no place")
            self._small += short.pack(group, number, vr.encode("latin-1"), length)
        else:
            self._small += long.pack(group, number, vr.encode("latin-1"), 0, length)


PADDED_WITH_SPACE = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"}
)
