"""One image of a TIFF as its directory describes it: size, tiles or strips, and where their bytes stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.slides.source import Source
from imaging.slides.tiff import MAX_TILES, Directory, Tiff, damaged, integer, integers, raw, text

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
DESCRIPTION, STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS = 270, 273, 277, 278, 279
PLANAR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 284, 322, 323, 324, 325
SOFTWARE, SUB_DIRECTORIES, JPEG_TABLES, ICC = 305, 330, 347, 34675


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """`offsets` and `counts` are the byte ranges of its tiles (or strips); a count of 0 is a tile never scanned.

    Sizes in pixels. A strip is taken as a tile that is as wide as the picture.
    """

    index: int
    directory: Directory
    width: int
    height: int
    tile_width: int
    tile_height: int
    tiled: bool
    reduced: bool
    subfile: int
    compression: int
    photometric: int
    bytes_per_pixel: int
    description: str
    jpeg_tables: bytes
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def aspect(self) -> float:
        return self.width / self.height


def read_picture(source: Source, tiff: Tiff, index: int) -> Picture:
    """The picture of directory `index`.

    :raises Quarantine: `file-damaged` if sizes make no sense, tiles are missing or reach beyond the file.
    """
    directory = tiff.directories[index]
    width, height = integer(source, tiff, directory, WIDTH), integer(source, tiff, directory, HEIGHT)
    tiled = TILE_WIDTH in directory.entries
    tile_width = integer(source, tiff, directory, TILE_WIDTH) if tiled else width
    rows = TILE_HEIGHT if tiled else ROWS_PER_STRIP
    tile_height = integer(source, tiff, directory, rows, None if tiled else height)
    tile_height = tile_height if tiled else min(tile_height, height)
    if not (
        0 < width < 1 << 24
        and 0 < height < 1 << 24
        and 0 < tile_width < 1 << 24
        and 0 < tile_height < 1 << 24
    ):
        raise damaged("a picture of the TIFF has no sensible size")
    samples, bits = integer(source, tiff, directory, SAMPLES, 1), integer(source, tiff, directory, BITS, 1)
    planes = samples if integer(source, tiff, directory, PLANAR, 1) == 2 else 1
    expected = -(-width // tile_width) * -(-height // tile_height) * planes
    offsets, counts = _ranges(source, tiff, directory, tiled, expected)
    tables = directory.entries.get(JPEG_TABLES)
    subfile = integer(source, tiff, directory, SUBFILE, 0)
    return Picture(
        index=index,
        directory=directory,
        width=width,
        height=height,
        tile_width=tile_width,
        tile_height=tile_height,
        tiled=tiled,
        reduced=bool(subfile & 1),
        subfile=subfile,
        compression=integer(source, tiff, directory, COMPRESSION, 1),
        photometric=integer(source, tiff, directory, PHOTOMETRIC, 2),
        bytes_per_pixel=(samples // planes) * -(-bits // 8),
        description=text(source, directory, DESCRIPTION),
        jpeg_tables=raw(source, tables) if tables else b"",
        offsets=offsets,
        counts=counts,
    )


def _ranges(
    source: Source, tiff: Tiff, directory: Directory, tiled: bool, expected: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    at, size = (TILE_OFFSETS, TILE_COUNTS) if tiled else (STRIP_OFFSETS, STRIP_COUNTS)
    entries = directory.entries
    if at not in entries or size not in entries:
        raise damaged("a picture of the TIFF does not say where its pixels are")
    if not expected == entries[at].count == entries[size].count or expected > MAX_TILES:
        raise damaged(f"a picture of {expected} tiles names {entries[at].count} of them")
    offsets, counts = integers(source, tiff, entries[at]), integers(source, tiff, entries[size])
    filled = counts > 0
    if bool((offsets[filled] > source.size - counts[filled]).any()):
        raise damaged("tiles reach beyond the end of the file")
    return offsets, counts


def ranges_of(pictures: tuple[Picture, ...]) -> NDArray[np.int64]:
    """Every distinct (start, end) of the pictures' tiles, by start.

    :raises Quarantine: `file-damaged` if two of them overlap without being the same.
    """
    pairs = [
        np.column_stack((p.offsets[filled], p.offsets[filled] + p.counts[filled]))
        for p in pictures
        for filled in (p.counts > 0,)
    ]
    return disjoint(np.concatenate(pairs)) if pairs else np.zeros((0, 2), dtype=np.int64)


def disjoint(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every distinct one of these (start, end), by start.

    :raises Quarantine: `file-damaged` if two of them overlap without being the same.
    """
    spans: NDArray[np.int64] = np.unique(pairs, axis=0)
    if bool((spans[1:, 0] < spans[:-1, 1]).any()):
        raise damaged("tiles of the slide overlap")
    return spans
