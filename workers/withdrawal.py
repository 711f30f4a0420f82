"""Withdrawing from a partner what it has no business with any more: cases that it declined, or that were cancelled."""

from __future__ import annotations

import structlog

from storage import deliveries
from workers.parts import Parts

log = structlog.get_logger()


def withdraw(parts: Parts) -> int:
    """Delete what was delivered of such cases from the partners' buckets; returns how many cases. May be repeated."""
    _, network = parts.network.current()
    buckets = {p.id: p.bucket for p in network.partners}
    with parts.database.transaction() as connection:
        found = [d for d in deliveries.astray(connection) if d.partner in buckets]
    for delivery in found:
        bucket = buckets[delivery.partner]
        keys = [f.key for f in parts.s3.listing(bucket, f"{delivery.case_id}/")]
        if keys:
            parts.s3.delete(bucket, keys)
        with parts.database.transaction() as connection:
            deliveries.forget(connection, delivery, bucket)
        log.info("withdrawn", case=delivery.case_id, partner=delivery.partner, count=len(keys))
    return len(found)
