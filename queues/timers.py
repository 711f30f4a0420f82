"""What must happen again and again in the region, once however many processes run: a table of duties and one leader."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
import structlog

from cases.errors import TeledxError
from storage.database import Database

log = structlog.get_logger()

LEADER_LOCK = 0x7E1ED3


@dataclass(frozen=True)
class Duty:
    """`act` every `seconds`; with `channel`, also when a notice comes there, with its payload ('' by the clock)."""

    name: str
    seconds: float
    act: Callable[[str], object]
    channel: str = ""


class Timers:
    """A thread that does the duties while it leads; a duty that fails is logged and tried at its next time."""

    def __init__(self, database: Database, duties: Sequence[Duty], *, retry: float = 1.0) -> None:
        self._database = database
        self._duties = duties
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
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
        if not (row and row[0]):
            return
        for duty in self._duties:
            if duty.channel:
                connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(duty.channel)))
        due = dict.fromkeys((d.name for d in self._duties), 0.0)
        while not self._stop.is_set():
            now = time.monotonic()
            for duty in self._duties:
                if due[duty.name] <= now:
                    due[duty.name] = now + duty.seconds
                    self._do(duty, "")
            rest = max(0.05, min(min(due.values()) - time.monotonic(), 1.0))
            for channel, payload in {
                (n.channel, n.payload) for n in connection.notifies(timeout=rest, stop_after=1)
            }:
                for duty in self._duties:
                    if duty.channel == channel:
                        self._do(duty, payload)

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
