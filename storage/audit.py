"""The audit log: who looked at what and who did what, append-only, written in the transaction of the deed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cases.access import ACTIONS
from storage.accounts import Principal
from storage.database import Connection


def record(
    connection: Connection, who: Principal, action: str, case_id: str | None = None, note: str = ""
) -> None:
    """Write one row; `action` is one of `cases.access`, `note` never holds patient data. Raises KeyError."""
    connection.execute(
        "INSERT INTO audit_log (account, organisation, action, case_id, note) VALUES (%s, %s, %s, %s, %s)",
        (who.account, who.organisation, ACTIONS[action].id, case_id, note),
    )


def rows(
    connection: Connection,
    *,
    case_id: str | None = None,
    account: str | None = None,
    since: datetime | None = None,
    limit: int = 200,
) -> list[dict[str, Any]]:
    """The newest rows first: of a case (lists name theirs in the note), of an account, or all."""
    found = connection.execute(
        "SELECT id, at, account, organisation, action, case_id, note FROM audit_log"
        " WHERE (%(case)s::text IS NULL OR case_id = %(case)s OR string_to_array(note, ' ') @> ARRAY[%(case)s::text])"
        " AND (%(account)s::text IS NULL OR account = %(account)s)"
        " AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) ORDER BY id DESC LIMIT %(limit)s",
        {"case": case_id, "account": account, "since": since, "limit": limit},
    )
    return found.fetchall()


def remark(connection: Connection, who: Principal, action: str, case_id: str, words: str) -> None:
    """Keep what a person wrote in the vault, where a patient's name may stand. The region's role alone can."""
    connection.execute(
        "INSERT INTO vault.remark (case_id, account, action, words) VALUES (%s, %s, %s, %s)",
        (case_id, who.account, ACTIONS[action].id, words),
    )


def remarks(connection: Connection, case_id: str) -> list[dict[str, Any]]:
    """What people wrote about a case or a drop, oldest first."""
    return connection.execute(
        "SELECT account, action, words, written_at FROM vault.remark WHERE case_id = %s ORDER BY id",
        (case_id,),
    ).fetchall()
