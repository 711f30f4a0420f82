"""`ct300` and `slide1g`: one large case alone in the house, from its drop to the worklist, with memory and bytes."""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import page
from bench.deployment import Deployment, WorkerPlan, deployed
from bench.drops import Drop, long_ct, slide, upload
from bench.processes import MemoryWatch
from bench.sizes import Size

# The house's own two workers; `bytes` is logged at this level.
LOGGED = {"TELEDX_LOG_LEVEL": "debug"}
WORKERS = (
    WorkerPlan(name="worker-express", role="express", settings=LOGGED),
    WorkerPlan(name="worker-bulk", role="bulk", settings=LOGGED),
)
# A worker may hold this much, in MB of 10^6 bytes; its children apart.
ALLOWED_MB = 400
WAIT_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Travelled:
    """One case at the worklist: seconds since its drop was complete, seconds in each stage, and its bytes by stage.

    `load` is the machine's load when it was dropped.
    """

    seconds: float
    stages: Mapping[str, float]
    read: Mapping[str, int]
    written: Mapping[str, int]
    load: float


def ct300(size: Size) -> str:
    """A CT of many slices."""
    return _measure(size, lambda h, n, f: long_ct(h.clinics("ct")[0], n, size.slices, size.rows), _little_ct)


def slide1g(size: Size) -> str:
    """A large slide."""
    return _measure(size, lambda h, n, f: slide(h.clinics("histology")[0], n, size.slide, f), _little_slide)


Maker = Callable[[Deployment, str, Path], Drop]


def _little_ct(house: Deployment, accession: str, folder: Path) -> Drop:
    return long_ct(house.clinics("ct")[0], accession, 2, 128)


def _little_slide(house: Deployment, accession: str, folder: Path) -> Drop:
    return slide(house.clinics("histology")[0], accession, 3_000_000, folder)


def _measure(size: Size, make: Maker, warm: Maker) -> str:
    with deployed() as house, tempfile.TemporaryDirectory(prefix="teledx-bench-") as name:
        folder = Path(name)
        with house.workers(*WORKERS) as pids, MemoryWatch(pids["worker-bulk"]) as memory:
            travel(house, warm(house, "WARM1", folder))
            before = memory.own
            drops = [make(house, f"BENCH{n}", folder) for n in range(size.repeat)]
            trips = [travel(house, drop) for drop in drops]
            peaks = before, memory.own, memory.child
    return _tables(drops[0].size, trips, *peaks)


def travel(house: Deployment, drop: Drop) -> Travelled:
    """Drop it and wait until it stands on a worklist."""
    load = page.load_now()
    upload(house, drop)
    dropped_at = time.time()
    query = (
        "SELECT c.id, extract(epoch FROM w.created_at)::float8 AS at FROM work_item w JOIN cases c ON c.id = w.case_id"
        " JOIN vault.case_order o ON o.case_id = c.id WHERE o.accession_number = %s"
    )
    number = drop.order.accession_number
    house.wait("the worklist", lambda: bool(house.fetch(query, number)), WAIT_SECONDS)
    (row,) = house.fetch(query, number)
    runs = house.fetch(
        "SELECT stage, extract(epoch FROM ended_at - started_at)::float8 AS took FROM stage_run"
        " WHERE case_id = %s ORDER BY id",
        row["id"],
    )
    house.wait("the stages' log lines", lambda: len(_bytes(house, row["id"])[0]) == len(runs), 30)
    read, written = _bytes(house, row["id"])
    return Travelled(
        seconds=row["at"] - dropped_at,
        stages={r["stage"]: r["took"] for r in runs},
        read=read,
        written=written,
        load=load,
    )


def _bytes(house: Deployment, case_id: str) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes that the case's stages read from the store and wrote to it, as the workers logged them."""
    read: dict[str, int] = defaultdict(int)
    written: dict[str, int] = defaultdict(int)
    for log in house.logs.glob("worker-*.log"):
        for line in log.read_text().splitlines():
            if '"event": "bytes"' not in line or case_id not in line:
                continue
            said = json.loads(line)
            read[said["stage"]] += said["read"]
            written[said["stage"]] += said["written"]
    return read, written


def _tables(size: int, trips: list[Travelled], before: int, own: int, child: int) -> str:
    times = page.table(
        ("seconds", *(f"run {n}" for n, _ in enumerate(trips, 1))),
        [
            ("**drop to worklist**", *(f"**{t.seconds:.1f}**" for t in trips)),
            *((stage, *(f"{t.stages[stage]:.1f}" for t in trips)) for stage in trips[0].stages),
            ("noticing and waiting", *(f"{t.seconds - sum(t.stages.values()):.1f}" for t in trips)),
            ("load of the machine before", *(f"{t.load:.1f}" for t in trips)),
        ],
    )
    through = page.table(
        ("MB through the worker", "read", "written", "read / size"),
        [
            (stage, mb(trips[-1].read[stage]), mb(trips[-1].written[stage]), f"{trips[-1].read[stage] / size:.2f}")
            for stage in trips[-1].stages
        ]
        + [("all", mb(sum(trips[-1].read.values())), mb(sum(trips[-1].written.values())),
            f"{sum(trips[-1].read.values()) / size:.2f}")],
    )  # fmt: skip
    verdict = "kept" if own <= ALLOWED_MB * 1_000_000 else "missed"
    memory = page.table(
        ("peak resident memory", "MB"),
        [
            ("worker, before the first", mb(before)),
            (f"worker, after the last (at most {ALLOWED_MB}: {verdict})", mb(own)),
            ("its largest child (decoding and OCR)", mb(child)),
        ],
    )
    return f"{mb(size)} MB a case.\n\n{times}\n{through}\n{memory}"


def mb(count: int) -> str:
    """Megabytes of 10^6 bytes, with a decimal below ten."""
    return f"{count / 1_000_000:.0f}" if count >= 10_000_000 else f"{count / 1_000_000:.1f}"
