"""PostgreSQL for tests: Debian's 15 where it is installed, and the wheel's 18; databases copied from a template."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from storage.migrations import Passwords, migrate
from teledx.embedded.postgres import postgres
from teledx.leash import Leash
from tests.servers.server import Server

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
TEMPLATE = "teledx_template"
PASSWORDS = Passwords(region="region-of-the-tests", partner="partner-of-the-tests")

# Nothing here has to outlive a power cut; kill -9 it does survive.
SETTINGS = {"fsync": "off", "full_page_writes": "off"}
NUMBERS = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class TestDatabase:
    """A fresh database on the newest schema, and the doors of its three roles (connection URLs)."""

    __test__ = False

    name: str
    owner_url: str
    region_url: str
    partner_url: str


class PostgresServer(Server):
    """A private cluster. `url(DATABASE)` is the superuser's door."""

    def __init__(self, folder: Path, leash: Leash, binaries: Path | None) -> None:
        self.embedded = postgres(folder / "postgres", binaries=binaries, settings=SETTINGS)
        super().__init__(self.embedded.program, folder, leash)
        self.host = self.embedded.host
        self.port = self.embedded.port
        self._migrated = False

    def url(self, database: str = "postgres") -> str:
        """A connection URL for the superuser."""
        return self.embedded.dsn(database)

    def execute(self, statement: sql.Composed) -> None:
        """One statement outside any transaction, as CREATE DATABASE wants it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def new_database(self) -> TestDatabase:
        """A copy of the migrated template (some 50 ms)."""
        if not self._migrated:
            self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            migrate(self.url(TEMPLATE), PASSWORDS)
            self._migrated = True
        return self._copy(TEMPLATE)

    def copy(self, database: TestDatabase) -> TestDatabase:
        """A copy of a database as it is now; nobody may be connected to it."""
        return self._copy(database.name)

    def _copy(self, template: str) -> TestDatabase:
        name = f"teledx_{os.getpid()}_{next(NUMBERS)}"
        self.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        where = f"{self.host}:{self.port}/{name}"
        return TestDatabase(
            name=name,
            owner_url=self.url(name),
            region_url=f"postgresql://teledx_region:{PASSWORDS.region}@{where}",
            partner_url=f"postgresql://teledx_partner:{PASSWORDS.partner}@{where}",
        )

    def drop(self, database: TestDatabase) -> None:
        """Drop it, whoever is still connected."""
        if self.running():
            self.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name))
            )
