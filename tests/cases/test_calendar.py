"""Working time, on real Chinese working days."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases.calendar import Calendar, NeverOpen, monday_to_friday, parse_spans
from cases.network import Hours
from teledx.workdays import is_chinese_workday

SHANGHAI = ZoneInfo("Asia/Shanghai")
OFFICE = Hours(weekdays=("08:00-12:00", "13:00-17:00")).calendar("Asia/Shanghai", is_chinese_workday)
WITH_SATURDAY = Hours(
    weekdays=("08:00-17:00",), saturday=("08:00-12:00",), holidays=("09:00-11:00",)
).calendar("Asia/Shanghai", is_chinese_workday)
ALWAYS = Hours(always=True).calendar("Asia/Shanghai", is_chinese_workday)
NEVER = Hours().calendar("Asia/Shanghai", is_chinese_workday)


def at(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


# start, hours, due: 2026-10-01 to 07 is the National Day holiday, Saturday 2026-10-10 is worked in its place
DUE = [
    ("2026-10-12 09:00", 2, "2026-10-12 11:00"),
    ("2026-10-12 11:00", 2, "2026-10-12 14:00"),
    ("2026-10-12 12:30", 1, "2026-10-12 14:00"),
    ("2026-10-12 08:00", 4, "2026-10-12 12:00"),
    ("2026-10-12 16:00", 2, "2026-10-13 09:00"),
    ("2026-10-16 16:00", 2, "2026-10-19 09:00"),
    ("2026-09-30 16:00", 2, "2026-10-08 09:00"),
    ("2026-10-09 16:00", 4, "2026-10-10 11:00"),
    ("2026-10-10 16:00", 4, "2026-10-12 11:00"),
    ("2026-10-03 03:00", 8, "2026-10-08 17:00"),
    ("2026-10-12 10:00", 80, "2026-10-26 10:00"),
]


@pytest.mark.parametrize(("start", "hours", "due"), DUE)
def test_working_time_skips_nights_weekends_and_holidays_but_not_make_up_workdays(
    start: str, hours: int, due: str
) -> None:
    assert OFFICE.add_working_time(at(start), timedelta(hours=hours)) == at(due)


@pytest.mark.parametrize(("start", "hours", "due"), DUE)
def test_working_time_between_is_what_was_added(start: str, hours: int, due: str) -> None:
    assert OFFICE.working_time_between(at(start), at(due)) == timedelta(hours=hours)
    assert OFFICE.working_time_between(at(due), at(start)) == timedelta(0)


def test_the_answer_does_not_depend_on_the_zone_of_the_question() -> None:
    start = at("2026-10-12 16:00").astimezone(UTC)
    due = OFFICE.add_working_time(start, timedelta(hours=2))
    assert due == at("2026-10-13 09:00")
    assert due.tzinfo is UTC


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-10-12 08:00", True),
        ("2026-10-12 12:00", False),
        ("2026-10-12 07:59", False),
        ("2026-10-10 09:30", True),  # a worked Saturday keeps Monday's hours
        ("2026-10-10 15:30", True),
        ("2026-10-17 09:30", True),
        ("2026-10-17 15:30", False),
        ("2026-10-18 09:30", False),
        ("2026-10-01 09:30", True),  # holidays have hours of their own
        ("2026-10-01 14:30", False),
    ],
)
def test_open_hours_are_those_of_the_kind_of_day(moment: str, open_: bool) -> None:
    calendar = WITH_SATURDAY if "12:00" not in moment else OFFICE
    assert calendar.is_open(at(moment)) is open_


def test_next_open_is_now_if_open_else_the_next_span() -> None:
    assert OFFICE.next_open(at("2026-10-12 09:17")) == at("2026-10-12 09:17")
    assert OFFICE.next_open(at("2026-10-12 12:00")) == at("2026-10-12 13:00")
    assert OFFICE.next_open(at("2026-09-30 17:00")) == at("2026-10-08 08:00")


def test_round_the_clock_is_wall_time() -> None:
    start = at("2026-10-01 23:59")
    assert ALWAYS.add_working_time(start, timedelta(hours=30)) == start + timedelta(hours=30)
    assert ALWAYS.is_open(start)
    assert ALWAYS.working_time_between(start, start + timedelta(days=9)) == timedelta(days=9)


def test_a_calendar_that_never_opens_says_so() -> None:
    with pytest.raises(NeverOpen):
        NEVER.next_open(at("2026-10-12 09:00"))
    with pytest.raises(NeverOpen):
        NEVER.add_working_time(at("2026-10-12 09:00"), timedelta(minutes=1))
    assert not NEVER.is_open(at("2026-10-12 09:00"))


def test_one_working_day_is_the_longest_day_of_the_week() -> None:
    assert OFFICE.day_length == timedelta(hours=8)
    assert Hours(saturday=("10:00-12:00",)).calendar("UTC", monday_to_friday).day_length == timedelta(hours=2)


def test_a_weekday_may_have_hours_of_its_own() -> None:
    calendar = Hours(weekdays=("08:00-17:00",), tuesday=("12:00-14:00",), friday=()).calendar(
        "Asia/Shanghai", is_chinese_workday
    )
    assert calendar.add_working_time(at("2026-10-12 17:00"), timedelta(hours=2)) == at("2026-10-13 14:00")
    assert not calendar.is_open(at("2026-10-16 09:00"))


def test_a_naive_time_is_refused() -> None:
    naive = datetime(2026, 10, 12, 9, 0)  # noqa: DTZ001
    for ask in (OFFICE.is_open, OFFICE.next_open, lambda t: OFFICE.add_working_time(t, timedelta(hours=1))):
        with pytest.raises(ValueError, match="aware"):
            ask(naive)


def test_a_negative_duration_is_refused_and_no_time_is_due_at_once() -> None:
    start = at("2026-10-12 02:00")
    assert OFFICE.add_working_time(start, timedelta(0)) == start
    with pytest.raises(ValueError, match="negative"):
        OFFICE.add_working_time(start, timedelta(seconds=-1))


def test_a_change_of_the_clocks_neither_adds_nor_loses_time() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    night = Hours(always=True).calendar("Europe/Berlin", monday_to_friday)
    before = at("2026-10-24 23:00", berlin)  # the clocks go back at 03:00 on the 25th
    assert night.working_time_between(before, at("2026-10-25 12:00", berlin)) == timedelta(hours=14)
    assert night.add_working_time(before, timedelta(hours=14)) == at("2026-10-25 12:00", berlin)
    forward = at("2026-03-28 23:30", berlin)  # and go forward at 02:00 on the 29th
    assert night.working_time_between(forward, at("2026-03-30 00:25", berlin)) == timedelta(
        hours=23, minutes=55
    )


@pytest.mark.parametrize(
    ("spans", "remedy"),
    [
        (("8-12",), "HH:MM-HH:MM"),
        (("08:00-25:00",), "HH:MM-HH:MM"),
        (("08:00-24:30",), "24:00"),
        (("22:00-06:00",), "20:00-24:00"),
        (("09:00-09:00",), "two spans"),
        (("08:00-12:00", "11:00-13:00"), "overlap"),
    ],
)
def test_hours_that_make_no_sense_are_refused_with_a_remedy(spans: tuple[str, ...], remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        parse_spans(spans)


def test_a_year_without_a_decree_counts_monday_to_friday() -> None:
    assert is_chinese_workday(date(2026, 10, 10))
    assert not is_chinese_workday(date(2026, 10, 1))
    assert is_chinese_workday(date(2100, 1, 1)) is (date(2100, 1, 1).weekday() < 5)


moments = st.datetimes(datetime(2025, 1, 1), datetime(2026, 6, 30), timezones=st.just(SHANGHAI))  # noqa: DTZ001
durations = st.timedeltas(timedelta(0), timedelta(days=12))
calendars = st.sampled_from([OFFICE, WITH_SATURDAY, ALWAYS])


@given(calendars, moments, durations)
def test_adding_and_measuring_are_inverse(calendar: Calendar, start: datetime, duration: timedelta) -> None:
    assert calendar.working_time_between(start, calendar.add_working_time(start, duration)) == duration


@given(calendars, moments, durations, durations)
def test_working_time_adds_up_over_any_middle(
    calendar: Calendar, start: datetime, one: timedelta, two: timedelta
) -> None:
    middle, end = start + one, start + one + two
    parts = calendar.working_time_between(start, middle) + calendar.working_time_between(middle, end)
    assert parts == calendar.working_time_between(start, end)
    assert parts <= end - start
