"""The relay: finds runs that nobody was woken for, wakes somebody, and says so in the row.

Distributed, one relay leads by a session advisory lock and publishes to RabbitMQ with confirms; embedded, each worker
process relays to itself. A message lost, doubled or reordered changes nothing: the row is the truth.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import dramatiq
import psycopg
import structlog
from dramatiq.errors import BrokerConnectionError

from cases.errors import Transient
from queues.broker import message
from storage import runs
from storage.database import Database, say_alive

log = structlog.get_logger()

LEADER_LOCK = 0x7E1ED2


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """`window`: runs in flight in one lane; `poll`: seconds between looks where no notice comes."""

    name: str
    lanes: Sequence[str]
    window: int
    poll: float = 1.0
    lead: bool = False


class Relay:
    """A thread that relays until stopped; away servers are waited for."""

    def __init__(self, database: Database, broker: dramatiq.Broker, settings: RelaySettings) -> None:
        self._database = database
        self._broker = broker
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_relaying, name="relay", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def relay_once(self) -> int:
        """Publish what the window admits; returns how many. Marks and messages stand or fall together."""
        with self._database.transaction() as connection:
            wakes = runs.pick(
                connection,
                lanes=self._settings.lanes,
                window=self._settings.window,
                relay=self._settings.name,
            )
            for wake in wakes:
                self._broker.enqueue(message(wake))
        return len(wakes)

    def _keep_relaying(self) -> None:
        while not self._stop.is_set():
            try:
                with self._database.listening(runs.CHANNEL) as connection:
                    if self._settings.lead and not _leads(connection):
                        self._stop.wait(self._settings.poll)
                        continue
                    self._relay_while_connected(connection)
            except (Transient, psycopg.Error, BrokerConnectionError) as error:
                log.warning("relay_waits", error=type(error).__name__)
                self._stop.wait(self._settings.poll)
            except Exception as error:  # noqa: BLE001 -- a relay that ends silently would strand every case
                log.error("relay_failed", error=type(error).__name__)
                self._stop.wait(self._settings.poll)

    def _relay_while_connected(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        while not self._stop.is_set():
            say_alive(connection)
            if self.relay_once():
                continue
            for _ in connection.notifies(timeout=self._settings.poll, stop_after=1):
                continue


def _leads(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """True if this session holds the leader's lock; it lets go when the session ends, however it ends."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
    return bool(row and row[0])
