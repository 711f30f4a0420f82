"""A bulk worker steps aside for stat work: between two blocks, and before each run, it waits while stat work is due.

Its lower OS priority is not enough: store, database and disk serve both alike, and a slide keeps all three busy.
"""

from __future__ import annotations

import threading
import time

import psycopg
import structlog

from storage import drops, runs
from storage.database import Database

log = structlog.get_logger()

# Seconds that bulk work gives away at once at most; they come back while it works, this many a second. A flood of stat
# cases therefore slows bulk work to two thirds of its speed and never stops it.
CREDIT = 30.0
REFILL = 0.5
# Of these at one place: the store ends a connection from which nothing was read for half a minute.
WAIT_MOST = 10.0
# Seconds for which something new in the inbox may be a stat case, unless it has become a run before.
HINT = 0.15
# Seconds between two looks while it waits, and while it works.
LOOK_WAITING = 0.05
LOOK_WORKING = 1.0


class Courtesy:
    """Call it between two blocks of work. A thread of its own asks the database; without an answer nobody waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._go = threading.Event()
        self._go.set()
        self._credit = CREDIT
        self._counted_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_asking, name="courtesy", daemon=True)

    def __call__(self) -> None:
        self._go.wait(WAIT_MOST)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._go.set()
        self._thread.join(timeout=10)

    def _keep_asking(self) -> None:
        while not self._stop.is_set():
            try:
                with self._database.listening(runs.CHANNEL) as connection:
                    connection.execute(
                        psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(drops.CHANNEL))
                    )
                    self._ask(connection)
            except psycopg.Error as error:
                log.warning("courtesy_waits", error=type(error).__name__)
            finally:
                self._go.set()
            self._stop.wait(LOOK_WORKING)

    def _ask(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        hinted_until = 0.0
        while not self._stop.is_set():
            due = runs.stat_is_due(connection) or time.monotonic() < hinted_until
            self._decide(due)
            rest = LOOK_WORKING if self._go.is_set() else LOOK_WAITING
            for notice in connection.notifies(timeout=rest, stop_after=1):
                if notice.channel == drops.CHANNEL:
                    hinted_until = time.monotonic() + HINT
                elif notice.payload == "receive":
                    hinted_until = 0.0

    def _decide(self, due: bool) -> None:
        """Hold or let go, and keep the account of what was given away."""
        now = time.monotonic()
        passed, self._counted_at = now - self._counted_at, now
        self._credit = (
            min(CREDIT, self._credit + passed * REFILL) if self._go.is_set() else self._credit - passed
        )
        if due and self._credit > 0:
            self._go.clear()
        else:
            self._go.set()
