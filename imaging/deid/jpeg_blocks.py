"""Blanking blocks of a JPEG codestream without decoding the picture: all other blocks keep their very coefficients.

Of baseline JPEG (ISO 10918-1, one interleaved scan of 8 bits) only the Huffman codes are read, to learn where each
block of 8 by 8 begins. AC codes are copied bit by bit, DC differences written anew: a blanked block changes the next.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]
_SOI, _EOI, _SOS, _DQT, _DHT, _SOF0, _DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xC0, 0xDD
_JFIF, _ADOBE = 0xE0, 0xEE  # they say how colours are coded; other such markers may say anything, and go
# Table K.3: codes for every size of a DC difference, whatever the codestream's own table lacks.
_DC_COUNTS, _DC_SYMBOLS = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0)), bytes(range(12))
_LARGEST = 11
_END_OF_BLOCK = 0x00

# Bytes between two restarts that are taken apart: the bits ahead of each bit take 330 times as much memory.
LONGEST_PIECE = 4 << 20


class NotBaseline(ValueError):
    """Another process of JPEG, or codes that end where none may."""


class Box(NamedTuple):
    """In pixels, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass
class _Component:
    h: int
    v: int
    quantisation: int
    dc: int = 0
    ac: int = 0


@dataclass
class _Head:
    """What stands before the scan. `tables` by class and number, as counts and symbols; `steps`: of DC, by table."""

    segments: list[tuple[int, bytes]] = field(default_factory=list)
    tables: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    components: dict[int, _Component] = field(default_factory=dict)
    scan: list[_Component] = field(default_factory=list)
    rows: int = 0
    columns: int = 0
    restart: int = 0

    @property
    def has_chroma(self) -> bool | None:
        """What the markers of JFIF and Adobe say of three components; None if they say nothing."""
        if len(self.scan) != 3:
            return None
        said = [b[11] == 1 for m, b in self.segments if m == _ADOBE and b[:5] == b"Adobe"]
        said += [True for m, b in self.segments if m == _JFIF and b[:4] == b"JFIF"]
        return said[0] if said else None

    @property
    def unit(self) -> tuple[int, int]:
        """Columns and rows of pixels that are coded together."""
        if len(self.scan) == 1:
            return 8, 8
        return 8 * max(c.h for c in self.scan), 8 * max(c.v for c in self.scan)

    @property
    def blocks(self) -> list[int]:
        """The components of the blocks of one unit, in order."""
        if len(self.scan) == 1:
            return [0]
        return [n for n, c in enumerate(self.scan) for _ in range(c.h * c.v)]


def rows_together(codestream: bytes) -> int:
    """Rows of pixels that are coded together. Raises `NotBaseline`."""
    return _parsed(codestream)[0].unit[1]


def grown(codestream: bytes, box: Box) -> Box:
    """The box and all that is coded together with it. Raises `NotBaseline`."""
    head, _ = _parsed(codestream)
    across, down = head.unit
    right, bottom = -(-box.right // across) * across, -(-box.bottom // down) * down
    return Box(
        box.left // across * across,
        box.top // down * down,
        min(right, head.columns),
        min(bottom, head.rows),
    )


def blanked(codestream: bytes, boxes: Sequence[Box], *, luma_and_chroma: bool) -> bytes:
    """The codestream with every unit black that `boxes` touch.

    :param luma_and_chroma: whether the second and third component are chroma; else all are brightness.
    :raises NotBaseline: if the codestream is none that can be treated so.
    """
    try:
        return _blanked(codestream, boxes, luma_and_chroma=luma_and_chroma)
    except (IndexError, KeyError, ZeroDivisionError) as error:
        raise NotBaseline("codes that lead nowhere, or tables that are not there") from error


def _blanked(codestream: bytes, boxes: Sequence[Box], *, luma_and_chroma: bool) -> bytes:
    head, scan = _parsed(codestream)
    if head.has_chroma not in (None, luma_and_chroma):
        raise NotBaseline("its colours are not coded as is said of them")
    units = _units(head, boxes)
    if len(units) * len(head.blocks) > 4 * len(scan):  # a block has two codes at least, of a bit at least
        raise NotBaseline("the scan is cut short")
    black = [
        0 if luma_and_chroma and n else round(-1024 / head.steps[c.quantisation])
        for n, c in enumerate(head.scan)
    ]
    pieces: list[Bits] = []
    before = [0] * len(head.scan)
    ends = [_end_of_block(head.tables[0x10 | c.ac]) for c in head.scan]
    per_unit = len(head.blocks)
    for number, (component, dc, ac) in enumerate(_blocks(head, scan)):
        if units[number // per_unit]:
            dc, ac = black[component], ends[component]
        pieces += (_dc_bits(dc - before[component]), ac)
        before[component] = dc
    return _written(head, np.concatenate(pieces))


def _parsed(stream: bytes) -> tuple[_Head, bytes]:
    """What stands before the scan, and the scan's bytes up to the end of the image."""
    head, at = _Head(), 2
    if stream[:2] != bytes((0xFF, _SOI)):
        raise NotBaseline("no JPEG")
    try:
        while True:
            marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
            body = stream[at + 4 : at + 2 + length]
            if stream[at] != 0xFF or len(body) != length - 2:
                raise NotBaseline("no marker where one must stand")
            at += 2 + length
            _take(head, marker, body)
            if marker == _SOS:
                end = stream.rindex(bytes((0xFF, _EOI)))
                return head, stream[at:end]
    except (IndexError, KeyError, ValueError) as error:
        raise NotBaseline("its head is cut short or contradicts itself") from error


def _take(head: _Head, marker: int, body: bytes) -> None:
    if 0xC0 <= marker <= 0xCF and marker not in (_SOF0, _DHT):
        raise NotBaseline("another process than baseline")
    if marker == _DHT:
        while body:
            counts = body[1:17]
            size = sum(counts)
            head.tables[body[0]], body = (counts, body[17 : 17 + size]), body[17 + size :]
        return
    if marker == _DRI:
        head.restart = int.from_bytes(body, "big")
        return
    if marker in (_JFIF, _ADOBE, _DQT, _SOF0, _SOS):
        head.segments.append((marker, body))
    if marker == _DQT:
        while body:
            wide = body[0] >> 4
            head.steps[body[0] & 15] = int.from_bytes(body[1 : 2 + wide], "big")
            body = body[1 + 64 * (1 + wide) :]
    elif marker == _SOF0:
        head.rows, head.columns = (int.from_bytes(body[n : n + 2], "big") for n in (1, 3))
        for at in range(6, 6 + 3 * body[5], 3):
            head.components[body[at]] = _Component(body[at + 1] >> 4, body[at + 1] & 15, body[at + 2])
    elif marker == _SOS:
        for at in range(1, 1 + 2 * body[0], 2):
            component = head.components[body[at]]
            component.dc, component.ac = body[at + 1] >> 4, body[at + 1] & 15
            head.scan.append(component)
        if len(head.scan) != len(head.components):
            raise NotBaseline("more than one scan")


def _units(head: _Head, boxes: Sequence[Box]) -> list[bool]:
    """Of each unit, in order, whether a box touches it."""
    across, down = head.unit
    touched = np.zeros((-(-head.rows // down), -(-head.columns // across)), bool)
    for box in boxes:
        touched[box.top // down : -(-box.bottom // down), box.left // across : -(-box.right // across)] = True
    whole: list[bool] = touched.reshape(-1).tolist()
    return whole


def _blocks(head: _Head, scan: bytes) -> Iterator[tuple[int, int, Bits]]:
    """Of each block its component, its DC coefficient, and the bits of its AC codes."""
    across, down = head.unit
    left = -(-head.rows // down) * -(-head.columns // across)
    tables = [(_lookup(*head.tables[c.dc]), _lookup(*head.tables[0x10 | c.ac])) for c in head.scan]
    order = [(component, *tables[component]) for component in head.blocks]
    for piece in _between_restarts(scan):
        units = min(left, head.restart or left)
        yield from _blocks_of(piece, units, order, len(head.scan))
        left -= units
    if left:
        raise NotBaseline("the scan is cut short")


def _between_restarts(scan: bytes) -> list[bytes]:
    for number in range(8):
        scan = scan.replace(bytes((0xFF, 0xD0 + number)), b"\xff\xd0")
    return [piece.replace(b"\xff\x00", b"\xff") for piece in scan.split(b"\xff\xd0")]


def _blocks_of(
    piece: bytes, units: int, order: list[tuple[int, list[int], list[int]]], components: int
) -> Iterator[tuple[int, int, Bits]]:
    bits = np.unpackbits(np.frombuffer(piece, np.uint8))
    if len(piece) > LONGEST_PIECE:
        raise NotBaseline("too long a scan without restarts")
    ahead, end = _sixteen_bits_at_each(piece), len(piece) * 8
    before, at = [0] * components, 0
    for _ in range(units):
        for component, dc_table, ac_table in order:
            code = dc_table[ahead[at]]
            at += code >> 8
            size = code & 15
            if size:
                value = ahead[at] >> 16 - size
                before[component] += value if value >> size - 1 else value - (1 << size) + 1
            at += size
            start, k = at, 1
            while k < 64:
                code = ac_table[ahead[at]]
                at += (code >> 8) + (code & 15)
                if not code & 0xFF:
                    break
                k += (code >> 4 & 15) + 1
            if at > end:
                raise NotBaseline("the scan is cut short")
            yield component, before[component], bits[start:at]


def _sixteen_bits_at_each(piece: bytes) -> list[int]:
    """The next 16 bits from each bit on; ones follow the last."""
    four = np.frombuffer(piece + b"\xff" * 8, np.uint8).astype(np.uint32)
    words = four[:-3] << 24 | four[1:-2] << 16 | four[2:-1] << 8 | four[3:]
    ahead: list[int] = (words[:, None] >> np.arange(16, 8, -1, dtype=np.uint32) & 0xFFFF).reshape(-1).tolist()
    return ahead


def _codes(counts: bytes, symbols: bytes) -> Iterator[tuple[int, int, int]]:
    """Symbol, code and length (ISO 10918-1 annex C)."""
    code, at = 0, 0
    for length, count in enumerate(counts, 1):
        for symbol in symbols[at : at + count]:
            yield symbol, code, length
            code += 1
        at, code = at + count, code << 1


@functools.lru_cache(maxsize=16)
def _lookup(counts: bytes, symbols: bytes) -> list[int]:
    """By the next 16 bits: the code's length above 8 bits of its symbol. What is no code leads far beyond the end."""
    found = [1 << 32] * (1 << 16)
    for symbol, code, length in _codes(counts, symbols):
        first = code << 16 - length
        found[first : first + (1 << 16 - length)] = [length << 8 | symbol] * (1 << 16 - length)
    return found


def _end_of_block(table: tuple[bytes, bytes]) -> Bits:
    for symbol, code, length in _codes(*table):
        if symbol == _END_OF_BLOCK:
            return _as_bits(code, length)
    raise NotBaseline("no code for the end of a block")


@functools.lru_cache(maxsize=8192)
def _dc_bits(difference: int) -> Bits:
    size = abs(difference).bit_length()
    for symbol, code, length in _codes(_DC_COUNTS, _DC_SYMBOLS):
        if symbol == size:
            value = difference if difference > 0 else difference + (1 << size) - 1
            return _as_bits(code << size | value, length + size)
    raise NotBaseline("a DC difference beyond 11 bits")


def _as_bits(value: int, length: int) -> Bits:
    return np.array([value >> n & 1 for n in range(length - 1, -1, -1)], np.uint8)


def _written(head: _Head, bits: Bits) -> bytes:
    padded = np.concatenate((bits, np.ones(-bits.size % 8, np.uint8)))
    tables = [bytes((c.dc,)) + _DC_COUNTS + _DC_SYMBOLS for c in head.scan]
    tables += [bytes((0x10 | c.ac,)) + b"".join(head.tables[0x10 | c.ac]) for c in head.scan]
    huffman = [(_DHT, b"".join(dict.fromkeys(tables)))]
    segments = [*head.segments[:-1], *huffman, head.segments[-1]]
    written = [bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body for marker, body in segments]
    scan = np.packbits(padded).tobytes().replace(b"\xff", b"\xff\x00")
    return b"".join((bytes((0xFF, _SOI)), *written, scan, bytes((0xFF, _EOI))))
