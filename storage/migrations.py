"""Bringing a database to the newest schema: numbered SQL files, each in a transaction of its own.

Files live in `storage/sql` and are never edited once released: schemas expand first and contract a release later.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import psycopg
from psycopg import sql

# One migration at a time, whoever calls: the key of a session advisory lock.
_LOCK = 0x7E1ED0


@dataclass(frozen=True, kw_only=True)
class Passwords:
    """Passwords of the two roles that the programs sign in with; None leaves a role as it is."""

    region: str | None = None
    partner: str | None = None


def migrate(owner_url: str, passwords: Passwords = Passwords()) -> tuple[str, ...]:
    """Apply what is missing as the owning role and return its names, oldest first."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        _ensure_roles(connection, passwords)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        present = {row[0] for row in connection.execute("SELECT name FROM schema_version")}
        applied = tuple(name for name in available() if name not in present)
        for name in applied:
            with connection.transaction():
                connection.execute(_text(name).encode())
                connection.execute("INSERT INTO schema_version (name) VALUES (%s)", (name,))
        return applied


def available() -> tuple[str, ...]:
    """Names of all schema files, in the order in which they apply."""
    folder = resources.files("storage") / "sql"
    return tuple(sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql")))


def _text(name: str) -> str:
    return (resources.files("storage") / "sql" / name).read_text(encoding="utf-8")


def _ensure_roles(connection: psycopg.Connection[tuple[object, ...]], passwords: Passwords) -> None:
    for role, password in (("teledx_region", passwords.region), ("teledx_partner", passwords.partner)):
        name = sql.Identifier(role)
        present = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
        if not present:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(name))
        if password is not None:
            statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(password))
            connection.execute(statement)
