"""The second pass over tiles: each is one picture from its first byte to its last, and nothing that could be read.

Shares no code with the first pass. JPEG: ITU-T T.81 Annex B; JPEG 2000: ITU-T T.800 Annex A.
"""

from __future__ import annotations

import functools
import re
import struct
import zlib
from collections.abc import Callable

import tifffile

from cases.errors import Quarantine

Walk = Callable[[bytes, str], None]


def left(what: str) -> Quarantine:
    return Quarantine("identity-left", what)


def walk_of(compression: int, *, tables: bytes, size: int) -> Walk:
    """How a tile of this TIFF compression is proven; called with its bytes and where it stands, in words.

    :param tables: the page's JPEG tables, proven here.
    :param size: the bytes of a whole tile's pixels.
    :raises Quarantine: `identity-left`, also from the walk.
    """
    if compression == 7:
        _only_tables(tables)
        return only_picture
    if compression in (33003, 33005):
        return _only_wavelets
    if compression == 1:
        return functools.partial(_only_pixels, size=size)
    if compression in (8, 32946):
        return functools.partial(_only_deflated, size=size)
    if compression == 5:
        return functools.partial(_only_lzw, size=size)
    raise left(f"tiles of a compression that cannot be proven ({compression})")


def _only_pixels(tile: bytes, where: str, *, size: int) -> None:
    if len(tile) > size:
        raise left(f"more bytes than pixels {where}")


def _only_deflated(tile: bytes, where: str, *, size: int) -> None:
    inflater = zlib.decompressobj()
    try:
        pixels = inflater.decompress(tile, size + 1)
    except zlib.error:
        raise left(f"broken data {where}") from None
    if not inflater.eof or len(pixels) > size or any(inflater.unused_data):
        raise left(f"more bytes than the picture {where}")


def _only_lzw(tile: bytes, where: str, *, size: int) -> None:
    """Without its last bytes the tile must lack pixels: else these bytes are something else."""
    try:
        pixels = tifffile.TIFF.DECOMPRESSORS[5](tile, out=size)
        fewer = tifffile.TIFF.DECOMPRESSORS[5](tile[:-3], out=size) if len(tile) > 3 else b""
    except RuntimeError:
        raise left(f"broken data {where}") from None
    if len(fewer) >= len(pixels):
        raise left(f"more bytes than the picture {where}")


_WAVELET_SEGMENTS = frozenset(b"\x51\x52\x53\x55\x57\x58\x5c\x5d\x5e\x5f\x60\x61\x63")
_WAVELET_ENCODERS = (b"Kakadu-", b"Created by OpenJPEG")


def _only_wavelets(tile: bytes, where: str) -> None:
    """A JPEG 2000 codestream: main header, tile-parts by their own length, end (T.800 Annex A)."""
    at, until = 2, 0x90
    if tile[:2] != b"\xff\x4f":
        raise left(f"something other than a picture {where}")
    part_end = 0
    while tile[at : at + 2] != b"\xff\xd9" or until != 0x90:
        if at + 4 > len(tile) or tile[at] != 0xFF:
            raise left(f"broken JPEG 2000 headers {where}")
        kind, (length,) = tile[at + 1], struct.unpack_from(">H", tile, at + 2)
        if kind == 0x90 and until == 0x90:
            (size,) = struct.unpack_from(">I", tile.ljust(at + 12, b"\0"), at + 6)
            part_end, until = (at + size if size else len(tile) - 2), 0x93
            at += 12
        elif kind == 0x93 and until == 0x93 and part_end > at:
            at, until = part_end, 0x90
        elif kind in _WAVELET_SEGMENTS or (
            kind == 0x64 and tile[at + 6 : at + 2 + length].startswith(_WAVELET_ENCODERS) and length < 64
        ):
            at += 2 + max(2, length)
        else:
            raise left(f"a JPEG 2000 segment that may hold text (0xFF{kind:02X}) {where}")
    if len(tile) - at - 2 > 64 or any(tile[at + 2 :]):
        raise left(f"bytes behind the picture {where}")


# A marker in entropy-coded data: neither a stuffed zero, nor a restart, nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_PICTURE_SEGMENTS = frozenset(b"\xc0\xc1\xc2\xc4\xda\xdb\xdd")
_ENCODERS = (b"Intel(R) JPEG Library", b"LEAD Technologies Inc.", b"CREATOR: gd-jpeg")


def _only_tables(tables: bytes) -> None:
    if tables and not (tables.startswith(b"\xff\xd8") and tables.endswith(b"\xff\xd9")):
        raise left("the JPEG tables are more than tables")
    at = 2
    while 0 < at < len(tables) - 2:
        at = _after_segment(tables, at, "in the JPEG tables")


def only_picture(tile: bytes, where: str) -> None:
    """One JPEG picture from its first byte to its last: headers, scans, end, and zeros at most behind."""
    if tile[:2] != b"\xff\xd8":
        raise left(f"something other than a picture {where}")
    at = 2
    while True:
        kind = tile[at + 1] if at + 1 < len(tile) else 0
        if kind == 0xD9:
            break
        at = _after_segment(tile, at, where)
        if kind == 0xDA:
            found = _MARKER.search(tile, at)
            if found is None:
                raise left(f"a picture without an end {where}")
            at = found.start()
    if len(tile) - at - 2 > 64 or any(tile[at + 2 :]):
        raise left(f"bytes behind the picture {where}")


def only_long_picture(
    read: Callable[[int, int], bytes], start: int, end: int, where: str, step: int = 4 << 20
) -> None:
    """The same for a JPEG of one scan that is as large as a slide, through `read` (offset, length) by windows."""
    at = _scan_of(read, start, end, where)
    while at < end - 1:
        window = read(at, min(step, end - at))
        found = _MARKER.search(window)
        if found is not None:
            _only_end(read, at + found.start(), end, where)
            return
        at += len(window) - 1
    raise left(f"a picture without an end {where}")


def parts_of_long_picture(
    read: Callable[[int, int], bytes], start: int, end: int, where: str, step: int = 1 << 16
) -> int:
    """Headers, end and eight pieces between of such a JPEG, where all of it was walked before; returns bytes read."""
    at = _scan_of(read, start, end, where)
    last = max(at, end - step)
    for piece in range(8):
        from_ = at + (last - at) * piece // 8
        if _MARKER.search(read(from_, min(step, last - from_))):
            raise left(f"something inside the picture {where}")
    found = _MARKER.search(read(last, end - last))
    if found is None:
        raise left(f"a picture without an end {where}")
    _only_end(read, last + found.start(), end, where)
    return 10 * step


def _scan_of(read: Callable[[int, int], bytes], start: int, end: int, where: str) -> int:
    """Where the scan's data begin, behind headers that hold no text."""
    head = read(start, min(1 << 16, end - start))
    if head[:2] != b"\xff\xd8":
        raise left(f"something other than a picture {where}")
    at, kind = 2, 0
    while kind != 0xDA:
        kind = head[at + 1] if at + 1 < len(head) else 0
        at = _after_segment(head, at, where)
    return start + at


def _only_end(read: Callable[[int, int], bytes], stop: int, end: int, where: str) -> None:
    if read(stop, 2) != b"\xff\xd9" or end - stop - 2 > 64 or any(read(stop + 2, end - stop - 2)):
        raise left(f"something behind the picture {where}")


def _after_segment(content: bytes, at: int, where: str) -> int:
    if content[at : at + 1] != b"\xff" or at + 4 > len(content):
        raise left(f"broken JPEG headers {where}")
    kind, (length,) = content[at + 1], struct.unpack_from(">H", content, at + 2)
    if kind == 0xFF:
        return at + 1
    body = content[at + 4 : at + 2 + length]
    plain = (
        kind in _PICTURE_SEGMENTS
        or (kind == 0xE0 and body.startswith(b"JFIF\0") and length == 16)
        or (kind == 0xEE and body.startswith(b"Adobe") and length == 14)
        or (kind == 0xFE and body.startswith(_ENCODERS) and length < 96)
    )
    if not plain:
        raise left(f"a JPEG segment that may hold text (0xFF{kind:02X}) {where}")
    return at + 2 + length
