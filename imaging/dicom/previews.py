"""Small pictures of instances for people of the region: PNG, windowed, at most 512 pixels, the same bytes every time.

They show what the pixels show, burned-in text too, so they count as identified. Only the frame in the middle is
decoded; decoders are native code, so callers run this in a child with limits.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

from cases.documents import Area
from imaging.dicom import frames
from imaging.dicom.frames import Picture

SIDE = 512
_PERCENTILES = (0.5, 99.5)
_STRIPE, _STRIPES = 8, (160, 70)  # pixels; greys


def preview(path: Path, *, side: int = SIDE, hatched: Sequence[Area] = ()) -> bytes | None:
    """The PNG of the middle frame of an instance; None if it has no pixels (a report, a plan).

    :param hatched: what was blanked in the instance: shown as such, so that nobody takes it for a finding.
    :param side: the longer side of the picture in pixels, at most.
    :raises Quarantine: `file-damaged` if the frame cannot be decoded; `format-unknown` if no decoder knows its
        transfer syntax; `read-limit` if a frame takes more than `frames.MAX_FRAME_BYTES`.
    """
    with warnings.catch_warnings(), frames.decoding():
        warnings.simplefilter("ignore")
        opened = frames.open_instance(path)
        if not opened.has_pixels:
            return None
        middle = opened.frames // 2
        whole = frames.decode(opened, middle)
        drawn = np.array(shown(thinned(whole, side), opened.dataset))
        for area in (a for a in hatched if a.first <= middle <= a.last):
            _hatch(drawn, area, whole.shape[0] / drawn.shape[0])
        return _png(drawn, side)


def thinned(picture: Picture, side: int) -> Picture:
    """Every n-th pixel, so that no step after this one is dear; at least twice the side remains."""
    step = max(1, max(picture.shape[:2]) // (2 * side))
    return picture[::step, ::step]


def shown(picture: Picture, dataset: Dataset) -> NDArray[np.uint8]:
    """A decoded frame as (rows, columns) or (rows, columns, 3) of 8 bits, as the instance says it is to be shown."""
    if picture.ndim == 3:
        return _eight_bit(picture, int(dataset.get("BitsStored") or 8))
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        coloured = apply_color_lut(picture, dataset)[:, :, :3]
        return _eight_bit(coloured, 8 if coloured.max() < 256 else 16)
    grey = _windowed(modality_values(picture, dataset), dataset)
    return 255 - grey if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def modality_values(picture: Picture, dataset: Dataset) -> Picture:
    """Stored values as those of the modality: Hounsfield units of a CT."""
    return np.asarray(apply_modality_lut(picture, dataset))


def _eight_bit(picture: Picture, bits: int) -> NDArray[np.uint8]:
    if picture.dtype == np.uint8:
        return picture
    return np.clip(picture.astype(np.float32) * (255 / (2.0**bits - 1)), 0, 255).astype(np.uint8)


def _windowed(grey: Picture, dataset: Dataset) -> NDArray[np.uint8]:
    """By the VOI LUT, else by the first window, else, or if that shows nothing, by the picture's percentiles."""
    if "VOILUTSequence" in dataset and np.issubdtype(grey.dtype, np.integer):
        return _stretched(np.asarray(apply_voi_lut(grey, dataset, prefer_lut=True)), None)
    shown = _stretched(grey, _window(dataset))
    return shown if shown.min() < shown.max() else _stretched(grey, None)


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """The first window's lowest and highest value; of an enhanced instance, the one that its frames share."""
    holder: Any = dataset
    if "WindowCenter" not in dataset and "SharedFunctionalGroupsSequence" in dataset:
        shared = dataset.SharedFunctionalGroupsSequence[0]
        holder = shared.FrameVOILUTSequence[0] if "FrameVOILUTSequence" in shared else dataset
    centre, width = holder.get("WindowCenter"), holder.get("WindowWidth")
    if centre is None or width is None:
        return None
    centre, width = (float(np.ravel(value)[0]) for value in (centre, width))
    return (centre - width / 2, centre + width / 2) if width > 0 else None


def _stretched(grey: Picture, window: tuple[float, float] | None) -> NDArray[np.uint8]:
    values = np.nan_to_num(grey.astype(np.float32))
    low, high = window or (float(each) for each in np.percentile(values, _PERCENTILES))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / ((high - low) or 1))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _hatch(picture: NDArray[np.uint8], area: Area, scale: float) -> None:
    """Diagonal stripes over an area whose pixels are `scale` times as many as the picture's."""
    top, bottom, left, right = (round(n / scale) for n in (area.top, area.bottom, area.left, area.right))
    held = picture[top:bottom, left:right]
    rows, columns = np.indices(held.shape[:2])
    stripes = np.where((rows + columns) // _STRIPE % 2, *_STRIPES)
    held[...] = stripes if held.ndim == 2 else stripes[:, :, None]


def _png(picture: NDArray[np.uint8], side: int) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=6)
    return target.getvalue()
