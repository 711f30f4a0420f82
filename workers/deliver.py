"""deliver: bring the de-identified files into the partner's own bucket and prove there what arrived.

A thin line takes long, so the work goes in slices: what arrived is remembered in the run's progress.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from cases.documents import Deidentified, Delivered, StoredObject
from cases.errors import Quarantine, Transient
from storage.s3 import Absent, Conflict, Refused
from storage.transition import Done
from workers.parts import Pause, Tools, Work

PARALLEL = 4
BATCH_FILES = 64
BATCH_BYTES = 256 << 20
MANIFEST = "manifest.json"


def deliver(work: Work, tools: Tools) -> Done | Pause:
    """Copy what is not there yet, read every copy back, then write the manifest and check the whole listing.

    Raises `Quarantine("delivery-differs")` if the partner's bucket holds other bytes than were sent.
    """
    sent = Deidentified.model_validate(work.documents["deidentify"])
    assert work.case.partner is not None, "a routed case has its partner"
    bucket = work.network.partner(work.case.partner).bucket
    folder = f"{work.case.id}/deliver/{work.case.version:03d}"
    pairs = [(o, f"{folder}/{_name(o)}") for o in (*sent.files, *sent.previews)]
    tools.objects.intend([(bucket, key) for _, key in pairs])
    left = [(o, key) for o, key in pairs if _name(o) not in tools.progress.done]
    for number, batch in enumerate(_batches(left)):
        if number and tools.progress.pause_due():
            return Pause()
        _batch(batch, bucket, tools)
    arrived = [o.model_copy(update={"zone": bucket, "key": key}) for o, key in pairs]
    manifest = _manifest(work, sent, arrived, folder)
    stored = tools.objects.write(bucket, f"{folder}/{MANIFEST}", manifest, "application/json")
    _compare_listing(tools, bucket, folder, [*arrived, stored])
    document = Delivered(
        partner=work.case.partner,
        subspecialty=work.network.service(work.case.service).subspecialty,
        objects=tuple(arrived),
        manifest_sha256=stored.sha256,
    )
    return Done(
        document=document, objects=[*arrived, stored], note=f"{len(arrived)} files to {work.case.partner}"
    )


def _batches(pairs: list[tuple[StoredObject, str]]) -> Iterator[list[tuple[StoredObject, str]]]:
    """Small files together, a large one alone: after each batch the slice may end, and its files are behind us."""
    batch: list[tuple[StoredObject, str]] = []
    for pair in pairs:
        if batch and (
            len(batch) >= BATCH_FILES or sum(o.size for o, _ in batch) + pair[0].size > BATCH_BYTES
        ):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def _batch(pairs: list[tuple[StoredObject, str]], bucket: str, tools: Tools) -> None:
    def one(pair: tuple[StoredObject, str]) -> None:
        try:
            copy = tools.objects.copy(pair[0], bucket, pair[1])
        except Conflict:
            raise Quarantine("delivery-differs", "a file of another digest stands at the partner") from None
        except (Absent, Refused) as error:
            # a bucket that is gone or refuses us is a line that is down, which an operator mends
            raise Transient(f"the partner's bucket cannot be written ({error})") from None
        digest = hashlib.sha256()
        for block in tools.objects.stream(copy):
            digest.update(block)
        if digest.hexdigest() != copy.sha256:
            raise Quarantine("delivery-differs", f"one of {len(pairs)} files arrived with another digest")

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="deliver") as pool:
        for _ in pool.map(one, pairs):
            continue
    tools.progress.mark([_name(stored) for stored, _ in pairs])


def _name(stored: StoredObject) -> str:
    """The part of a de-identified object's key that the partner sees too: its kind and its derived name."""
    return stored.key.split("/", 3)[3]


def _manifest(work: Work, sent: Deidentified, arrived: list[StoredObject], folder: str) -> bytes:
    """What a partner's own software reads first: the brief, and every file with size and SHA-256."""
    content = {
        "case": work.case.id,
        "brief": sent.brief.model_dump(mode="json"),
        "files": [
            {
                "name": o.key.removeprefix(f"{folder}/"),
                "size": o.size,
                "sha256": o.sha256,
                "media_type": o.media_type,
            }
            for o in arrived
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def _compare_listing(tools: Tools, bucket: str, folder: str, expected: list[StoredObject]) -> None:
    try:
        found = {f.key: f.size for f in tools.objects.listing(bucket, f"{folder}/")}
    except Absent:
        found = {}
    wanted = {o.key: o.size for o in expected}
    if found != wanted:
        raise Quarantine("delivery-differs", f"{len(found)} files at the partner, {len(wanted)} were sent")
