"""A de-identified instance told for those who ask before they fetch: its attributes, and where each frame lies.

Made while the file is on a worker's disk anyway, so that nobody ever opens the object to answer a question or to cut
a frame out of it.
"""

from __future__ import annotations

import itertools
import json
import mmap
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cases.errors import Quarantine
from cases.indexed import SPAN, IndexedInstance, PixelPlaces
from imaging.deid import part10
from imaging.deid.elements import Damaged, DataSet, Element, Encoding, Reader
from imaging.deid.rules import value_of
from imaging.dicom import values
from imaging.dicom.json_model import PIXELS, Model
from imaging.dicom.pixels import VIDEO

_OFFSET_TABLE = 0x7FE00001
_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS = (
    0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
)  # fmt: skip
_UIDS = {
    "study_uid": 0x0020000D, "series_uid": 0x0020000E, "sop_uid": 0x00080018, "sop_class_uid": 0x00080016,
}  # fmt: skip
_ITEM = struct.Struct("<HHL")

# PS3.18 Tables 10.6.3-3 to 10.6.3-5 and what viewers list besides: the attributes told at each level.
STUDY = (
    "00080005", "00080020", "00080030", "00080050", "00080090", "00080201", "00081030", "00100010", "00100020",
    "00100030", "00100040", "00101010", "00120062", "00120063", "00200010", "0020000D", "00280303",
)  # fmt: skip
SERIES = (
    "00080021", "00080031", "00080060", "0008103E", "00080068", "00180015", "00185100", "0020000E", "00200011",
    "00200052", "00200060", "00400244", "00400245", "00400275",
)  # fmt: skip
INSTANCE = (
    "00080008", "00080016", "00080018", "00080022", "00080023", "0008002A", "00080032", "00080033", "00200013",
    "00200012", "00280008", "00280010", "00280011", "00280100",
)  # fmt: skip


def index(path: Path, name: str) -> IndexedInstance:
    """What is told of the de-identified file at `path`, which will stand at `name` below its delivery.

    :raises Quarantine: `file-damaged`: what the first pass wrote can always be read, so this is a defect of ours.
    """
    with path.open("rb") as stream:
        # the map goes when the last slice of it does
        buffer = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    head = part10.read_head(buffer)
    body, start = buffer, head.start
    if head.deflated:
        body, start = memoryview(part10.inflated(buffer[start:])), 0
    try:
        elements = Reader(body, start, head.encoding).read()
    except Damaged as damage:
        raise Quarantine("file-damaged", str(damage)) from damage
    model = Model(head.encoding)
    told = model.of(elements)
    uids = {name: value_of(elements, tag) for name, tag in _UIDS.items()}
    return IndexedInstance(
        name=name,
        size=len(buffer),
        **uids,
        transfer_syntax_uid=head.transfer_syntax,
        study=_of_level(told, STUDY),
        series=_of_level(told, SERIES),
        instance=_of_level(told, INSTANCE),
        metadata=_folded(told | {"00083002": {"vr": "UI", "Value": [head.transfer_syntax]}}),
        bulk={
            path: (_offset(body, value), len(value), width) for path, (value, width) in model.outside.items()
        },
        pixels=_places(body, elements, head),
    )


def _folded(told: dict[str, Any]) -> bytes:
    """As JSON in ascending order of tags (PS3.18 F.2.2), deflated."""
    ordered = {tag: told[tag] for tag in sorted(told)}
    return zlib.compress(json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode(), 6)


def _of_level(told: dict[str, Any], tags: Sequence[str]) -> dict[str, Any]:
    return {tag: told[tag] for tag in tags if tag in told}


def _offset(body: memoryview, part: memoryview | bytes) -> int:
    """Where a slice of `body` begins in it: both are views of one buffer."""
    begins = (np.frombuffer(each, np.uint8).__array_interface__["data"][0] for each in (part, body))
    return next(begins) - next(begins)


def _places(body: memoryview, elements: DataSet, head: part10.Head) -> PixelPlaces | None:
    pixels = next((e for e in elements if e.tag in PIXELS and len(e.value)), None)
    if pixels is None:
        return None
    value = _offset(body, pixels.value)
    frames = values.integer(next((bytes(e.value) for e in elements if e.tag == _FRAMES), b"")) or 1
    told: dict[str, Any] = {"frames": frames, "value": value, "length": len(pixels.value)}
    told["header"] = value - (12 if head.encoding.explicit else 8)
    if not pixels.fragments:
        bits, swap = _native(elements, pixels, head.encoding)
        return PixelPlaces(**told, bits=bits, swap=swap)
    spans = list(_spans(body[value : value + len(pixels.value)], elements, frames, head.transfer_syntax))
    return PixelPlaces(**told, spans=b"".join(SPAN.pack(value + at, length) for at, length in spans))


def _native(elements: DataSet, pixels: Element, encoding: Encoding) -> tuple[int, int]:
    """Bits of one frame (PS3.5 8.1.1: frames of single bits follow each other without a gap), and its words' width."""

    def number(tag: int) -> int:
        raw = next((bytes(e.value)[:2] for e in elements if e.tag == tag), b"")
        return int.from_bytes(raw, "big" if encoding.big else "little")

    samples, allocated = number(_SAMPLES) or 1, number(_BITS)
    halved = samples == 3 and value_of(elements, _PHOTOMETRIC) == "YBR_FULL_422"
    width = max(allocated // 8, 2 if pixels.vr == "OW" else 1)
    bits = number(_ROWS) * number(_COLUMNS) * (2 if halved else samples) * allocated
    return bits, width if encoding.big and width > 1 else 0


def _spans(value: memoryview, elements: DataSet, frames: int, syntax: str) -> Iterator[tuple[int, int]]:
    """Offset and length of each frame's fragments within the encapsulated `value` (PS3.5 A.4); one for a whole video.

    Nothing if the frames cannot be told apart: no table that fits, and no codestream's end that tells.
    """
    items = list(_items(value))
    table, fragments = items[0], items[1:]
    starts, end = [at for at, _ in fragments], len(value)
    if len(fragments) == frames:
        first = starts
    elif frames == 1 or syntax in VIDEO:
        first = starts[:1]
    else:
        first = (
            _first_of_each(elements, value[table[0] + 8 : sum(table)], starts, frames)
            or _after_each_end(value, fragments, frames)
            or []
        )
    return ((at, following - at) for at, following in itertools.pairwise([*first, end]))


def _items(value: memoryview) -> Iterator[tuple[int, int]]:
    """Offset and length, both with the item's tag and length, of each item."""
    at = 0
    while at < len(value):
        length = 8 + _ITEM.unpack_from(value, at)[2]
        yield at, length
        at += length


def _first_of_each(
    elements: DataSet, basic: memoryview, starts: Sequence[int], frames: int
) -> list[int] | None:
    """Where each frame's first fragment is by the extended offset table (PS3.3 C.7.6.3.1.8) or the basic one."""
    extended = next((bytes(e.value) for e in elements if e.tag == _OFFSET_TABLE), b"")
    offsets = np.frombuffer(extended, "<u8") if extended else np.frombuffer(basic, "<u4")
    found = [int(offset) + starts[0] for offset in offsets]
    known = set(starts)
    fits = len(found) == frames and found[0] == starts[0] and all(at in known for at in found)
    return found if fits and all(a < b for a, b in itertools.pairwise(found)) else None


def _after_each_end(value: memoryview, fragments: Sequence[tuple[int, int]], frames: int) -> list[int] | None:
    """Where each frame's first fragment is by the marker FF D9 that ends a codestream of JPEG's family."""
    ends = [b"\xff\xd9" in bytes(value[at + max(8, length - 16) : at + length]) for at, length in fragments]
    first = [at for (at, _), ended in zip(fragments, [True, *ends[:-1]], strict=True) if ended]
    return first if ends[-1] and len(first) == frames else None
