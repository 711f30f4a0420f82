"""Withdrawing from a partner what it has no business with any more: cases that it declined, or that were cancelled."""

from __future__ import annotations

import structlog

from cases.errors import TeledxError
from storage import deliveries
from storage.deliveries import Delivery
from workers.parts import Parts

log = structlog.get_logger()


def withdraw(parts: Parts) -> int:
    """Delete what was delivered of such cases from the partners' buckets; returns how many cases. May be repeated."""
    _, network = parts.network.current()
    buckets = {p.id: p.bucket for p in network.partners}
    with parts.database.transaction() as connection:
        found = [d for d in deliveries.astray(connection) if d.partner in buckets]
    away = set()
    for delivery in (d for d in found if d.partner not in away):
        try:
            _withdraw_one(parts, delivery, buckets[delivery.partner])
        except TeledxError as error:
            # one partner that cannot be reached does not keep the others' from being withdrawn
            away.add(delivery.partner)
            log.warning("not_withdrawn", partner=delivery.partner, error=str(error))
    return len(found)


def _withdraw_one(parts: Parts, delivery: Delivery, bucket: str) -> None:
    keys = [f.key for f in parts.s3.listing(bucket, f"{delivery.case_id}/")]
    if keys:
        parts.s3.delete(bucket, keys)
    with parts.database.transaction() as connection:
        deliveries.forget(connection, delivery, bucket)
    log.info("withdrawn", case=delivery.case_id, partner=delivery.partner, count=len(keys))
