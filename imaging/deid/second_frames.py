"""The second pass over the heads of compressed frames: nothing but the picture and how its colours are coded."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imaging.deid.second_reader import Body

_PIXELS = 0x7FE00010
_HEAD = struct.Struct("<HHL")
_MARK = struct.Struct(">BBH")
_COLOURS = (b"JFIF\0", b"Adobe", b"mrfx")
_LONGEST = 14  # of what says how colours are coded, in bytes


def spoken(body: Body) -> Iterator[int]:
    """The tag of pixel data, once, if the head of a frame's codestream says anything else."""
    for seen in body.elements:
        if seen.tag == _PIXELS and not seen.path and any(_said(body.content[seen.start : seen.end])):
            yield seen.tag


def _said(pixels: memoryview) -> Iterator[bool]:
    """Of each segment that may say anything, whether it does. Pixels that are not in fragments have none."""
    at = 0
    while at + _HEAD.size <= len(pixels):
        group, element, size = _HEAD.unpack_from(pixels, at)
        if (group, element) != (0xFFFE, 0xE000):
            return
        at += _HEAD.size
        begin = bytes(pixels[at : at + 2])
        if begin in (b"\xff\xd8", b"\xff\x4f"):
            yield from _of_codestream(pixels[at : at + size], jpeg_2000=begin == b"\xff\x4f")
        at += size


def _of_codestream(stream: memoryview, *, jpeg_2000: bool) -> Iterator[bool]:
    at = 2
    while at + _MARK.size <= len(stream):
        fill, marker, size = _MARK.unpack_from(stream, at)
        if fill != 0xFF or marker in (0xDA, 0x90, 0x93):
            return
        contents = bytes(stream[at + _MARK.size : at + 2 + size])
        if jpeg_2000:
            yield marker == 0x64 and any(contents[2:])
        elif marker == 0xFE or marker >> 4 == 0xE:
            colours = contents.startswith(_COLOURS) and len(contents) <= _LONGEST
            yield any(contents) and not colours
        at += 2 + max(size, 2)
