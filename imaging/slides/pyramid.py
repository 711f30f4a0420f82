"""Which pictures of a TIFF are levels of one pyramid, by their shape and by what they show."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cases.errors import Quarantine
from imaging.slides.payload import APERIO_RGB, APERIO_YCC, JPEG, MAX_TILE_BYTES
from imaging.slides.picture import Picture
from imaging.slides.source import Source, SourceStream

# A level larger than this is never decoded here, and no label is as large.
MAX_COMPARED_PIXELS = 6_000_000
_SIDE, _YCBCR = 64, 6
_MEAN_DIFFERENCE, _WORST_DIFFERENCE = 10.0, 48.0


def is_level(picture: Picture, base: Picture) -> bool:
    """Whether a picture can be a smaller level of `base`: tiled, smaller, same shape to a pixel's rounding.

    A level halves (or more) and rounds, so its sides may differ from the exact ratio by two pixels.
    """
    if not picture.tiled or picture.width >= base.width or picture.height >= base.height:
        return False
    if picture.bytes_per_pixel != base.bytes_per_pixel:
        return False
    factor = max(base.width / picture.width, base.height / picture.height)
    least = min(base.width / picture.width, base.height / picture.height)
    slack = 2.0 * factor / min(picture.width, picture.height)
    return factor - least <= max(slack, 0.01 * factor)


def levels_of(source: Source, pictures: tuple[Picture, ...], *, only_reduced: bool) -> tuple[Picture, ...]:
    """The base and its smaller levels. One that is small enough to be a label must show what the base shows.

    :param only_reduced: a level says that it is a reduced picture (TIFF 6.0, NewSubfileType).
    """
    base = pictures[0]
    shaped = [p for p in pictures[1:] if is_level(p, base) and (p.reduced or not only_reduced)]
    small = [p for p in shaped if _area(p) <= MAX_COMPARED_PIXELS]
    if small:
        anchor = min(small, key=_area)
        agreed = _shows_base(source, anchor, base, grid=3) and all(
            _look_alike(source, p, anchor) for p in small if p is not anchor
        )
        foreign = [] if agreed else [p for p in small if not _shows_base(source, p, base, grid=8)]
        shaped = [p for p in shaped if p not in foreign]
    return (base, *shaped)


def shows_slide(source: Source, picture: Picture, levels: tuple[Picture, ...]) -> bool:
    """Whether a small `picture` shows what the levels (base first) show; False for one too large to be looked at.

    This is how a thumbnail of the tissue is told from a label or a macro image, whatever its tags say.
    """
    if _area(picture) > MAX_COMPARED_PIXELS or abs(picture.aspect / levels[0].aspect - 1) > 0.05:
        return False
    smallest = min(levels, key=_area)
    if _area(smallest) > MAX_COMPARED_PIXELS:
        return _shows_base(source, picture, levels[0], grid=8)
    return _look_alike(source, picture, smallest)


def _area(picture: Picture) -> int:
    return picture.width * picture.height


def _look_alike(source: Source, one: Picture, other: Picture) -> bool:
    apart = np.abs(_seen(source, one) - _seen(source, other))
    cells = apart.reshape(8, _SIDE // 8, 8, _SIDE // 8).mean(axis=(1, 3))
    return bool(apart.mean() <= _MEAN_DIFFERENCE and cells.max() <= _WORST_DIFFERENCE)


def _seen(source: Source, picture: Picture) -> NDArray[np.float64]:
    """A picture as 64 x 64 grey values."""
    grey = Image.fromarray(_pixels(source, picture))
    return np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64)


def _pixels(source: Source, picture: Picture) -> NDArray[np.uint8]:
    """A small picture in grey, without what pads it; tiles that were never scanned are white."""
    if picture.compression == JPEG and picture.offsets.size == 1:
        return _decoded(source, picture, 0)[: picture.height, : picture.width]
    with _opened(source) as opened:
        page = _page(opened, picture)
        page.nodata = 255
        return _grey(np.asarray(page.asarray())[: picture.height, : picture.width])


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise Quarantine("slide-unsafe", "the slide's pixels are not of eight bits")
    if pixels.ndim == 3:
        pixels = pixels[:, :, 0] if pixels.shape[2] < 3 else pixels[:, :, :3]
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))


def _page(opened: tifffile.TiffFile, picture: Picture) -> tifffile.TiffPage:
    """The page at a picture's own directory, wherever it hangs."""
    opened.filehandle.seek(picture.directory.offset)
    return tifffile.TiffPage(opened, index=0)


def silence_tifffile() -> None:
    """Its warnings quote the tags that they are about, and tags name patients."""
    logging.getLogger("tifffile").disabled = True


@contextmanager
def _opened(source: Source) -> Iterator[tifffile.TiffFile]:
    """The slide opened by tifffile; what its decoders raise becomes damage."""
    silence_tifffile()
    try:
        with tifffile.TiffFile(cast(IO[bytes], SourceStream(source))) as opened:
            yield opened
    except (ValueError, RuntimeError, TypeError, KeyError, IndexError, OSError, ImportError) as error:
        raise Quarantine("file-damaged", "a picture of the slide cannot be decoded") from error


def _shows_base(source: Source, picture: Picture, base: Picture, *, grid: int) -> bool:
    """Whether a small picture shows the base, at `grid` x `grid` tiles spread over it."""
    columns, rows = -(-base.width // base.tile_width), -(-base.height // base.tile_height)
    steps = [(2 * i + 1) / (2 * grid) for i in range(grid)]
    chosen = sorted({(int(rows * y), int(columns * x)) for y in steps for x in steps})
    small = _pixels(source, picture)
    apart = []
    for row, column in chosen:
        index = row * columns + column
        if not base.counts[index]:
            continue
        top, left = row * base.tile_height, column * base.tile_width
        tile = _decoded(source, base, index)[: base.height - top, : base.width - left]
        scale_y, scale_x = picture.height / base.height, picture.width / base.width
        bottom, right = top + tile.shape[0], left + tile.shape[1]
        part = small[
            int(top * scale_y) : int(bottom * scale_y) + 1, int(left * scale_x) : int(right * scale_x) + 1
        ]
        if not tile.size or not part.size:
            return False
        apart.append(abs(float(tile.mean()) - float(part.mean())))
    return bool(apart) and float(np.mean(apart)) <= _MEAN_DIFFERENCE and max(apart) <= _WORST_DIFFERENCE


def _decoded(source: Source, base: Picture, index: int) -> NDArray[np.uint8]:
    """One tile of the base in grey. A page of many tiles is slow and large in tifffile: what scanners write is not."""
    if int(base.counts[index]) > MAX_TILE_BYTES:
        raise Quarantine("file-damaged", "a picture of the slide has more bytes than pixels")
    content = source.read(int(base.offsets[index]), int(base.counts[index]))
    try:
        if base.compression == JPEG:
            kind = "YCBCR" if base.photometric == _YCBCR else "RGB"
            tables = base.jpeg_tables or None
            return _grey(
                imagecodecs.jpeg8_decode(content, tables=tables, colorspace=kind, outcolorspace="RGB")
            )
        if base.compression in (APERIO_YCC, APERIO_RGB):
            pixels = imagecodecs.jpeg2k_decode(content)
            return _grey(pixels[:, :, 0] if base.compression == APERIO_YCC else pixels)
    except (RuntimeError, ValueError) as error:
        raise Quarantine("file-damaged", "a tile of the slide cannot be decoded") from error
    with _opened(source) as opened:
        tile, _, _ = _page(opened, base).decode(content, index)
    return _grey(np.asarray(tile).reshape(base.tile_height, -1, base.bytes_per_pixel))
