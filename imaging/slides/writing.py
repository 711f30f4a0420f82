"""Directories written anew: an allow-list of technical tags, a rebuilt description, and the tiles' new places.

Source: TIFF 6.0, BigTIFF, TIFF Technical Note 2 (JPEG tables). A tag that is not in the table is gone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.slides import picture as tags
from imaging.slides.icc import MAX_PROFILE_BYTES, neutral_profile
from imaging.slides.picture import Picture
from imaging.slides.source import Source
from imaging.slides.tiff import Entry, Tiff, raw

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16
CLASSIC_LIMIT = 0xFFFF_FFFF

# tag | types that it may have | most values: what is copied as it stands. None of them can hold a text.
KEPT_TAGS: dict[int, tuple[tuple[int, ...], int]] = {
    256: ((SHORT, LONG), 1),  # ImageWidth
    257: ((SHORT, LONG), 1),  # ImageLength
    258: ((SHORT,), 4),  # BitsPerSample
    259: ((SHORT,), 1),  # Compression
    262: ((SHORT,), 1),  # PhotometricInterpretation
    266: ((SHORT,), 1),  # FillOrder
    274: ((SHORT,), 1),  # Orientation
    277: ((SHORT,), 1),  # SamplesPerPixel
    278: ((SHORT, LONG), 1),  # RowsPerStrip
    282: ((RATIONAL,), 1),  # XResolution
    283: ((RATIONAL,), 1),  # YResolution
    284: ((SHORT,), 1),  # PlanarConfiguration
    296: ((SHORT,), 1),  # ResolutionUnit
    317: ((SHORT,), 1),  # Predictor
    322: ((SHORT, LONG), 1),  # TileWidth
    323: ((SHORT, LONG), 1),  # TileLength
    338: ((SHORT,), 4),  # ExtraSamples
    339: ((SHORT,), 4),  # SampleFormat
    529: ((RATIONAL,), 3),  # YCbCrCoefficients
    530: ((SHORT,), 2),  # YCbCrSubSampling
    531: ((SHORT,), 1),  # YCbCrPositioning
    532: ((RATIONAL, LONG), 6),  # ReferenceBlackWhite
    32997: ((SHORT, LONG), 1),  # ImageDepth
}
# Handled by name below: subfile type, description, offsets and counts, JPEG tables (checked), ICC profile (rebuilt).

Value = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One picture that is kept: with the description and the subfile type that it shall have.

    `software` is written where readers know a format by it.
    """

    picture: Picture
    description: str
    subfile: int
    is_level: bool
    software: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where runs of the source (by start) stand in the result."""

    starts: NDArray[np.int64]
    moved_to: NDArray[np.int64]

    def __call__(self, offsets: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The new offsets of tiles; a tile of no bytes gets offset 0."""
        run = np.maximum(np.searchsorted(self.starts, offsets, side="right") - 1, 0)
        return np.where(counts > 0, self.moved_to[run] + offsets - self.starts[run], 0)


def assemble(
    source: Source, pages: tuple[Page, ...], tiff: Tiff, placed: Placed, at: int
) -> tuple[bytes, bytes]:
    """The 16 bytes of the head and the directories that stand at `at`, chained in the order of `pages`."""
    most = at + sum(MAX_PROFILE_BYTES + (1 << 20) + 16 * p.picture.offsets.size for p in pages)
    big = tiff.big or most > CLASSIC_LIMIT
    chunks: list[bytes] = []
    end = at
    chained: Callable[[int], bytes] | None = None
    first = 0
    for page in pages:
        values = _values(source, tiff, page, placed, big)
        pad = b"\0" * (-end % 16)
        body, directory_at, finish = _directory(values, tiff.order, big, end + len(pad))
        if chained is None:
            first = directory_at
        else:
            chunks.append(chained(directory_at))
        chunks.append(pad + body)
        end += len(pad) + len(body) + (8 if big else 4)
        chained = finish
    assert chained is not None
    chunks.append(chained(0))
    return _head(tiff.order, big, first), b"".join(chunks)


def _head(order: str, big: bool, first: int) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    if big:
        return mark + struct.pack(order + "HHHQ", 43, 8, 0, first)
    return mark + struct.pack(order + "HI", 42, first) + b"\0" * 8


def _values(source: Source, tiff: Tiff, page: Page, placed: Placed, big: bool) -> dict[int, Value]:
    entries = page.picture.directory.entries
    values = {tag: (e.type, e.count, raw(source, e)) for tag, e in entries.items() if _is_kept(e)}
    values[tags.SUBFILE] = (LONG, 1, struct.pack(tiff.order + "I", page.subfile))
    described = page.description.encode("ascii") + b"\0"
    values[tags.DESCRIPTION] = (ASCII, len(described), described)
    if page.software:
        software = page.software.encode("ascii") + b"\0"
        values[tags.SOFTWARE] = (ASCII, len(software), software)
    tables = page.picture.jpeg_tables
    if tables:
        values[tags.JPEG_TABLES] = (UNDEFINED, len(tables), tables)
    if tags.ICC in entries:
        profile = neutral_profile(raw(source, entries[tags.ICC]))
        if profile:
            values[tags.ICC] = (UNDEFINED, len(profile), profile)
    values.update(_places(tiff, page.picture, placed, big))
    return values


def _is_kept(entry: Entry) -> bool:
    types, most = KEPT_TAGS.get(entry.tag, ((), 0))
    return entry.type in types and 0 < entry.count <= most


def _places(tiff: Tiff, picture: Picture, placed: Placed, big: bool) -> dict[int, Value]:
    at, size = (
        (tags.TILE_OFFSETS, tags.TILE_COUNTS) if picture.tiled else (tags.STRIP_OFFSETS, tags.STRIP_COUNTS)
    )
    kind, letter = (LONG8, "u8") if big else (LONG, "u4")
    offsets = placed(picture.offsets, picture.counts)
    count = int(offsets.size)
    return {
        at: (kind, count, offsets.astype(tiff.order + letter).tobytes()),
        size: (LONG, count, picture.counts.astype(tiff.order + "u4").tobytes()),
    }


def _directory(
    values: dict[int, Value], order: str, big: bool, at: int
) -> tuple[bytes, int, Callable[[int], bytes]]:
    """The values and then the directory itself, but for the link at its end, which the third result makes."""
    room, word = (8, "Q") if big else (4, "I")
    rows, outside = [], bytearray()
    for tag in sorted(values):
        kind, count, content = values[tag]
        if len(content) <= room:
            field = content.ljust(room, b"\0")
        else:
            outside += b"\0" * (-(at + len(outside)) % 8)
            field = struct.pack(order + word, at + len(outside))
            outside += content
        rows.append(struct.pack(order + "HH" + word, tag, kind, count) + field)
    outside += b"\0" * (-(at + len(outside)) % 8)
    directory_at = at + len(outside)
    body = bytes(outside) + struct.pack(order + ("Q" if big else "H"), len(rows)) + b"".join(rows)
    return body, directory_at, lambda following: struct.pack(order + word, following)
