"""Uploads through the gateway: the order as posted and its files' multipart uploads, until order.json is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from storage import drops
from storage.cases import UnknownCase
from storage.database import Connection
from storage.drops import Drop


@dataclass(frozen=True, kw_only=True)
class FileUpload:
    """One file on its way: `upload_id` is empty for a single plain PUT."""

    size: int
    part_size: int
    upload_id: str

    @property
    def parts(self) -> int:
        return max(1, -(-self.size // self.part_size))


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One row of `vault.upload`; `files` by name. It carries identity."""

    drop_id: str
    account: str
    order_document: dict[str, Any]
    files: Mapping[str, FileUpload]
    started_at: datetime
    completed_at: datetime | None


_PLAIN = "SELECT * FROM vault.upload WHERE drop_id = %s"
_LOCKED = _PLAIN + " FOR UPDATE"


def begin(connection: Connection, *, clinic: str, prefix: str, lifetime: timedelta) -> Drop:
    """Make the drop's row before its first byte arrives: its patience begins when the links for its parts expire."""
    row = connection.execute("SELECT clock_timestamp() + %s AS until", (lifetime,)).fetchone()
    assert row is not None, "SELECT gives a row"
    return drops.sight(
        connection, clinic=clinic, prefix=prefix, order_etag="", order_at=None, newest_at=row["until"]
    )


def keep(
    connection: Connection,
    drop: Drop,
    account: str,
    order_document: dict[str, Any],
    files: Mapping[str, FileUpload],
) -> None:
    """Remember what is to be uploaded."""
    connection.execute(
        "INSERT INTO vault.upload (drop_id, account, order_document, files) VALUES (%s, %s, %s, %s)",
        (drop.id, account, Jsonb(order_document), _as_json(files)),
    )


def replace_files(connection: Connection, drop_id: str, files: Mapping[str, FileUpload]) -> None:
    """Remember the uploads that took the place of those that the store gave up."""
    connection.execute("UPDATE vault.upload SET files = %s WHERE drop_id = %s", (_as_json(files), drop_id))


def _as_json(files: Mapping[str, FileUpload]) -> Jsonb:
    return Jsonb({name: asdict(told) for name, told in files.items()})


def get(connection: Connection, drop_id: str, *, lock: bool = False) -> Upload:
    """The upload of a drop. Raises `UnknownCase` if the drop did not come through the gateway."""
    row = connection.execute(_LOCKED if lock else _PLAIN, (drop_id,)).fetchone()
    if row is None:
        raise UnknownCase(f"no upload of drop {drop_id}")
    files = {name: FileUpload(**told) for name, told in row.pop("files").items()}
    return Upload(files=files, **row)


def complete(connection: Connection, drop_id: str) -> None:
    """Every file is there: the drop's clock starts now, and the order's text is not kept twice."""
    connection.execute(
        "UPDATE vault.upload SET completed_at = clock_timestamp() WHERE drop_id = %s", (drop_id,)
    )
    connection.execute(
        "UPDATE vault.drops SET last_seen_at = clock_timestamp() WHERE id = %s AND state = 'arriving'",
        (drop_id,),
    )


def give_up(connection: Connection, patience: timedelta) -> int:
    """Reject the drops whose upload nobody carried on for `patience` after its links ran out; returns how many.

    The inbox's own watch cannot: it sees a drop only once a file of it has arrived.
    """
    rows = connection.execute(
        "SELECT d.id, u.files FROM vault.drops d JOIN vault.upload u ON u.drop_id = d.id"
        " WHERE d.state = 'arriving' AND u.completed_at IS NULL AND d.last_seen_at < clock_timestamp() - %s"
        " ORDER BY d.id FOR UPDATE OF d SKIP LOCKED",
        (patience,),
    ).fetchall()
    for row in rows:
        drops.reject(connection, row["id"], "files-missing", missing=sorted(row["files"]))
    return len(rows)


def carry_on(connection: Connection, drop: Drop, lifetime: timedelta) -> None:
    """New links were given out: the drop's patience begins when they run out."""
    connection.execute(
        "UPDATE vault.drops SET last_seen_at = greatest(last_seen_at, clock_timestamp() + %s)"
        " WHERE id = %s AND state = 'arriving'",
        (lifetime, drop.id),
    )
