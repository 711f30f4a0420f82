"""Studies that arrive instance by instance, until their order makes drops of them.

The prefix of an arrival is that of the drop that it becomes, so nothing is copied when its order comes. An instance is
stored in three steps: `intend`, the object, `stored`; what was intended and never stored is found by `unstored`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instance as it came. `accession_number` may be empty."""

    study_uid: str
    sop_uid: str
    accession_number: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Below the arrival's prefix: the same bytes have the same name, and it tells nothing of the patient."""
        return f"{self.sha256}.dcm"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an instance belongs; `present`: it is there already."""

    prefix: str
    present: bool


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A study without an order, an order without a study, or both for as long as the study grows."""

    study_uid: str
    accession_number: str
    instances: int
    size: int
    last_at: datetime | None
    ordered: bool


@dataclass(frozen=True, kw_only=True)
class Closed:
    """An arrival that has its order: `document` is order.json with its files."""

    prefix: str
    clinic: str
    document: dict[str, Any]


_OPEN = """
INSERT INTO vault.arrival AS a (prefix, clinic, study_uid, accession_number)
VALUES (%(prefix)s, %(clinic)s, %(study)s, %(accession)s)
ON CONFLICT (clinic, study_uid) WHERE order_document IS NULL DO UPDATE SET last_at = clock_timestamp(),
    accession_number = coalesce(nullif(a.accession_number, ''), excluded.accession_number)
RETURNING prefix
"""
_INTEND = """
INSERT INTO vault.arrived_instance AS i (prefix, name, sop_uid, size, sha256)
VALUES (%(prefix)s, %(name)s, %(sop)s, %(size)s, %(sha256)s)
ON CONFLICT (prefix, name) DO UPDATE SET intended_at = clock_timestamp() RETURNING stored_at IS NOT NULL AS present
"""


def intend(connection: Connection, clinic: str, instance: Instance) -> Place:
    """Say where the instance is about to be written: into the open arrival of its study, which begins with it."""
    values = {
        "prefix": f"{clinic}/{secrets.token_urlsafe(12)}/",
        "clinic": clinic,
        "study": instance.study_uid,
        "accession": instance.accession_number,
        "name": instance.name,
        "sop": instance.sop_uid,
        "size": instance.size,
        "sha256": instance.sha256,
    }
    opened = connection.execute(_OPEN, values).fetchone()
    assert opened is not None, "INSERT RETURNING gives a row"
    intended = connection.execute(_INTEND, values | {"prefix": opened["prefix"]}).fetchone()
    assert intended is not None, "as above"
    return Place(prefix=opened["prefix"], present=intended["present"])


def stored(connection: Connection, prefix: str, instance: Instance) -> bool:
    """The object is durable, and stands for its UID from now on; False if its arrival was closed meanwhile."""
    growing = connection.execute(
        "UPDATE vault.arrival SET last_at = clock_timestamp() WHERE prefix = %s AND order_document IS NULL",
        (prefix,),
    ).rowcount
    if not growing:
        return False
    connection.execute(
        "UPDATE vault.arrived_instance SET stored_at = CASE WHEN name = %(name)s THEN clock_timestamp() END"
        " WHERE prefix = %(prefix)s AND sop_uid = %(sop)s AND (name = %(name)s OR stored_at IS NOT NULL)",
        {"prefix": prefix, "name": instance.name, "sop": instance.sop_uid},
    )
    return True


def keep_order(
    connection: Connection, clinic: str, study_uid: str, account: str, document: dict[str, Any]
) -> None:
    """Let the order wait for its study: by UID, or if that is empty by accession number. The latest one counts."""
    number = document["accession_number"]
    connection.execute(
        "DELETE FROM vault.arrival_order WHERE clinic = %s AND study_uid = %s AND (%s OR accession_number = %s)",
        (clinic, study_uid, bool(study_uid), number),
    )
    connection.execute(
        "INSERT INTO vault.arrival_order (clinic, study_uid, accession_number, account, order_document)"
        " VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (clinic, study_uid, accession_number) DO UPDATE"  # two at the same time
        " SET account = excluded.account, order_document = excluded.order_document, kept_at = clock_timestamp()",
        (clinic, study_uid, number, account, Jsonb(document)),
    )


_MATCH = """(o.clinic = a.clinic
    AND (o.study_uid = a.study_uid OR (o.study_uid = '' AND o.accession_number = a.accession_number)))"""
_WAITING = f"""
SELECT a.study_uid, a.accession_number, a.last_at, count(i.name) AS instances, coalesce(sum(i.size), 0)::bigint AS size,
    EXISTS (SELECT FROM vault.arrival_order o WHERE {_MATCH}) AS ordered
FROM vault.arrival a LEFT JOIN vault.arrived_instance i ON i.prefix = a.prefix AND i.stored_at IS NOT NULL
WHERE a.clinic = %(clinic)s AND a.order_document IS NULL GROUP BY a.prefix
UNION ALL
SELECT o.study_uid, o.accession_number, NULL, 0, 0, true FROM vault.arrival_order o
WHERE o.clinic = %(clinic)s
    AND NOT EXISTS (SELECT FROM vault.arrival a WHERE a.order_document IS NULL AND {_MATCH})
ORDER BY last_at DESC NULLS LAST, accession_number LIMIT %(limit)s
"""  # noqa: S608 -- our own words


def waiting(connection: Connection, clinic: str, limit: int = 1000) -> list[Waiting]:
    """What of a clinic is not a drop with an order yet, what came last first."""
    rows = connection.execute(_WAITING.encode(), {"clinic": clinic, "limit": limit})
    return [Waiting(**row) for row in rows.fetchall()]


_RIPE = f"""
SELECT a.prefix, a.clinic, o.study_uid, o.accession_number, o.kept_at, o.order_document
FROM vault.arrival a CROSS JOIN LATERAL (
    SELECT * FROM vault.arrival_order o WHERE {_MATCH} ORDER BY o.study_uid = '', o.kept_at DESC LIMIT 1) o
WHERE a.order_document IS NULL AND a.last_at < clock_timestamp() - %s
    AND EXISTS (SELECT FROM vault.arrived_instance i WHERE i.prefix = a.prefix AND i.stored_at IS NOT NULL)
ORDER BY a.last_at LIMIT 1 FOR UPDATE OF a SKIP LOCKED
"""  # noqa: S608 -- as above


def close_one(connection: Connection, quiet: timedelta) -> bool:
    """Give one study that was quiet for so long its order, with what arrived as its files; False if there is none."""
    row = connection.execute(_RIPE.encode(), (quiet,)).fetchone()
    if row is None:
        return False
    taken = connection.execute(
        "DELETE FROM vault.arrival_order WHERE clinic = %(clinic)s AND study_uid = %(study_uid)s"
        " AND accession_number = %(accession_number)s AND kept_at = %(kept_at)s",
        row,
    ).rowcount
    if taken:
        connection.execute(
            "UPDATE vault.arrival SET order_document = %s || jsonb_build_object('files', (SELECT jsonb_agg("
            "  jsonb_build_object('name', name, 'size', size, 'sha256', sha256) ORDER BY name)"
            " FROM vault.arrived_instance WHERE prefix = %s AND stored_at IS NOT NULL)) WHERE prefix = %s",
            (Jsonb(row["order_document"]), row["prefix"], row["prefix"]),
        )
    return True


def closed(connection: Connection, limit: int) -> list[Closed]:
    """Arrivals whose order.json is still to be written."""
    rows = connection.execute(
        "SELECT prefix, clinic, order_document AS document FROM vault.arrival WHERE order_document IS NOT NULL"
        " ORDER BY last_at LIMIT %s",
        (limit,),
    )
    return [Closed(**row) for row in rows.fetchall()]


def handed_over(connection: Connection, prefix: str) -> None:
    """order.json is written, and the drop tells all that these rows did."""
    connection.execute("DELETE FROM vault.arrival WHERE prefix = %s", (prefix,))
    connection.execute(
        "DELETE FROM vault.arrived_instance WHERE prefix = %s AND stored_at IS NOT NULL", (prefix,)
    )


def unstored(connection: Connection, older: timedelta, limit: int) -> list[str]:
    """Keys that were intended longer ago than `older` and are nobody's; locked until the transaction ends."""
    rows = connection.execute(
        "SELECT prefix || name AS key FROM vault.arrived_instance"
        " WHERE stored_at IS NULL AND intended_at < clock_timestamp() - %s"
        " ORDER BY intended_at LIMIT %s FOR UPDATE SKIP LOCKED",
        (older, limit),
    )
    return [row["key"] for row in rows.fetchall()]


def forget(connection: Connection, keys: Sequence[str]) -> None:
    """The objects of these keys were deleted."""
    connection.execute(
        "DELETE FROM vault.arrived_instance WHERE stored_at IS NULL AND prefix || name = ANY(%s)",
        (list(keys),),
    )
