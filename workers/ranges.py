"""An object that is not there yet, read as the ranges of other objects that it will be put together from."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate

from cases.ports import Objects, Range
from imaging.slides.source import inside

# Bytes read from the store at once; a walk through directories and a few tiles reads little more than it looks at.
BLOCK = 128 << 10
BLOCKS_KEPT = 64


class RangesSource:
    """An `imaging.slides.source.Source` over ranges in the store; 8 MiB of what was read last are kept."""

    def __init__(self, objects: Objects, ranges: Sequence[Range]) -> None:
        self._objects = objects
        self._ranges = ranges
        self._starts = [0, *accumulate(r.length for r in ranges)]
        self._blocks: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    @property
    def size(self) -> int:
        return self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside."""
        inside(offset, length, self.size)
        parts = []
        while length:
            index = bisect_right(self._starts, offset) - 1
            within = offset - self._starts[index]
            part = self._within(index, within, min(length, self._ranges[index].length - within))
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _within(self, index: int, offset: int, length: int) -> bytes:
        """`length` bytes of one range, or as many of them as lie in one block; a long piece is read as it is."""
        chosen = self._ranges[index]
        if length >= BLOCK:
            return self._objects.read(chosen.stored, chosen.offset + offset, length)
        at = offset - offset % BLOCK
        block = self._block(index, at)
        return block[offset - at : offset - at + length]

    def _block(self, index: int, at: int) -> bytes:
        if (index, at) not in self._blocks:
            chosen = self._ranges[index]
            size = min(BLOCK, chosen.length - at)
            self._blocks[index, at] = self._objects.read(chosen.stored, chosen.offset + at, size)
            if len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end((index, at))
        return self._blocks[index, at]
