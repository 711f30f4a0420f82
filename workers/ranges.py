"""An object that is not there yet, read as the ranges of other objects that it will be put together from."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from cases.errors import Quarantine
from cases.ports import Objects, Range
from imaging.slides.source import cut_across

# Bytes read from the store at once; a walk through directories and a few tiles reads little more than it looks at.
BLOCK = 128 << 10
BLOCKS_KEPT = 64


def verified(objects: Objects, ranges: Iterable[Range], most: int) -> dict[Range, bytes]:
    """Those ranges whose digest is known, read whole: in their order, as long as they are `most` bytes together.

    Raises `Quarantine("binding-broken")` if one is not what it was.
    """
    found = {}
    for each in (r for r in ranges if r.sha256):
        if each.length > most:
            continue
        most -= each.length
        content = objects.read(each.stored, each.offset, each.length)
        if hashlib.sha256(content).hexdigest() != each.sha256:
            raise Quarantine("binding-broken", "a part of a planned slide is not the one that was written")
        found[each] = content
    return found


class RangesSource:
    """An `imaging.slides.source.Source` over ranges in the store; 8 MiB of what was read last are kept.

    Ranges that are `held` are not read again.
    """

    def __init__(
        self, objects: Objects, ranges: Sequence[Range], held: Mapping[Range, bytes] | None = None
    ) -> None:
        self._objects = objects
        self._ranges = ranges
        self._held = held or {}
        self._starts = [0, *accumulate(r.length for r in ranges)]
        self._blocks: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    @property
    def size(self) -> int:
        return self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside."""
        parts = [self._within(*piece) for piece in cut_across(self._starts, offset, length)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _within(self, index: int, offset: int, length: int) -> bytes:
        """A part of one range: a long one as it is, a short one out of the blocks that it touches."""
        chosen = self._ranges[index]
        if chosen in self._held:
            return self._held[chosen][offset : offset + length]
        if length >= BLOCK:
            return self._objects.read(chosen.stored, chosen.offset + offset, length)
        first = offset - offset % BLOCK
        blocks = b"".join(self._block(index, at) for at in range(first, offset + length, BLOCK))
        return blocks[offset - first : offset - first + length]

    def _block(self, index: int, at: int) -> bytes:
        if (index, at) not in self._blocks:
            chosen = self._ranges[index]
            size = min(BLOCK, chosen.length - at)
            self._blocks[index, at] = self._objects.read(chosen.stored, chosen.offset + at, size)
            if len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end((index, at))
        return self._blocks[index, at]
