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

    A key may carry a patient's name, so of it the clinic alone is used, and only if the network knows that clinic. A
    drop begins with its order: what comes before it is no reason to look, and what comes after it is.
    """
    parts: Parts = request.app.state.parts
    told = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not parts.webhook_token or not secrets.compare_digest(told.encode(), parts.webhook_token.encode()):
        raise Refusal(401, "not-signed-in", "This needs the store's token.")
    key = event.get("key")
    clinic = _clinic_of(key, parts)
    if clinic is not None:
        with parts.database.transaction() as connection:
            if str(key).endswith(f"/{ORDER_NAME}") or drops.awaited(connection, clinic):
                drops.look_again(connection, clinic)


def _clinic_of(key: object, parts: Parts) -> str | None:
    start = f"/buckets/{parts.s3.settings.bucket('inbox')}/"
    if not isinstance(key, str) or not key.startswith(start):
        return None
    clinic = key.removeprefix(start).partition("/")[0]
    _, network = parts.network.current()
    return clinic if clinic in {c.id for c in network.clinics} else None


ROUTES = (Route("POST", "/internal/store-events", hear, tag="operating", status=204),)
