"""Whether an instance's pixel data is whole: as long as rows, columns and frames say, and its codestreams ended."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydicom import uid

from imaging.dicom import values
from imaging.dicom.walk import Pixels, Walked, damaged

_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS = (
    0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
)  # fmt: skip
TAGS = (_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS)
# One stream holds many frames (PS3.5 8.2.5 to 8.2.9), so frames and fragments cannot be compared.
VIDEO = frozenset(str(u) for u in uid.MPEGTransferSyntaxes)
_HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_PIXELS_ELSEWHERE = frozenset(("1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205"))  # fmt: skip
# How a codestream begins: SOI of ISO 10918-1 and 14495-1, SOC and SIZ of ISO 15444-1. All end with FF D9 and a pad.
_STARTS = (
    (frozenset(str(u) for u in (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes)), b"\xff\xd8\xff"),
    (frozenset(str(u) for u in (*uid.JPEG2000TransferSyntaxes, *_HTJ2K)), b"\xff\x4f\xff\x51"),
)
# Some writers leave the JP2 file's boxes, of which the first is 12 bytes long, around the codestream.
_JP2_BOX = b"\0\0\0\x0c"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of an instance's picture; zeros if it has none."""

    rows: int = 0
    columns: int = 0
    frames: int = 1


def check(walked: Walked, syntax: uid.UID, sop_class: uid.UID) -> Shape:
    """The picture's shape. An image without pixel data is how a file looks that was cut between two elements.

    :raises Quarantine: `file-damaged` if the pixel data is absent, shorter than the shape or cut within a codestream.
    """
    little = walked.little
    rows = values.unsigned_short(walked.first(_ROWS), little=little) or 0
    columns = values.unsigned_short(walked.first(_COLUMNS), little=little) or 0
    frames = _frames(walked)
    if walked.pixels is None:
        if (rows or "Image Storage" in sop_class.name) and syntax not in _PIXELS_ELSEWHERE:
            raise damaged("an image has no pixel data")
        return Shape(rows=rows, columns=columns, frames=frames)
    samples = values.unsigned_short(walked.first(_SAMPLES), little=little) or 1
    bits = values.unsigned_short(walked.first(_BITS), little=little) or 0
    if not (rows and columns and bits):
        raise damaged("there is pixel data, but rows, columns or bits are missing")
    if walked.pixels.length is not None:
        halved = values.plain(walked.first(_PHOTOMETRIC)) == "YBR_FULL_422"
        per_pixel = (2 if halved and samples == 3 else samples) * bits
        expected = math.ceil(rows * columns * frames * per_pixel / 8)
        if walked.pixels.length < expected:
            raise damaged("the pixel data is shorter than rows, columns and frames say")
    else:
        _check_fragments(walked.pixels, frames, syntax)
    return Shape(rows=rows, columns=columns, frames=frames)


def _frames(walked: Walked) -> int:
    raw = walked.first(_FRAMES)
    if not values.plain(raw):
        return 1
    frames = values.integer(raw)
    if frames is None or not 1 <= frames < 1 << 31:
        raise damaged("the number of frames is no number")
    return frames


def _check_fragments(pixels: Pixels, frames: int, syntax: uid.UID) -> None:
    if not syntax.is_encapsulated:
        raise damaged("the pixel data is in fragments, which the transfer syntax does not allow")
    if pixels.begins in ((), (b"",)):
        raise damaged("the pixel data holds no frame")
    if pixels.fragments < frames and syntax not in VIDEO:
        raise damaged("the pixel data holds fewer fragments than frames")
    start = next((start for syntaxes, start in _STARTS if syntax in syntaxes), None)
    one_each = pixels.fragments == frames
    if start and not all(
        begin.startswith((start, _JP2_BOX)) for begin in pixels.begins[: None if one_each else 1]
    ):
        raise damaged("the pixel data does not begin as its transfer syntax says")
    if start and (pixels.unended if one_each else not pixels.last_ended):
        raise damaged("a frame's codestream is cut off")
    if syntax == uid.RLELossless and not all(_is_rle_header(begin) for begin in pixels.begins):
        raise damaged("the pixel data does not begin as its transfer syntax says")


def _is_rle_header(begin: bytes) -> bool:
    """PS3.5 G.5: the number of segments, 1 to 15. A frame is one fragment (A.4.2)."""
    return 1 <= int.from_bytes(begin, "little") <= 15
