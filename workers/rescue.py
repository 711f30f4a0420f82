"""Giving back what lost workers held, and setting aside what no worker survives."""

from __future__ import annotations

import structlog

from cases.errors import NotAllowed
from storage import drops, runs, transition
from storage.database import Connection
from storage.runs import Run
from workers.parts import Parts

log = structlog.get_logger()


def reclaim(parts: Parts) -> int:
    """Free lapsed runs and lost wake-ups; a run that lost its worker three times is quarantined. Returns how many."""
    limits = parts.limits
    with parts.database.transaction() as connection:
        freed, poisoned = runs.reclaim(connection, lease=limits.lease, limit=limits.lost_attempts)
        for run in poisoned:
            _set_aside(connection, run, f"{limits.lost_attempts} workers were lost")
    if freed:
        log.warning("runs_reclaimed", count=freed)
    return freed + len(poisoned)


def _set_aside(connection: Connection, run: Run, detail: str) -> None:
    log.error("worker_lost", **run.log_context())
    if run.stage == "receive":
        runs.end(connection, run, "quarantined", f"worker-lost: {detail}")
        drops.set_aside(connection, run.case_id, "worker-lost", detail)
        return
    try:
        with connection.transaction():
            transition.set_aside(connection, run, "quarantined", "worker-lost", detail)
    except NotAllowed:
        # the case moved on without this run: a stale duplicate that keeps dying
        runs.end(connection, run, "stale", f"worker-lost: {detail}")
