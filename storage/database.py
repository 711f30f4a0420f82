"""Connections to PostgreSQL: a pool, transactions that name their tenant, and what counts as 'the database is away'."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from cases.errors import TeledxError, Transient

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

# Errors that pass by themselves: a server that is away, restarting or shutting down, a deadlock, a lost race.
_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    PoolTimeout,
)


# Seconds without a question after which the server ends a session that listens.
LISTENER_SILENCE = 20


class NotStorable(TeledxError):
    """A value that no column takes, such as a text with a NUL; it is not repeated, for it may name a patient."""


class Database:
    """One role's door to the database. Every unit of work is one `transaction()`."""

    def __init__(self, url: str, *, pool_size: int = 10, timeout: float = 10.0) -> None:
        self.url = url
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=timeout,
            check=ConnectionPool.check_connection,
            kwargs={
                "row_factory": dict_row,
                "connect_timeout": 5,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "options": "-c timezone=UTC -c statement_timeout=30000 -c idle_in_transaction_session_timeout=20000",
            },
            connection_class=psycopg.Connection[Row],
            open=False,
        )

    def open(self) -> None:
        self._pool.open(wait=False)

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def transaction(self, tenant: str = "", *, timeout: float | None = None) -> Iterator[Connection]:
        """A transaction; `tenant` is the organisation that row-level security lets a partner's role see.

        `timeout`: seconds to wait for a connection, those of the pool unless given.

        Raises `Transient` if the database is away; the transaction has then left nothing behind, or (if it went away
        during COMMIT) everything: callers repeat only what may be repeated.
        """
        try:
            with self._pool.connection(timeout) as connection, connection.transaction():
                if tenant:
                    connection.execute("SELECT set_config('teledx.tenant', %s, true)", (tenant,))
                yield connection
        except _AWAY as error:
            raise Transient(f"the database is away ({type(error).__name__})") from error
        except psycopg.DataError as error:
            raise NotStorable(f"a value cannot be kept ({type(error).__name__})") from None

    @contextmanager
    def listening(self, channel: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection of its own, outside the pool, that hears NOTIFY on `channel`.

        The server ends it when nothing was asked for `LISTENER_SILENCE` seconds: a process that was stopped, and whose
        kernel still answers for it, must not lead for ever. Who listens asks something more often than that.
        """
        # A leader whose machine vanished must lose its lock: the server asks after us, and so do we after the server.
        asked = {"idle": 5, "interval": 2, "count": 3}
        options = " ".join(f"-c tcp_keepalives_{name}={value}" for name, value in asked.items())
        connection = psycopg.connect(
            self.url,
            autocommit=True,
            connect_timeout=5,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            options=f"{options} -c tcp_user_timeout=15000 -c idle_session_timeout={LISTENER_SILENCE * 1000}",
        )
        try:
            connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
            yield connection
        finally:
            connection.close()

    def ping(self) -> None:
        """Raises `Transient` if the database does not answer."""
        with self.transaction() as connection:
            connection.execute("SELECT 1")


def say_alive(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Keep a session of `Database.listening`, and with it the lead that it holds."""
    connection.execute("SELECT 1")
