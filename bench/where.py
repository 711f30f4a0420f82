"""`where`: small cases through every stage by one thread in this process, each call of a port counted and timed."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bench import page
from bench.cases import _drop
from bench.deployment import Deployment, deployed
from bench.sizes import Size
from cases.stages import LANES, STAGES
from storage import runs
from storage.database import Connection, Database
from storage.network import NetworkRows
from storage.s3 import S3
from storage.vault import Keyring, PatientVault
from teledx import bootstrap
from workers.child import Child
from workers.leases import Leases
from workers.stage import Runner

CALLS = ("head", "get", "put_new", "replace", "upload", "copy", "compose", "delete")
STREAMS = ("stream", "listing")


@dataclass
class Meter:
    """Calls and seconds by (stage, port); `stage` is the one that runs now. Threads of one stage add up."""

    stage: str = ""
    calls: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def timed(self, port: str, calls: int = 1) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self.calls[self.stage, port] += calls
                self.seconds[self.stage, port] += took


class _Database(Database):
    """Counts transactions, from asking for a connection to the commit."""

    meter: Meter

    @contextmanager
    def transaction(self, tenant: str = "", *, timeout: float | None = None) -> Iterator[Connection]:
        with self.meter.timed("database"), super().transaction(tenant, timeout=timeout) as connection:
            yield connection


class _Child(Child):
    """Counts calls of the killable child."""

    meter: Meter

    def run_for(self, seconds: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.meter.timed("child"):
            return super().run_for(seconds, function, *args, **kwargs)


def _metered(s3: S3, meter: Meter) -> S3:
    store = S3(s3.settings)

    def call(name: str) -> Callable[..., Any]:
        original = getattr(store, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with meter.timed("store"):
                return original(*args, **kwargs)

        return timed

    def stream(name: str) -> Callable[..., Any]:
        original = getattr(store, name)

        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            pieces, calls = original(*args, **kwargs), 1
            while True:
                with meter.timed("store", calls):
                    piece = next(pieces, None)
                if piece is None:
                    return
                calls = 0
                yield piece

        return timed

    for name in CALLS:
        setattr(store, name, call(name))
    for name in STREAMS:
        setattr(store, name, stream(name))
    return store


@contextmanager
def _metered_runner(house: Deployment, meter: Meter) -> Iterator[Runner]:
    assert house.settings.keyring is not None, "the house made one"
    rows = _Database(house.settings.database_url.get_secret_value())
    rows.meter = meter
    rows.open()
    child = _Child()
    child.meter = meter
    parts = replace(
        house.parts, database=rows, s3=_metered(house.parts.s3, meter), child=child, network=NetworkRows(rows),
        vault=PatientVault(rows, Keyring.read(house.settings.keyring), bootstrap.derive),
    )  # fmt: skip
    yield Runner(parts=parts, leases=Leases(rows, 10), owner="bench")
    child.close()
    rows.close()


def run(size: Size) -> str:
    """One warm case, then the measured ones, stage after stage; returns the page's table."""
    meter = Meter()
    with deployed() as house, _metered_runner(house, meter) as runner:
        _drop(house, 1, "WARM")
        _settle(house, runner, meter)
        meter.calls.clear()
        meter.seconds.clear()
        _drop(house, size.profiled, "BENCH")
        _settle(house, runner, meter)
    return _table(meter, size.profiled)


def _settle(house: Deployment, runner: Runner, meter: Meter) -> None:
    """What relay, worker and reader do, in this thread, until every report is back."""
    while True:
        with house.rows.transaction() as connection:
            wakes = runs.pick(connection, lanes=LANES, window=100, relay="bench")
        for wake in wakes:
            meter.stage = wake.stage
            with meter.timed("all"):
                runner.run(wake.case_id, wake.stage, wake.case_version)
        if not wakes and not house.sign_waiting("%"):
            break
    left = house.one("SELECT count(*) FROM cases WHERE state <> 'returned'")
    if left:
        raise RuntimeError(f"{left} cases did not return")


def _table(meter: Meter, cases: int) -> str:
    rows = [_row(meter, stage, cases) for stage in STAGES]
    totals = [sum(figures[n] for _, figures in rows) for n in range(8)]
    return page.table(
        (
            "a case",
            "ms",
            "database ms",
            "transactions",
            "store ms",
            "store calls",
            "child ms",
            "child calls",
            "the rest, ms",
        ),
        [(stage, *_shown(figures)) for stage, figures in [*rows, ("all", totals)]],
    )


def _row(meter: Meter, stage: str, cases: int) -> tuple[str, list[float]]:
    def milliseconds(port: str) -> float:
        return meter.seconds[stage, port] / cases * 1000

    def calls(port: str) -> float:
        return meter.calls[stage, port] / cases

    ports = ("database", "store", "child")
    rest = milliseconds("all") - sum(map(milliseconds, ports))
    return stage, [milliseconds("all"), *(f(p) for p in ports for f in (milliseconds, calls)), rest]


def _shown(figures: list[float]) -> list[str]:
    return [f"{f:.1f}" for f in figures]
