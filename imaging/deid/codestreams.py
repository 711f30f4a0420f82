"""What stands in the heads of compressed frames beside the picture: comments, camera data, small pictures of their own.

Codestreams of JPEG (ISO 10918-1), JPEG-LS (ISO 14495-1) and JPEG 2000 (ISO 15444-1) may carry segments that say
anything. Decoders need none of them but those that tell how colours are coded. Their contents become zeros in their
place, so that no length and no offset changes; and of the frames only the heads are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from imaging.deid.elements import Value

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f"
_ENDS = {_JPEG: 0xDA, _JPEG_2000: 0x90}  # start of scan, start of tile part
_SPEAKS = {_JPEG: (*range(0xE0, 0xF0), 0xFE), _JPEG_2000: (0x64,)}
# marker, how its contents begin, and of how many bytes they are at most: JFIF without a thumbnail, Adobe, the colour
# transform of JPEG-LS
_NEEDED = ((0xE0, b"JFIF\0", 14), (0xEE, b"Adobe", 12), (0xE8, b"mrfx", 5))


class _Segment(NamedTuple):
    """Where a segment's contents stand, and its marker."""

    marker: int
    start: int
    end: int


def silenced(value: Value) -> Value:
    """Encapsulated frames with zeros for what their heads say beside the picture; as given where they say nothing."""
    found = [s for s in _segments(value) if any(value[s.start : s.end]) and not _is_needed(value, s)]
    if not found:
        return value
    quiet = bytearray(value)
    for segment in found:
        quiet[segment.start : segment.end] = bytes(segment.end - segment.start)
    return bytes(quiet)


def _is_needed(value: Value, segment: _Segment) -> bool:
    contents = bytes(value[segment.start : segment.end])
    return any(
        segment.marker == marker and contents.startswith(begin) and len(contents) <= most
        for marker, begin, most in _NEEDED
    )


def begun(value: Value) -> int:
    """How many fragments begin a codestream; all do that are of no kind known here (RLE)."""
    kinds = [bytes(value[start : start + 2]) for start, _ in _fragments(value)]
    return sum(kind in _ENDS for kind in kinds) or len(kinds)


def in_boxes(value: Value) -> bool:
    """Whether a frame is a JP2 file: PS3.5 A.4.4 wants its codestream alone."""
    return any(bytes(value[start + 4 : start + 8]) == b"jP  " for start, _ in _fragments(value))


def _fragments(value: Value) -> Iterator[tuple[int, int]]:
    """Where each fragment stands, without the Basic Offset Table, which comes first (PS3.5 A.4)."""
    at, first = 0, True
    while bytes(value[at : at + 4]) == _ITEM:
        end = at + 8 + int.from_bytes(value[at + 4 : at + 8], "little")
        if not first:
            yield at + 8, end
        at, first = end, False


def _segments(value: Value) -> Iterator[_Segment]:
    """Segments that may say anything, in the head of every fragment that begins a codestream."""
    for start, end in _fragments(value):
        kind = bytes(value[start : start + 2])
        if kind in _ENDS:
            yield from _of_head(value, start + 2, end, kind)


def _of_head(value: Value, at: int, end: int, kind: bytes) -> Iterator[_Segment]:
    while at + 4 <= end and value[at] == 0xFF and value[at + 1] != _ENDS[kind]:
        marker = value[at + 1]
        after = at + 2 + int.from_bytes(value[at + 2 : at + 4], "big")
        if marker in _SPEAKS[kind]:
            # the first two bytes of a JPEG 2000 comment say how it is written
            yield _Segment(marker, at + (6 if kind == _JPEG_2000 else 4), min(after, end))
        at = max(after, at + 2)
