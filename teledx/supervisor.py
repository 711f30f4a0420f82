"""Runs a table of programs: in order, until they are ready, again when they die, and none is left behind.

One thread keeps one program: it waits for those that come before, starts it, sees it become ready, and starts it
again with growing pauses for as long as it dies. It never gives up; it reports. Each program leads a process group
of its own, so a Ctrl-C at the terminal reaches the supervisor alone, which stops them in reverse order. If the
supervisor itself is killed, the kernel passes each program its stop signal (`launch.py`) and the guardian kills what
has not obeyed.

Linux only: PR_SET_PDEATHSIG.
"""

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from teledx.keeper import Event, Keeper, Phase, Report
from teledx.leash import Leash
from teledx.program import Program

__all__ = ["Event", "InUse", "NotReady", "Phase", "Report", "Standing", "Supervisor", "signals_interrupt"]

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NotReady(Exception):
    """Programs that were not ready in time; the text names each with the log to read."""


class InUse(Exception):
    """Another supervisor runs with the same folder; the text names it."""


class Unordered(StrEnum):
    """What can be wrong with a table of programs."""

    TWICE = "program {name!r} is in the table twice"
    UNKNOWN = "program {name!r} waits for {other!r}, which is not in the table"
    CIRCLE = "programs wait for each other in a circle: {name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How one program stands at this moment."""

    name: str
    phase: Phase
    pid: int | None
    restarts: int
    log: Path


def in_layers(programs: Sequence[Program]) -> list[list[Program]]:
    """Programs by layer: each waits only for programs of earlier layers. ValueError says what is wrong otherwise."""
    names = [program.name for program in programs]
    for program in programs:
        if names.count(program.name) > 1:
            raise ValueError(Unordered.TWICE.format(name=program.name))
        for other in program.after:
            if other not in names:
                raise ValueError(Unordered.UNKNOWN.format(name=program.name, other=other))
    layers: list[list[Program]] = []
    placed: set[str] = set()
    waiting = list(programs)
    while waiting:
        layer = [program for program in waiting if placed.issuperset(program.after)]
        if not layer:
            raise ValueError(Unordered.CIRCLE.format(name=", ".join(program.name for program in waiting)))
        layers.append(layer)
        placed.update(program.name for program in layer)
        waiting = [program for program in waiting if program.name not in placed]
    return layers


def silent(_report: Report) -> None:
    """Tell nobody."""


class Supervisor:
    """Keeps `programs` running between `start` and `stop`; a context manager does both.

    `logs` is the folder for NAME.log. `report` hears of everything that happens, from the keepers' threads.
    """

    def __init__(
        self, programs: Sequence[Program], *, logs: Path, report: Callable[[Report], None] = silent
    ) -> None:
        self._layers = in_layers(programs)
        self._logs = logs
        self._leash = Leash()
        self._lock: IO[str] | None = None
        self._parent = os.getppid()
        self._hurry = threading.Event()
        ready = {program.name: threading.Event() for program in programs}
        self._keepers = {
            program.name: Keeper(
                program,
                log=logs / f"{program.name}.log",
                ready=ready[program.name],
                before=[ready[name] for name in program.after],
                leash=self._leash,
                hurry=self._hurry,
                report=report,
            )
            for program in programs
        }

    def start(self) -> None:
        """Start everything in order, in the background; `wait_ready` waits for it. InUse if another one does."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._lock_folder()
        self._leash.start()
        for keeper in self._keepers.values():
            keeper.start()

    def wait_ready(self, seconds: float, *names: str) -> None:
        """Return when the named programs (or all of them) are ready; NotReady when they are not within `seconds`."""
        deadline = time.monotonic() + seconds
        wanted = [self._keepers[name] for name in names or self._keepers]
        late = [keeper for keeper in wanted if not keeper.ready.wait(max(0.0, deadline - time.monotonic()))]
        if late:
            raise NotReady(
                "; ".join(f"{keeper.program.name} is not ready, see {keeper.log}" for keeper in late)
            )

    def standings(self) -> list[Standing]:
        """How each program stands, in the table's order."""
        return [
            Standing(name=name, phase=keeper.phase, pid=keeper.pid, restarts=keeper.restarts, log=keeper.log)
            for name, keeper in self._keepers.items()
        ]

    def pid(self, name: str) -> int | None:
        """The program's process, None while it is down."""
        return self._keepers[name].pid

    def stop(self) -> None:
        """Stop everything, last layer first; returns when no process is left."""
        for layer in reversed(self._layers):
            keepers = [self._keepers[program.name] for program in layer]
            for keeper in keepers:
                keeper.leave()
            for keeper in keepers:
                if keeper.ident is not None:
                    keeper.join()
        self._leash.stop()
        if self._lock is not None:
            self._lock.close()

    def _lock_folder(self) -> None:
        """Held by the open file, so that it ends with us however we end."""
        self._lock = (self._logs / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise InUse(
                f"these programs already run: {self._logs.parent} is in use by another supervisor"
            ) from None

    def wait(self, *, tied_to_parent: bool = False) -> None:
        """Return only by KeyboardInterrupt or, if tied, when our parent of the time we were made is gone."""
        while not tied_to_parent or os.getppid() == self._parent:
            time.sleep(0.2)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._impatience():
            self.stop()

    @contextlib.contextmanager
    def _impatience(self) -> Iterator[None]:
        """While we stop, a second signal means: kill them now. It never interrupts the stopping itself."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def hurry(_number: int, _frame: FrameType | None) -> None:
            self._hurry.set()

        previous = {number: signal.signal(number, hurry) for number in ENDING_SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """Each of the ending signals ends the block as Ctrl-C does, by KeyboardInterrupt. Main thread only.

    SIGINT as well: what a shell without job control puts in the background begins with SIGINT ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
