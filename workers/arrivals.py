"""Studies that arrived instance by instance become drops: once they are quiet and their order is there."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import structlog

from cases.order import ORDER_NAME
from storage import arrivals, drops
from storage.arrivals import Closed
from storage.s3 import Conflict
from workers.parts import Parts

log = structlog.get_logger()

# In one go; what is left comes in the next.
BATCH = 100


def assemble(parts: Parts) -> int:
    """Close the studies that are quiet and ordered, and write their order.json; returns how many became drops.

    What arrived is settled in one transaction, and written after it: whoever is killed between the two is followed by
    one that writes the same bytes.
    """
    quiet = timedelta(seconds=parts.limits.study_quiet)
    for _ in range(BATCH):
        with parts.database.transaction() as connection:
            if not arrivals.close_one(connection, quiet):
                break
    with parts.database.transaction() as connection:
        closed = arrivals.closed(connection, BATCH)
    for arrival in closed:
        parts.step_aside()
        _hand_over(parts, arrival)
    return len(closed)


def _hand_over(parts: Parts, arrival: Closed) -> None:
    content = json.dumps(arrival.document, ensure_ascii=False, indent=1).encode()
    digest = hashlib.sha256(content).hexdigest()
    try:
        parts.s3.put_new("inbox", f"{arrival.prefix}{ORDER_NAME}", content, "application/json", digest)
    except Conflict:
        log.info("order_was_written", clinic=arrival.clinic)
    with parts.database.transaction() as connection:
        arrivals.handed_over(connection, arrival.prefix)
        drops.hint(connection, arrival.clinic, arrival.prefix)
    log.info("study_assembled", clinic=arrival.clinic, files=len(arrival.document["files"]))


def reap(parts: Parts, *, older: timedelta = timedelta(hours=1)) -> int:
    """Delete instances that were intended longer ago than `older` and are nobody's; returns how many."""
    count = 0
    while True:
        # locked until the objects are gone: who sends such an instance again waits
        with parts.database.transaction() as connection:
            keys = arrivals.unstored(connection, older, BATCH)
            if not keys:
                return count
            parts.s3.delete("inbox", keys)
            arrivals.forget(connection, keys)
        count += len(keys)
