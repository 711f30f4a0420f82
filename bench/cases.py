"""`cases`: small cases through all stages, embedded and on RabbitMQ, beside as many no-op messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from bench import noop, page
from bench.deployment import Deployment, WorkerPlan, deployed
from bench.drops import round_robin, small_ct, upload_all
from bench.processes import cpu_seconds
from bench.rabbitmq import Node, rabbitmq
from bench.sizes import Size
from cases.errors import Transient
from cases.stages import STAGES
from workers import intake

# Wake-ups of one case: a run of every stage, each told to a worker by one message.
WAKE_UPS = len(STAGES)
WARM_UP = 4


@dataclass(frozen=True, kw_only=True)
class Round:
    """One combination: what brings the messages, how many processes, and what came of it.

    `stages` holds each stage's seconds per run, `waits` the seconds from a run's row to its start; `cpu` CPU seconds of
    the whole round by program.
    """

    broker: str
    processes: int
    cases: int
    seconds: float
    noops_per_second: float
    stages: Mapping[str, list[float]]
    waits: Mapping[str, list[float]]
    cpu: Mapping[str, float]
    load: float


def run(size: Size) -> str:
    """All rounds on fresh servers each; returns the page's tables."""
    with rabbitmq() as node:
        urls = {"embedded": ""} | ({"RabbitMQ": node.url} if node else {})
        rounds = [
            _round(size, name, url, count, node) for name, url in urls.items() for count in size.processes
        ]
    missing = "" if node else "\nNot measured: RabbitMQ is not installed here.\n"
    return _tables(rounds) + missing


def _round(size: Size, broker: str, url: str, processes: int, node: Node | None) -> Round:
    with deployed() as house:
        _drop(house, size.cases, "BENCH")
        house.hold_back()
        settings = {"TELEDX_BROKER_URLS": url} if url else {}
        plans = [WorkerPlan(name=f"worker-{n}", settings=settings) for n in range(1, processes + 1)]
        with house.workers(*plans) as workers, _reader(house):
            _warm_up(house, processes)
            load = page.load_now()
            programs = {"workers": list(workers.values())} | {n: [p] for n, p in house.server_pids.items()}
            programs |= {"rabbitmq": [node.pid]} if url and node else {}
            before = {name: sum(map(cpu_seconds, pids)) for name, pids in programs.items()}
            began = house.release()
            house.wait(
                "all reports returned", lambda: _returned(house, "BENCH%") == size.cases, 60 + size.cases
            )
            cpu = {name: sum(map(cpu_seconds, pids)) - before[name] for name, pids in programs.items()}
        stages, waits, ended = _stage_seconds(house)
        noops = noop.messages_per_second(url, processes, house.settings.worker_threads, size.cases * WAKE_UPS)
    return Round(
        broker=broker, processes=processes, cases=size.cases, seconds=ended.timestamp() - began,
        noops_per_second=noops, stages=stages, waits=waits, cpu=cpu, load=load,
    )  # fmt: skip


def _drop(house: Deployment, count: int, accession: str) -> None:
    clinics = round_robin(house.clinics("ct"), count)
    upload_all(house, [small_ct(clinic, f"{accession}{n:05d}") for n, clinic in enumerate(clinics, 1)])
    intake.scan(house.parts)


def _warm_up(house: Deployment, processes: int) -> None:
    """A few cases go all the way first, so that imports and children's starts are not counted."""
    count = WARM_UP * processes
    _drop(house, count, "WARM")
    house.wait("the first cases", lambda: _returned(house, "WARM%") == count, 180)


def _returned(house: Deployment, accession: str) -> int:
    found: int = house.one(
        "SELECT count(*) FROM cases c JOIN vault.case_order o ON o.case_id = c.id"
        " WHERE c.state = 'returned' AND o.accession_number LIKE %s",
        accession,
    )
    return found


@contextmanager
def _reader(house: Deployment) -> Iterator[None]:
    """For the length of the block everything on a worklist is signed as soon as it is there."""
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(0.05):
            try:
                house.sign_waiting("%")
            except Transient:
                continue

    thread = threading.Thread(target=read, name="reader", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def _stage_seconds(house: Deployment) -> tuple[dict[str, list[float]], dict[str, list[float]], datetime]:
    rows = house.fetch(
        "SELECT r.stage, extract(epoch FROM r.ended_at - r.started_at)::float8 AS took,"
        " extract(epoch FROM r.started_at - greatest(r.created_at, r.not_before))::float8 AS waited, r.ended_at"
        " FROM stage_run r JOIN vault.case_order o ON o.case_id = r.case_id WHERE o.accession_number LIKE 'BENCH%%'"
    )
    took: dict[str, list[float]] = {stage: [] for stage in STAGES}
    waited: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for row in rows:
        took[row["stage"]].append(row["took"])
        waited[row["stage"]].append(row["waited"])
    return took, waited, max(row["ended_at"] for row in rows)


def _tables(rounds: list[Round]) -> str:
    speed = page.table(
        ("", "cases", "seconds", "cases/s", "stage runs/s", "no-op messages/s", "load before"),
        [
            (
                _name(r), r.cases, f"{r.seconds:.1f}", f"{r.cases / r.seconds:.2f}",
                f"{r.cases * WAKE_UPS / r.seconds:.1f}", f"{r.noops_per_second:.0f}", f"{r.load:.1f}",
            )
            for r in rounds
        ],
    )  # fmt: skip
    head = ("ms, mean / p95", *map(_name, rounds))
    stages = page.table(head, [(stage, *(page.ms(r.stages[stage]) for r in rounds)) for stage in STAGES])
    programs = sorted({name for r in rounds for name in r.cpu})
    cpu = page.table(
        ("CPU ms a case", *map(_name, rounds)),
        [(name, *(f"{r.cpu.get(name, 0.0) / r.cases * 1000:.0f}" for r in rounds)) for name in programs],
    )
    return (
        f"{speed}\nWhat each stage takes from claim to commit (`stage_run`):\n\n{stages}\n"
        f"CPU that each program used, all its children counted:\n\n{cpu}"
    )


def _name(r: Round) -> str:
    return f"{r.broker}, {r.processes} process{'es' if r.processes > 1 else ''}"
