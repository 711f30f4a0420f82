"""Killing a worker between any two of its steps: every call to the store and every transaction is counted, and at a
chosen count the process ends by SIGKILL, before the call or right after it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from storage.database import Connection, Database
from storage.network import NetworkRows
from storage.s3 import S3, S3Settings
from storage.vault import Keyring, PatientVault
from teledx import bootstrap
from teledx.workdays import is_chinese_workday
from workers.child import Child
from workers.leases import Leases
from workers.parts import Limits, Parts
from workers.stage import Runner

# The store's calls that stages make; each is a step. A part is one call of several that compose one object.
READS = ("head", "get", "stream", "listing")
WRITES = ("put_new", "replace", "upload", "copy", "compose", "_part", "delete")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the killed worker is given: its doors, the run, and the step at which it dies (0: never).

    `reads`: count reading the store too. A slide is read by hundreds of ranges, between which nothing changes.
    """

    database_url: str
    s3: S3Settings
    keyring: Keyring
    scratch: Path
    case_id: str
    stage: str
    case_version: int
    die_at: int
    reads: bool = True


class Counter:
    """Counts steps and ends the process at the chosen one."""

    def __init__(self, die_at: int) -> None:
        self.steps = 0
        self._die_at = die_at

    def step(self) -> None:
        self.steps += 1
        if self.steps == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


class CountedDatabase(Database):
    """A step before each transaction begins, one before it commits, and one after."""

    counter: Counter

    @contextmanager
    def transaction(self, tenant: str = "", *, timeout: float | None = None) -> Iterator[Connection]:
        self.counter.step()
        with super().transaction(tenant, timeout=timeout) as connection:
            yield connection
            self.counter.step()
        self.counter.step()


def counted_store(settings: S3Settings, counter: Counter, calls: Sequence[str]) -> S3:
    """A step before each call to the store and one after."""
    store = S3(settings)

    def around(name: str):
        original = getattr(store, name)

        def call(*args, **kwargs):
            counter.step()
            result = original(*args, **kwargs)
            counter.step()
            return result

        return call

    for name in calls:
        setattr(store, name, around(name))
    return store


def run_counted(plan: Plan) -> int:
    """Run one stage in this process; returns how many steps it took, if it lives."""
    counter = Counter(plan.die_at)
    rows = CountedDatabase(plan.database_url, pool_size=4)
    rows.counter = counter
    rows.open()
    child = Child()
    parts = Parts(
        database=rows,
        s3=counted_store(plan.s3, counter, (*READS, *WRITES) if plan.reads else WRITES),
        vault=PatientVault(rows, plan.keyring, bootstrap.derive),
        network=NetworkRows(rows),
        child=child,
        is_workday=is_chinese_workday,
        scratch=plan.scratch,
        limits=Limits(transient_delay=0.0),
    )
    runner = Runner(parts=parts, leases=Leases(rows, 10), owner=f"killed-{os.getpid()}")
    runner.run(plan.case_id, plan.stage, plan.case_version)
    child.close()
    rows.close()
    return counter.steps


def _report_steps(plan: Plan, pipe) -> None:
    pipe.send(run_counted(plan))
    pipe.close()


def spawn(plan: Plan) -> tuple[int, int | None]:
    """Run the plan in a process of its own; returns (exit code, steps if it lived)."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_report_steps, args=(plan, theirs))
    process.start()
    theirs.close()
    try:
        steps = ours.recv()
    except EOFError:
        steps = None
    process.join(60)
    assert process.exitcode is not None, "the worker neither ended nor died"
    return process.exitcode, steps


def at(plan: Plan, die_at: int) -> Plan:
    return replace(plan, die_at=die_at)
