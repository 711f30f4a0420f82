"""What must happen again and again in the region, once however many processes run: a table of duties and one leader."""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
import structlog

from cases.errors import TeledxError
from storage.database import Database, say_alive

log = structlog.get_logger()

LEADER_LOCK = 0x7E1ED3
WATCH_LOCK = 0x7E1ED4
POLL_LOCK = 0x7E1ED5
LOCKS = (LEADER_LOCK, WATCH_LOCK, POLL_LOCK)
# For a duty that is done on notice alone.
NEVER = math.inf
REST_FACTOR = 3.0


@dataclass(frozen=True)
class Duty:
    """`act` every `seconds`, the first time after `first` seconds, with the payload '' by the clock.

    With `channel`, also when a notice comes there, with the notice's payload.
    """

    name: str
    seconds: float
    act: Callable[[str], object]
    channel: str = ""
    first: float = 0.0


class _Agenda:
    """When each duty is due: by the clock, and soon after a notice, but never so often that it does nothing else.

    After a duty took t seconds for a payload, notices of that payload wait for 3 t: ten thousand files that arrive
    one by one are looked at a few times and not ten thousand times.
    """

    def __init__(self, duties: Sequence[Duty]) -> None:
        self._duties = duties
        self._due: dict[tuple[str, str], float] = {(d.name, ""): time.monotonic() + d.first for d in duties}
        self._not_before: dict[tuple[str, str], float] = {}

    def due(self) -> list[tuple[Duty, str]]:
        now = time.monotonic()
        names = [(name, payload) for (name, payload), at in self._due.items() if at <= now]
        return [(duty, payload) for duty in self._duties for name, payload in names if name == duty.name]

    def done(self, duty: Duty, payload: str, took: float) -> None:
        now = time.monotonic()
        self._not_before[duty.name, payload] = now + REST_FACTOR * took
        if payload:
            self._due.pop((duty.name, payload), None)
        else:
            self._due[duty.name, ""] = now + duty.seconds

    def hear(self, channel: str, payload: str) -> None:
        for duty in self._duties:
            if duty.channel == channel:
                key = (duty.name, payload)
                soon = max(time.monotonic(), self._not_before.get(key, 0.0))
                self._due[key] = min(self._due.get(key, soon), soon)

    def rest(self) -> float:
        """Seconds until something is due; at most one, so that a stop is heard."""
        return max(0.02, min(min(self._due.values()) - time.monotonic(), 1.0))


class Timers:
    """A thread that does the duties while it leads; a duty that fails is logged and tried at its next time.

    Duties under another `lock` are led apart, by a thread of their own: what is quick never waits for what is long.
    """

    def __init__(
        self, database: Database, duties: Sequence[Duty], *, lock: int = LEADER_LOCK, retry: float = 1.0
    ) -> None:
        self._database = database
        self._duties = duties
        self._lock = lock
        self._retry = retry
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_on, name="timers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _keep_on(self) -> None:
        while not self._stop.is_set():
            try:
                with self._database.listening("timers") as connection:
                    self._lead(connection)
            except psycopg.Error as error:
                log.warning("timers_wait", error=type(error).__name__)
            self._stop.wait(self._retry)

    def _lead(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (self._lock,)).fetchone()
        if not (row and row[0]):
            return
        for duty in self._duties:
            if duty.channel:
                connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(duty.channel)))
        agenda = _Agenda(self._duties)
        while not self._stop.is_set():
            for duty, payload in agenda.due():
                started = time.monotonic()
                self._do(duty, payload)
                say_alive(connection)
                agenda.done(duty, payload, time.monotonic() - started)
            for notice in connection.notifies(timeout=agenda.rest(), stop_after=1):
                agenda.hear(notice.channel, notice.payload)
            say_alive(connection)

    def _do(self, duty: Duty, payload: str) -> None:
        try:
            duty.act(payload)
        except Exception as error:  # noqa: BLE001 -- one duty that fails must not end the others
            expected = isinstance(error, TeledxError | psycopg.Error)
            log.log(
                logging.WARNING if expected else logging.ERROR,
                "duty_failed",
                duty=duty.name,
                error=_where(error),
            )


def _where(error: BaseException) -> str:
    """The error's kind and the line that raised it, never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    return (
        f"{type(error).__name__} at {frames[-1].name}:{frames[-1].lineno}" if frames else type(error).__name__
    )
