"""Prometheus metrics in a registry of the gateway's own: requests as they happen, the house's state at each scrape."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from fastapi import Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cases.errors import Transient
from gateway import metric_names as names
from gateway.parts import Parts, Side
from gateway.refusals import Refusal
from gateway.routes import Route
from storage import figures
from storage.database import Database

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds that a scrape waits for the database: less than Prometheus waits for the scrape.
PATIENCE = 2.0
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What one gateway process measures."""

    def __init__(self, parts: Parts, side: Side) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            names.REQUESTS, names.HELP[names.REQUESTS], ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            names.REQUEST_SECONDS,
            names.HELP[names.REQUEST_SECONDS],
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        if side == "region":
            self.registry.register(House(parts.database))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class House(Collector):
    """The state of the house, read from the rows when somebody scrapes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges; while the database is away one that says so, and the process's own counters remain readable."""
        try:
            gauges = list(self._read())
        except Transient:
            gauges = []
        yield _gauge(names.READABLE, [], [((), float(bool(gauges)))])
        yield from gauges

    def _read(self) -> Iterator[GaugeMetricFamily]:
        with self._database.transaction(timeout=PATIENCE) as connection:
            lanes = figures.lanes(connection)
            states = figures.states(connection)
            circuits = figures.circuits(connection)
            counts = figures.waiting_for_people(connection)
            worklist = figures.worklist(connection)
        yield _gauge(
            names.BACKLOG,
            ["lane", "standing"],
            [((x["lane"], k), x[k]) for x in lanes for k in ("waiting", "running")],
        )
        yield _gauge(names.BACKLOG_AGE, ["lane"], [((x["lane"],), x["oldest_seconds"]) for x in lanes])
        yield _gauge(names.CASES, ["state"], [((x["state"],), x["cases"]) for x in states])
        yield _gauge(names.OVERDUE, [], [((), counts["overdue"])])
        yield _gauge(names.CIRCUIT_OPEN, ["partner"], [((x["partner"],), int(x["open"])) for x in circuits])
        yield _gauge(names.QUARANTINED, ["kind"], [((k,), counts[k]) for k in ("case", "drop")])
        yield _gauge(names.FAILED_RUNS, [], [((), counts["failed"])])
        yield _gauge(
            names.WORKLIST, ["partner", "state"], [((x["partner"], x["state"]), x["open"]) for x in worklist]
        )


def _gauge(name: str, labels: list[str], values: list[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, names.HELP[name], labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def scrape(request: Request) -> Response:
    """What Prometheus reads: counts and ages, no case numbers and no patient's data."""
    parts: Parts = request.app.state.parts
    told = request.headers.get("authorization", "").removeprefix("Bearer ")
    if parts.metrics_token and not secrets.compare_digest(told.encode(), parts.metrics_token.encode()):
        raise Refusal(401, "not-signed-in", "This needs the metrics token.")
    measured: Metrics = request.app.state.metrics
    return Response(generate_latest(measured.registry), media_type=MEDIA_TYPE)


ROUTES = (Route("GET", "/metrics", scrape, tag="operating", media_type="text/plain"),)
