"""Text in pictures, Chinese and English, offline: PP-OCRv4, whose models the `rapidocr-onnxruntime` wheel carries.

One engine holds about 500 MB and takes 0.4 to 1.1 s a picture, so a process makes one and shares it; callers
that must bound time or memory run it in a killable child. Spaces between words are not always read.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class TextBox:
    """One line of text: its upright bounding box in pixels of the picture (right and bottom exclusive)."""

    text: str
    left: int
    top: int
    right: int
    bottom: int
    confidence: float


def eight_bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    """A grey (rows, columns) or colour (rows, columns, 3 or 4) picture as 8-bit RGB, stretched to its range.

    :raises ValueError: if the array is not a picture.
    """
    if image.ndim == 3 and image.shape[2] in (3, 4):
        image = image[:, :, :3]
    elif image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    elif image.ndim != 2:
        raise ValueError(f"not a picture: an array of shape {image.shape}")
    if image.size == 0:
        raise ValueError("not a picture: it has no pixels")
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        scale = 255.0 / (high - low) if high > low else 0.0
        image = ((image.astype(np.float32) - low) * scale).astype(np.uint8)
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image)


class Engine:
    """Reads text from pictures. Nothing is loaded before the first `read`; one reading at a time."""

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._reader: Any = None

    def _load(self) -> Any:
        if self._reader is None:
            from rapidocr_onnxruntime import RapidOCR

            self._reader = RapidOCR(intra_op_num_threads=self._threads, inter_op_num_threads=1)
        return self._reader

    def read(self, image: NDArray[Any], *, least_confidence: float = 0.5) -> tuple[TextBox, ...]:
        """The lines of text in `image`, from top to bottom, of which the model is `least_confidence` sure.

        :param image: grey (rows, columns) or colour (rows, columns, 3 or 4) of any numeric type.
        :raises ValueError: if the array is not a picture.
        """
        picture = eight_bit(image)
        with self._lock:
            found, _ = self._load()(picture[:, :, ::-1], text_score=least_confidence)
        boxes = [_box(corners, text, float(score)) for corners, text, score in found or []]
        return tuple(sorted(boxes, key=lambda b: (b.top, b.left)))


def _box(corners: list[list[float]], text: str, score: float) -> TextBox:
    xs, ys = [c[0] for c in corners], [c[1] for c in corners]
    return TextBox(
        text=text,
        left=max(0, int(min(xs))),
        top=max(0, int(min(ys))),
        right=int(max(xs)) + 1,
        bottom=int(max(ys)) + 1,
        confidence=score,
    )
