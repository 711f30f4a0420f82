"""Random access to objects in the store through blocks kept in memory; nothing is written to a disk."""

from __future__ import annotations

from cases.errors import Quarantine
from storage.kept import Kept
from storage.s3 import S3

# Neighbouring tiles of a row stand beside each other: one block answers for a dozen and more of them, and the store
# takes hardly longer for it than for one tile.
BLOCK = 256 << 10
# What is longer is read once and by itself, such as the places of all tiles.
LONGEST_IN_BLOCKS = 1 << 20


class Blocks:
    """The blocks of all objects that one process reads, bounded over all of them."""

    def __init__(self, s3: S3, capacity: int) -> None:
        """:param capacity: bytes."""
        self.s3 = s3
        self.kept: Kept[bytes] = Kept(capacity, len)


class StoredSource:
    """One object as an `imaging.slides.source.Source`; every read is of the object that had this ETag."""

    def __init__(self, blocks: Blocks, zone: str, key: str, size: int, etag: str) -> None:
        self._blocks = blocks
        self._at = (zone, key, etag)
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside. :raises Absent, Conflict, Transient:"""
        if offset < 0 or length < 0 or offset + length > self._size:
            raise Quarantine("file-damaged", f"{length} bytes at {offset} of an object of {self._size} bytes")
        if length > LONGEST_IN_BLOCKS:
            return self._fetched(offset, length)
        return self._cut([self._block(at) for at in _starts(offset, length)], offset, length)

    def at_hand(self, offset: int, length: int) -> bytes | None:
        """The bytes if they are in memory, at once; None if they would have to be fetched."""
        blocks = []
        for at in _starts(offset, length):
            block = self._blocks.kept.get((*self._at, at))
            if block is None:
                return None
            blocks.append(block)
        return self._cut(blocks, offset, length)

    def _cut(self, blocks: list[bytes], offset: int, length: int) -> bytes:
        within = offset % BLOCK
        joined = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        return joined[within : within + length]

    def _block(self, at: int) -> bytes:
        size = min(BLOCK, self._size - at)
        return self._blocks.kept.made((*self._at, at), lambda: self._fetched(at, size))

    def _fetched(self, offset: int, length: int) -> bytes:
        zone, key, etag = self._at
        content = self._blocks.s3.get(zone, key, offset, length, etag)
        if len(content) != length:
            raise Quarantine("file-damaged", "the store gave fewer bytes than the object has")
        return content


def _starts(offset: int, length: int) -> range:
    return range(offset - offset % BLOCK, offset + length, BLOCK)
