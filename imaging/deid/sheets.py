"""The pictures in which text is looked for: every frame is in one, and a line of text in any frame stands in one.

Reading takes about a second a picture, so frames that follow each other are read one over the other, as their brightest
and as their darkest, for as long as no line of text comes or goes among them: what stands in all of them stays legible.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from imaging.dicom import frames
from imaging.ocr import eight_bit

Picture = NDArray[np.uint8]
_TOGETHER = 16
_ONE_BY_ONE = 4
# What a line of text changes where it comes or goes: a share of the pixels of a block (columns, rows) by so many greys.
# Measured: letters of 22 pixels change 0.32 and more of a block, from frame to frame of an echo at most 0.24 do.
_BLOCK, _CHANGE, _SHARE = (64, 16), 64, 0.25


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A picture that is read, 8-bit RGB: one frame, or the frames `first` to `last` one over the other."""

    first: int
    last: int
    picture: Picture


def sheets(opened: frames.Opened) -> Iterator[Sheet]:
    """The sheets of an instance, in order; the same ones every time.

    :raises Quarantine: as `frames.decode`.
    """
    together = 1 if opened.frames <= _ONE_BY_ONE else _TOGETHER
    group: list[Picture] = []
    first = 0
    for frame in frames.every(opened):
        shown = _shown(frame, opened.dataset)
        if group and (len(group) == together or _text_comes_or_goes(group[-1], shown)):
            yield from _over_each_other(first, group)
            first, group = first + len(group), []
        group.append(shown)
    yield from _over_each_other(first, group)


def _over_each_other(first: int, group: list[Picture]) -> Iterator[Sheet]:
    for over in (np.maximum, np.minimum)[: len(group)]:
        yield Sheet(first=first, last=first + len(group) - 1, picture=functools.reduce(over, group))


def _text_comes_or_goes(before: Picture, after: Picture) -> bool:
    changed = cv2.absdiff(before, after).max(axis=2) > _CHANGE
    return bool(changed.any() and cv2.blur(changed.astype(np.float32), _BLOCK).max() > _SHARE)


def _shown(frame: NDArray[Any], dataset: Dataset) -> Picture:
    """As a person sees it: in its palette's colours, faint greys stretched to the whole range."""
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        return eight_bit(apply_color_lut(frame, dataset))
    return eight_bit(frame if frame.ndim == 3 else frame.astype(np.float32))
