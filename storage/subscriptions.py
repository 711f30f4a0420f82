"""Who of a partner's own systems is told of which work items (UPS subscriptions, PS3.4 CC.2.3)."""

from __future__ import annotations

import json
from uuid import UUID

from cases.errors import TeledxError
from storage.database import Connection
from storage.worklist import OPEN

# The channel on which the database tells of work items; see storage/sql/0005_ups.sql.
CHANNEL = "work_items"


class UnknownSubscription(TeledxError):
    """There is no such subscription."""


_KEEP = """
INSERT INTO ups_subscription (partner, aetitle, work_item_id, receives) VALUES (%s, %s, %s, %s)
ON CONFLICT (partner, aetitle, work_item_id) DO UPDATE SET receives = excluded.receives, suspended_at = NULL
"""
# A work item's own row goes before that of the worklist.
_SUBSCRIBED = """
SELECT aetitle FROM (
    SELECT DISTINCT ON (aetitle) aetitle,
        receives AND (s.suspended_at IS NULL OR w.created_at <= s.suspended_at) AS told
    FROM work_item w JOIN ups_subscription s ON s.work_item_id = w.id OR s.work_item_id IS NULL
    WHERE w.id = %s ORDER BY aetitle, s.work_item_id NULLS LAST) decided
WHERE told ORDER BY aetitle
"""
_FIRST = """
SELECT pg_notify(%s, json_build_object('partner', partner, 'work_item', id, 'event', 1, 'state', state, 'aetitle',
    %s::text)::text) FROM work_item WHERE id = coalesce(%s, id) AND state = ANY(%s)
"""


def subscribe(connection: Connection, partner: str, aetitle: str, work_item_id: UUID | None) -> None:
    """Tell `aetitle` of a work item, or with None of all, from now on; of those that are open its present state first.

    The caller has seen the work item.
    """
    if work_item_id is None:
        _forget(connection, aetitle)
    connection.execute(_KEEP, (partner, aetitle, work_item_id, True))
    states = list(OPEN) if work_item_id is None else ["SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"]
    connection.execute(_FIRST, (CHANNEL, aetitle, work_item_id, states))


def unsubscribe(connection: Connection, partner: str, aetitle: str, work_item_id: UUID | None) -> None:
    """Tell no more of a work item, or with None of any. Raises `UnknownSubscription`."""
    if work_item_id is None:
        if not _forget(connection, aetitle):
            raise UnknownSubscription("nothing is subscribed to")
        return
    if aetitle not in subscribers(connection, work_item_id):
        raise UnknownSubscription("the work item is not subscribed to")
    connection.execute(_KEEP, (partner, aetitle, work_item_id, False))


def suspend(connection: Connection, aetitle: str) -> None:
    """Subscribe to no new work item from now on; what is subscribed to stays. Raises `UnknownSubscription`."""
    done = connection.execute(
        "UPDATE ups_subscription SET suspended_at = coalesce(suspended_at, clock_timestamp())"
        " WHERE aetitle = %s AND work_item_id IS NULL",
        (aetitle,),
    )
    if not done.rowcount:
        raise UnknownSubscription("the worklist is not subscribed to")


def subscribers(connection: Connection, work_item_id: UUID) -> tuple[str, ...]:
    """The AE titles of the asking partner's that are told of the work item."""
    return tuple(row["aetitle"] for row in connection.execute(_SUBSCRIBED, (work_item_id,)).fetchall())


def read(payload: str) -> tuple[str, UUID, int, str, str | None]:
    """What the database told: partner, work item, kind of event, its state then, and for one system alone, which."""
    told = json.loads(payload)
    return told["partner"], UUID(told["work_item"]), told["event"], told["state"], told.get("aetitle")


def _forget(connection: Connection, aetitle: str) -> int:
    return connection.execute("DELETE FROM ups_subscription WHERE aetitle = %s", (aetitle,)).rowcount
