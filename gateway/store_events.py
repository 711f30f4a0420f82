"""The store tells of new objects. An event is a hint: all that follows is a look at that clinic's inbox."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import Request

from cases.order import ORDER_NAME
from gateway.parts import Parts
from gateway.refusals import Refusal
from gateway.routes import Route
from storage import drops


def hear(request: Request, event: dict[str, Any]) -> None:
    """Take an event of SeaweedFS's filer (`{"event_type", "key": "/buckets/BUCKET/KEY", "message"}`).

    A drop begins with its order: what comes before it is no reason to look, and what comes after it is.
    """
    parts: Parts = request.app.state.parts
    told = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not parts.webhook_token or not secrets.compare_digest(told.encode(), parts.webhook_token.encode()):
        raise Refusal(401, "not-signed-in", "This needs the store's token.")
    place = _place(event.get("key"), parts)
    if place is None:
        return
    clinic, prefix, name = place
    with parts.database.transaction() as connection:
        if name == ORDER_NAME or drops.awaited(connection, prefix):
            drops.hint(connection, clinic, prefix)


def _place(key: object, parts: Parts) -> tuple[str, str, str] | None:
    """Clinic, prefix of the drop and name in it; None for what is not in a drop of a clinic that the network knows."""
    start = f"/buckets/{parts.s3.settings.bucket('inbox')}/"
    if not isinstance(key, str) or not key.startswith(start):
        return None
    clinic, _, rest = key.removeprefix(start).partition("/")
    drop, _, name = rest.partition("/")
    _, network = parts.network.current()
    if not drop or not name or clinic not in {c.id for c in network.clinics}:
        return None
    return clinic, f"{clinic}/{drop}/", name


ROUTES = (Route("POST", "/internal/store-events", hear, tag="operating", status=204),)
