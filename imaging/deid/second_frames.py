"""The second pass over compressed frames: nothing but the picture and how its colours are coded, to their last byte.

Markers are those of ISO 10918-1 Table B.1, ISO 14495-1 and ISO 15444-1 Table A.2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from imaging.deid.second_reader import Body

_PIXELS = 0x7FE00010
_HEAD = struct.Struct("<HHL")
_MARK = struct.Struct(">BBH")
_COLOURS = (b"JFIF\0", b"Adobe", b"mrfx")
_LONGEST = 14  # of what says how colours are coded, in bytes
_JPEG, _JPEG_2000, _BOXES = b"\xff\xd8", b"\xff\x4f", b"jP  "
_SCAN, _PACKETS, _END = 0xDA, 0x93, 0xD9
_ALONE = (0x01, *range(0xD0, 0xD8))  # markers without a length
# within a scan neither stuffed bytes nor restarts are markers; in the packets of a tile part nothing above 0xFF8F is
_MARKER_IN_A_SCAN = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_TILE_PART_OR_END = re.compile(rb"\xff[\x90\xd9]")


def spoken(body: Body) -> Iterator[int]:
    """The tag of pixel data, once, if the head of a frame's codestream says anything else."""
    for seen in body.elements:
        if seen.tag == _PIXELS and not seen.path and any(_said(body.content[seen.start : seen.end])):
            yield seen.tag


def _said(pixels: memoryview) -> Iterator[bool]:
    """Of each place that may say anything, whether it does. Pixels that are not in fragments have none."""
    at, first, stream = 0, True, bytearray()
    while at + _HEAD.size <= len(pixels):
        group, element, size = _HEAD.unpack_from(pixels, at)
        if (group, element) != (0xFFFE, 0xE000):
            break
        at += _HEAD.size
        piece = bytes(pixels[at : at + size])
        if not first and piece[:2] in (_JPEG, _JPEG_2000):
            yield from _of_codestream(bytes(stream))
            stream.clear()
        if not first:  # the first item is the Basic Offset Table (PS3.5 A.4)
            stream += piece
        first = False
        at += size
    yield from _of_codestream(bytes(stream))


def _of_codestream(stream: bytes) -> Iterator[bool]:
    """A frame's fragments together. What cannot be walked to its end may say anything."""
    if stream[4:8] == _BOXES:
        yield True
    if stream[:2] not in (_JPEG, _JPEG_2000):
        return  # RLE, video
    at = 2
    while at + _MARK.size <= len(stream):
        fill, marker, size = _MARK.unpack_from(stream, at)
        if fill != 0xFF:
            yield True
            return
        if marker == _END:
            break
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _PACKETS:
            at = _after(_TILE_PART_OR_END, stream, at + 2)
            continue
        yield _says(marker, stream[at + _MARK.size : at + 2 + size], jpeg_2000=stream[:2] == _JPEG_2000)
        at += 2 + max(size, 2)
        if marker == _SCAN:
            at = _after(_MARKER_IN_A_SCAN, stream, at)
    yield bool(stream[at + 2 :].strip(b"\0\xff"))


def _says(marker: int, contents: bytes, *, jpeg_2000: bool) -> bool:
    if jpeg_2000:
        return marker == 0x64 and any(contents[2:])
    colours = contents.startswith(_COLOURS) and len(contents) <= _LONGEST
    return (marker == 0xFE or marker >> 4 == 0xE) and any(contents) and not colours


def _after(marker: re.Pattern[bytes], stream: bytes, at: int) -> int:
    """Where the next such marker stands; the stream's end if it breaks off before."""
    found = marker.search(stream, at)
    return found.start() if found else len(stream)
