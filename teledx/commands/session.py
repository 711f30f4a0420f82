"""What every command is given: how to answer, the settings, and the gateways as the person who asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.output import Out

if TYPE_CHECKING:
    from storage.database import Database
    from storage.s3 import S3
    from teledx.client import Gateway
    from teledx.settings import Settings


@dataclass(frozen=True)
class Session:
    """One command's surroundings. `door` is the gateway's address if it was given by hand."""

    out: Out
    token_file: Path | None = None
    door: str | None = None

    @cached_property
    def settings(self) -> Settings:
        from teledx.settings import read

        return read()

    @cached_property
    def store(self) -> S3:
        """The store as the identity of the settings. What the house logs goes to standard error."""
        from teledx import bootstrap

        bootstrap.logging_to_stderr(self.settings)
        return bootstrap.s3(self.settings)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The database as the role of the settings, with one connection. Logs go to standard error."""
        from teledx import bootstrap

        bootstrap.logging_to_stderr(self.settings)
        opened = bootstrap.database(self.settings, pool_size=1)
        try:
            yield opened
        finally:
            opened.close()

    def region(self) -> Gateway:
        """The region's gateway, for clinics, managers and operators."""
        return self._gateway(self.settings.gateway_url)

    def partner(self) -> Gateway:
        """The partners' gateway, for readers."""
        return self._gateway(self.settings.partner_gateway_url)

    def _gateway(self, url: str) -> Gateway:
        from teledx.client import Gateway

        return Gateway(self.door or url, self._token())

    def _token(self) -> str:
        given = (
            self.token_file.read_text("utf-8") if self.token_file else self.settings.token.get_secret_value()
        )
        token = given.strip()
        if not token:
            raise Stop(
                Exit.NOT_ALLOWED,
                "This needs an access token.",
                "Put it into TELEDX_TOKEN, or name its file with --token-file; an operator issues it (`token issue`).",
            )
        if not token.isascii() or not token.isprintable() or " " in token:
            raise Stop(
                Exit.NOT_ALLOWED,
                "The access token is not one word.",
                "Copy it again, all of it.",
            )
        return token
