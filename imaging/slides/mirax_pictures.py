"""The pictures of a MIRAX slide: each read to its end, and each level a smaller picture of the one before."""

from __future__ import annotations

from itertools import accumulate, product

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging.slides.mirax_index import Index, Rows
from imaging.slides.mirax_settings import Settings
from imaging.slides.payload import check_jpegs, unsafe
from imaging.slides.picture import disjoint
from imaging.slides.source import FolderSource
from imaging.slides.tiff import damaged

# Of each level so many pictures are decoded, and those of the level before that they are made of.
COMPARED = 32
_SIDE = 64
_MEAN_DIFFERENCE, _WORST_DIFFERENCE = 10.0, 48.0


def spans_of(folder: FolderSource, settings: Settings, rows: Rows) -> NDArray[np.int64]:
    """Where rows (place, offset, length, file) of the index stand in the source, as (start, end).

    :raises Quarantine: `file-damaged`.
    """
    files = np.array([folder.span(name) for name in settings.data], dtype=np.int64)
    if bool((rows[:, 3] >= len(files)).any()):
        raise damaged("the MIRAX slide names a data file that it has not")
    within = files[rows[:, 3]]
    spans: NDArray[np.int64] = within[:, :1] + np.column_stack((rows[:, 1], rows[:, 1] + rows[:, 2]))
    if bool((spans[:, 1] > within[:, 1]).any()):
        raise damaged("pictures of the MIRAX slide reach beyond their data file")
    return spans


def walk(folder: FolderSource, settings: Settings, index: Index) -> int:
    """Read every picture of every level to its end; returns the bytes read.

    :raises Quarantine: as `payload.check_tiles`.
    """
    read = 0
    for level, rows in zip(settings.levels, index.levels, strict=True):
        read += check_jpegs(folder, disjoint(spans_of(folder, settings, rows)), level.size)
    return read


def require_one_slide(folder: FolderSource, settings: Settings, index: Index) -> None:
    """Each level's pictures are put together of four (or more) of the level before, made smaller (OpenSlide's page).

    :raises Quarantine: `slide-unsafe` if one shows something else: a label, for one; `file-damaged`.
    """
    steps = [1 << total for total in accumulate(level.concat for level in settings.levels)]
    for number in range(1, len(settings.levels)):
        finer, rows = index.levels[number - 1], index.levels[number]
        spans = spans_of(folder, settings, rows)
        before = dict(zip(finer[:, 0].tolist(), spans_of(folder, settings, finer).tolist(), strict=True))
        for at in np.unique(np.linspace(0, len(rows) - 1, COMPARED).astype(int)) if len(rows) else ():
            row, column = divmod(int(rows[at, 0]), settings.pictures[0])
            parts = {
                (y, x): before.get(
                    (row + y * steps[number - 1]) * settings.pictures[0] + column + x * steps[number - 1]
                )
                for y, x in product(range(1 << settings.levels[number].concat), repeat=2)
            }
            if not _shows(folder, spans[at].tolist(), parts):
                raise unsafe("a zoom level of the MIRAX slide shows something else than the one before")


def _shows(folder: FolderSource, span: list[int], parts: dict[tuple[int, int], list[int] | None]) -> bool:
    """Whether a picture shows its parts, by their (row, column); a part that was never scanned shows nothing."""
    side = round(len(parts) ** 0.5)
    whole, cell = _grey(folder, span, _SIDE), _SIDE // side
    apart = np.zeros_like(whole)
    seen = 0
    for (y, x), part in parts.items():
        if part is not None:
            place = slice(y * cell, (y + 1) * cell), slice(x * cell, (x + 1) * cell)
            apart[place] = np.abs(whole[place] - _grey(folder, part, cell))
            seen += cell * cell
    worst = apart.reshape(8, _SIDE // 8, 8, _SIDE // 8).mean(axis=(1, 3)).max()
    return bool(seen and apart.sum() / seen <= _MEAN_DIFFERENCE and worst <= _WORST_DIFFERENCE)


def _grey(folder: FolderSource, span: list[int], side: int) -> NDArray[np.float64]:
    start, end = span
    try:
        pixels = imagecodecs.jpeg8_decode(folder.read(start, end - start))
    except (RuntimeError, ValueError) as error:
        raise damaged("a picture of the slide cannot be decoded") from error
    grey = Image.fromarray(pixels).convert("L")
    return np.asarray(grey.resize((side, side), Image.Resampling.BOX), dtype=np.float64)
