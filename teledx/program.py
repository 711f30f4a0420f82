"""A program that the supervisor runs, and how one sees that it is ready."""

import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The system account that a program runs as, where that is not our own."""

    uid: int
    gid: int


def nothing() -> None:
    """No step."""


def at_once() -> bool:
    """Ready as soon as it runs."""
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """One row of the supervisor's table.

    `prepare` runs before every start, `settle` once after it has become ready and before anything that waits for it
    starts, `tidy` after it has ended. All must stand being repeated; an exception from one of them counts as a failed
    start. `ready` is asked until it says yes and must answer within a second or so. `log_line`, where given, sees
    each line of output (without its end) and returns what may be written, or None for nothing.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)  # beside what we inherited
    cwd: Path | None = None
    after: tuple[str, ...] = ()  # names of programs that must be ready before this one starts
    prepare: Callable[[], None] = nothing
    ready: Callable[[], bool] = at_once
    settle: Callable[[], None] = nothing
    tidy: Callable[[], None] = nothing
    ready_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0  # after these it is killed
    nice: int = 0
    account: Account | None = None
    log_line: Callable[[str], str | None] | None = None


def answers_http(url: str, *, seconds: float = 1.0) -> bool:
    """Whether a GET of `url` (http only) is answered with a status below 400."""
    try:
        with urllib.request.urlopen(url, timeout=seconds):  # noqa: S310 -- our own loopback addresses
            return True
    except (OSError, urllib.error.URLError):
        return False


def accepts_tcp(host: str, port: int, *, seconds: float = 1.0) -> bool:
    """Whether something listens on the port."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except OSError:
        return False
