"""What stands in compressed frames beside the picture: comments, camera data, small pictures of their own.

Codestreams of JPEG (ISO 10918-1), JPEG-LS (ISO 14495-1) and JPEG 2000 (ISO 15444-1) may carry segments that say
anything, before the picture and between its parts. Decoders need none of them but those that tell how colours are
coded. Their contents become zeros in their place, so that no length and no offset changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from imaging.deid.elements import Value

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f"
_FILL = 0xFF  # any number of these may stand before a marker (ISO 10918-1 B.1.1.2)
# marker, how its contents begin, and of how many bytes they are at most: JFIF without a thumbnail, Adobe, the colour
# transform of JPEG-LS
_NEEDED = ((0xE0, b"JFIF\0", 14), (0xEE, b"Adobe", 12), (0xE8, b"mrfx", 5))


class _Kind(NamedTuple):
    """Markers of one kind of codestream, by their second byte.

    `speaks` may say anything, but for the first `fixed` bytes of its contents; `alone` have no length; behind `coded`
    the coded picture goes on until `stops` is found, which cannot stand in it; `end` ends it all.
    """

    speaks: frozenset[int]
    fixed: int
    alone: frozenset[int]
    coded: int
    stops: re.Pattern[bytes]
    end: int = 0xD9


_KINDS = {
    # start of scan: stuffed bytes and restarts belong to the coded picture; JPEG-LS stuffs a bit, so that what follows
    # 0xFF is below 0x80
    _JPEG: _Kind(
        speaks=frozenset((*range(0xE0, 0xF0), 0xFE)),
        fixed=0,
        alone=frozenset((0x01, *range(0xD0, 0xD8))),
        coded=0xDA,
        stops=re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]"),
    ),
    # start of data: nothing above 0xFF8F stands in packets but their own markers (A.1.3, A.8); the first two bytes of a
    # comment say how it is written
    _JPEG_2000: _Kind(
        speaks=frozenset((0x64,)),
        fixed=2,
        alone=frozenset((*range(0x30, 0x40), 0x93)),
        coded=0x93,
        stops=re.compile(rb"\xff[\x90\xd9]"),
    ),
}


def silenced(value: Value) -> Value:
    """Encapsulated frames with zeros for what they say beside the picture; as given where they say nothing."""
    quiet: bytearray | None = None
    for fragments in _codestreams(value):
        stream = memoryview(value)[slice(*fragments[0])]
        if len(fragments) > 1:
            stream = memoryview(b"".join(value[start:end] for start, end in fragments))
        for said in _sayings(stream):
            quiet = bytearray(value) if quiet is None else quiet
            for start, end in _in_fragments(fragments, said):
                quiet[start:end] = bytes(end - start)
    return value if quiet is None else bytes(quiet)


def begun(value: Value) -> int:
    """How many fragments begin a codestream; all do that are of no kind known here (RLE)."""
    kinds = [bytes(value[start : start + 2]) for start, _ in _fragments(value)]
    return sum(kind in _KINDS for kind in kinds) or len(kinds)


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


def _codestreams(value: Value) -> Iterator[list[tuple[int, int]]]:
    """The fragments of each codestream of a kind known here: one that begins it, and those that go on with it."""
    found: list[tuple[int, int]] = []
    for start, end in _fragments(value):
        if bytes(value[start : start + 2]) in _KINDS:
            if found:
                yield found
            found = [(start, end)]
        elif found:
            found.append((start, end))
    if found:
        yield found


def _sayings(stream: memoryview) -> Iterator[tuple[int, int]]:
    """Where a codestream says something that its picture does not need. It ends where it cannot be walked any more."""
    kind = _KINDS[bytes(stream[:2])]
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != kind.end:
        marker = stream[at + 1]
        if marker == _FILL:
            at += 1
            continue
        after = at + 2
        if marker not in kind.alone:
            after += max(int.from_bytes(stream[at + 2 : at + 4], "big"), 2)
        contents = stream[at + 4 : after]
        if marker in kind.speaks and any(contents[kind.fixed :]) and not _is_needed(marker, bytes(contents)):
            yield at + 4 + kind.fixed, min(after, len(stream))
        at = _end_of_coded(kind, stream, after) if marker == kind.coded else after


def _is_needed(marker: int, contents: bytes) -> bool:
    return any(
        marker == own and contents.startswith(begin) and len(contents) <= most for own, begin, most in _NEEDED
    )


def _end_of_coded(kind: _Kind, stream: memoryview, at: int) -> int:
    found = kind.stops.search(stream, at)
    return found.start() if found else len(stream)


def _in_fragments(fragments: list[tuple[int, int]], span: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Where a range of the codestream stands in the value: between fragments stand their heads."""
    before = 0
    for start, end in fragments:
        first, last = max(span[0] - before, 0), min(span[1] - before, end - start)
        if first < last:
            yield start + first, start + last
        before += end - start
