"""Managers watch turnaround, backlog, breaches and the use of equipment; a clinic sees its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Query

from cases.network import Network, Station
from cases.turnaround import LEGS, judge
from gateway import words
from gateway.figure_shapes import (
    Backlog,
    Breaches,
    Equipment,
    LaneBacklog,
    LegFigures,
    PartnerBacklog,
    Percentiles,
    ServiceBreaches,
    StateCount,
    StationFigures,
    Turnaround,
)
from gateway.routes import Route
from gateway.signin import Caller, Signed
from storage import figures

Days = Annotated[int, Query(ge=1, le=366, description="of how many days")]


def turnaround(asking: Signed, days: Days = 30, service: str | None = None) -> Turnaround:
    """Seconds in each leg of the way, by percentile, of the cases received in the last days."""
    with asking.transaction() as connection:
        asking.audit(connection, "figures.see", note="turnaround")
        rows, total = figures.turnaround(
            connection, days=days, service=service, organisation=asking.scope("figures.see")
        )
    legs = tuple(
        LegFigures(
            **row, name=LEGS[row["leg"]].name, name_zh=LEGS[row["leg"]].name_zh, whose=LEGS[row["leg"]].whose
        )
        for row in rows
    )
    return Turnaround(legs=legs, total=Percentiles(**total))


def backlog(asking: Signed) -> Backlog:
    """What waits where: lanes of the house, partners' worklists, and cases by state."""
    own = asking.scope("figures.see")
    with asking.transaction() as connection:
        asking.audit(connection, "figures.see", note="backlog")
        lanes = [] if own else figures.lanes(connection)
        partners = [] if own else figures.partners(connection)
        states = figures.states(connection, own)
    named = [(row, words.organisation(asking.network, row["partner"])) for row in partners]
    return Backlog(
        lanes=tuple(LaneBacklog(**row) for row in lanes),
        partners=tuple(PartnerBacklog(**row, name=o.name, name_zh=o.name_zh) for row, o in named),
        states=tuple(StateCount(**row) for row in states),
    )


def breaches(asking: Signed, days: Days = 30) -> Breaches:
    """Broken service levels by service and priority; an open case whose time is up counts before it ends."""
    calendar = asking.network.working_calendar(asking.parts.is_workday)
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    with asking.transaction() as connection:
        asking.audit(connection, "figures.see", note="breaches")
        now = figures.now(connection)
        for case in figures.logs(connection, days=days, organisation=asking.scope("figures.see")):
            level = asking.network.service_level(case.service, case.priority)
            cells[case.service, case.priority].append(judge(level, case.log, now, calendar).standing)
    return Breaches(services=tuple(_cell(asking, key, cells[key]) for key in sorted(cells)))


def _cell(asking: Caller, key: tuple[str, str], standings: list[str]) -> ServiceBreaches:
    network = asking.network
    level = network.service_level(*key)
    calendar = network.working_calendar(asking.parts.is_workday)
    name, name_zh = words.service_names(network, key[0])
    return ServiceBreaches(
        service=key[0],
        service_name=name,
        service_name_zh=name_zh,
        priority=key[1],
        target_seconds=level.duration(calendar.day_length).total_seconds(),
        working=level.clock == "working",
        measures=level.measures,
        cases=sum(s != "void" for s in standings),
        in_time=standings.count("met"),
        breached=sum(s in ("missed", "overdue") for s in standings),
        open_overdue=standings.count("overdue"),
    )


def equipment(asking: Signed, days: Days = 30) -> Equipment:
    """How much each station was used, against the hours in which somebody is there to use it."""
    with asking.transaction() as connection:
        asking.audit(connection, "stations.see")
        now = figures.now(connection)
        rows = figures.station_use(connection, days=days, organisation=asking.scope("stations.see"))
    return Equipment(stations=tuple(_stations(asking, rows, now - timedelta(days=days), now)))


def _stations(
    asking: Caller, rows: list[dict[str, Any]], start: datetime, end: datetime
) -> Iterator[StationFigures]:
    """First every station of the network, used or not, then those that the network does not name."""
    network, own = asking.network, asking.scope("stations.see")
    left = list(rows)
    for station in network.stations:
        if own in (None, station.clinic):
            mine = [row for row in left if _is_of(network, row, station)]
            left = [row for row in left if row not in mine]
            staffed = station.staffed.calendar(network.time_zone, asking.parts.is_workday)
            yield _figures(station, mine, staffed.working_time_between(start, end) / timedelta(hours=1))
    for row in left:
        yield _figures(None, [row], None)


def _is_of(network: Network, row: dict[str, Any], station: Station) -> bool:
    if row["clinic"] != station.clinic:
        return False
    return (
        row["station"] == station.id
        or network.station(row["clinic"], row["station"], row["modality"]) == station
    )


def _figures(station: Station | None, rows: list[dict[str, Any]], staffed: float | None) -> StationFigures:
    used = sum(row["seconds"] for row in rows) / 3600
    named = station.id if station else rows[0]["station"]
    return StationFigures(
        station=named,
        name=station.name if station else named,
        name_zh=station.name_zh if station else named,
        clinic=station.clinic if station else rows[0]["clinic"],
        modality=station.modality if station else rows[0]["modality"],
        studies=sum(row["studies"] for row in rows),
        images=sum(row["images"] for row in rows),
        hours_used=round(used, 3),
        staffed_hours=None if staffed is None else round(staffed, 3),
        utilisation=round(used / staffed, 4) if staffed else None,
        first=min((row["first"] for row in rows if row["first"]), default=None),
        last=max((row["last"] for row in rows if row["last"]), default=None),
    )


ROUTES = (
    Route("GET", "/api/figures/turnaround", turnaround, action="figures.see", tag="figures"),
    Route("GET", "/api/figures/backlog", backlog, action="figures.see", tag="figures"),
    Route("GET", "/api/figures/breaches", breaches, action="figures.see", tag="figures"),
    Route("GET", "/api/figures/equipment", equipment, action="stations.see", tag="figures"),
)
