"""Tile payload: does each tile reach its end, and does it hold picture alone?

JPEG: ITU-T T.81 Annex B; JPEG 2000: ITU-T T.800 Annex A. A tile is walked marker by marker to its end: a missing end
is damage, bytes behind the end or a segment that could carry text make the slide unsafe. Nothing is decoded but
Deflate and LZW, which have no other end.
"""

from __future__ import annotations

import re
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cases.errors import Quarantine
from imaging.slides.picture import Picture, ranges_of
from imaging.slides.source import Source
from imaging.slides.tiff import damaged

WINDOW_BYTES = 4 << 20
MAX_TILE_BYTES = 64 << 20
LARGEST_HEADER = 1 << 16
MAX_PADDING = 64
RAW, LZW, JPEG, DEFLATE, OLD_DEFLATE, APERIO_YCC, APERIO_RGB = 1, 5, 7, 8, 32946, 33003, 33005

# What encoders write about themselves; any other comment could be about a patient.
ENCODER_COMMENTS = re.compile(
    rb"(?:Intel\(R\) JPEG Library, version [\d\[\].]{1,20}"
    rb"|LEAD Technologies Inc\. V[\d.]{1,8}"
    rb"|Kakadu-[v\d.]{1,12}|Created by OpenJPEG version [\d.]{1,10}"
    rb"|CREATOR: gd-jpeg v[\d.]{1,6} \(using IJG JPEG v\d{1,3}\), (?:default quality|quality = \d{1,3}))"
    rb"\s?\0?\Z"
)
_JPEG_SEGMENTS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xDA, 0xDB, 0xDC, 0xDD})
_J2K_SEGMENTS = frozenset(
    (0x50, 0x51, 0x52, 0x53, 0x55, 0x57, 0x58, 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x61, 0x63)
)


def unsafe(what: str) -> Quarantine:
    return Quarantine("slide-unsafe", what)


def check_tiles(source: Source, picture: Picture) -> int:
    """Read every tile of a picture to its end; returns the bytes read.

    :raises Quarantine: `file-damaged` if a tile does not reach its end; `slide-unsafe` if it holds more than picture
        or is compressed in a way that cannot be proven to hold picture alone.
    """
    if picture.compression == JPEG:
        _jpeg_tables(picture.jpeg_tables)
        if picture.offsets.size == 1 and int(picture.counts[0]) > MAX_TILE_BYTES:
            return check_long_jpeg(source, int(picture.offsets[0]), int(picture.counts[0]))
        return check_jpegs(source, ranges_of((picture,)))
    if picture.compression in (APERIO_YCC, APERIO_RGB):
        return _check_each(source, picture, walk_j2k)
    if picture.compression == RAW:
        return _check_raw(picture)
    if picture.compression in (DEFLATE, OLD_DEFLATE):
        return _check_each(source, picture, lambda tile: _inflate(tile, _tile_bytes(picture)))
    if picture.compression == LZW:
        return _check_each(source, picture, lambda tile: _unpack_lzw(tile, _tile_bytes(picture)))
    raise unsafe(
        f"tiles are compressed in a way that cannot be checked (TIFF compression {picture.compression})"
    )


def check_jpegs(source: Source, spans: NDArray[np.int64], size: tuple[int, int] | None = None) -> int:
    """Read JPEG pictures at spans (start, end) to their ends; returns the bytes read.

    :param size: the width and height that each must have, where none but the picture itself says it.
    :raises Quarantine: as `check_tiles`.
    """
    read, header = 0, b"\0"
    for window, tiles in windows_of(source, spans):
        read += len(window)
        marks = _markers(window).tolist()
        for start, end in tiles:
            scan = start + len(header)
            if not window.startswith(header, start):
                scan = _jpeg_header(window, start, end)
                header = window[start:scan]
                if size and _size(header) != size:
                    raise damaged("a picture of the slide is not as large as its level says")
            _jpeg_scans(window, scan, end, marks)
    return read


def _size(header: bytes) -> tuple[int, int]:
    """Width and height, out of the frame header (T.81 B.2.2) of headers that were walked."""
    at = 2
    while header[at + 1] not in range(0xC0, 0xC4):
        at += 1 if header[at + 1] == 0xFF else 2 + int.from_bytes(header[at + 2 : at + 4])
        if at + 9 > len(header):
            raise damaged("a picture of the slide does not say how large it is")
    height, width = struct.unpack_from(">HH", header, at + 5)
    return width, height


def windows_of(source: Source, ranges: NDArray[np.int64]) -> Iterator[tuple[bytes, list[tuple[int, int]]]]:
    """Tiles (start, end) in their order: pieces of the file, and where in each piece whole tiles stand."""
    spans, at = ranges.tolist(), 0
    while at < len(spans):
        first, until = spans[at][0], at + 1
        if spans[at][1] - first > MAX_TILE_BYTES:
            raise damaged("a tile is larger than any scanner's")
        while until < len(spans) and spans[until][1] - first <= WINDOW_BYTES:
            until += 1
        window = source.read(first, spans[until - 1][1] - first)
        yield window, [(start - first, end - first) for start, end in spans[at:until]]
        at = until


def walk_jpeg(content: bytes) -> None:
    """One JPEG picture from its first byte to its last.

    :raises Quarantine: as `check_tiles`.
    """
    scan = _jpeg_header(content, 0, len(content))
    _jpeg_scans(content, scan, len(content), _markers(content).tolist())


def _markers(window: bytes) -> NDArray[np.int64]:
    """Where 0xFF is followed by anything but a stuffed zero, a restart marker or another fill byte."""
    octets = np.frombuffer(window, dtype=np.uint8)
    at = np.flatnonzero(octets[:-1] == 0xFF)
    kind = octets[at + 1]
    return at[(kind != 0) & (kind != 0xFF) & ((kind < 0xD0) | (kind > 0xD7))]


def _jpeg_header(window: bytes, start: int, end: int) -> int:
    """Where the first scan's data begin."""
    if window[start : start + 2] != b"\xff\xd8":
        raise damaged("a tile is not a JPEG picture")
    at = start + 2
    while True:
        kind, following = _segment(window, at, end)
        if kind == 0xDA:
            return following
        at = following


def _segment(window: bytes, at: int, end: int) -> tuple[int, int]:
    """The kind of the segment at `at` and where it ends; segments that could carry text are refused."""
    if at + 4 > end or window[at] != 0xFF:
        raise damaged("a tile's JPEG headers are broken")
    kind = window[at + 1]
    if kind == 0xFF:
        return kind, at + 1
    (length,) = struct.unpack_from(">H", window, at + 2)
    following = at + 2 + length
    if length < 2 or following > end:
        raise damaged("a tile's JPEG headers are broken")
    if kind not in _JPEG_SEGMENTS:
        _jpeg_extra(kind, window[at + 4 : following])
    return kind, following


def _jpeg_extra(kind: int, content: bytes) -> None:
    if kind == 0xE0 and content[:5] == b"JFIF\0" and len(content) == 14:
        return
    if kind == 0xEE and content[:5] == b"Adobe" and len(content) == 12:
        return
    if kind == 0xFE and ENCODER_COMMENTS.match(content):
        return
    if kind >= 0xE0:
        raise unsafe(f"a tile carries a JPEG segment that may hold text (0xFF{kind:02X})")
    raise damaged(f"a tile holds a JPEG marker that no scanner writes (0xFF{kind:02X})")


def _jpeg_scans(window: bytes, scan: int, end: int, marks: list[int]) -> None:
    """From the first scan's data to the end of the image, which must be the end of the tile."""
    while True:
        index = bisect_left(marks, scan)
        at = marks[index] if index < len(marks) else end
        if at + 2 > end:
            raise damaged("a tile's JPEG picture breaks off")
        if window[at + 1] == 0xD9:
            return _padding(window, at + 2, end)
        kind = 0
        while kind != 0xDA:
            kind, at = _segment(window, at, end)
            if kind == 0xDC:
                break
        scan = at


def check_long_jpeg(source: Source, start: int, length: int, window_bytes: int = WINDOW_BYTES) -> int:
    """A JPEG picture as large as a slide, of one scan, read in windows; returns the bytes read.

    :raises Quarantine: as `check_tiles`.
    """
    head = source.read(start, min(length, LARGEST_HEADER))
    at, end = start + _jpeg_header(head, 0, len(head)), start + length
    while at + 2 <= end:
        window = source.read(at, min(window_bytes, end - at))
        marks = _markers(window)
        if len(marks):
            first = int(marks[0])
            if window[first + 1] != 0xD9:
                raise unsafe("a level's JPEG picture holds segments behind its headers")
            behind = end - (at + first + 2)
            if behind > MAX_PADDING or any(source.read(at + first + 2, behind)):
                raise unsafe("a level holds bytes behind the end of its picture")
            return length
        at += len(window) - 1
    raise damaged("a level's JPEG picture breaks off")


def _padding(window: bytes, at: int, end: int) -> None:
    if end - at > MAX_PADDING or any(window[at:end]):
        raise unsafe("a tile holds bytes behind the end of its picture")


def _jpeg_tables(tables: bytes) -> None:
    """An abbreviated stream of tables alone (TIFF Technical Note 2)."""
    if not tables:
        return
    if tables[:2] != b"\xff\xd8" or tables[-2:] != b"\xff\xd9":
        raise damaged("the slide's JPEG tables are broken")
    at, end = 2, len(tables) - 2
    while at < end:
        kind, at = _segment(tables, at, end)
        if kind not in (0xDB, 0xC4, 0xDD, 0xE0, 0xEE, 0xFE):
            raise damaged("the slide's JPEG tables are broken")


def _check_each(source: Source, picture: Picture, check: object) -> int:
    assert callable(check)
    read = 0
    for window, tiles in windows_of(source, ranges_of((picture,))):
        read += len(window)
        for start, end in tiles:
            check(window[start:end])
    return read


def walk_j2k(tile: bytes) -> None:
    """A bare JPEG 2000 codestream: main header, tile-parts by their length, end of codestream."""
    if tile[:4] != b"\xff\x4f\xff\x51":
        raise damaged("a tile is not a JPEG 2000 picture")
    at = _j2k_segments(tile, 2, 0x90)
    while tile[at : at + 2] == b"\xff\x90" and at + 12 <= len(tile):
        (length,) = struct.unpack_from(">I", tile, at + 6)
        _j2k_segments(tile, at + 12, 0x93)
        at = at + length if length else len(tile) - 2
    if tile[at : at + 2] != b"\xff\xd9":
        raise damaged("a tile's JPEG 2000 picture breaks off")
    _padding(tile, at + 2, len(tile))


def _j2k_segments(tile: bytes, at: int, until: int) -> int:
    while at + 4 <= len(tile) and tile[at] == 0xFF:
        kind = tile[at + 1]
        if kind == until:
            return at
        (length,) = struct.unpack_from(">H", tile, at + 2)
        content = tile[at + 4 : at + 2 + length]
        if kind == 0x64 and not ENCODER_COMMENTS.match(content[2:]):
            raise unsafe("a tile carries a JPEG 2000 comment")
        if kind != 0x64 and kind not in _J2K_SEGMENTS:
            raise damaged(f"a tile holds a JPEG 2000 marker that no scanner writes (0xFF{kind:02X})")
        at += 2 + max(length, 2)
    raise damaged("a tile's JPEG 2000 headers are broken")


def _tile_bytes(picture: Picture) -> int:
    size = picture.tile_width * picture.tile_height * picture.bytes_per_pixel
    if size > MAX_TILE_BYTES:
        raise damaged("a tile is larger than any scanner's")
    return size


def _check_raw(picture: Picture) -> int:
    """Uncompressed tiles hold exactly their pixels; the last strip may be shorter."""
    counts = picture.counts[picture.counts > 0]
    size = _tile_bytes(picture)
    if bool((counts > size).any()):
        raise unsafe("an uncompressed tile holds more than its pixels")
    short = counts if picture.tiled else counts[:-1]
    if bool((short < size).any()):
        raise damaged("an uncompressed tile lacks pixels")
    return 0


def _inflate(tile: bytes, size: int) -> None:
    inflater = zlib.decompressobj()
    try:
        pixels = inflater.decompress(tile, size + 1)
    except zlib.error as error:
        raise damaged("a tile's Deflate data are broken") from error
    if len(pixels) > size:
        raise damaged("a tile holds more pixels than it has room for")
    if not inflater.eof:
        raise damaged("a tile's Deflate data break off")
    if len(inflater.unused_data) > MAX_PADDING or any(inflater.unused_data):
        raise unsafe("a tile holds bytes behind the end of its picture")


def _unpack_lzw(tile: bytes, size: int) -> None:
    """LZW says nowhere how long it is: without its last three bytes it must lack pixels."""
    try:
        whole = len(imagecodecs.lzw_decode(tile, out=size))
        without = len(imagecodecs.lzw_decode(tile[:-3], out=size)) if len(tile) > 3 else 0
    except RuntimeError as error:
        raise damaged("a tile's LZW data are broken") from error
    if not whole:
        raise damaged("a tile's LZW data are empty")
    if without == whole:
        raise unsafe("a tile holds bytes behind the end of its picture")
