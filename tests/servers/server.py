"""One running component that a test may take away and give back."""

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from teledx.keeper import note_lines
from teledx.leash import Leash
from teledx.program import Program
from teledx.spawn import end, kill, spawn


def until(condition: Callable[[], bool], *, seconds: float = 30.0, what: str = "the condition") -> None:
    """Return when the condition holds; AssertionError when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about within {seconds} s"
        time.sleep(0.02)


class Server:
    """A program in the foreground of the test: what dies stays dead until `start`."""

    def __init__(self, program: Program, folder: Path, leash: Leash) -> None:
        self.program = program
        self.log = folder / f"{program.name}.log"
        self._leash = leash
        self._process: subprocess.Popen[bytes] | None = None

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process; AssertionError when it is down."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it, and return when it is ready; AssertionError with the end of its log when it does not become so."""
        if self.running():
            return self
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.program.prepare()
        with self.log.open("ab") as output:
            self._process = spawn(self.program, output)
        note_lines(self._process, self.program, self.log)
        self._leash.hold(self.pid, self.program.stop_seconds)
        until(
            lambda: not self.running() or self.program.ready(),
            seconds=self.program.ready_seconds,
            what=self._why(),
        )
        assert self.running(), f"{self.program.name} ended at once:\n{self.log.read_text()[-2000:]}"
        self.program.settle()
        return self

    def stop(self) -> None:
        """Stop it the way its operator would."""
        self._gone(lambda process: end(process, self.program, threading.Event()))

    def kill(self) -> None:
        """kill -9, it and all that it started."""
        self._gone(kill)

    def restart(self) -> None:
        """Stop and start again on the same port with the same files."""
        self.stop()
        self.start()

    def _gone(self, how: Callable[[subprocess.Popen[bytes]], object]) -> None:
        if self._process is None:
            return
        how(self._process)
        self._leash.release(self._process.pid)
        self._process = None
        self.program.tidy()

    def _why(self) -> str:
        return f"readiness of {self.program.name} (see {self.log})"
