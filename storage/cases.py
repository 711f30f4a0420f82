"""Cases as rows: creating, reading, and the one function that moves a case from state to state."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from cases.documents import Document
from cases.errors import NotAllowed, TeledxError
from cases.order import Order
from cases.states import CASE_OPEN, advance
from storage.database import Connection, Row

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
# States in which a case is set aside and remembers where it came from.
_ASIDE = ("quarantined", "awaiting_clinic")


class UnknownCase(TeledxError):
    """No such case, or not one that the asking organisation may see."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of `cases`; no patient identity."""

    id: str
    clinic: str
    scanning_site: str
    service: str
    family: str
    priority: str
    purpose: str
    state: str
    held_from: str | None
    held_stage: str | None
    version: int
    partner: str | None
    due_at: datetime | None
    reason_code: str | None
    reason_detail: str | None
    brief: dict[str, Any] | None
    pseudonym: str | None
    network_version: int
    received_at: datetime
    changed_at: datetime


def new_id() -> str:
    """A random, speakable case id such as 'K7QX-3M9D' (39 bits; letters that look alike are left out)."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def get(connection: Connection, case_id: str, *, lock: bool = False) -> Case:
    """The case, locked for this transaction if asked; raises `UnknownCase`."""
    suffix = " FOR NO KEY UPDATE" if lock else ""
    row = connection.execute(f"SELECT * FROM cases WHERE id = %s{suffix}", (case_id,)).fetchone()  # noqa: S608
    if row is None:
        raise UnknownCase(f"no case {case_id}")
    return from_row(row)


def from_row(row: Row) -> Case:
    return Case(**{name: row[name] for name in Case.__dataclass_fields__})


def move(
    connection: Connection,
    case_id: str,
    event: str,
    *,
    actor: str,
    version: int | None = None,
    note: str = "",
    happened_at: datetime | None = None,
    clock: str = "database",
    **columns: Any,
) -> Case:
    """Apply `event` to the case by the table of `cases.states.CASE`, and write the milestone.

    `version`: refuse with `NotAllowed` unless the case still has it. `columns` are set in the same statement.
    """
    case = get(connection, case_id, lock=True)
    if version is not None and case.version != version:
        raise NotAllowed(f"case {case_id} has moved on: version {case.version}, not {version}")
    state = advance("case", case.state, event, before=case.held_from)
    columns = _held(case, state) | columns
    columns |= {"state": state, "version": case.version + 1}
    sets = ", ".join(f"{name} = %({name})s" for name in columns)
    connection.execute(
        f"UPDATE cases SET {sets}, changed_at = clock_timestamp() WHERE id = %(id)s",  # noqa: S608 -- our own names
        columns | {"id": case_id},
    )
    add_milestone(
        connection,
        case_id,
        event,
        state,
        case.version + 1,
        actor=actor,
        note=note,
        happened_at=happened_at,
        clock=clock,
    )
    return get(connection, case_id)


def _held(case: Case, state: str) -> dict[str, Any]:
    """What a case that is set aside remembers, and forgets when it goes on."""
    if state in _ASIDE and case.state in CASE_OPEN:
        return {"held_from": case.state}
    if case.state in _ASIDE:
        return dict.fromkeys(("held_from", "held_stage", "reason_code", "reason_detail"))
    return {}


def add_milestone(
    connection: Connection,
    case_id: str,
    name: str,
    state: str,
    case_version: int,
    *,
    actor: str,
    note: str = "",
    happened_at: datetime | None = None,
    clock: str = "database",
) -> None:
    """Append to the event log; without `happened_at` it happened now, by the database's clock."""
    connection.execute(
        "INSERT INTO milestone (case_id, name, state, case_version, happened_at, clock, actor, note)"
        " VALUES (%s, %s, %s, %s, coalesce(%s, clock_timestamp()), %s, %s, %s)",
        (case_id, name, state, case_version, happened_at, clock, actor, note),
    )


def keep_document(
    connection: Connection, case_id: str, stage: str, case_version: int, document: Document
) -> None:
    """Keep what a stage found; a replay of the same version replaces it."""
    connection.execute(
        "INSERT INTO vault.document (case_id, stage, case_version, body) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (case_id, stage, case_version) DO UPDATE SET body = excluded.body",
        (case_id, stage, case_version, Jsonb(document.model_dump(mode="json"))),
    )


def documents(connection: Connection, case_id: str) -> dict[str, Any]:
    """The newest document of each stage, as JSON values."""
    rows = connection.execute(
        "SELECT DISTINCT ON (stage) stage, body FROM vault.document WHERE case_id = %s"
        " ORDER BY stage, case_version DESC",
        (case_id,),
    ).fetchall()
    return {row["stage"]: row["body"] for row in rows}


def order_of(connection: Connection, case_id: str) -> Order:
    """The case's order, with identity: the region's role alone can select it."""
    row = connection.execute(
        "SELECT order_document FROM vault.case_order WHERE case_id = %s", (case_id,)
    ).fetchone()
    if row is None:
        raise UnknownCase(f"no order of case {case_id}")
    return Order.model_validate(row["order_document"])
