"""Access tokens: shown once, kept as a digest, bound to an account of the network file and so to one organisation."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from cases.errors import TeledxError
from cases.network import Network
from storage.database import Connection

# A prefix by which a token is recognised where it should not be (a log, a repository).
PREFIX = "tdx_"


class UnknownToken(TeledxError):
    """No such token, or it has expired, was revoked, or belongs to nobody in the network in force."""


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks: a person's account, the one organisation it acts for, and its role (`cases.access.ROLES`)."""

    account: str
    organisation: str
    role: str


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token as it is kept: `fingerprint` (12 hex digits of its digest) names it without opening anything."""

    fingerprint: str
    account: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def issue(connection: Connection, account: str, *, lifetime: timedelta = timedelta(days=90)) -> str:
    """A new token of `account`. Nobody can read it again: the database keeps its SHA-256 alone."""
    token = PREFIX + secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO access_token (digest, account, expires_at) VALUES (%s, %s, clock_timestamp() + %s)",
        (_digest(token), account, lifetime),
    )
    return token


def revoke(connection: Connection, token: str) -> bool:
    """End a token now; False if it was not in force."""
    return bool(
        connection.execute(
            "UPDATE access_token SET revoked_at = clock_timestamp() WHERE digest = %s AND revoked_at IS NULL",
            (_digest(token),),
        ).rowcount
    )


def revoke_all(connection: Connection, account: str) -> int:
    """End every token of an account: a person has left. Returns how many were in force."""
    return connection.execute(
        "UPDATE access_token SET revoked_at = clock_timestamp()"
        " WHERE account = %s AND revoked_at IS NULL AND expires_at > clock_timestamp()",
        (account,),
    ).rowcount


def of_account(connection: Connection, account: str) -> list[Token]:
    """The tokens of an account, the newest first."""
    rows = connection.execute(
        "SELECT left(encode(digest, 'hex'), 12) AS fingerprint, account, created_at, expires_at, revoked_at"
        " FROM access_token WHERE account = %s ORDER BY created_at DESC",
        (account,),
    )
    return [Token(**row) for row in rows.fetchall()]


def account_of(connection: Connection, token: str) -> str | None:
    """The account that a token in force belongs to."""
    row = connection.execute(
        "SELECT account FROM access_token"
        " WHERE digest = %s AND revoked_at IS NULL AND expires_at > clock_timestamp()",
        (_digest(token),),
    ).fetchone()
    return row["account"] if row else None


def may_sign_in(connection: Connection, account: str) -> bool:
    """Whether the account has a token in force: of somebody who has left, all are revoked."""
    row = connection.execute(
        "SELECT FROM access_token WHERE account = %s AND revoked_at IS NULL AND expires_at > clock_timestamp()",
        (account,),
    ).fetchone()
    return row is not None


def principal_of(connection: Connection, network: Network, token: str) -> Principal:
    """Who a token speaks for in the network in force. Raises `UnknownToken`."""
    account = account_of(connection, token)
    if account is None:
        raise UnknownToken("the token is unknown, expired or revoked")
    try:
        person = network.account(account)
    except KeyError:
        raise UnknownToken(f"account {account} is not in the network in force") from None
    return Principal(account=person.id, organisation=person.organisation, role=person.role)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
