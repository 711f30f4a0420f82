"""`slides`: de-identifying a slide of 1 GB and one of 4 GB, beside the store's own copy of the same object."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio
from minio.commonconfig import CopySource

from bench import page
from bench.deployment import Deployment, deployed
from bench.drops import slide
from bench.one_case import WORKERS, Travelled, mb, travel
from bench.processes import MemoryWatch
from bench.sizes import Size

STAGE = "deidentify"
# What the stage may take: times the store's own copy; MB of 10^6 bytes through the worker, and held by it.
ALLOWED_TIMES = 1.2
ALLOWED_THROUGH_MB = 16
ALLOWED_HELD_MB = 300


@dataclass(frozen=True, kw_only=True)
class Try:
    """A slide of `size` bytes on its way, and seconds of the store's own copy of it right after."""

    size: int
    trip: Travelled
    copied: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All tries of one size, and the worker's peak in bytes so far."""

    tries: Sequence[Try]
    held: int


def run(size: Size) -> str:
    """Each size in turn on the same workers, so that the second's memory shows what the first left."""
    with deployed() as house, tempfile.TemporaryDirectory(prefix="teledx-bench-") as name:
        folder = Path(name)
        with house.workers(*WORKERS) as pids, MemoryWatch(pids["worker-bulk"]) as memory:
            travel(house, slide(_clinic(house), "WARM1", size.slides[0] // 100, folder))
            found = []
            for count in size.slides:
                most = max(
                    1, size.repeat * size.slides[0] // count
                )  # each leaves five times its bytes in the store
                tries = [_try(house, f"BENCH{count}N{n}", count, folder) for n in range(most)]
                found.append(Measured(tries=tries, held=memory.own))
    return _tables(found)


def _clinic(house: Deployment) -> str:
    return house.clinics("histology")[0]


def _try(house: Deployment, accession: str, count: int, folder: Path) -> Try:
    drop = slide(_clinic(house), accession, count, folder)
    trip = travel(house, drop)
    for path in drop.files.values():
        if isinstance(path, Path):
            path.unlink()
    return Try(size=drop.size, trip=trip, copied=_copied(house, drop.size))


def _copied(house: Deployment, size: int) -> float:
    """Seconds of the store's own copy (CopyObject) of what was just received, between the two zones of the stage."""
    admin = house.house.identity("administrator")
    store = Minio(
        urlsplit(house.house.store.url).netloc,
        admin.access_key,
        admin.secret_key,
        secure=False,
        region="us-east-1",
    )
    found = (f for f in house.s3.listing("identified", "") if f.size == size)
    newest = max(found, key=lambda f: f.modified_at)
    began = time.monotonic()
    store.copy_object("deidentified", "bench/copy", CopySource("identified", newest.key))
    took = time.monotonic() - began
    house.s3.delete("deidentified", ["bench/copy"])
    return took


def _tables(found: Sequence[Measured]) -> str:
    rows = []
    for each in found:
        for number, one in enumerate(each.tries, 1):
            stage, times = one.trip.stages[STAGE], one.trip.stages[STAGE] / one.copied
            rows.append(
                (f"{mb(one.size)} MB, run {number}", f"{stage:.1f}", f"{one.copied:.1f}", f"{times:.2f}",
                 mb(one.trip.read[STAGE] + one.trip.written[STAGE]), f"{one.trip.load:.1f}")
            )  # fmt: skip
    head = (
        "de-identifying a slide",
        "stage s",
        "the store's own copy s",
        "times",
        "MB through the worker",
        "load before",
    )
    held = [(f"after {mb(each.tries[0].size)} MB", mb(each.held)) for each in found]
    return f"{page.table(head, rows)}\n{page.table(('worker, peak resident memory', 'MB'), held)}\n{_verdict(found)}\n"


def _verdict(found: Sequence[Measured]) -> str:
    tries = [one for each in found for one in each.tries]
    times = statistics.median(one.trip.stages[STAGE] / one.copied for one in tries)
    through = max(one.trip.read[STAGE] + one.trip.written[STAGE] for one in tries) / 1e6
    held = max(each.held for each in found) / 1e6
    said = (
        (
            f"{times:.2f} times the store's own copy in the median",
            times,
            f"{ALLOWED_TIMES} times",
            ALLOWED_TIMES,
        ),
        (f"{through:.1f} MB through the worker", through, f"{ALLOWED_THROUGH_MB} MB", ALLOWED_THROUGH_MB),
        (f"{held:.0f} MB held", held, f"{ALLOWED_HELD_MB} MB", ALLOWED_HELD_MB),
    )
    return (
        "; ".join(
            f"{what} (at most {most}: {'kept' if is_ <= limit else 'missed'})"
            for what, is_, most, limit in said
        )
        + "."
    )
