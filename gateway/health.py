"""Is this process alive, and can it serve?"""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from cases.errors import TeledxError
from gateway.parts import Parts
from gateway.routes import Route


def alive() -> dict[str, str]:
    """The process answers. It asks nobody else, so a restart follows only where a restart helps."""
    return {"status": "alive"}


def ready(request: Request) -> JSONResponse:
    """The database and the store answer, and a network is in force; 503 and what is away, if not."""
    parts: Parts = request.app.state.parts
    checks = {
        "database": parts.database.ping,
        "store": lambda: parts.s3.ping(parts.ready_zone),
        "network": parts.network.current,
    }
    found: dict[str, Any] = {}
    for name, check in checks.items():
        try:
            check()
            found[name] = "ready"
        except (TeledxError, LookupError) as error:
            found[name] = str(error)
    good = all(state == "ready" for state in found.values())
    return JSONResponse({"status": "ready" if good else "not ready", **found}, 200 if good else 503)


ROUTES = (
    Route("GET", "/healthz", alive, tag="operating"),
    Route("GET", "/readyz", ready, tag="operating"),
)
