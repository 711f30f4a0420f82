"""From milestones to legs, and from legs to service levels.

Every moment of a case belongs to exactly one leg, so the legs of a case add up to its whole time; a leg is the sum of
its visits. Nothing here keeps a clock: `now` is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cases.calendar import Calendar
from cases.milestones import MILESTONES, Milestone
from cases.network import ServiceLevel


@dataclass(frozen=True, kw_only=True)
class Leg:
    """`state` is the case's state while it is in this leg (None: there is no case yet); `whose` time it is."""

    id: str
    state: str | None
    whose: Literal["region", "partner", "clinic"]
    name: str
    name_zh: str


# id | state | whose time | name | the same in Chinese
_LEGS: tuple[tuple[str, str | None, Literal["region", "partner", "clinic"], str, str], ...] = (
    ("receipt", None, "region", "Receiving", "接收"),
    ("preprocess", "received", "region", "Checking", "质检"),
    ("deidentify", "preprocessed", "region", "De-identifying", "脱敏"),
    ("route", "deidentified", "region", "Choosing a partner", "分派"),
    ("deliver", "routed", "region", "Delivering", "传送"),
    ("worklist", "delivered", "partner", "Waiting for a reader", "待阅"),
    ("reading", "in_reading", "partner", "Reading", "阅片"),
    ("return", "reported", "region", "Returning the report", "回传报告"),
    ("acknowledgement", "returned", "clinic", "Waiting for acknowledgement", "待确认"),
    ("clinic", "awaiting_clinic", "clinic", "Waiting for the clinic's answer", "待机构答复"),
    ("quarantine", "quarantined", "region", "Set aside for a person", "隔离待查"),
)

LEGS: dict[str, Leg] = {
    leg: Leg(id=leg, state=state, whose=whose, name=name, name_zh=name_zh)
    for leg, state, whose, name, name_zh in _LEGS
}
LEG_OF_STATE: dict[str, str] = {leg.state: leg.id for leg in LEGS.values() if leg.state is not None}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a service level counts: time in `legs`, until the milestone `ends_at` happens for the first time.

    The clock stands while the clinic is asked, and runs while the case is in quarantine.
    """

    legs: frozenset[str]
    ends_at: str
    name: str
    name_zh: str


MEASURES: dict[str, Measured] = {
    "turnaround": Measured(
        legs=frozenset(
            ("preprocess", "deidentify", "route", "deliver", "worklist", "reading", "return", "quarantine")
        ),
        ends_at="returned",
        name="receipt to returned report",
        name_zh="接收至报告送达",
    ),
    "reading": Measured(
        legs=frozenset(("worklist", "reading")),
        ends_at="reported",
        name="worklist to signature",
        name_zh="待阅至签署",
    ),
}
# After one of these there is no report to be late with.
_VOID = frozenset(("rejected", "cancelled"))


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One stay in a leg; `end` is None while it lasts."""

    leg: str
    start: datetime
    end: datetime | None

    def duration(self, now: datetime) -> timedelta:
        return (now if self.end is None else self.end) - self.start


def visits(log: Sequence[Milestone], now: datetime) -> tuple[Visit, ...]:
    """The stays of a case, in the order of its log (not of its clocks, which may disagree).

    A clock that runs behind the one before it makes a visit of no length, never a negative one.
    """
    found: list[Visit] = []
    leg, since = None, None
    for milestone in log:
        entered = _leg_from(milestone)
        if entered == leg:
            continue
        at = milestone.at if since is None else max(milestone.at, since)
        if leg is not None and since is not None:
            found.append(Visit(leg=leg, start=since, end=at))
        leg, since = entered, at
    if leg is not None and since is not None:
        found.append(Visit(leg=leg, start=min(since, now), end=None))
    return tuple(found)


def legs(log: Sequence[Milestone], now: datetime) -> dict[str, timedelta]:
    """Time in each leg that the case visited, the one it is in counted up to `now`."""
    total: dict[str, timedelta] = {}
    for visit in visits(log, now):
        total[visit.leg] = total.get(visit.leg, timedelta(0)) + visit.duration(now)
    return total


Standing = Literal["met", "missed", "running", "overdue", "paused", "not-begun", "void"]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How a case stands to its service level.

    `used` and `allowed` are on the level's clock. `due_at` is None before the clock begins and while it stands, because
    nobody can know it then. `overdue` is an open case whose time is up: it counts as breached before it ends.
    """

    level: str
    standing: Standing
    due_at: datetime | None
    used: timedelta
    allowed: timedelta

    @property
    def breached(self) -> bool:
        return self.standing in ("missed", "overdue")


def judge(level: ServiceLevel, log: Sequence[Milestone], now: datetime, calendar: Calendar) -> Judged:
    """How the case with this log stands at `now`; `calendar` holds the working hours of the network."""
    measured = MEASURES[level.measures]
    allowed = level.duration(calendar.day_length)
    until_end = _until(log, measured.ends_at)
    ended = len(until_end) > 0 and until_end[-1].name == measured.ends_at
    used, due_at, running = timedelta(0), None, False
    for visit in visits(until_end, now):
        if visit.leg not in measured.legs:
            continue
        if used <= allowed:
            due_at = _add(level, calendar, visit.start, allowed - used)
        running = visit.end is None
        used += _between(level, calendar, visit.start, now if visit.end is None else visit.end)
    void = bool(log) and log[-1].state in _VOID and not ended
    standing = _standing(
        ended=ended, void=void, late=used > allowed, running=running, begun=due_at is not None
    )
    known = standing not in ("not-begun", "paused", "void")
    return Judged(
        level=level.id, standing=standing, due_at=due_at if known else None, used=used, allowed=allowed
    )


def expected_due(
    level: ServiceLevel, log: Sequence[Milestone], now: datetime, calendar: Calendar
) -> datetime:
    """When the case is due as far as one can tell: as if a clock that stands, or has not begun, ran from `now`."""
    judged = judge(level, log, now, calendar)
    if judged.due_at is not None:
        return judged.due_at
    return _add(level, calendar, now, max(judged.allowed - judged.used, timedelta(0)))


def percentile(durations: Iterable[timedelta], share: float) -> timedelta | None:
    """The value below which `share` (0 to 1) of them lie, interpolated as SQL's percentile_cont; None of nothing."""
    if not 0 <= share <= 1:
        raise ValueError("a share is between 0 and 1")
    ordered = sorted(durations)
    if not ordered:
        return None
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _leg_from(milestone: Milestone) -> str | None:
    """The leg the case is in from this milestone on: its state's, or the one before there was a case."""
    starts = MILESTONES[milestone.name].starts
    if starts in LEGS and LEGS[starts].state is None:
        return starts
    return LEG_OF_STATE.get(milestone.state)


def _until(log: Sequence[Milestone], name: str) -> Sequence[Milestone]:
    """The log up to and with the first milestone of that name."""
    first = next((i for i, milestone in enumerate(log) if milestone.name == name), len(log) - 1)
    return log[: first + 1]


def _standing(*, ended: bool, void: bool, late: bool, running: bool, begun: bool) -> Standing:
    if void:
        return "void"
    if ended:
        return "missed" if late else "met"
    if late:
        return "overdue"
    if running:
        return "running"
    return "paused" if begun else "not-begun"


def _add(level: ServiceLevel, calendar: Calendar, start: datetime, duration: timedelta) -> datetime:
    return calendar.add_working_time(start, duration) if level.clock == "working" else start + duration


def _between(level: ServiceLevel, calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    return calendar.working_time_between(start, end) if level.clock == "working" else end - start
