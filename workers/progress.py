"""Progress of long work, kept in the run's row; asks for a pause when the slice is over."""

from __future__ import annotations

import time
from collections.abc import Sequence

from storage import runs
from storage.database import Database
from storage.runs import Run


class RunProgress:
    """`cases.ports.Progress` for one attempt of one run."""

    def __init__(self, database: Database, run: Run, slice_seconds: float) -> None:
        self._database = database
        self._run = run
        self._until = time.monotonic() + slice_seconds
        self._done = set(run.progress)

    @property
    def done(self) -> frozenset[str]:
        return frozenset(self._done)

    def mark(self, parts: Sequence[str]) -> None:
        runs.mark_progress(self._database, self._run, parts)
        self._done.update(parts)

    def pause_due(self) -> bool:
        return time.monotonic() >= self._until
