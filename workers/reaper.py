"""The reaper: deletes what no row claims, and aborts uploads that nobody finished."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog

from storage import objects
from storage.s3 import S3
from workers.parts import Parts

log = structlog.get_logger()

BATCH = 500


def reap(parts: Parts, *, older: timedelta = timedelta(hours=1)) -> int:
    """Delete objects intended longer than `older` ago whose run ended without claiming them; returns how many."""
    count = 0
    while True:
        # the rows stay locked until the objects are gone: a replay that intends them again waits
        with parts.database.transaction() as connection:
            orphans = objects.unclaimed(connection, older, BATCH)
            if not orphans:
                return count
            for zone in sorted({o.zone for o in orphans}):
                parts.s3.delete(zone, [o.key for o in orphans if o.zone == zone])
            objects.forget(connection, orphans)
        count += len(orphans)
        log.info("orphans_deleted", count=len(orphans))


def abort_uploads(s3: S3, zones: tuple[str, ...], *, older: timedelta = timedelta(days=1)) -> int:
    """Abort multipart uploads begun before `older` in our own zones; returns how many."""
    before = datetime.now(UTC) - older
    return sum(s3.abort_stale_uploads(zone, "", before) for zone in zones)
