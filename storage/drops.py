"""Drops as rows: sighted in the inbox, complete, and ended as a case, a quarantine or a rejection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from cases.documents import Received
from cases.errors import Transient
from cases.order import Order
from cases.states import advance
from storage import cases, objects, runs
from storage.cases import UnknownCase
from storage.database import Connection, Database, Row
from storage.runs import Run
from storage.transition import LostOwnership

# NOTIFY channel that says whose inbox to look at: a clinic's id, or `<clinic>/` to look where `vault.hint` says.
CHANNEL = "inbox"
# Ends of an earlier case after which its accession number may be used again.
_REUSABLE = ("rejected", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Drop:
    """One row of `vault.drops`. `prefix` may carry identity and is never logged."""

    id: str
    clinic: str
    prefix: str
    order_etag: str
    state: str
    first_seen_at: datetime
    last_seen_at: datetime
    order_at: datetime | None
    completed_at: datetime | None
    ended_at: datetime | None
    case_id: str | None
    released_by: str | None
    reason_code: str | None
    reason_detail: str | None
    problems: list[str]
    missing: list[str]
    receipt: dict[str, Any] | None
    cleared_at: datetime | None


def get(connection: Connection, drop_id: str, *, lock: bool = False) -> Drop:
    """The drop; raises `UnknownCase`."""
    row = connection.execute(
        f"SELECT * FROM vault.drops WHERE id = %s{' FOR UPDATE' if lock else ''}",  # noqa: S608
        (drop_id,),
    ).fetchone()
    if row is None:
        raise UnknownCase(f"no drop {drop_id}")
    return _drop(row)


def of_clinic(connection: Connection, clinic: str, state: str | None = None, limit: int = 200) -> list[Drop]:
    """A clinic's drops, the newest first."""
    rows = connection.execute(
        "SELECT * FROM vault.drops WHERE clinic = %s AND (%s::text IS NULL OR state = %s)"
        " ORDER BY first_seen_at DESC LIMIT %s",
        (clinic, state, state, limit),
    )
    return [_drop(row) for row in rows.fetchall()]


def uncleared(connection: Connection, limit: int = 100) -> list[Drop]:
    """Drops that have ended and whose notice and clearing in the inbox are still to be done."""
    rows = connection.execute(
        "SELECT * FROM vault.drops WHERE ended_at IS NOT NULL AND cleared_at IS NULL ORDER BY ended_at LIMIT %s",
        (limit,),
    )
    return [_drop(row) for row in rows.fetchall()]


def cleared(connection: Connection, drop_id: str) -> None:
    connection.execute("UPDATE vault.drops SET cleared_at = clock_timestamp() WHERE id = %s", (drop_id,))


def sight(
    connection: Connection,
    *,
    clinic: str,
    prefix: str,
    order_etag: str,
    order_at: datetime | None,
    newest_at: datetime,
) -> Drop:
    """Remember what the inbox shows under `prefix`; the first sight makes the drop's row and its id.

    A sight without an order.json and with nothing newer than a drop that is known is an old one, and gives that drop.
    """
    values = {"clinic": clinic, "prefix": prefix, "etag": order_etag, "at": order_at, "newest": newest_at}
    row = connection.execute(
        "UPDATE vault.drops SET last_seen_at ="
        " CASE WHEN state = 'arriving' THEN greatest(last_seen_at, %(newest)s) ELSE last_seen_at END,"
        " order_etag = %(etag)s, order_at = %(at)s"
        " WHERE prefix = %(prefix)s AND ((order_etag = %(etag)s AND order_at IS NOT DISTINCT FROM %(at)s)"
        "   OR (order_etag = '' AND state = 'arriving')) RETURNING *",
        values,
    ).fetchone()
    if row is None and not order_etag:
        row = connection.execute(
            "SELECT * FROM vault.drops WHERE prefix = %(prefix)s AND last_seen_at >= %(newest)s"
            " ORDER BY first_seen_at DESC LIMIT 1",
            values,
        ).fetchone()
    if row is None:
        row = connection.execute(
            "INSERT INTO vault.drops (id, clinic, prefix, order_etag, order_at, last_seen_at, state)"
            " VALUES (%(id)s, %(clinic)s, %(prefix)s, %(etag)s, %(at)s, %(newest)s, 'arriving')"
            " ON CONFLICT (prefix, order_etag, order_at) DO UPDATE"  # another look came in between
            " SET last_seen_at = drops.last_seen_at RETURNING *",
            values | {"id": cases.new_id()},
        ).fetchone()
    assert row is not None, "INSERT RETURNING gives a row"
    return _drop(row)


def passed(
    connection: Connection, sighted: Sequence[tuple[str, str, datetime | None, datetime]]
) -> frozenset[tuple[str, str, datetime | None]]:
    """Those of `sighted` that are drops already and wait for nothing more; the first three of each.

    Each is prefix, ETag and time of order.json, and the time of its newest file. Without an order.json it is what an
    earlier drop left behind, or what is just being cleared away, unless some file is newer than that drop.
    """
    rows = connection.execute(
        "SELECT s.prefix, s.etag, s.at FROM vault.drops d"
        " JOIN unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[]) AS s(prefix, etag, at, newest)"
        " ON d.prefix = s.prefix AND d.state <> 'arriving' AND ("
        "  (d.order_etag = s.etag AND d.order_at IS NOT DISTINCT FROM s.at)"
        "  OR (s.etag = '' AND s.newest <= d.last_seen_at))",
        [list(column) for column in zip(*sighted, strict=True)],
    ).fetchall()
    return frozenset((r["prefix"], r["etag"], r["at"]) for r in rows)


def awaited(connection: Connection, prefix: str) -> bool:
    """True while the drop under `prefix` is not complete and its order is known: without one no file completes it."""
    rows = connection.execute(
        "SELECT 1 FROM vault.drops WHERE prefix = %s AND state = 'arriving' AND order_etag <> ''", (prefix,)
    )
    return rows.fetchone() is not None


def hint(connection: Connection, clinic: str, prefix: str) -> None:
    """Have this drop looked at soon. Its prefix may carry identity, so it is kept in the vault and never sent."""
    connection.execute(
        "INSERT INTO vault.hint (prefix, clinic) VALUES (%s, %s) ON CONFLICT DO NOTHING", (prefix, clinic)
    )
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{clinic}/"))


def hinted(connection: Connection, clinic: str) -> list[str]:
    """Take the hints at drops of this clinic."""
    rows = connection.execute("DELETE FROM vault.hint WHERE clinic = %s RETURNING prefix", (clinic,))
    return sorted(row["prefix"] for row in rows.fetchall())


def look_again(connection: Connection, clinic: str) -> None:
    """Have this clinic's whole inbox looked at soon."""
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, clinic))


def complete(connection: Connection, drop: Drop, *, family: str, priority: str) -> None:
    """Everything that the order names is there: write the run of `receive`."""
    _advance(connection, drop.id, "completed", {"completed_at": "clock_timestamp()", "missing": "'[]'"})
    runs.add(
        connection,
        case_id=drop.id,
        stage="receive",
        case_version=0,
        family=family,
        priority=priority,
        clinic=drop.clinic,
    )


def reject(
    connection: Connection,
    drop_id: str,
    code: str,
    *,
    problems: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> None:
    """End the drop with advice to the clinic."""
    _end(connection, drop_id, "rejected", code, "", problems, missing)


def show_missing(connection: Connection, drop_id: str, missing: Sequence[str]) -> None:
    """Let the clinic see what has not arrived yet."""
    connection.execute("UPDATE vault.drops SET missing = %s WHERE id = %s", (Jsonb(list(missing)), drop_id))


def reject_run(database: Database, run: Run, code: str, *, problems: Sequence[str] = ()) -> None:
    """`receive` found the drop inadequate."""
    with database.transaction() as connection:
        if not runs.end(connection, run, "rejected", code):
            raise LostOwnership(run.stage)
        _end(connection, run.case_id, "rejected", code, "", problems, ())


def quarantine_run(database: Database, run: Run, code: str, detail: str, received: Received | None) -> None:
    """`receive` set the drop aside; what it copied into the quarantine zone is kept."""
    with database.transaction() as connection:
        if not runs.end(connection, run, "quarantined", code):
            raise LostOwnership(run.stage)
        if received:
            objects.claim(connection, run.case_id, [f.stored for f in received.files])
            cases.keep_document(connection, run.case_id, "receive", 0, received)
        _end(connection, run.case_id, "quarantined", code, detail, (), ())


def set_aside(connection: Connection, drop_id: str, code: str, detail: str) -> None:
    """End the drop as quarantined; its files stay where they are."""
    _end(connection, drop_id, "quarantined", code, detail, (), ())


def release(connection: Connection, drop_id: str, by: str) -> None:
    """A person says that a quarantined drop is a case of its own: receive it again.

    A drop that was set aside before `receive` ever ran is looked at anew, with the network as it is now.
    """
    drop = get(connection, drop_id, lock=True)
    again = connection.execute(
        "UPDATE stage_run SET outcome = NULL, ended_at = NULL, owner = NULL, heartbeat_at = NULL, attempt = 0,"
        " lost = 0, published_at = NULL, published_by = NULL, not_before = clock_timestamp()"
        " WHERE case_id = %s AND stage = 'receive'",
        (drop.id,),
    ).rowcount
    forgotten = dict.fromkeys(("ended_at", "reason_code", "reason_detail", "cleared_at"), "NULL")
    _advance(connection, drop_id, "replayed" if again else "reopened", forgotten)
    connection.execute("UPDATE vault.drops SET released_by = %s WHERE id = %s", (by, drop_id))
    connection.execute("SELECT pg_notify(%s, '')", (runs.CHANNEL,))
    look_again(connection, drop.clinic)


def same_content(connection: Connection, clinic: str, content_sha256: str) -> str | None:
    """The case that the same order with the same files already made, unless it was rejected or cancelled."""
    row = connection.execute(
        "SELECT o.case_id FROM vault.case_order o JOIN cases c ON c.id = o.case_id"
        " WHERE o.clinic = %s AND o.content_sha256 = %s AND NOT c.state = ANY(%s) LIMIT 1",
        (clinic, content_sha256, list(_REUSABLE)),
    ).fetchone()
    return row["case_id"] if row else None


def accession_taken(connection: Connection, clinic: str, accession_number: str) -> str | None:
    """A case of this clinic that holds the accession number and was neither rejected nor cancelled."""
    row = connection.execute(
        "SELECT o.case_id FROM vault.case_order o JOIN cases c ON c.id = o.case_id"
        " WHERE o.clinic = %s AND o.accession_number = %s AND NOT c.state = ANY(%s) LIMIT 1",
        (clinic, accession_number, list(_REUSABLE)),
    ).fetchone()
    return row["case_id"] if row else None


@dataclass(frozen=True, kw_only=True)
class NewCase:
    """What `receive` says about the case that a drop becomes."""

    order: Order
    content_sha256: str
    received: Received
    scanning_site: str
    family: str
    priority: str
    network_version: int
    due_at: datetime


_CREATE = """
INSERT INTO cases
    (id, clinic, scanning_site, service, family, priority, purpose, state, version, network_version, due_at)
VALUES (%(id)s, %(clinic)s, %(site)s, %(service)s, %(family)s, %(priority)s, %(purpose)s, 'received', 1, %(network)s,
    %(due_at)s)
"""
_ORDER = """
INSERT INTO vault.case_order
    (case_id, clinic, accession_number, patient_id, patient_name, content_sha256, order_document)
VALUES (%(id)s, %(clinic)s, %(accession)s, %(patient_id)s, %(patient_name)s, %(content)s, %(document)s)
"""


def accept(database: Database, run: Run, new: NewCase) -> str:
    """Commit `receive`: the drop becomes a case (or joins the one it already made), with a receipt; returns its id.

    Raises `Transient` if another drop took the accession number in this very moment: the next attempt sees it.
    """
    with database.transaction() as connection:
        if not runs.end(connection, run, "done"):
            raise LostOwnership(run.stage)
        drop = get(connection, run.case_id, lock=True)
        number = new.order.accession_number
        # drops of one number are accepted one after the other
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{drop.clinic}/{number}",)
        )
        case_id = same_content(connection, drop.clinic, new.content_sha256)
        if case_id is None:
            if drop.released_by is None and accession_taken(connection, drop.clinic, number):
                raise Transient("another drop took the accession number at the same time")
            case_id = drop.id
            _create(connection, drop, new)
        receipt = _receipt(connection, drop, case_id, new)
        _advance(connection, drop.id, "received", {"ended_at": "clock_timestamp()"})
        connection.execute(
            "UPDATE vault.drops SET case_id = %s, receipt = %s WHERE id = %s",
            (case_id, Jsonb(receipt), drop.id),
        )
        return case_id


def _create(connection: Connection, drop: Drop, new: NewCase) -> None:
    order = new.order
    values = {
        "id": drop.id,
        "clinic": drop.clinic,
        "site": new.scanning_site,
        "service": order.service,
        "family": new.family,
        "priority": new.priority,
        "purpose": order.purpose,
        "network": new.network_version,
        "due_at": new.due_at,
        "accession": order.accession_number,
        "patient_id": order.patient.id,
        "patient_name": order.patient.name,
        "content": new.content_sha256,
        "document": Jsonb(order.model_dump(mode="json")),
    }
    connection.execute(_CREATE, values)
    connection.execute(_ORDER, values)
    objects.claim(connection, drop.id, [f.stored for f in new.received.files])
    cases.keep_document(connection, drop.id, "receive", 0, new.received)
    dropped = {"happened_at": drop.last_seen_at, "clock": "store"}
    cases.add_milestone(connection, drop.id, "dropped", "received", 1, actor="clinic", **dropped)  # type: ignore[arg-type]
    cases.add_milestone(connection, drop.id, "received", "received", 1, actor="receive")
    runs.add(
        connection,
        case_id=drop.id,
        stage="preprocess",
        case_version=1,
        family=new.family,
        priority=new.priority,
        clinic=drop.clinic,
    )


def _receipt(connection: Connection, drop: Drop, case_id: str, new: NewCase) -> dict[str, Any]:
    now = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert now is not None, "SELECT gives a row"
    return {
        "drop": drop.id,
        "case": case_id,
        "clinic": drop.clinic,
        "accession_number": new.order.accession_number,
        "received_at": now["now"].isoformat(),
        "order_sha256": new.content_sha256,
        "files": [f.model_dump() for f in new.order.files],
    }


def _end(
    connection: Connection,
    drop_id: str,
    event: str,
    code: str,
    detail: str,
    problems: Sequence[str],
    missing: Sequence[str],
) -> None:
    _advance(connection, drop_id, event, {"ended_at": "clock_timestamp()", "cleared_at": "NULL"})
    connection.execute(
        "UPDATE vault.drops SET reason_code = %s, reason_detail = %s, problems = %s, missing = %s WHERE id = %s",
        (code, detail, Jsonb(list(problems)), Jsonb(list(missing)), drop_id),
    )


def _advance(connection: Connection, drop_id: str, event: str, times: dict[str, str]) -> None:
    drop = get(connection, drop_id, lock=True)
    state = advance("drop", drop.state, event)
    sets = "".join(f", {column} = {value}" for column, value in times.items())
    connection.execute(f"UPDATE vault.drops SET state = %s{sets} WHERE id = %s", (state, drop_id))  # noqa: S608


def _drop(row: Row) -> Drop:
    return Drop(**{name: row[name] for name in Drop.__dataclass_fields__})
