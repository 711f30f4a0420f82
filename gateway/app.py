"""The HTTP application of one side, put together from the tables of its doors."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import Response

from gateway import (
    cases,
    drops,
    figures,
    health,
    labels,
    metrics,
    network_page,
    openapi_page,
    quarantine,
    reading,
    refusals,
    signin,
    slide_page,
    slides,
    store_events,
    studies,
    upload_page,
)
from gateway.boundary import Boundary
from gateway.dicomweb import channels, doors, subscribers
from gateway.parts import Parts, Side
from gateway.routes import Route
from gateway.signin import permits

BOTH = (*health.ROUTES, *metrics.ROUTES, *openapi_page.ROUTES, *signin.ROUTES, *network_page.ROUTES)
DOORS: dict[Side, tuple[Route, ...]] = {
    "region": (
        *BOTH,
        *drops.ROUTES,
        *studies.ROUTES,
        *doors.STORE_ROUTES,
        *cases.ROUTES,
        *labels.ROUTES,
        *figures.ROUTES,
        *quarantine.ROUTES,
        *store_events.ROUTES,
        *upload_page.ROUTES,
    ),
    # tiles first: there are most of them, and addresses are looked for in this order
    "partner": (*slides.ROUTES, *slide_page.ROUTES, *reading.ROUTES, *doors.ROUTES, *BOTH),
}
_TITLES: dict[Side, str] = {
    "region": "teledx, the region's gateway",
    "partner": "teledx, the partners' gateway",
}


def create(side: Side, parts: Parts) -> FastAPI:
    """The application of `side`. It opens nothing: `parts` come opened and are closed by whoever made them."""
    app = FastAPI(
        title=_TITLES[side],
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.parts = parts
    app.state.side = side
    if side == "partner":
        app.state.viewings = slides.Viewings(parts)
        app.state.channels = channels.Channels(parts.database)
    app.state.metrics = metrics.Metrics(parts, side)
    refusals.install(app)
    for route in DOORS[side]:
        _add(app, route)
    if side == "partner":
        app.add_api_websocket_route(subscribers.CHANNEL, channels.channel)
    larger = {(route.method, route.path): parts.study_max for route in DOORS[side] if route.streams}
    app.add_middleware(Boundary, body_max=parts.body_max, observe=app.state.metrics.observe, larger=larger)
    return app


def _add(app: FastAPI, route: Route) -> None:
    options: dict[str, Any] = {}
    if route.media_type is not None:
        options = {
            "response_class": Response,
            "responses": {route.status: {"content": {route.media_type: {}} if route.media_type else {}}},
        }
    words = (route.endpoint.__doc__ or "").strip().split("\n")[0]
    app.add_api_route(
        route.path,
        route.endpoint,
        methods=[route.method],
        status_code=route.status,
        summary=words,
        tags=[route.tag] if route.tag else None,
        dependencies=[Depends(permits(route.action))] if route.action else [],
        include_in_schema=not route.hidden,
        **options,
    )
