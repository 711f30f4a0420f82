"""A small strict reader of TIFF, BigTIFF and NDPI directories: bounded, by ranges, and it believes nothing.

Sources: TIFF 6.0; BigTIFF as in libtiff's specification. NDPI is a classic TIFF whose directories are linked by eight
bytes, each followed by the upper four bytes of every value or offset in it. Everything that points outside the file,
loops, repeats a tag or is larger than any slide needs raises `Quarantine("file-damaged")`. Pixels are never read here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cases.errors import Quarantine
from imaging.slides.source import Source, inside

MAX_DIRECTORIES = 256
MAX_ENTRIES = 1024
MAX_VALUE_BYTES = 64 << 20
MAX_TILES = 1 << 22
NDPI_MARK = 65420

# TIFF 6.0 section 2 and BigTIFF: type -> (bytes each, numpy letter without byte order)
_TYPES: dict[int, tuple[int, str]] = {
    1: (1, "u1"),
    2: (1, "u1"),
    3: (2, "u2"),
    4: (4, "u4"),
    5: (8, "u4"),
    6: (1, "i1"),
    7: (1, "u1"),
    8: (2, "i2"),
    9: (4, "i4"),
    10: (8, "i4"),
    11: (4, "f4"),
    12: (8, "f8"),
    13: (4, "u4"),
    16: (8, "u8"),
    17: (8, "i8"),
    18: (8, "u8"),
}
_RATIONALS = (5, 10)
_INTEGERS = (1, 3, 4, 13, 16, 18)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory: where its value stands in the file, and how many bytes it takes.

    `high` are the upper four bytes of a single LONG in an NDPI directory, which stand elsewhere.
    """

    tag: int
    type: int
    count: int
    offset: int
    size: int
    inline: bool
    high: int = 0


@dataclass(frozen=True, slots=True)
class Directory:
    """One image file directory: its own bytes are `size` bytes at `offset`."""

    offset: int
    size: int
    entries: dict[int, Entry]


@dataclass(frozen=True, slots=True)
class Tiff:
    """The directories of one file, in the order of their chain. `order` is `<` or `>`."""

    order: str
    big: bool
    directories: tuple[Directory, ...]
    ndpi: bool = False

    @property
    def header_size(self) -> int:
        return 16 if self.big else 12 if self.ndpi else 8


def damaged(what: str) -> Quarantine:
    return Quarantine("file-damaged", what)


def read_tiff(source: Source, *, most: int = MAX_DIRECTORIES) -> Tiff:
    """The directories of a TIFF or BigTIFF; with `most`, the first ones alone (further ones are then not an error).

    :raises Quarantine: `file-damaged`.
    """
    order, big, offset = _header(source)
    wide = _ndpi_offset(source)
    offset = wide or offset
    directories: list[Directory] = []
    seen: set[int] = set()
    while offset and len(directories) < most:
        if offset in seen:
            raise damaged("the directories of the TIFF form a loop")
        seen.add(offset)
        directory, offset = _directory(source, order, big, offset, ndpi=wide > 0)
        directories.append(directory)
    if not directories:
        raise damaged("the TIFF has no directory")
    if offset and most >= MAX_DIRECTORIES:
        raise damaged(f"the TIFF has more than {MAX_DIRECTORIES} directories")
    return Tiff(order=order, big=big, directories=tuple(directories), ndpi=wide > 0)


def with_sub_directories(source: Source, tiff: Tiff, tag: int) -> Tiff:
    """The same file, with the directories that its first one names in `tag` (SubIFDs) behind the others.

    OME-TIFF hangs a pyramid's levels there. Chains behind them are not followed.

    :raises Quarantine: `file-damaged`.
    """
    entry = tiff.directories[0].entries.get(tag)
    if entry is None:
        return tiff
    known = {d.offset for d in tiff.directories}
    offsets = [int(at) for at in integers(source, tiff, entry)]
    if len(offsets) + len(known) > MAX_DIRECTORIES or len(known | set(offsets)) != len(offsets) + len(known):
        raise damaged("the sub-directories of the TIFF are too many, or the same")
    further = tuple(_directory(source, tiff.order, tiff.big, at)[0] for at in offsets)
    return Tiff(order=tiff.order, big=tiff.big, directories=(*tiff.directories, *further))


def _header(source: Source) -> tuple[str, bool, int]:
    head = source.read(0, 8)
    orders = {b"II": "<", b"MM": ">"}
    order = orders.get(head[:2])
    if order is None:
        raise damaged("not a TIFF")
    (version,) = struct.unpack(order + "H", head[2:4])
    if version == 42:
        return order, False, struct.unpack(order + "I", head[4:8])[0]
    if version == 43:
        width, zero, offset = struct.unpack(order + "HHQ", head[4:8] + source.read(8, 8))
        if (width, zero) == (8, 0):
            return order, True, offset
    raise damaged("not a TIFF")


def _ndpi_offset(source: Source) -> int:
    """Where the first directory of an NDPI file stands, in the eight bytes of its header; 0 if it is none."""
    if source.size < 16 or source.read(0, 4) != b"II*\0":
        return 0
    (offset,) = struct.unpack("<Q", source.read(4, 8))
    if not 8 < offset <= source.size - 2:
        return 0
    (count,) = struct.unpack("<H", source.read(offset, 2))
    if not 0 < count <= MAX_ENTRIES or offset + 2 + 12 * count > source.size:
        return 0
    rows = source.read(offset + 2, 12 * count)
    return int(offset) if NDPI_MARK in {row[0] for row in struct.iter_unpack("<H10x", rows)} else 0


def _directory(
    source: Source, order: str, big: bool, offset: int, *, ndpi: bool = False
) -> tuple[Directory, int]:
    head, each, link = (8, 20, "Q") if big else (2, 12, "Q" if ndpi else "I")
    (count,) = struct.unpack(order + ("Q" if big else "H"), source.read(offset, head))
    if not 0 < count <= MAX_ENTRIES:
        raise damaged(f"a TIFF directory of {count} entries")
    highs_at = count * each + struct.calcsize(link)
    table = source.read(offset + head, highs_at + (4 * count if ndpi else 0))
    highs = struct.unpack_from(f"{order}{count}I", table, highs_at) if ndpi else (0,) * count
    entries: dict[int, Entry] = {}
    for index in range(count):
        at = index * each
        entry = _entry(source, order, big, table[at : at + each], offset + head + at, highs[index])
        if entry.tag in entries:
            raise damaged(f"tag {entry.tag} stands twice in one TIFF directory")
        entries[entry.tag] = entry
    (following,) = struct.unpack_from(order + link, table, count * each)
    return Directory(offset=offset, size=head + len(table), entries=entries), following


def _entry(source: Source, order: str, big: bool, row: bytes, at: int, high: int) -> Entry:
    tag, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), row)
    room = 8 if big else 4
    each = _TYPES.get(kind, (0, ""))[0]
    if not each:
        raise damaged(f"tag {tag} has the unknown type {kind}")
    size = each * count
    if size > MAX_VALUE_BYTES:
        raise damaged(f"tag {tag} holds {size} bytes")
    if size <= room:
        if high and (kind, count) != (4, 1):
            raise damaged(f"tag {tag} holds more than its type has room for")
        return Entry(tag, kind, count, at + (12 if big else 8), size, True, high)
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), row, 12 if big else 8)
    offset += high << 32
    inside(offset, size, source.size)
    return Entry(tag, kind, count, offset, size, False)


def raw(source: Source, entry: Entry) -> bytes:
    """The bytes of a value as they stand in the file."""
    return source.read(entry.offset, entry.size)


def numbers(source: Source, tiff: Tiff, entry: Entry) -> NDArray[Any]:
    """The values of a tag; rationals as (count, 2) of numerator and denominator."""
    letter = _TYPES[entry.type][1]
    values = np.frombuffer(raw(source, entry), dtype=tiff.order + letter)
    return values.reshape(-1, 2) if entry.type in _RATIONALS else values


def integers(source: Source, tiff: Tiff, entry: Entry) -> NDArray[np.int64]:
    """The values of a tag that must hold unsigned integers.

    :raises Quarantine: `file-damaged` if it holds anything else, or more than 2**63 - 1.
    """
    if entry.type not in _INTEGERS:
        raise damaged(f"tag {entry.tag} should hold integers")
    values = numbers(source, tiff, entry)
    if values.size and int(values.max()) > np.iinfo(np.int64).max:
        raise damaged(f"tag {entry.tag} points beyond any file")
    return values.astype(np.int64) + (entry.high << 32)


def integer(source: Source, tiff: Tiff, directory: Directory, tag: int, default: int | None = None) -> int:
    """The first value of an integer tag.

    :raises Quarantine: `file-damaged` if the tag is missing and there is no `default`.
    """
    entry = directory.entries.get(tag)
    if entry is None or entry.count == 0:
        if default is None:
            raise damaged(f"a TIFF directory lacks tag {tag}")
        return default
    return int(integers(source, tiff, entry)[0])


def text(source: Source, directory: Directory, tag: int, most: int = 1 << 20) -> str:
    """A text tag, decoded as UTF-8 or else Latin-1, without its closing NULs; empty if it is missing."""
    entry = directory.entries.get(tag)
    if entry is None:
        return ""
    content = source.read(entry.offset, min(entry.size, most)).rstrip(b"\0")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
