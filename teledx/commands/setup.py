"""What is done before there is a gateway to ask: schema, buckets, access tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.session import Session
from teledx.commands.table import Command
from teledx.commands.words import local_time

if TYPE_CHECKING:
    from storage.database import Connection, Database

AccountOption = Annotated[str, typer.Option(metavar="ID", help="An account of the network in force.")]


def migrate(
    session: Session,
    buckets: Annotated[
        bool, typer.Option("--buckets", help="Make the buckets that are missing, too.")
    ] = False,
) -> None:
    """Bring the database to the newest schema. It may be repeated, and it waits for others that do the same.

    It needs TELEDX_OWNER_DATABASE_URL. With TELEDX_REGION_PASSWORD and TELEDX_PARTNER_PASSWORD the two roles of the
    programs get these passwords. With --buckets the store's zones are made (the S3 identity must be allowed to), and
    those of the partners as well once a network is in force.
    """
    import psycopg

    from storage import migrations

    settings = session.settings
    settings.needed("owner_database_url")
    passwords = migrations.Passwords(
        region=_secret(settings.region_password), partner=_secret(settings.partner_password)
    )
    try:
        applied = migrations.migrate(settings.owner_database_url.get_secret_value(), passwords)
    except psycopg.OperationalError as error:
        raise Stop(
            Exit.AWAY,
            f"The database does not let us in: {_first_line(error)}",
            "Check TELEDX_OWNER_DATABASE_URL.",
        ) from None
    made = _make_buckets(session) if buckets else []
    words = [f"Applied {', '.join(applied)}." if applied else "The schema is the newest already."]
    words += [f"Buckets: {', '.join(made)}."] if buckets else []
    session.out.answer({"applied": list(applied), "buckets": made}, "\n".join(words))


def token_issue(
    session: Session,
    account: AccountOption,
    days: Annotated[int, typer.Option(min=1, max=3650, help="For how long.")] = 90,
) -> None:
    """Issue an access token. It is printed once, on standard output; the database keeps its digest alone."""
    from storage import accounts

    with _rows(session, account) as connection:
        token = accounts.issue(connection, account, lifetime=timedelta(days=days))
    session.out.note(f"A token of {account} for {days} days; nobody can print it again:")
    session.out.answer({"account": account, "days": days, "token": token}, token)


def token_revoke(
    session: Session,
    account: Annotated[str | None, typer.Option(metavar="ID", help="All tokens of this account.")] = None,
    token: Annotated[str | None, typer.Option(help="'-': read one token from standard input.")] = None,
) -> None:
    """End access tokens at once: all of an account, or one that was lost."""
    import sys

    from storage import accounts

    if (account is None) == (token is None) or token not in (None, "-"):
        raise typer.BadParameter("give --account ID, or --token - and the token on standard input")
    with _rows(session) as connection:
        if account is not None:
            ended = accounts.revoke_all(connection, account)
        else:
            ended = int(accounts.revoke(connection, sys.stdin.read().strip()))
    if not ended:
        raise Stop(Exit.NOT_FOUND, "No such token was in force.", "See `teledx token list --account ID`.")
    session.out.answer({"revoked": ended}, f"{ended} token{'s' if ended != 1 else ''} ended.")


def token_list(session: Session, account: AccountOption) -> None:
    """The tokens of an account by fingerprint, the newest first."""
    from storage import accounts

    with _rows(session) as connection:
        found = accounts.of_account(connection, account)
    value = [
        {
            "fingerprint": t.fingerprint,
            "created_at": t.created_at.isoformat(),
            "expires_at": t.expires_at.isoformat(),
            "revoked_at": t.revoked_at.isoformat() if t.revoked_at else None,
        }
        for t in found
    ]
    head = ("fingerprint", "issued", "expires", "revoked")
    rows = [
        (v["fingerprint"], *(local_time(v[k]) for k in ("created_at", "expires_at", "revoked_at")))
        for v in value
    ]
    session.out.answer(
        {"account": account, "tokens": value}, lambda out: out.table(head, rows, empty="It has no tokens.")
    )


@contextmanager
def _rows(session: Session, account: str | None = None) -> Iterator[Connection]:
    """A transaction as the region's role. Raises `Stop` for an account that the network in force does not have."""
    with session.database() as database:
        if account is not None:
            _require(database, account)
        with database.transaction() as connection:
            yield connection


def _require(database: Database, account: str) -> None:
    from storage.network import NetworkRows

    try:
        _, network = NetworkRows(database).current()
        network.account(account)
    except KeyError:
        known = ", ".join(a.id for a in network.accounts)
        message = f"The network in force has no account '{account}'."
        raise Stop(Exit.NOT_FOUND, message, f"It has: {known}.") from None
    except LookupError:
        raise Stop(Exit.FAILED, "No network is in force.", "Apply one: teledx network apply FILE") from None


def _make_buckets(session: Session) -> list[str]:
    """Every zone's bucket, and each partner's if a network is in force; returns their names."""
    from storage.network import NetworkRows
    from teledx.bootstrap import REGION_ZONES

    zones = list(REGION_ZONES)
    if session.settings.database_url.get_secret_value():
        with session.database() as database:
            try:
                zones += [p.bucket for p in NetworkRows(database).current()[1].partners]
            except LookupError:
                session.out.note(
                    "No network is in force: run `teledx migrate --buckets` again after `network apply`."
                )
    for zone in zones:
        session.store.ensure_bucket(zone)
    return [session.store.settings.bucket(zone) for zone in zones]


def _secret(value: object) -> str | None:
    from pydantic import SecretStr

    return value.get_secret_value() if isinstance(value, SecretStr) else None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


COMMANDS = (
    Command(
        words="migrate",
        run=migrate,
        panel="Setting up",
        examples=("teledx migrate", "teledx migrate --buckets"),
    ),
    Command(
        words="token issue",
        run=token_issue,
        panel="Operators",
        examples=("teledx token issue --account chen", "teledx token issue --account lin --days 7 --json"),
    ),
    Command(
        words="token revoke",
        run=token_revoke,
        panel="Operators",
        examples=("teledx token revoke --account chen", "teledx token revoke --token - < lost.token"),
    ),
    Command(
        words="token list", run=token_list, panel="Operators", examples=("teledx token list --account chen",)
    ),
)
