"""Bytes of instances out of the store: whole ones as streams, frames and bulk data by one range each.

Only of a deflated data set must what stands before be read too; it is unfolded on the way and not kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from cases.errors import Quarantine
from cases.indexed import PixelPlaces
from gateway.dicomweb.forms import DEFLATED
from gateway.refusals import Refusal
from imaging.dicom.header import read_transfer_syntax
from imaging.dicom.json_model import swapped
from imaging.dicom.stream import Forward, Inflating
from storage.dicom_instances import Instance
from storage.s3 import MIB, S3, Conflict

_ITEM = struct.Struct("<HHL")
_ITEM_TAG = (0xFFFE, 0xE000)


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The asking partner's bucket."""

    s3: S3
    bucket: str

    def whole(self, instance: Instance) -> Iterator[bytes]:
        return _as_indexed(self.s3.stream(self.bucket, instance.key))

    def range(self, instance: Instance, offset: int, length: int, swap: int = 0) -> Iterator[bytes]:
        """`length` bytes at `offset` of the data set's encoding as indexed, in little-endian words."""
        pieces = self._range(instance, offset, length)
        return _as_indexed(_turned(pieces, swap) if swap else pieces)

    def frame(
        self, instance: Instance, pixels: PixelPlaces, number: int, span: tuple[int, int] | None
    ) -> Iterator[bytes]:
        """Frame `number` (from 0); `span` says where its fragments are if it is encapsulated."""
        if span is not None:
            return _as_indexed(_unwrapped(self._range(instance, *span)))
        first, bits = divmod(number * pixels.bits, 8)
        length = (bits + pixels.bits + 7) // 8
        if pixels.bits % 8:
            return _as_indexed(
                _shifted(self._range(instance, pixels.value + first, length), bits, pixels.bits)
            )
        return self.range(instance, pixels.value + first, length, pixels.swap)

    def begin(self, instance: Instance, pixels: PixelPlaces) -> bytes:
        """All that stands before the pixel data; of a deflated one the data set alone."""
        return b"".join(_as_indexed(self._range(instance, 0, pixels.header)))

    def _range(self, instance: Instance, offset: int, length: int) -> Iterator[bytes]:
        if instance.transfer_syntax != DEFLATED:
            yield from self.s3.stream(self.bucket, instance.key, offset=offset, length=length)
            return
        raw = _Read(self.s3.stream(self.bucket, instance.key))
        window = Forward(raw)
        read_transfer_syntax(window)
        unfolded = Forward(Inflating(window.rest(), raw))
        unfolded.skip(offset)
        yield from _pieces(unfolded, length)


def _as_indexed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes. Raises `Refusal` (409) where the object proves not to be the one that was indexed."""
    try:
        yield from pieces
    except (Quarantine, Conflict):
        raise Refusal(
            409, "file-differs", "The stored object is not the one that was sent.", "Tell the region at once."
        ) from None


class _Read:
    """Chunks as a stream that is read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    def read(self, size: int, /) -> bytes:
        return next(self._chunks, b"")


def _pieces(window: Forward, length: int) -> Iterator[bytes]:
    while length:
        piece = window.take(min(length, MIB))
        length -= len(piece)
        yield piece


def _unwrapped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The fragments' bytes without their items' tags and lengths (PS3.5 A.4)."""
    window = Forward(_Read(chunks))
    while window.peek(1):
        *tag, length = _ITEM.unpack(window.take(_ITEM.size))
        if tuple(tag) != _ITEM_TAG:
            raise Quarantine("file-damaged", "no fragment where one was indexed")
        yield from _pieces(window, length)


def _turned(chunks: Iterable[bytes], width: int) -> Iterator[bytes]:
    """Big-endian words of `width` bytes as little-endian ones; a chunk may end within a word."""
    left = b""
    for chunk in chunks:
        ready = left + chunk
        whole = len(ready) - len(ready) % width
        left = ready[whole:]
        yield swapped(ready[:whole], width)
    yield left


def _shifted(chunks: Iterable[bytes], first: int, count: int) -> Iterator[bytes]:
    """`count` bits from bit `first` on, the least significant first (PS3.5 8.1.1), as bytes of their own."""
    bits = np.unpackbits(np.frombuffer(b"".join(chunks), np.uint8), bitorder="little")
    yield np.packbits(bits[first : first + count], bitorder="little").tobytes()
