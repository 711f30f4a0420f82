"""A planned slide read as if it were written: ranges come from the source, the rest from the plan."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from imaging.slides.plan import SlidePlan
from imaging.slides.source import Source, inside


class PlannedSource:
    """A source over a plan and its source."""

    def __init__(self, plan: SlidePlan, source: Source) -> None:
        self._segments = plan.segments
        self._starts = [0, *accumulate(s.size for s in plan.segments)]
        self._source = source

    @property
    def size(self) -> int:
        return self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside the planned slide."""
        inside(offset, length, self.size)
        parts = []
        while length:
            index = bisect_right(self._starts, offset) - 1
            within = offset - self._starts[index]
            segment = self._segments[index]
            size = min(length, segment.size - within)
            if segment.payload is None:
                parts.append(self._source.read(segment.offset + within, size))
            else:
                parts.append(segment.payload[within : within + size])
            offset += size
            length -= size
        return parts[0] if len(parts) == 1 else b"".join(parts)
