"""Pictures of a slide as viewers ask for them, made of stored tiles.

A request that lines up with a stored tile gets that tile's bytes, decoded by nobody. Any other is composed: of the
coarsest level that is fine enough, tiles are decoded no larger than needed (JPEG decodes at 1/2, 1/4 and 1/8 by
itself), laid side by side and brought to size. Deep Zoom: level n of N has the base's size over 2**(N - n), rounded up.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cases.errors import Quarantine
from imaging.slides.levels import Level, Pyramid
from imaging.slides.payload import APERIO_RGB, APERIO_YCC, DEFLATE, LZW, OLD_DEFLATE, RAW
from imaging.slides.source import Source
from imaging.slides.tiff import damaged

QUALITY = 90
# Tiles that one picture may be composed of: a slide whose levels stop early is not decoded whole for one of them.
MAX_CANVAS = 1 << 26  # pixels laid side by side, four bytes each
MAX_COMPOSED = 1024
# Tiles are of the slide's own size; a slide without square ones gets these.
OTHER_TILE = 512
# A level is fine enough for a scale that is this little finer than it.
_SLACK = 1.02
_YCC = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]], dtype=np.float32)
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the base in its pixels, and the size in pixels at which it is wanted."""

    left: int
    top: int
    width: int
    height: int
    out_width: int
    out_height: int


class TooMuch(Exception):
    """A picture would have to be composed of more stored tiles than one request may decode."""


def tile_side(pyramid: Pyramid) -> int:
    """The side of a Deep Zoom tile in pixels: that of the stored tiles."""
    base = pyramid.base
    return base.tile_width if base.tile_width == base.tile_height else OTHER_TILE


def top_level(pyramid: Pyramid) -> int:
    """The number of the Deep Zoom level that has the base's size; level 0 is one pixel."""
    return (max(pyramid.base.width, pyramid.base.height) - 1).bit_length()


def tile_region(pyramid: Pyramid, level: int, column: int, row: int) -> Region | None:
    """What a Deep Zoom tile (no overlap) shows; None if there is no such tile."""
    halved, side, base = top_level(pyramid) - level, tile_side(pyramid), pyramid.base
    if not 0 <= halved <= top_level(pyramid) or column < 0 or row < 0:
        return None
    width, height = -(-base.width >> halved), -(-base.height >> halved)
    left, top = column * side, row * side
    if left >= width or top >= height:
        return None
    out_width, out_height = min(side, width - left), min(side, height - top)
    return Region(
        left=left << halved,
        top=top << halved,
        width=min(out_width << halved, base.width - (left << halved)),
        height=min(out_height << halved, base.height - (top << halved)),
        out_width=out_width,
        out_height=out_height,
    )


def stored(pyramid: Pyramid, region: Region) -> tuple[Level, int, int] | None:
    """The level, column and row of the stored tile that shows exactly this region, if there is one.

    Tiles at the right and lower edge hold more than the slide and are never that one.
    """
    halved = (region.width // region.out_width).bit_length() - 1
    if (region.width, region.height) != (region.out_width << halved, region.out_height << halved):
        return None
    for level in pyramid.levels:
        if level.halvings == halved and (level.tile_width, level.tile_height) == (
            region.out_width,
            region.out_height,
        ):
            column, beside = divmod(region.left, level.tile_width << halved)
            row, below = divmod(region.top, level.tile_height << halved)
            whole = (column + 1) * level.tile_width <= level.width and (
                row + 1
            ) * level.tile_height <= level.height
            return (level, column, row) if whole and not beside and not below else None
    return None


def stored_bytes(pyramid: Pyramid, region: Region, read: Callable[[int, int], bytes]) -> bytes | None:
    """The JPEG of the stored tile that shows exactly this region; None if it must be composed.

    :param read: of offset and length, as a `Source` reads.
    :raises Quarantine: `file-damaged`.
    """
    found = stored(pyramid, region)
    if found is None or found[0].whole is None:
        return None
    level, column, row = found
    offset, length = level.place(column, row)
    return level.whole(read(offset, length)) if length and level.whole else None


def compose(source: Source, pyramid: Pyramid, region: Region) -> Image.Image:
    """The region as RGB, on white.

    :raises TooMuch: if it is made of more than `MAX_COMPOSED` stored tiles. :raises Quarantine: `file-damaged`.
    """
    scale = min(region.width / region.out_width, region.height / region.out_height) * _SLACK
    fine = (lv for lv in reversed(pyramid.levels) if max(lv.across, lv.down) <= scale)
    level = next(fine, pyramid.base)
    box = (
        min(region.left / level.across, level.width - 1),
        min(region.top / level.down, level.height - 1),
        min((region.left + region.width) / level.across, level.width),
        min((region.top + region.height) / level.down, level.height),
    )
    reduced = _reduction(level, scale / max(level.across, level.down))
    canvas, (left, top) = _laid(source, level, box, reduced)
    part = (
        box[0] / reduced - left,
        box[1] / reduced - top,
        min(box[2] / reduced - left, canvas.width),
        min(box[3] / reduced - top, canvas.height),
    )
    size = (region.out_width, region.out_height)
    whole = (round(part[0]), round(part[1]), round(part[2]), round(part[3]))
    if not any(edge % 1 for edge in part) and (whole[2] - whole[0], whole[3] - whole[1]) == size:
        return canvas.crop(whole)
    return canvas.resize(size, Image.Resampling.HAMMING, box=part, reducing_gap=2.0)


def _reduction(level: Level, spare: float) -> int:
    """By how much tiles are decoded smaller, along a side."""
    fits = (n for n in (8, 4, 2) if n <= spare and not level.tile_width % n and not level.tile_height % n)
    return next(fits, 1)


def _laid(
    source: Source, level: Level, box: tuple[float, float, float, float], reduced: int
) -> tuple[Image.Image, tuple[int, int]]:
    """The tiles under `box` side by side at 1/`reduced`, and where in that scale they begin."""
    first = int(box[0]) // level.tile_width, int(box[1]) // level.tile_height
    last = (-int(-box[2] // 1) - 1) // level.tile_width, (-int(-box[3] // 1) - 1) // level.tile_height
    columns, rows = range(first[0], last[0] + 1), range(first[1], last[1] + 1)
    if len(columns) * len(rows) > MAX_COMPOSED:
        raise TooMuch
    side = level.tile_width // reduced, level.tile_height // reduced
    if len(columns) * side[0] * len(rows) * side[1] > MAX_CANVAS:
        raise TooMuch
    canvas = Image.new("RGB", (len(columns) * side[0], len(rows) * side[1]), "white")
    for column, row, tile in _decoded(source, level, columns, rows, reduced):
        canvas.paste(tile, ((column - first[0]) * side[0], (row - first[1]) * side[1]))
    return canvas, (first[0] * side[0], first[1] * side[1])


def _decoded(
    source: Source, level: Level, columns: range, rows: range, reduced: int
) -> Iterator[tuple[int, int, Image.Image]]:
    for row in rows:
        for column in columns:
            offset, length = level.place(column, row)
            if length:
                yield column, row, decode(level, source.read(offset, length), reduced)


def decode(level: Level, content: bytes, reduced: int = 1) -> Image.Image:
    """One stored tile as RGB, at 1/`reduced`.

    :raises Quarantine: `file-damaged`.
    """
    size = (level.tile_width // reduced, level.tile_height // reduced)
    try:
        picture = _jpeg(level, content, size) if level.whole else _unpacked(level, content)
    except (OSError, ValueError, RuntimeError, SyntaxError, zlib.error) as error:
        raise Quarantine("file-damaged", "a tile of the slide cannot be decoded") from error
    if picture.size != size:
        if picture.size != (level.tile_width, level.tile_height):
            raise damaged("a tile of the slide has another size than its level says")
        picture = picture.reduce(reduced)
    return picture.convert("RGB")


def _jpeg(level: Level, content: bytes, size: tuple[int, int]) -> Image.Image:
    assert level.whole is not None, "the caller looked"
    picture = Image.open(io.BytesIO(level.whole(content)), formats=("JPEG",))
    if picture.size != (level.tile_width, level.tile_height):
        raise damaged("a tile of the slide has another size than its level says")
    picture.draft("RGB", size)
    picture.load()
    return picture


def _unpacked(level: Level, content: bytes) -> Image.Image:
    if level.compression in (APERIO_YCC, APERIO_RGB):
        pixels: Pixels = imagecodecs.jpeg2k_decode(content)
        return Image.fromarray(_from_ycc(pixels) if level.compression == APERIO_YCC else pixels)
    shape = (level.tile_height, level.tile_width, level.samples)
    flat = _UNPACK[level.compression](content, shape[0] * shape[1] * shape[2])
    pixels = np.frombuffer(flat, dtype=np.uint8).reshape(shape)
    if level.predictor == 2:  # TIFF 6.0 section 14: differences along each row
        pixels = np.cumsum(pixels, axis=1, dtype=np.uint8)
    return Image.fromarray(pixels[:, :, 0] if level.samples == 1 else pixels[:, :, :3])


_UNPACK: dict[int, Callable[[bytes, int], bytes]] = {
    RAW: lambda content, size: content,
    LZW: lambda content, size: bytes(imagecodecs.lzw_decode(content, out=size)),
    DEFLATE: lambda content, size: zlib.decompressobj().decompress(content, size),
    OLD_DEFLATE: lambda content, size: zlib.decompressobj().decompress(content, size),
}


def _from_ycc(pixels: Pixels) -> Pixels:
    """Full-range YCbCr (ITU-T T.871) to RGB."""
    apart = pixels.astype(np.float32) - np.array([0, 128, 128], dtype=np.float32)
    rgb: Pixels = np.clip(apart @ _YCC.T + 0.5, 0, 255).astype(np.uint8)
    return rgb


def encoded(picture: Image.Image, kind: str = "JPEG") -> bytes:
    """A picture as JPEG (quality 90, 4:2:0) or PNG."""
    out = io.BytesIO()
    if kind == "PNG":
        picture.save(out, "PNG", compress_level=3)
    else:
        picture.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def picture(source: Source, pyramid: Pyramid, region: Region) -> bytes:
    """The region as JPEG: the stored tile as it is where it lines up, else composed."""
    return stored_bytes(pyramid, region, source.read) or encoded(compose(source, pyramid, region))
