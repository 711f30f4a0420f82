"""The pyramid of a de-identified slide, as it is served: levels of stored tiles, and where the bytes of each stand.

What is read here left the house by `imaging.slides.plan`, so pictures that are no levels are gone already and the
directories are our own. Formats differ in how their levels are found; a table says which function finds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cases.errors import Quarantine
from imaging.slides import philips
from imaging.slides.payload import (
    APERIO_RGB,
    APERIO_YCC,
    DEFLATE,
    JPEG,
    LZW,
    MAX_TILE_BYTES,
    OLD_DEFLATE,
    RAW,
)
from imaging.slides.picture import SUBFILE, Picture, read_picture
from imaging.slides.pyramid import is_level
from imaging.slides.source import Source
from imaging.slides.tiff import Tiff, damaged, integer, read_tiff
from imaging.slides.whole_jpeg import WholeJpeg

PREDICTOR, _RGB = 317, 2
# A tile larger than this on a side is no scanner's; decoding one is bounded by it.
MAX_TILE_SIDE = 4096
# Pixels by which a level may differ from the base divided by a power of two: each halving rounds.
_ROUNDING = 2
_DECODED = (RAW, LZW, DEFLATE, OLD_DEFLATE, APERIO_YCC, APERIO_RGB)


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One level: sizes in pixels, tiles row by row; a tile of 0 bytes was never scanned and is white.

    `across`, `down`: pixels of the base in one of its own. `halvings`: how often the base was halved to make it, None
    if it was made in another way. `whole` makes pictures of its tiles; None: they are not JPEG.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int32]
    across: float
    down: float
    halvings: int | None
    compression: int
    predictor: int
    samples: int
    whole: WholeJpeg | None

    @property
    def columns(self) -> int:
        return -(-self.width // self.tile_width)

    def place(self, column: int, row: int) -> tuple[int, int]:
        """Where the bytes of a tile stand: offset and length."""
        index = row * self.columns + column
        return int(self.offsets[index]), int(self.counts[index])


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid:
    """The levels of one scanned image, the base first, each smaller than the one before."""

    levels: tuple[Level, ...]

    @property
    def base(self) -> Level:
        return self.levels[0]

    @property
    def held(self) -> int:
        """Bytes that it holds in memory, as good as."""
        return 4096 + sum(level.offsets.nbytes + level.counts.nbytes for level in self.levels)


def read_pyramids(source: Source, format_code: str) -> tuple[Pyramid, ...]:
    """The scanned images of a slide: one, but for a Leica SCN of several areas.

    :raises Quarantine: `format-unknown` if slides of this format are not served by tiles; `file-damaged`.
    """
    find = _FINDERS.get(format_code)
    if find is None:
        raise Quarantine("format-unknown", f"{format_code} is not served by tiles")
    tiff = read_tiff(source)
    pictures = tuple(read_picture(source, tiff, i) for i in range(len(tiff.directories)))
    found = tuple(_pyramid(source, tiff, image) for image in find(source, tiff, pictures))
    if not found:
        raise damaged("the slide has no level")
    return found


Images = tuple[tuple[Picture, ...], ...]


def _one_image(source: Source, tiff: Tiff, pictures: tuple[Picture, ...]) -> Images:
    """The first picture and every tiled one that has its shape."""
    base = pictures[0]
    return ((base, *(p for p in pictures[1:] if is_level(p, base))),)


def _areas(source: Source, tiff: Tiff, pictures: tuple[Picture, ...]) -> Images:
    """Each picture that does not call itself reduced begins an area; its levels follow it."""
    images: list[list[Picture]] = []
    for picture in pictures:
        if not integer(source, tiff, picture.directory, SUBFILE, 0) & 1:
            images.append([])
        if images:
            images[-1].append(picture)
    return tuple(tuple(image) for image in images)


def _philips(source: Source, tiff: Tiff, pictures: tuple[Picture, ...]) -> Images:
    """Levels are padded to whole tiles; the slide's XML says how large they are."""
    return (philips.levels_shown(source, tiff, pictures),)


_FINDERS: dict[str, Callable[[Source, Tiff, tuple[Picture, ...]], Images]] = {
    "svs": _one_image,
    "generic-tiff": _one_image,
    "leica-scn": _areas,
    "philips-tiff": _philips,
}


def _pyramid(source: Source, tiff: Tiff, pictures: tuple[Picture, ...]) -> Pyramid:
    base, *others = pictures
    smaller = sorted(others, key=lambda p: -p.width)
    return Pyramid(levels=tuple(_level(source, tiff, p, base) for p in (base, *smaller)))


def _level(source: Source, tiff: Tiff, picture: Picture, base: Picture) -> Level:
    jpeg = picture.compression == JPEG
    if not picture.tiled or not (jpeg or picture.compression in _DECODED):
        raise Quarantine("format-unknown", "a level of the slide is stored in a way that is not served")
    if max(picture.tile_width, picture.tile_height) > MAX_TILE_SIDE:
        raise damaged("a tile is larger than any scanner's")
    if int(picture.counts.max(initial=0)) > MAX_TILE_BYTES or picture.bytes_per_pixel not in (1, 3, 4):
        raise damaged("a tile of the slide is not of eight bits, or larger than its pixels")
    halved = halvings((base.width, base.height), (picture.width, picture.height))
    return Level(
        width=picture.width,
        height=picture.height,
        tile_width=picture.tile_width,
        tile_height=picture.tile_height,
        offsets=picture.offsets,
        counts=picture.counts.astype(np.int32),
        across=base.width / picture.width if halved is None else float(1 << halved),
        down=base.height / picture.height if halved is None else float(1 << halved),
        halvings=halved,
        compression=picture.compression,
        predictor=integer(source, tiff, picture.directory, PREDICTOR, 1),
        samples=picture.bytes_per_pixel,
        whole=WholeJpeg(picture.jpeg_tables, rgb=picture.photometric == _RGB) if jpeg else None,
    )


def halvings(base: tuple[int, int], size: tuple[int, int]) -> int | None:
    """How often `base` (width, height) was halved to make `size`; None if that does not make it."""
    times = round(math.log2(max(b / s for b, s in zip(base, size, strict=True))))
    close = (abs(-(-b // (1 << times)) - s) <= _ROUNDING for b, s in zip(base, size, strict=True))
    return times if all(close) else None
