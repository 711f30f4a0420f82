"""`Index.dat` of a MIRAX slide: which bytes of which data file are a level's pictures, and which a further record's.

Version, identifier, then 32-bit little-endian numbers: pointers to the two tables of records, of each record a chain of
pages. A page of a level says of each picture its place, offset, length and data file. Source: OpenSlide's page on the
format.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cases.errors import Quarantine
from imaging.slides.mirax_settings import Settings
from imaging.slides.tiff import damaged

VERSION = b"01.02"
MAX_INDEX_BYTES = 256 << 20
GREATEST = 0x7FFF_FFFF
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """`levels` are rows of (place, offset, length, file) of each level; `further` the same of all other records.

    `positions` is (offset, length, file) of the photographs' places, if there are such.
    """

    levels: tuple[Rows, ...]
    further: Rows
    positions: tuple[int, int, int] | None


def read_index(content: bytes, settings: Settings) -> Index:
    """:raises Quarantine: `file-damaged`."""
    start = len(VERSION) + len(settings.slide_id)
    if len(content) > MAX_INDEX_BYTES or content[:start] != VERSION + settings.slide_id.encode():
        raise damaged("the index of the MIRAX slide is not its own")
    tree, layers = _numbers(content, start, 2)
    zooms = len(settings.levels)
    levels = tuple(_rows(content, root, 4) for root in _numbers(content, tree, zooms))
    outside = [_rows_if_any(content, tree + 4 * i, 4) for i in range(zooms, settings.hierarchies)]
    found = [_rows_if_any(content, layers + 4 * i, 5) for i in range(settings.layers)]
    positions = None
    if settings.positions:
        record = found.pop(settings.positions[1])
        if len(record) != 1:
            raise damaged("the MIRAX slide does not say where its photographs are")
        positions = (int(record[0, 1]), int(record[0, 2]), int(record[0, 3]))
    return Index(levels=levels, further=np.concatenate([*outside, *found, _NONE]), positions=positions)


_NONE = np.zeros((0, 4), dtype=np.int64)


def _numbers(content: bytes, at: int, count: int) -> list[int]:
    if at < 0 or at + 4 * count > len(content):
        raise damaged("the index of the MIRAX slide breaks off")
    return list(struct.unpack_from(f"<{count}i", content, at))


def _rows_if_any(content: bytes, at: int, columns: int) -> Rows:
    """The rows of a record that may be empty, or of a form that nobody knows: then it names no bytes.

    Nothing of it is kept in any case, and a record without the photographs' places is refused by who needs them.
    """
    (root,) = _numbers(content, at, 1)
    try:
        return _rows(content, root, columns) if root > 0 else _NONE
    except Quarantine:
        return _NONE


def _rows(content: bytes, at: int, columns: int) -> Rows:
    """The rows of a record as (place, offset, length, file), page after page; a layer's record is one page."""
    empty, at = _numbers(content, at, 2)
    if empty:
        raise damaged("a record of the MIRAX slide does not begin with an empty page")
    pages, seen = [_NONE], set()
    while at:
        count, following = _numbers(content, at, 2)
        if at in seen or not 0 <= count <= len(content) // 4:
            raise damaged("a record of the MIRAX slide does not end")
        seen.add(at)
        if at + 8 + 4 * columns * count > len(content):
            raise damaged("the index of the MIRAX slide breaks off")
        page = np.frombuffer(content, "<i4", columns * count, at + 8).reshape(count, columns)
        pages.append(page[:, columns - 4 :].astype(np.int64))
        at = following if columns == 4 else 0
    rows: Rows = np.concatenate(pages)
    if bool((rows[:, 1:] < 0).any()):
        raise damaged("a record of the MIRAX slide lies nowhere")
    return rows


def write_index(slide_id: str, levels: Sequence[Rows], positions: tuple[int, int, int] | None) -> bytes:
    """The index that goes out: of each level one page, then the photographs' places.

    :raises Quarantine: `file-damaged` if a data file is longer than the format can say.
    """
    if any(bool((rows > GREATEST).any()) for rows in levels):
        raise damaged("a data file of the MIRAX slide is too long")
    start = len(VERSION) + len(slide_id)
    hierarchy = start + 8
    others = hierarchy + 4 * len(levels)
    at = others + (4 if positions else 0)
    roots, pages = [], []
    tables = [rows.astype("<i4").tobytes() for rows in levels]
    counts = [len(rows) for rows in levels]
    if positions:
        tables.append(struct.pack("<5i", 0, 0, *positions))
        counts.append(1)
    for count, table in zip(counts, tables, strict=True):
        roots.append(at)
        pages.append(struct.pack("<4i", 0, at + 8, count, 0) + table)
        at += len(pages[-1])
    head = VERSION + slide_id.encode() + struct.pack("<2i", hierarchy, others)
    return head + struct.pack(f"<{len(roots)}i", *roots) + b"".join(pages)
