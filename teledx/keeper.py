"""Keeps one program running: the thread behind each row of the supervisor's table."""

import contextlib
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from teledx.leash import Leash
from teledx.program import Program
from teledx.spawn import POLL_SECONDS, end, how_it_ended, spawn

WATCH_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # ready for this long: the next death starts again with the first pause
LOG_BYTES = 20_000_000  # a log larger than this is set aside (NAME.log.1) at the next start


class Phase(StrEnum):
    """Where a program stands."""

    WAITING = "waiting"  # for those before it
    STARTING = "starting"
    READY = "ready"
    DOWN = "down"  # pausing before the next start
    STOPPED = "stopped"


class Event(StrEnum):
    """What a keeper reports."""

    STARTED = "started"
    READY = "ready"
    DIED = "died"  # detail: how
    FAILED = "failed"  # to start: detail says why
    KILLED = "killed"  # by us: did not stop in time
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Something that happened to a program."""

    program: str
    event: Event
    detail: str = ""


class Keeper(threading.Thread):
    """Runs one program until told to leave. The thread must outlive its program: the kernel ties the two together."""

    def __init__(
        self,
        program: Program,
        *,
        log: Path,
        ready: threading.Event,
        before: Sequence[threading.Event],
        leash: Leash,
        hurry: threading.Event,
        report: Callable[[Report], None],
    ) -> None:
        super().__init__(name=f"keeper-{program.name}", daemon=True)
        self.program = program
        self.log = log
        self.ready = ready
        self.phase = Phase.WAITING
        self.pid: int | None = None
        self.restarts = 0
        self._before = before
        self._leash = leash
        self._hurry = hurry
        self._report = report
        self._leaving = threading.Event()

    def leave(self) -> None:
        """Stop the program and end; `join` waits for it."""
        self._leaving.set()

    def run(self) -> None:
        """Start, watch, and start again, with pauses that double until the program has been steady."""
        pause = FIRST_PAUSE_SECONDS
        while self._wait_for_those_before():
            started = time.monotonic()
            self._run_once()
            if self._leaving.is_set():
                break
            if time.monotonic() - started > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self.phase = Phase.DOWN
            self._leaving.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            self.restarts += 1
        self.phase = Phase.STOPPED
        self._tell(Event.STOPPED)

    def _wait_for_those_before(self) -> bool:
        """False when told to leave meanwhile."""
        self.phase = Phase.WAITING
        for event in self._before:
            while not event.wait(POLL_SECONDS):
                if self._leaving.is_set():
                    return False
        return not self._leaving.is_set()

    def _run_once(self) -> None:
        """From one start to the program's end; whatever goes wrong in between is reported, not raised."""
        self.phase = Phase.STARTING
        try:
            self.program.prepare()
            with self._output() as output, self._process(output) as process:
                note_lines(process, self.program, self.log)
                self._tell(Event.STARTED)
                if self._becomes_ready(process):
                    self.program.settle()
                    self.phase = Phase.READY
                    self.ready.set()
                    self._tell(Event.READY)
                    while process.poll() is None and not self._leaving.wait(WATCH_SECONDS):
                        pass
                if process.returncode is not None:
                    self._tell(Event.DIED, how_it_ended(process.returncode))
        except Exception as error:  # noqa: BLE001 -- the keeper is the boundary: it reports, pauses and tries again
            note(self.log, traceback.format_exc())
            self._tell(Event.FAILED, f"{type(error).__name__}, see {self.log}")
        finally:
            self.ready.clear()
            self.pid = None

    def _becomes_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + self.program.ready_seconds
        while process.poll() is None and not self._leaving.is_set():
            if self.program.ready():
                return True
            if time.monotonic() > deadline:
                self._tell(
                    Event.FAILED, f"not ready after {self.program.ready_seconds:.0f} s, see {self.log}"
                )
                return False
            self._leaving.wait(POLL_SECONDS)
        return False

    @contextlib.contextmanager
    def _process(self, output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        """The running program; at the end of the block it and its whole group are gone."""
        process = spawn(self.program, output)
        self.pid = process.pid
        self._leash.hold(process.pid, self.program.stop_seconds)
        try:
            yield process
        finally:
            if not end(process, self.program, self._hurry):
                self._tell(Event.KILLED)
            self._leash.release(process.pid)
            self.program.tidy()

    @contextlib.contextmanager
    def _output(self) -> Iterator[IO[bytes]]:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as output:
            yield output

    def _tell(self, event: Event, detail: str = "") -> None:
        self._report(Report(program=self.program.name, event=event, detail=detail))


def note(log: Path, text: str) -> None:
    """Append to a log."""
    with log.open("a", encoding="utf-8") as output:
        output.write(text)


def note_lines(process: subprocess.Popen[bytes], program: Program, log: Path) -> None:
    """Pass the output of a program with a `log_line` through it and into the log, in a thread that ends with it."""
    log_line, lines = program.log_line, process.stdout
    if log_line is None or lines is None:
        return

    def pump() -> None:
        with lines:
            for line in lines:
                kept = log_line(line.decode("utf-8", "replace").rstrip("\r\n"))
                if kept is not None:
                    note(log, kept + "\n")

    threading.Thread(target=pump, name=f"log-{program.name}", daemon=True).start()
