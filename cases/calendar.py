"""Working time: weekly hours in one time zone, with the public holidays and make-up workdays of the country.

Which dates are workdays is asked of a callable, because that is a yearly decree and no rule. Everything takes and
returns aware datetimes; sums are done in UTC, so that a change of the clocks loses and adds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from cases.errors import TeledxError

Minutes = tuple[int, int]
IsWorkday = Callable[[date], bool]

_SPAN = re.compile(r"^([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)$")
# A calendar that opens at all opens within this many days: the longest run of public holidays is nine.
_HORIZON_DAYS = 400


class NeverOpen(TeledxError):
    """The calendar has no open hour ahead, so nothing can be due in it."""


def monday_to_friday(day: date) -> bool:
    """Workdays without any decree: for years whose decree is not out yet, and for regions that have none."""
    return day.weekday() < 5


def parse_span(text: str) -> Minutes:
    """Minutes after midnight of "08:00-12:00"; the end may be 24:00. Raises ValueError with the remedy."""
    found = _SPAN.match(text)
    if not found:
        raise ValueError("hours are written as 'HH:MM-HH:MM', for example '08:00-17:30'")
    h1, m1, h2, m2 = (int(part) for part in found.groups())
    start, end = h1 * 60 + m1, h2 * 60 + m2
    if end > 24 * 60 or start >= 24 * 60:
        raise ValueError("a day ends at 24:00")
    if end <= start:
        raise ValueError(
            "the end comes before the start; write a night as two spans: '20:00-24:00' and '00:00-08:00'"
        )
    return start, end


def parse_spans(texts: tuple[str, ...]) -> tuple[Minutes, ...]:
    """All open spans of one day, in order. Raises ValueError if two of them overlap."""
    spans = tuple(sorted(parse_span(text) for text in texts))
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            raise ValueError("two spans of one day overlap; join them into one")
    return spans


def require_aware(at: datetime) -> datetime:
    """`at` in UTC. Raises ValueError for a naive time, which could be anybody's."""
    if at.utcoffset() is None:
        raise ValueError("an aware datetime is needed, with its time zone")
    return at.astimezone(UTC)


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """`week` holds the open spans of Monday to Sunday, `holidays` those of a weekday that is a public holiday.

    A Saturday or Sunday that `is_workday` says is worked (a make-up workday) keeps Monday's hours.
    """

    zone: ZoneInfo
    week: tuple[tuple[Minutes, ...], ...]
    holidays: tuple[Minutes, ...] = ()
    is_workday: IsWorkday
    # open spans in UTC of the days asked for so far: thousands of cases are judged on the same few weeks
    _days: dict[date, tuple[tuple[datetime, datetime], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def day_length(self) -> timedelta:
        """What one working day counts: the open time of the longest day from Monday to Friday, else of the week."""
        lengths = [sum(end - start for start, end in spans) for spans in self.week]
        return timedelta(minutes=max(lengths[:5]) or max(lengths))

    def spans_on(self, day: date) -> tuple[Minutes, ...]:
        """The open spans of one date, in minutes after local midnight."""
        weekday = day.weekday()
        if weekday < 5:
            return self.week[weekday] if self.is_workday(day) else self.holidays
        return self.week[0] if self.is_workday(day) else self.week[weekday]

    def is_open(self, at: datetime) -> bool:
        """Is `at` inside an open span? A span holds its start and not its end."""
        moment = require_aware(at)
        return any(start <= moment < end for start, end in self._open_from(moment, days=1))

    def next_open(self, at: datetime) -> datetime:
        """`at` itself if open then, else the next opening. Raises `NeverOpen`."""
        moment = require_aware(at)
        for start, end in self._open_from(moment):
            if end > moment:
                return max(start, moment).astimezone(at.tzinfo)
        raise NeverOpen("no open hours within the next year")

    def add_working_time(self, start: datetime, duration: timedelta) -> datetime:
        """The moment at which `duration` of open time has passed since `start`. Raises `NeverOpen`.

        No time at all is due at once, open or not; a duration that just fills a span ends at that span's end.
        """
        moment, left = require_aware(start), duration
        if left < timedelta(0):
            raise ValueError("a duration is not negative")
        if not left:
            return start
        whole_weeks = self._horizon(left)
        for begin, end in self._open_from(moment, days=whole_weeks):
            room = end - max(begin, moment)
            if room <= timedelta(0):
                continue
            if left <= room:
                return (max(begin, moment) + left).astimezone(start.tzinfo)
            left -= room
        raise NeverOpen("no open hours within the next year")

    def working_time_between(self, start: datetime, end: datetime) -> timedelta:
        """Open time from `start` to `end`; zero if `end` is not after `start`."""
        first, last = require_aware(start), require_aware(end)
        total = timedelta(0)
        if last <= first:
            return total
        for begin, finish in self._open_from(first, days=(last - first).days + 2):
            total += max(min(finish, last) - max(begin, first), timedelta(0))
        return total

    def _horizon(self, duration: timedelta) -> int:
        """Days enough for `duration`, counting each open day at its shortest, and a year of holidays on top."""
        shortest = min(
            (sum(e - s for s, e in spans) for spans in (*self.week, self.holidays) if spans), default=0
        )
        if not shortest:
            return 0
        return _HORIZON_DAYS + 7 * (int(duration.total_seconds() // 60) // shortest + 1)

    def _open_from(self, moment: datetime, days: int = _HORIZON_DAYS) -> Iterator[tuple[datetime, datetime]]:
        """Open spans in UTC of the local day that holds `moment` and of the `days` after it."""
        first = moment.astimezone(self.zone).date()
        for offset in range(days + 1):
            yield from self._opened_on(first + timedelta(days=offset))

    def _opened_on(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        known = self._days.get(day)
        if known is None:
            known = tuple(
                (self._moment(day, start), self._moment(day, end)) for start, end in self.spans_on(day)
            )
            self._days[day] = known
        return known

    def _moment(self, day: date, minutes: int) -> datetime:
        extra, rest = divmod(minutes, 24 * 60)
        wall = time(rest // 60, rest % 60)
        return datetime.combine(day + timedelta(days=extra), wall, tzinfo=self.zone).astimezone(UTC)
