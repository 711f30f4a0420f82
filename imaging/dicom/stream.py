"""Reading forward only, in bounded memory, digesting every byte on the way; plain or deflated."""

from __future__ import annotations

import hashlib
import zlib
from typing import Protocol

from cases.errors import Quarantine

CHUNK = 1 << 18
# What a deflated data set may unfold to: the transfer syntax is meant for reports and small images.
MAX_INFLATED = 1 << 30


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Digesting:
    """A stream that counts and digests (SHA-256) what passes through it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self.count = 0

    def read(self, size: int, /) -> bytes:
        chunk = self._stream.read(size)
        self._sha256.update(chunk)
        self.count += len(chunk)
        return chunk

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


class Inflating:
    """The unfolded bytes of a raw deflate stream (PS3.5 A.5), at most `MAX_INFLATED`; `head` was read before."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._pending = head
        self._count = 0

    def read(self, size: int, /) -> bytes:
        """:raises Quarantine: `file-damaged` if the stream is broken or cut; `read-limit` beyond `MAX_INFLATED`."""
        while not self._inflate.eof:
            folded = self._pending or self._stream.read(CHUNK)
            try:
                chunk = self._inflate.decompress(folded, size)
            except zlib.error:
                raise Quarantine("file-damaged", "the deflated data set is broken") from None
            self._pending = self._inflate.unconsumed_tail
            if chunk:
                self._count += len(chunk)
                if self._count > MAX_INFLATED:
                    raise Quarantine("read-limit", f"a deflated data set unfolds beyond {MAX_INFLATED} bytes")
                return chunk
            if not folded and not self._inflate.eof:
                raise Quarantine("file-damaged", "the deflated data set is cut off")
        return self._trailing()

    def _trailing(self) -> bytes:
        """A pad byte may follow (PS3.5 A.5), and the CRC and length of gzip (RFC 1952), which some writers leave."""
        rest = self._inflate.unused_data + self._stream.read(CHUNK)
        if rest[4:] != self._count.to_bytes(4, "little") and rest.strip(b"\0"):
            raise Quarantine("file-damaged", "bytes after the end of the deflated data set")
        return b""


class Forward:
    """A window that moves forward over a stream: `peek`, `take` and `skip` from the present position."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._base = 0

    @property
    def position(self) -> int:
        return self._base + self._at

    def peek(self, size: int) -> bytes:
        """The next `size` bytes without moving on; fewer at the end of the stream."""
        if len(self._buffer) - self._at < size:
            self._fill(size)
        return self._buffer[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """The next `size` bytes.

        :raises Quarantine: `file-damaged` if the stream ends before.
        """
        found = self.peek(size)
        if len(found) < size:
            raise Quarantine("file-damaged", f"the file ends {size - len(found)} bytes too early")
        self._at += size
        return found

    def skip(self, size: int) -> None:
        """Moves over `size` bytes without keeping them; `file-damaged` if the stream ends before."""
        while size > 0:
            step = min(size, len(self._buffer) - self._at) or len(self.peek(min(size, CHUNK)))
            if not step:
                raise Quarantine("file-damaged", f"the file ends {size} bytes too early")
            self._at += step
            size -= step

    def rest(self) -> bytes:
        """What is buffered and not yet taken; the window is empty then (another reader takes over)."""
        found = self._buffer[self._at :]
        self._at = len(self._buffer)
        return found

    def _fill(self, size: int) -> None:
        kept = [self._buffer[self._at :]]
        have = len(kept[0])
        while have < size:
            chunk = self._stream.read(max(CHUNK, size - have))
            if not chunk:
                break
            kept.append(chunk)
            have += len(chunk)
        self._base += self._at
        self._at = 0
        self._buffer = b"".join(kept)
