"""DICOM files (PS3.10 7): where the data set begins, how it is encoded, and the head that is written in its place."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from cases.errors import Quarantine
from imaging.deid.elements import LONG_VRS, Encoding, Value

IMPLEMENTATION_CLASS = "2.25.239281940278319174462938112365902417753"
IMPLEMENTATION_VERSION = "TELEDX_1"
INFLATED_LIMIT = 1 << 30
_META_LIMIT = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the file meta information says: where the data set begins and in which transfer syntax."""

    start: int
    transfer_syntax: str
    sop_instance: str

    @property
    def encoding(self) -> Encoding:
        return Encoding(
            explicit=self.transfer_syntax != ImplicitVRLittleEndian,
            big=self.transfer_syntax == ExplicitVRBigEndian,
        )

    @property
    def deflated(self) -> bool:
        return self.transfer_syntax == DeflatedExplicitVRLittleEndian

    @property
    def encapsulated(self) -> bool:
        return UID(self.transfer_syntax).is_compressed and not self.deflated


def read_head(buffer: memoryview) -> Head:
    """The head of a DICOM file.

    :raises Quarantine: `format-unknown` if it is none, `file-damaged` if it says no known transfer syntax.
    """
    if len(buffer) < 132 or bytes(buffer[128:132]) != b"DICM":
        raise Quarantine("format-unknown", "no DICOM file: the prefix DICM is missing")
    values: dict[int, bytes] = {}
    at = 132
    while at + 8 <= min(len(buffer), _META_LIMIT):
        group, element = struct.unpack_from("<HH", buffer, at)
        if group != 2:
            break
        at, value = _meta_element(buffer, at)
        values[element] = value
    syntax = values.get(0x10, b"").decode("latin-1").strip(" \0")
    uid = UID(syntax)
    if not uid.is_transfer_syntax or uid.is_private:
        raise Quarantine("file-damaged", "the file says no transfer syntax that is known")
    instance = values.get(0x03, b"").decode("latin-1").strip(" \0")
    return Head(start=at, transfer_syntax=syntax, sop_instance=instance)


def _meta_element(buffer: memoryview, at: int) -> tuple[int, bytes]:
    vr = bytes(buffer[at + 4 : at + 6]).decode("latin-1")
    if vr in LONG_VRS:
        if at + 12 > len(buffer):
            raise Quarantine("file-damaged", "cut short in its file meta information")
        length, start = struct.unpack_from("<L", buffer, at + 8)[0], at + 12
    else:
        length, start = struct.unpack_from("<H", buffer, at + 6)[0], at + 8
    if start + length > len(buffer):
        raise Quarantine("file-damaged", "cut short in its file meta information")
    return start + length, bytes(buffer[start : start + length])


def written_head(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Preamble of zeros, prefix and a file meta information of our own; no application entity, nothing private."""
    elements = b"".join((
        struct.pack("<HH2sHL", 2, 1, b"OB", 0, 2) + b"\0\1",
        _ui(0x02, sop_class), _ui(0x03, sop_instance), _ui(0x10, transfer_syntax), _ui(0x12, IMPLEMENTATION_CLASS),
        struct.pack("<HH2sH", 2, 0x13, b"SH", len(IMPLEMENTATION_VERSION)) + IMPLEMENTATION_VERSION.encode(),
    ))  # fmt: skip
    return bytes(128) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(elements)) + elements


def _ui(element: int, uid: str) -> bytes:
    value = uid.encode("ascii")
    value += b"\0" * (len(value) & 1)
    return struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value


def inflated(buffer: memoryview) -> bytes:
    """The data set of the deflated transfer syntax (PS3.5 A.5).

    :raises Quarantine: `file-damaged`, or `read-limit` beyond 1 GiB.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(buffer, INFLATED_LIMIT)
    except zlib.error as error:
        raise Quarantine("file-damaged", "its deflated data set cannot be inflated") from error
    if inflater.unconsumed_tail:
        raise Quarantine("read-limit", "its deflated data set is larger than 1 GiB")
    if not inflater.eof:
        raise Quarantine("file-damaged", "its deflated data set is cut short")
    return plain


def deflated(chunks: Iterable[Value]) -> Iterator[bytes]:
    """The same bytes deflated, of even length."""
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    size = 0
    for chunk in chunks:
        piece = deflater.compress(chunk)
        size += len(piece)
        yield piece
    piece = deflater.flush()
    size += len(piece)
    yield piece
    if size & 1:
        yield b"\0"
