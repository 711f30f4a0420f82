"""The outermost layer: one log line and one measurement for each request, a limit on bodies, and the last catch.

Addresses are logged as route templates: what somebody typed into one, or sent in a query, reaches no log and no metric.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.refusals import shaped

log = structlog.get_logger()

# method, route template, status, seconds
Observe = Callable[[str, str, int, float], None]

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
UNKNOWN = "(unknown)"


class Boundary:
    """ASGI middleware around everything else."""

    def __init__(
        self, app: ASGIApp, *, body_max: int, observe: Observe, larger: Mapping[tuple[str, str], int]
    ) -> None:
        """`larger`: limits of the doors, by method and template, that take more than `body_max` bytes."""
        self._app = app
        self._body_max = body_max
        self._observe = observe
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, lambda: self._limit(scope))
        started = time.perf_counter()
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - an error's text may quote a patient's data: its place alone is logged
            await self._failed(error, exchange, scope)
        finally:
            self._report(scope, exchange.status, time.perf_counter() - started)

    def _limit(self, scope: Scope) -> int:
        return self._larger.get((scope["method"], template(scope)), self._body_max)

    async def _failed(self, error: Exception, exchange: _Exchange, scope: Scope) -> None:
        log.error("request_failed", route=template(scope), error=where(error))
        if exchange.status == 0:
            answer = shaped(
                500, "defect", "The software failed on this.", "Try again; if it fails again, report it."
            )
            await answer(scope, exchange.receive, exchange.send)

    def _report(self, scope: Scope, status: int, seconds: float) -> None:
        route, method = template(scope), scope["method"]
        self._observe(method, route, status, seconds)
        account = scope.get("state", {}).get("account", "")
        log.info(
            "request", method=method, route=route, status=status, ms=round(seconds * 1000, 1), account=account
        )


class _Exchange:
    """One request's two channels, watched: bytes that came in, the status that went out."""

    def __init__(self, receive: Receive, send: Send, limit: Callable[[], int]) -> None:
        """`limit` is asked once for each piece of a body, when the door is known."""
        self._receive = receive
        self._send = send
        self._limit = limit
        self._count = 0
        self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        if self._count > self._limit():
            raise HTTPException(413)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(h for h in HEADERS if h[0] not in present)]
        await self._send(message)


def template(scope: Scope) -> str:
    """The route's template, such as '/api/cases/{case_id}'."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else UNKNOWN


def where(error: BaseException) -> str:
    """The kind of an unexpected error and where it happened; never its text."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(f.filename).stem}.{f.name}:{f.lineno}" for f in reversed(frames))
    return f"{type(error).__name__} at {places}"
