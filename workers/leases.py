"""Heartbeats: one thread renews the leases of all runs of this process, and stops for a run that is over its time.

A run whose lease lapses is given to another worker, and what its thread still does is refused at the commit. A thread
that is stuck for good is a reason to restart the process: `overrun` says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from cases.errors import Transient
from storage import runs
from storage.database import Database
from storage.runs import Run

log = structlog.get_logger()


class Leases:
    """`hold(run, limit)` around a stage keeps its lease for at most `limit` seconds."""

    def __init__(self, database: Database, interval: float) -> None:
        self._database = database
        self._interval = interval
        self._held: dict[str, tuple[Run, float]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="leases", daemon=True)
        self.overrun = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    @contextmanager
    def hold(self, run: Run, limit: float) -> Iterator[None]:
        with self._lock:
            self._held[_name(run)] = (run, time.monotonic() + limit)
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(_name(run), None)

    @property
    def held(self) -> int:
        """How many runs this process is busy with."""
        with self._lock:
            return len(self._held)

    def _beat_on(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._beat()
            except Transient as error:
                log.warning("heartbeat_missed", error=str(error))

    def _beat(self) -> None:
        now = time.monotonic()
        with self._lock:
            held = list(self._held.values())
        for run, until in held:
            if now >= until:
                self.overrun.set()
                log.error("stage_over_time", **run.log_context())
        alive = [run for run, until in held if now < until]
        if not alive:
            return
        ours = runs.beat(self._database, [(r.id, r.owner) for r in alive])
        for run in alive:
            if run.id not in ours and self._still_held(run):
                log.warning("lease_lost", **run.log_context())

    def _still_held(self, run: Run) -> bool:
        with self._lock:
            return _name(run) in self._held


def _name(run: Run) -> str:
    """One attempt of one run."""
    return f"{run.id} {run.owner}"
