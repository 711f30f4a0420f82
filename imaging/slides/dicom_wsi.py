"""DICOM whole-slide instances (PS3.3 C.8.12.4): which of a slide's pictures leave, and whether their frames may.

VOLUME and THUMBNAIL leave, LABEL and OVERVIEW stay behind; so does a THUMBNAIL that does not say that it is without the
label, or on which something is written. Attributes are de-identified by `imaging.deid`, with frames
byte for byte as they were; so every frame is walked here for segments that could carry text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
)

from imaging.dicom.frames import open_instance
from imaging.slides.payload import MAX_TILE_BYTES, unsafe, walk_j2k, walk_jpeg
from imaging.slides.source import FileSource, Source
from imaging.slides.tiff import damaged

Role = Literal["VOLUME", "THUMBNAIL", "LABEL", "OVERVIEW"]
# Whoever says LABEL beside anything else is a label.
_ROLES: tuple[Role, ...] = ("LABEL", "OVERVIEW", "THUMBNAIL", "VOLUME")
_ITEM, _END = 0xE000FFFE, 0xE0DDFFFE
_WALKS: dict[str, Callable[[bytes], None]] = {
    JPEGBaseline8Bit: walk_jpeg,
    JPEGExtended12Bit: walk_jpeg,
    JPEGLossless: walk_jpeg,
    JPEGLosslessSV1: walk_jpeg,
    JPEG2000Lossless: walk_j2k,
    JPEG2000: walk_j2k,
}


@dataclass(frozen=True, kw_only=True)
class WsiInstance:
    """One instance of a slide: its role, its whole size in pixels, its frames, and whether it may leave."""

    role: Role
    columns: int
    rows: int
    frames: int
    leaves: bool


def read_instance(path: Path) -> WsiInstance:
    """The role of an instance, by ImageType value 3; one that shows the label stays whatever its role.

    Whether it shows the label must be said of a slide (Specimen Label in Image is of type 1, PS3.3 C.8.12.4): a
    thumbnail of which it is not said stays, for a volume without it is too large to show a label by mistake.

    :raises Quarantine: `slide-unsafe` if the role is none of the standard's; `file-damaged`.
    """
    opened = open_instance(path)
    dataset = opened.dataset
    types = [str(t).upper() for t in dataset.get("ImageType") or ()]
    role: Role | None = next((r for r in _ROLES if r in types), None)
    if role is None:
        raise unsafe("a whole-slide instance does not say what it shows")
    columns = dataset.get("TotalPixelMatrixColumns") or dataset.get("Columns")
    rows = dataset.get("TotalPixelMatrixRows") or dataset.get("Rows")
    if not columns or not rows:
        raise damaged("a whole-slide instance does not say how large it is")
    said = str(dataset.get("SpecimenLabelInImage", "")).upper()
    return WsiInstance(
        role=role,
        columns=int(columns),
        rows=int(rows),
        frames=opened.frames,
        leaves=(role == "VOLUME" and said != "YES") or (role == "THUMBNAIL" and said == "NO"),
    )


def check_frames(path: Path) -> int:
    """Walk every frame of an instance to its end; returns the bytes read.

    :raises Quarantine: `file-damaged` if a frame breaks off; `slide-unsafe` if one holds more than picture, or is
        compressed in a way that cannot be proven to hold picture alone.
    """
    opened = open_instance(path)
    if opened.pixels_at is None:
        raise damaged("a whole-slide instance has no pixels")
    syntax = str(opened.dataset.file_meta.get("TransferSyntaxUID", ""))
    if opened.implicit or syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"):
        return 0
    walk = _WALKS.get(syntax)
    if walk is None:
        raise unsafe(
            f"frames are compressed in a way that cannot be checked ({syntax or 'no transfer syntax'})"
        )
    with FileSource(path) as source:
        return _walk_fragments(source, opened.pixels_at, opened.frames, walk)


def _walk_fragments(source: Source, at: int, frames: int, walk: Callable[[bytes], None]) -> int:
    """Encapsulated pixel data (PS3.5 A.4): the offset table, then one fragment a frame."""
    start, found = at, -1
    while True:
        tag, length = struct.unpack("<II", source.read(at, 8))
        at += 8
        if tag == _END:
            break
        if tag != _ITEM or length > MAX_TILE_BYTES:
            raise damaged("the frames of a whole-slide instance are broken")
        if found >= 0:
            walk(source.read(at, length))
        at += length
        found += 1
    if found != frames:
        raise unsafe(f"{frames} frames in {found} fragments cannot be checked")
    return at - start
