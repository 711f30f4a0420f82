"""A planned slide read as if it were written: ranges come from the source, the rest from the plan."""

from __future__ import annotations

from itertools import accumulate

from imaging.slides.plan import SlidePlan
from imaging.slides.source import Source, cut_across


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
        parts = []
        for index, within, size in cut_across(self._starts, offset, length):
            segment = self._segments[index]
            if segment.payload is None:
                parts.append(self._source.read(segment.offset + within, size))
            else:
                parts.append(segment.payload[within : within + size])
        return parts[0] if len(parts) == 1 else b"".join(parts)
