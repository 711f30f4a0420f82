"""Which pictures of a TIFF are levels of one pyramid, by their shape and by what they show."""

from __future__ import annotations

import io
from typing import IO, cast

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cases.errors import Quarantine
from imaging.slides.picture import Picture
from imaging.slides.source import Source

# A level this large is never decoded here, and nothing this large is a label.
MAX_COMPARED_PIXELS = 24_000_000
_SIDE = 64
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


def levels_agree(source: Source, picture: Picture, levels: tuple[Picture, ...]) -> bool:
    """Whether `picture` shows what the smallest other level shows; False if none is small enough to be looked at.

    This is how a thumbnail of the tissue is told from a label or a macro image, whatever its tags say.
    """
    others = [p for p in levels if p.index != picture.index]
    reference = min(others, key=lambda p: p.width * p.height, default=None)
    if reference is None or max(p.width * p.height for p in (picture, reference)) > MAX_COMPARED_PIXELS:
        return False
    if abs(picture.aspect / reference.aspect - 1) > 0.05:
        return False
    apart = np.abs(_seen(source, picture) - _seen(source, reference))
    cells = apart.reshape(8, _SIDE // 8, 8, _SIDE // 8).mean(axis=(1, 3))
    return bool(apart.mean() <= _MEAN_DIFFERENCE and cells.max() <= _WORST_DIFFERENCE)


def _seen(source: Source, picture: Picture) -> NDArray[np.float64]:
    """A picture as 64 x 64 grey values."""
    try:
        with tifffile.TiffFile(cast(IO[bytes], _Stream(source))) as opened:
            pixels = opened.pages[picture.index].asarray()
        grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    except (ValueError, RuntimeError, TypeError, KeyError, IndexError, OSError, ImportError) as error:
        raise Quarantine("file-damaged", "a small picture of the slide cannot be decoded") from error
    reduced = grey.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(reduced, dtype=np.float64)


class _Stream(io.RawIOBase):
    """A source as a stream, for libraries that want one."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._at = 0
        self.name = "slide"

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, target: object) -> int:
        view = memoryview(target)  # type: ignore[arg-type]
        length = max(0, min(len(view), self._source.size - self._at))
        view[:length] = self._source.read(self._at, length)
        self._at += length
        return length

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._source.size - self._at)
        length = left if size is None or size < 0 else min(size, left)
        content = self._source.read(self._at, length)
        self._at += length
        return content
