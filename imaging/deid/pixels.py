"""Burned-in text: the rows above an ultrasound's regions are blanked, the rest is read, and what identifies withholds.

A device that calibrates its regions (Sequence of Ultrasound Regions, PS3.3 C.8.5.5) writes the patient above the
topmost one, and no echo. Everything else is only looked at: a box over anatomy is never blanked by the machine.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import RLELossless

from cases.errors import Quarantine
from imaging.deid.elements import PIXEL_DATA, DataSet, Element
from imaging.deid.known import KnownIdentity
from imaging.deid.objects import Kind, has
from imaging.deid.part10 import Head
from imaging.deid.rules import insert, value_of
from imaging.deid.text import spans
from imaging.dicom import frames
from imaging.ocr import Engine, TextBox, eight_bit

Frame = NDArray[Any]
_REGIONS, _REGION_TOP = 0x00186011, 0x0018601A
_ROWS, _COLUMNS, _SAMPLES, _PLANAR, _ALLOCATED = 0x00280010, 0x00280011, 0x00280002, 0x00280006, 0x00280100
_PHOTOMETRIC, _BURNED_IN, _FRAMES = 0x00280004, 0x00280301, 0x00280008
_COMPOSITE = 16
_LOOKED_AT_ONE_BY_ONE = 4
_LOOSE_DATE = re.compile(r"(?:19|20)\d{2}[-/.年]\d{1,2}[-/.月]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d{2}")
_SQUEEZED_LEAST = 5
_KNOWN = "a name or number of this case"


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What was done to the pixels: how many rows were blanked, and the transfer syntax they are in now."""

    blanked_rows: int = 0
    transfer_syntax: str = ""


def treat(
    source: Path, elements: DataSet, head: Head, kind: Kind, known: KnownIdentity, engine: Engine | None
) -> Looked:
    """Blanks what may be blanked in `elements`' pixel data, and reads the rest.

    :param elements: the data set before its attributes are treated.
    :raises Quarantine: `pixels-doubtful` if text that identifies is left, or nobody can tell.
    """
    _no_bits_beside_the_picture(elements)
    pixel_data = has(elements, PIXEL_DATA)
    if not kind.look or pixel_data is None:
        return Looked(transfer_syntax=head.transfer_syntax)
    if engine is None:
        raise Quarantine("pixels-doubtful", "the picture may show text, and no reader of text was given")
    opened = frames.open_instance(source)
    rows = rows_above_regions(elements, big=head.encoding.big)
    dates = _days(elements)
    written = any(_frame_top_is_written(f, rows) for f in _every(opened)) if rows else False
    identified = tuple(
        w for picture in _pictures(opened) for w in _identifying(engine, picture, rows, known, dates)
    )
    if identified:
        raise Quarantine("pixels-doubtful", f"text in the picture: {', '.join(sorted(set(identified)))}")
    if kind.burned_in and not written:
        raise Quarantine(
            "pixels-doubtful", "the file says that text is burned in, and none that identifies was found"
        )
    if not written:
        return Looked(transfer_syntax=head.transfer_syntax)
    syntax = _blank(elements, pixel_data, opened, head, rows)
    insert(elements, Element(_BURNED_IN, "CS", b"NO"))
    return Looked(blanked_rows=rows, transfer_syntax=syntax)


def rows_above_regions(elements: DataSet, *, big: bool = False) -> int:
    """How many rows stand above the topmost ultrasound region; 0 if no region is calibrated. `big`: endian."""
    regions = has(elements, _REGIONS)
    tops = [
        struct.unpack(">L" if big else "<L", bytes(top.value))[0]
        for item in (regions.items or () if regions else ())
        if (top := has(item, _REGION_TOP)) is not None and len(top.value) == 4
    ]
    return min(tops, default=0)


def _no_bits_beside_the_picture(elements: DataSet) -> None:
    """Overlays in the unused bits of the pixels (retired, PS3.3 C.9.2 of 2004) are graphics nobody looks at."""
    for element in elements:
        if element.tag >> 24 == 0x60 and element.tag & 0xFFFF == 0x0102 and any(bytes(element.value)):
            raise Quarantine("pixels-doubtful", "an overlay stands in the unused bits of the pixels")


def _days(elements: DataSet) -> frozenset[str]:
    found = {bytes(e.value).decode("latin-1").strip(" \0") for e in elements if e.vr == "DA"}
    return frozenset(d for d in found if re.fullmatch(r"\d{8}", d))


def _every(opened: frames.Opened) -> Iterator[Frame]:
    return (frames.decode(opened, index) for index in range(opened.frames))


def _frame_top_is_written(frame: Frame, rows: int) -> bool:
    return bool(np.ptp(frame[:rows].reshape(-1, frame.shape[2] if frame.ndim == 3 else 1), axis=0).any())


def _pictures(opened: frames.Opened) -> Iterator[Frame]:
    """What is read: few frames one by one, many as the brightest and darkest of every 16: none is missed."""
    if opened.frames <= _LOOKED_AT_ONE_BY_ONE:
        yield from map(eight_bit, _every(opened))
        return
    for start in range(0, opened.frames, _COMPOSITE):
        brightest: Frame | None = None
        darkest: Frame | None = None
        for index in range(start, min(start + _COMPOSITE, opened.frames)):
            picture = eight_bit(frames.decode(opened, index))
            brightest = picture if brightest is None else np.maximum(brightest, picture)
            darkest = picture if darkest is None else np.minimum(darkest, picture)
        assert brightest is not None
        assert darkest is not None
        yield brightest
        yield darkest


def _identifying(
    engine: Engine, picture: Frame, rows: int, known: KnownIdentity, dates: frozenset[str]
) -> Iterator[str]:
    """What identifies below the rows that are blanked."""
    shown = picture[rows:]
    if not shown.shape[0] or not np.ptp(shown):
        return
    for box in engine.read(shown):
        yield from what_identifies(box, known, dates)


def what_identifies(
    box: TextBox, known: KnownIdentity, dates: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """What in one line of text identifies, in words. Spaces are not always read, so they count for nothing."""
    found = {_KNOWN if what == "known" else what for _, _, what in spans(box.text, known)}
    squeezed = squeeze(box.text)
    values = (*known.names, *known.people, *known.identifiers, *known.phones, *known.addresses, *known.places)
    for value in values:
        least = 2 if not squeeze(value).isascii() else _SQUEEZED_LEAST
        forms = [squeeze(group) for group in value.split("=")]
        if any(len(form) >= least and form in squeezed for form in forms):
            found.add(_KNOWN)
    if _LOOSE_DATE.search(box.text) or any(day in squeezed for day in dates):
        found.add("date")
    return tuple(sorted(found))


def squeeze(text: str) -> str:
    """Letters and digits alone, in one case."""
    return re.sub(r"[\W_]+", "", text).casefold()


def _number(elements: DataSet, head: Head, tag: int, default: int) -> int:
    element = has(elements, tag)
    if element is None or len(element.value) < 2:
        return default
    return int.from_bytes(bytes(element.value)[:2], "big" if head.encoding.big else "little")


_BLANKABLE = frozenset({"RGB", "MONOCHROME2", "PALETTE COLOR", "YBR_FULL"})
_BLANKABLE_PACKED = _BLANKABLE | {"YBR_FULL_422", "YBR_RCT", "YBR_ICT"}


def _blank(elements: DataSet, pixel_data: Element, opened: frames.Opened, head: Head, rows: int) -> str:
    """Blanks the first `rows` rows of every frame; returns the transfer syntax that the pixels are in now."""
    photometric = value_of(elements, _PHOTOMETRIC)
    samples = _number(elements, head, _SAMPLES, 1)
    if photometric not in (_BLANKABLE_PACKED if head.encapsulated else _BLANKABLE):
        raise Quarantine(
            "pixels-doubtful",
            f"text above the regions, and rows of {photometric or 'unnamed'} pixels cannot be blanked",
        )
    if head.encapsulated:
        return _blank_encapsulated(elements, pixel_data, opened, rows, samples)
    shape = (opened.frames, _number(elements, head, _ROWS, 0), _number(elements, head, _COLUMNS, 0))
    width = np.dtype(f"u{_number(elements, head, _ALLOCATED, 8) // 8}")
    width = width.newbyteorder(">" if head.encoding.big else "<")
    # PS3.5 annex D.3 of 2004: samples of one byte in big-endian OW words stand second one first
    swapped = head.encoding.big and width.itemsize == 1 and pixel_data.vr == "OW"
    stored = _swapped(pixel_data.value) if swapped else pixel_data.value
    flat = np.frombuffer(stored, width, count=int(np.prod(shape)) * samples).copy()
    black = np.array([0, 128, 128] if photometric == "YBR_FULL" else [0] * samples, width)
    if samples > 1 and _number(elements, head, _PLANAR, 0) == 1:
        flat.reshape(shape[0], samples, *shape[1:])[:, :, :rows] = black[:, None, None]
    else:
        flat.reshape(*shape, samples)[:, :rows] = black
    blanked = flat.tobytes() + bytes(stored[flat.nbytes :])
    pixel_data.value = _swapped(blanked) if swapped else blanked
    return head.transfer_syntax


def _swapped(words: bytes | bytearray | memoryview) -> bytes:
    """The two bytes of each word exchanged."""
    return np.frombuffer(words, "<u2").byteswap().tobytes()


def _blank_encapsulated(
    elements: DataSet, pixel_data: Element, opened: frames.Opened, rows: int, samples: int
) -> str:
    """Decoded, blanked, and packed again without loss: RLE (PS3.5 annex G)."""
    packed = []
    described = _described(opened.dataset, samples)
    for frame in _every(opened):
        blank = np.array(frame, order="C")
        blank[:rows] = 0
        packed.append(RLELosslessEncoder.encode(blank, **described))
    pixel_data.value, pixel_data.fragments, pixel_data.vr = _fragments(packed), True, "OB"
    insert(elements, Element(_PHOTOMETRIC, "CS", described["photometric_interpretation"].encode("ascii")))
    if samples == 3:
        insert(elements, Element(_PLANAR, "US", b"\0\0"))
    return str(RLELossless)


def _fragments(packed: list[bytes]) -> bytes:
    """Encapsulated frames without the sequence delimiter, which the writer adds."""
    return encapsulate(packed, has_bot=True).removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0")


def _described(dataset: Dataset, samples: int) -> dict[str, Any]:
    return {
        "rows": dataset.Rows,
        "columns": dataset.Columns,
        "samples_per_pixel": samples,
        "photometric_interpretation": "RGB" if samples == 3 else dataset.PhotometricInterpretation,
        "planar_configuration": 0,
        "bits_allocated": dataset.BitsAllocated,
        "bits_stored": dataset.BitsStored,
        "pixel_representation": dataset.PixelRepresentation,
        "number_of_frames": 1,
    }
