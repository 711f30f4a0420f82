"""The workers' killable child, with what they decode by already loaded."""

from __future__ import annotations

from collections.abc import Sequence

from imaging import child

PRELOADED = ("workers.native", "imaging.slides.check", "imaging.slides.label", "imaging.slides.scanner")


class Child(child.Child):
    """A pool of children for the stages' native decoding."""

    def __init__(
        self,
        *,
        workers: int = 1,
        memory: int = child.MEMORY_LIMIT,
        max_calls: int = 200,
        preload: Sequence[str] = PRELOADED,
    ) -> None:
        super().__init__(workers=workers, memory=memory, max_calls=max_calls, preload=preload)
