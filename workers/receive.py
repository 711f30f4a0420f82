"""receive: copy a complete drop into the region, prove every file against the order, and make it a case.

From the commit on no file is lost: the drop has ended as a case, a quarantine with its reason, or a rejection.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import structlog

from cases.documents import Received, ReceivedFile, StoredObject
from cases.errors import Quarantine, Reject, Transient
from cases.milestones import Milestone
from cases.network import Network
from cases.order import ORDER_NAME, FileLine, Order
from cases.turnaround import expected_due
from storage import drops
from storage.drops import Drop, NewCase
from storage.runs import Run
from storage.s3 import Absent, Conflict, Found
from workers import intake
from workers.parts import Parts, Tools

log = structlog.get_logger()

# S3 calls under way at once for one drop.
PARALLEL = 8


def run(parts: Parts, run: Run, tools: Tools) -> str:
    """Run and commit the stage for the drop whose id the run carries; returns what became of it."""
    with parts.database.transaction() as connection:
        drop = drops.get(connection, run.case_id)
    version, network = parts.network.current()
    try:
        new = _new_case(parts, drop, network, version, tools)
    except Reject as reason:
        drops.reject_run(parts.database, run, reason.code, problems=(reason.detail,) if reason.detail else ())
        return "rejected"
    except _Aside as aside:
        drops.quarantine_run(parts.database, run, aside.reason.code, aside.reason.detail, aside.received)
        return "quarantined"
    drops.accept(parts.database, run, new)
    return "received"


class _Aside(Exception):
    """The drop is set aside, with what was copied for the person who will look."""

    def __init__(self, reason: Quarantine, received: Received) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.received = received


def _new_case(parts: Parts, drop: Drop, network: Network, version: int, tools: Tools) -> NewCase:
    listing = {f.key.removeprefix(drop.prefix): f for f in parts.s3.listing("inbox", drop.prefix)}
    order = _order(parts, drop, listing)
    content = content_sha256(order)
    with parts.database.transaction() as connection:
        # in this order: a twin that commits between the two is then seen as the same drop, not as a reused number
        taken = drops.accession_taken(connection, drop.clinic, order.accession_number)
        earlier = drops.same_content(connection, drop.clinic, content)
    aside = taken is not None and earlier is None and drop.released_by is None
    zone = "quarantine" if aside else "identified"
    received = Received(files=(), total_bytes=0) if earlier else _take(tools, drop, order, listing, zone)
    if aside:
        raise _Aside(Quarantine("accession-reused", f"the other case is {taken}"), received)
    service = network.service(order.service)
    return NewCase(
        order=order,
        content_sha256=content,
        received=received,
        scanning_site=order.scanning_site or network.recipients(drop.clinic, order.service)[-1],
        family=service.family,
        priority=network.priority(order.service, order.priority),
        network_version=version,
        due_at=_due(parts, network, order, drop),
    )


def _due(parts: Parts, network: Network, order: Order, drop: Drop) -> datetime:
    """The end of the service level, expected from the moment at which the drop was complete; `route` says it anew."""
    priority = network.priority(order.service, order.priority)
    level = network.service_level(order.service, priority)
    log = (Milestone(name="received", state="received", at=drop.completed_at or drop.last_seen_at),)
    return expected_due(level, log, log[0].at, network.working_calendar(parts.is_workday))


def content_sha256(order: Order) -> str:
    """SHA-256 of what the order says, whatever its layout; it names every file's digest, so it stands for them too."""
    said = json.dumps(
        order.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )
    return hashlib.sha256(said.encode()).hexdigest()


def _order(parts: Parts, drop: Drop, listing: dict[str, Found]) -> Order:
    found = listing.get(ORDER_NAME)
    if found is None or found.etag != drop.order_etag:
        raise Reject("files-missing", "order.json was deleted or replaced before the receipt")
    order, wrong = intake.read_order(parts.s3, drop.prefix, found)
    if order is None:
        raise Reject("order-invalid", "; ".join(wrong))
    return order


def _take(tools: Tools, drop: Drop, order: Order, listing: dict[str, Found], zone: str) -> Received:
    """Copy every file by its ETag inside the store, then read the copy and compare size and SHA-256."""
    keys = [f"{drop.id}/receive/{number:05d}" for number in range(len(order.files))]
    tools.objects.intend([(zone, key) for key in keys])

    def one(line: FileLine, key: str) -> ReceivedFile:
        found = listing.get(line.name)
        if found is None or found.size != line.size:
            raise Reject(
                "file-differs", f"file {order.files.index(line) + 1} of the order changed after it arrived"
            )
        source = StoredObject(zone="inbox", key=found.key, size=line.size, sha256=line.sha256)
        try:
            stored = tools.objects.take(source, found.etag, zone, key)
        except (Absent, Conflict):
            raise Reject("files-missing", "a file was deleted or replaced before the receipt") from None
        digest = hashlib.sha256()
        for block in tools.objects.stream(stored):
            digest.update(block)
        if digest.hexdigest() != line.sha256:
            raise Reject(
                "file-differs", f"file {order.files.index(line) + 1} of the order has another SHA-256"
            )
        return ReceivedFile(name=line.name, stored=stored)

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="receive") as pool:
        try:
            files = tuple(pool.map(one, order.files, keys))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if sum(f.stored.size for f in files) != sum(f.size for f in order.files):
        raise Transient("the store listed other sizes than it holds")
    return Received(files=files, total_bytes=sum(f.size for f in order.files))
