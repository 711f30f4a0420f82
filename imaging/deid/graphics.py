"""Clean Graphics (PS3.15 E.3.3): overlays and drawings stay where they hold no text, and go where they might."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging.deid.elements import DataSet, Element
from imaging.ocr import Engine

# What of an overlay is kept (PS3.3 C.9.2): its size, place, kind and bits, and what was measured in it.
OVERLAY_PARTS = frozenset(
    {0x0010, 0x0011, 0x0015, 0x0040, 0x0050, 0x0051, 0x0100, 0x0102, 0x1301, 0x1302, 0x1303, 0x3000}
)
_ROWS, _COLUMNS, _FRAMES, _DATA = 0x0010, 0x0011, 0x0015, 0x3000
_MOST_FRAMES = 16
_LEAST_SURE = 0.1
_TEXT_OBJECTS, _GRAPHIC_OBJECTS, _COMPOUNDS = 0x00700008, 0x00700009, 0x00700209
_MARGIN, _SCALE = 16, 2  # pixels; times as large: a reader of text needs both


def overlays_without_text(elements: DataSet, engine: Engine | None, *, big: bool) -> frozenset[int]:
    """The groups 60xx of a data set's root whose every frame was read and showed no text at all.

    :param engine: without one nobody can tell, and none is named.
    :param big: whether the data set is in big endian.
    """
    groups = sorted({e.tag >> 16 for e in elements if e.tag >> 24 == 0x60})
    if engine is None:
        return frozenset()
    return frozenset(g for g in groups if _shows_no_text(elements, g, engine, big=big))


def without_text(drawings: list[DataSet]) -> list[DataSet]:
    """The items of a Graphic Annotation Sequence without their text objects; those that were text alone go whole.

    Compound graphics (rulers, axes) carry labels of their own, and go too.
    """
    kept = [[e for e in item if e.tag not in (_TEXT_OBJECTS, _COMPOUNDS)] for item in drawings]
    return [item for item in kept if any(e.tag == _GRAPHIC_OBJECTS and e.items for e in item)]


def _shows_no_text(elements: DataSet, group: int, engine: Engine, *, big: bool) -> bool:
    frames = _frames(elements, group, big=big)
    if frames is None:
        return False
    for frame in frames:
        picture = np.pad(np.kron(frame, np.ones((_SCALE, _SCALE), np.uint8)), _MARGIN) * np.uint8(255)
        if frame.any() and any(
            _is_written(b.text) for b in engine.read(picture, least_confidence=_LEAST_SURE)
        ):
            return False
    return True


def _is_written(text: str) -> bool:
    """Whether it is more than one letter: a circle is read as an O, and a single letter names nobody."""
    return sum(c.isalnum() for c in text) >= 2


def _frames(elements: DataSet, group: int, *, big: bool) -> NDArray[np.uint8] | None:
    """The overlay's bits as (frames, rows, columns) of 0 and 1; None if it is not what it says, or is too much."""
    here = {e.tag & 0xFFFF: e for e in elements if e.tag >> 16 == group}
    rows, columns = (_unsigned(here.get(part), big=big) for part in (_ROWS, _COLUMNS))
    said = bytes(here[_FRAMES].value).decode("latin-1").strip(" \0") if _FRAMES in here else "1"
    data = here.get(_DATA)
    if data is None or data.items is not None or not said.isdigit() or int(said) > _MOST_FRAMES:
        return None
    size = rows * columns * int(said)
    raw = np.frombuffer(bytes(data.value), np.uint8)
    if not size or raw.size not in (-(-size // 8), -(-size // 8) + (-(-size // 8) & 1)):
        return None
    if big and data.vr == "OW":
        raw = raw.reshape(-1, 2)[:, ::-1].reshape(-1)
    bits = np.unpackbits(raw, bitorder="little")
    # padding bits after the last frame are no picture: what is set there is nobody's to see
    return None if bits[size:].any() else bits[:size].reshape(int(said), rows, columns)


def _unsigned(element: Element | None, *, big: bool) -> int:
    if element is None or len(element.value) != 2:
        return 0
    return int.from_bytes(bytes(element.value), "big" if big else "little")
