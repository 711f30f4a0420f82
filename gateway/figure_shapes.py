"""The JSON of the figures. Durations are seconds."""

from __future__ import annotations

from datetime import datetime

from gateway.shapes import Shape


class Percentiles(Shape):
    """Of so many cases; None where there is none."""

    cases: int
    p50: float | None
    p90: float | None
    p95: float | None


class LegFigures(Percentiles):
    leg: str
    name: str
    name_zh: str
    whose: str


class Turnaround(Shape):
    """`total`: receipt to the first returned report, of the cases that have one."""

    legs: tuple[LegFigures, ...]
    total: Percentiles


class LaneBacklog(Shape):
    lane: str
    waiting: int
    running: int
    oldest_seconds: float


class PartnerBacklog(Shape):
    partner: str
    name: str
    name_zh: str
    waiting: int
    in_reading: int
    oldest_seconds: float


class StateCount(Shape):
    state: str
    cases: int


class Backlog(Shape):
    """A clinic sees its own cases by state, and neither lanes nor partners."""

    lanes: tuple[LaneBacklog, ...]
    partners: tuple[PartnerBacklog, ...]
    states: tuple[StateCount, ...]


class ServiceBreaches(Shape):
    """`working`: the target counts working hours. `breached` includes `open_overdue`; what is open and has time left is
    in `cases` alone, neither `in_time` nor `breached`."""

    service: str
    service_name: str
    service_name_zh: str
    priority: str
    target_seconds: float
    working: bool
    measures: str
    cases: int
    in_time: int
    breached: int
    open_overdue: int


class Breaches(Shape):
    services: tuple[ServiceBreaches, ...]


class StationFigures(Shape):
    """`first` and `last` are the station's own clock, without a zone; `utilisation` is a share of the staffed hours.

    `staffed_hours` is None for a station that the network does not name.
    """

    station: str
    name: str
    name_zh: str
    clinic: str
    modality: str
    studies: int
    images: int
    hours_used: float
    staffed_hours: float | None
    utilisation: float | None
    first: datetime | None
    last: datetime | None


class Equipment(Shape):
    stations: tuple[StationFigures, ...]
