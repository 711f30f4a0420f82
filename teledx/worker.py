"""A worker process: stages of its lanes, a relay, and a candidate for the region's duties.

An express process serves stat and returns, and leads; a bulk process serves the rest at lower OS priority, because
threads beside busy threads are three times slower. A region needs one process that leads: express, or all.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import threading
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import dramatiq
import structlog
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.errors import BrokerConnectionError

from cases.stages import BULK_LANES, EXPRESS_LANES, LANES
from queues.broker import declare
from queues.relay import Relay, RelaySettings
from queues.timers import POLL_LOCK, WATCH_LOCK, Timers
from teledx import bootstrap
from teledx.settings import Settings
from workers import actors
from workers.courtesy import Courtesy
from workers.leases import Leases
from workers.parts import Parts
from workers.stage import Runner

log = structlog.get_logger()

_M_ARENA_MAX = -8  # mallopt(3)


@dataclass(frozen=True, kw_only=True)
class Role:
    """The lanes that a worker process serves; what is added to its OS niceness; whether its stages step aside while
    stat work is due; and whether it may lead the relay and the region's duties."""

    lanes: tuple[str, ...]
    niceness: int
    steps_aside: bool
    leads: bool


ROLES: dict[str, Role] = {
    "express": Role(lanes=EXPRESS_LANES, niceness=0, steps_aside=False, leads=True),
    "bulk": Role(lanes=BULK_LANES, niceness=10, steps_aside=True, leads=False),
    "all": Role(lanes=(*EXPRESS_LANES, *BULK_LANES), niceness=0, steps_aside=False, leads=True),
}
# Exit code that asks whoever keeps us to start us again: a stage is stuck for good.
STUCK = 75
# Seconds between two looks for a broker that is away when the worker starts.
BROKER_PATIENCE = 2.0


class WorkerProcess:
    """One worker process, started and stopped; `run` does both around waiting for a signal."""

    def __init__(self, parts: Parts, broker: dramatiq.Broker, settings: Settings, role: str) -> None:
        self._lanes = lanes = ROLES[role].lanes
        leads = ROLES[role].leads
        self.owner = f"{socket.gethostname()}:{role}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self.leases = Leases(parts.database, parts.limits.heartbeat)
        courtesy = Courtesy(parts.database)
        aside = replace(parts, step_aside=courtesy)
        stages_on = aside if ROLES[role].steps_aside else parts
        actors.register(broker, Runner(parts=stages_on, leases=self.leases, owner=self.owner), lanes)
        self._parts = parts
        self._broker = broker
        self._workers = [actors.worker(broker, lane, settings.worker_threads) for lane in lanes]
        self._background: list[Relay | Timers | Courtesy] = [courtesy]
        distributed = isinstance(broker, RabbitmqBroker)
        if leads or not distributed:
            relay = RelaySettings(
                name=self.owner,
                lanes=LANES if distributed else lanes,
                window=settings.relay_window,
                lead=distributed,
            )
            self._background.append(Relay(parts.database, broker, relay))
        if leads:
            self._background += [
                Timers(parts.database, bootstrap.watch(parts), lock=WATCH_LOCK),
                Timers(parts.database, bootstrap.poll(aside, settings), lock=POLL_LOCK),
                Timers(parts.database, bootstrap.duties(aside, settings)),
            ]
        self._stop = threading.Event()

    def start(self) -> bool:
        """Begin to work once the broker is there; False if told to stop before it came."""
        if not self._declared():
            return False
        self.leases.start()
        for worker in self._workers:
            worker.start()
        for thread in self._background:
            thread.start()
        log.info("worker_started", owner=self.owner)
        return True

    def _declared(self) -> bool:
        """Declare the lanes' queues, waiting for a broker that is away; False if told to stop before it came."""
        while not self._stop.is_set():
            try:
                declare(self._broker, self._lanes)
            except BrokerConnectionError as error:
                log.warning("broker_away", error=type(error.__cause__ or error.args[0]).__name__)
                self._stop.wait(BROKER_PATIENCE)
            else:
                return True
        return False

    def stop(self) -> None:
        """Stop taking work, let what runs end, and let go of everything."""
        for thread in self._background:
            thread.stop()
        for worker in self._workers:
            worker.stop(timeout=30_000)
        self.leases.stop()
        self._let_go()

    def _let_go(self) -> None:
        self._parts.child.close()
        self._broker.close()
        self._parts.database.close()
        log.info("worker_stopped", owner=self.owner)

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; returns the exit code. A stage that is over its time ends the process.

        Once a second the file `alive` in the scratch folder is touched, for whoever looks after the process.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        if not self.start():
            self._let_go()
            return 0
        alive = self._parts.scratch / "alive"
        alive.parent.mkdir(parents=True, exist_ok=True)
        while not self._stop.wait(1.0):
            alive.touch()
            if self.leases.overrun.is_set():
                log.error("worker_stuck", owner=self.owner)
                os._exit(STUCK)
        self.stop()
        return 0


def run(settings: Settings, role: str) -> int:
    """Become a worker process."""
    os.nice(ROLES[role].niceness)
    _share_memory()
    parts = bootstrap.worker_parts(settings)
    parts = _own_scratch(parts, role)
    return WorkerProcess(parts, bootstrap.worker_broker(settings), settings, role).run()


def _share_memory() -> None:
    """All threads take from two of glibc's arenas: with one for each thread a slide's blocks stay in several."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)


def _own_scratch(parts: Parts, role: str) -> Parts:
    """A folder of this process alone; those of processes that are gone are deleted, for they are of no use."""
    for folder in parts.scratch.glob(f"{role}-*"):
        pid = folder.name.rpartition("-")[2]
        if not Path(f"/proc/{pid}").exists() or pid == str(os.getpid()):
            shutil.rmtree(folder, ignore_errors=True)
    return replace(parts, scratch=parts.scratch / f"{role}-{os.getpid()}")
