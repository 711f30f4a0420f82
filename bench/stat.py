"""`stat`: a stat case above a thousand waiting routine cases and two busy slides; one clinic beside two that flood."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import page
from bench.deployment import Deployment, WorkerPlan, deployed
from bench.drops import round_robin, slide, small_ct, upload, upload_all
from bench.sizes import Size
from teledx.house import BULK_SETTINGS
from workers import intake

WORKERS = (
    WorkerPlan(name="worker-express", role="express"),
    WorkerPlan(name="worker-bulk", role="bulk", settings=BULK_SETTINGS),
)
WAIT_SECONDS = 600.0
BETWEEN_SECONDS = 2.0  # then everybody who stepped aside is at work again
WARM = 6  # cases, until every child of a worker has loaded what it needs
SLIDES = 2
SLIDES_DROPPED = 6
TIMES_ALLOWED = 2.0


def run(size: Size) -> str:
    """Both measurements, each on fresh servers; returns the page's tables."""
    return f"{_stat(size)}\n{_fairness(size)}"


def _stat(size: Size) -> str:
    with deployed() as house, tempfile.TemporaryDirectory(prefix="teledx-bench-") as name:
        load = page.load_now()
        with house.workers(*WORKERS):
            _to_worklist(house, "WARM", "stat", WARM, house.clinics("ct")[0])
            idle = _to_worklist(house, "IDLE", "stat", size.stat, house.clinics("ct")[0])
        clinics = round_robin(house.clinics("ct"), size.waiting)
        upload_all(house, [small_ct(clinic, f"ROUTINE{n:05d}") for n, clinic in enumerate(clinics, 1)])
        intake.scan(house.parts)
        template = slide(house.clinics("histology")[0], "SLIDE0", size.busy_slide, Path(name))
        for number in range(1, SLIDES_DROPPED + 1):
            order = template.order.model_copy(update={"accession_number": f"SLIDE{number}"})
            upload(house, replace(template, order=order))
        with house.workers(*WORKERS):
            house.wait("two busy slides", lambda: _slides_open(house) >= SLIDES, WAIT_SECONDS)
            _to_worklist(house, "WARM2", "stat", WARM, house.clinics("ct")[0])
            before = _waiting(house)
            busy = _to_worklist(house, "STAT", "stat", size.stat, house.clinics("ct")[0])
            after, slides = _waiting(house), _slides_open(house)
    times = page.p95([t.whole for t in busy]) / page.p95([t.whole for t in idle])
    said = "kept" if times <= TIMES_ALLOWED else "missed"
    rows = [("idle", idle), (f"{before} routine cases waiting, {SLIDES} slides busy", busy)]
    return (
        _table("a stat case", rows)
        + f"\np95 is {times:.2f} times that of the idle system (at most {TIMES_ALLOWED:.0f}: {said})."
        + f" When the last stat case was on the worklist {after} routine cases still waited and {slides} slides were"
        + f" under way. Load of the machine before: {load:.1f}.\n"
    )


def _fairness(size: Size) -> str:
    with deployed() as house:
        first, second, third = list(house.clinics("ct"))[:3]
        flood = [
            small_ct(c, f"FLOOD{n:05d}")
            for n, c in enumerate(round_robin((first, second), 2 * size.flood), 1)
        ]
        with house.workers(*WORKERS), ThreadPoolExecutor(1) as pool:
            _to_worklist(house, "WARM", "routine", WARM, third)
            idle = _to_worklist(house, "ALONE", "routine", size.stat, third)
            began = time.time()
            flooding = pool.submit(upload_all, house, flood)
            house.wait("the flood's first case", lambda: _listed_of(house, "FLOOD%") > 0, WAIT_SECONDS)
            beside = _to_worklist(house, "THIRD", "routine", size.stat, third)
            waited = len(flood) - _listed_of(house, "FLOOD%")
            flooding.result()
            house.wait("the flood's end", lambda: _listed_of(house, "FLOOD%") == len(flood), WAIT_SECONDS)
            took = time.time() - began
    rows = [("idle", idle), (f"two other clinics flood with {size.flood} cases each", beside)]
    return (
        _table("a third clinic's routine case", rows)
        + f"\nThe flood took {took:.0f} s to the worklist; {waited} of its cases were not there yet when the third"
        + " clinic's last one was.\n"
    )


@dataclass(frozen=True, kw_only=True)
class Trip:
    """Seconds from the drop's last byte to the worklist; of these until it was noticed, and inside its stages."""

    whole: float
    noticed: float
    stages: float

    @property
    def waited(self) -> float:
        """Between the stages: in the lane, in the window, in the broker."""
        return self.whole - self.noticed - self.stages


def _to_worklist(house: Deployment, prefix: str, priority: str, count: int, clinic: str) -> list[Trip]:
    """One case after the other, each once the system is at its other work again."""
    trips = []
    for number in range(count):
        time.sleep(BETWEEN_SECONDS)
        drop = small_ct(clinic, f"{prefix}{number:05d}", priority=priority)
        upload(house, drop)
        dropped_at = time.time()
        accession = drop.order.accession_number
        house.wait("the worklist", partial(_is_listed, house, accession), WAIT_SECONDS)
        trips.append(_trip(house, accession, dropped_at))
    return trips


def _is_listed(house: Deployment, accession: str) -> bool:
    return _listed_of(house, accession) > 0


def _trip(house: Deployment, accession: str, dropped_at: float) -> Trip:
    (row,) = house.fetch(
        "SELECT extract(epoch FROM w.created_at)::float8 AS listed,"
        " extract(epoch FROM d.completed_at)::float8 AS noticed,"
        " (SELECT extract(epoch FROM sum(ended_at - started_at))::float8 FROM stage_run r WHERE r.case_id = o.case_id)"
        " AS stages FROM vault.case_order o JOIN work_item w ON w.case_id = o.case_id"
        " JOIN vault.drops d ON d.case_id = o.case_id WHERE o.accession_number = %s",
        accession,
    )
    return Trip(whole=row["listed"] - dropped_at, noticed=row["noticed"] - dropped_at, stages=row["stages"])


def _listed_of(house: Deployment, accession: str) -> int:
    """How many cases whose accession number is LIKE `accession` stand on a worklist."""
    found: int = house.one(
        "SELECT count(*) FROM vault.case_order o JOIN work_item w ON w.case_id = o.case_id"
        " WHERE o.accession_number LIKE %s",
        accession,
    )
    return found


def _waiting(house: Deployment) -> int:
    """Routine cases (or drops) of small CTs that are not on a worklist yet."""
    found: int = house.one(
        "SELECT count(*) FROM stage_run WHERE outcome IS NULL AND lane NOT LIKE 'slides%%'"
    )
    return found


def _slides_open(house: Deployment) -> int:
    """Slides that are received and not on a worklist yet."""
    found: int = house.one(
        "SELECT count(*) FROM cases WHERE family = 'slides'"
        " AND state IN ('received', 'preprocessed', 'deidentified', 'routed')"
    )
    return found


def _table(what: str, rows: list[tuple[str, list[Trip]]]) -> str:
    head = (
        f"{what}, drop to worklist",
        "cases",
        "mean s",
        "p95 s",
        "worst s",
        "until noticed",
        "waiting",
        "in stages",
    )
    return page.table(head, [(name, *_figures(trips)) for name, trips in rows])


def _figures(trips: list[Trip]) -> tuple[str, ...]:
    whole = [t.whole for t in trips]
    parts = ([t.noticed for t in trips], [t.waited for t in trips], [t.stages for t in trips])
    return (
        str(len(trips)),
        *(f"{f(whole):.2f}" for f in (page.mean, page.p95, max)),
        *(f"{page.mean(part):.2f}" for part in parts),
    )
