"""What a check found, in the four ways in which a thing can stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import psycopg
from psycopg.rows import dict_row

from storage.database import Connection
from storage.s3 import S3
from teledx import bootstrap
from teledx.settings import Settings

Standing = Literal["right", "warning", "wrong", "skipped"]
CONNECT_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`said` is what was found, `todo` what to do about it; neither holds a secret or a patient's data."""

    what: str
    standing: Standing
    said: str
    todo: str = ""

    def as_json(self) -> dict[str, str]:
        return {"what": self.what, "standing": self.standing, "said": self.said, "todo": self.todo}


def right(what: str, said: str) -> Finding:
    return Finding(what=what, standing="right", said=said)


def warning(what: str, said: str, todo: str) -> Finding:
    return Finding(what=what, standing="warning", said=said, todo=todo)


def wrong(what: str, said: str, todo: str) -> Finding:
    return Finding(what=what, standing="wrong", said=said, todo=todo)


def skipped(what: str, said: str) -> Finding:
    return Finding(what=what, standing="skipped", said=said)


@dataclass(frozen=True)
class Examined:
    """What is looked at: one process's settings, with a connection to the database that the checks share."""

    settings: Settings
    deep: bool = False

    @cached_property
    def connection(self) -> Connection | None:
        """The database as this process's role, None if it is not set or does not answer."""
        url = self.settings.database_url.get_secret_value()
        if not url:
            return None
        try:
            return psycopg.connect(
                url,
                row_factory=dict_row,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                options="-c statement_timeout=10000 -c timezone=UTC",
            )
        except psycopg.Error:
            return None

    @cached_property
    def role(self) -> str:
        """The database role, '' without a database."""
        if self.connection is None:
            return ""
        row = self.connection.execute("SELECT current_user AS name").fetchone()
        return str(row["name"]) if row else ""

    @cached_property
    def is_partner_side(self) -> bool:
        return self.role == "teledx_partner"

    @cached_property
    def s3(self) -> S3 | None:
        s = self.settings
        told = (s.s3_url, s.s3_access_key.get_secret_value(), s.s3_secret_key.get_secret_value())
        return bootstrap.s3(s) if all(told) else None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


Check = Callable[[Examined], Iterable[Finding]]
