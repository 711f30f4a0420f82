"""Legs and service levels, from logs of milestones."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases.errors import NotAllowed
from cases.milestones import AS_BEFORE, AT_REST, GOES_ON, MILESTONES, Milestone
from cases.network import Hours, ServiceLevel
from cases.states import BEFORE, CASE, CASE_ENDED, CASE_STATES, advance
from cases.turnaround import LEG_OF_STATE, LEGS, MEASURES, expected_due, judge, legs, percentile, visits
from teledx.workdays import is_chinese_workday

START = datetime(2026, 10, 12, 1, 0, tzinfo=UTC)  # Monday 09:00 in Ningbo
OFFICE = Hours(weekdays=("08:00-12:00", "13:00-17:00")).calendar("Asia/Shanghai", is_chinese_workday)
HALF_HOUR = ServiceLevel(id="stat", within="30m", clock="wall", measures="turnaround")
FOUR_HOURS = ServiceLevel(id="routine", within="4h", clock="working", measures="turnaround")
ONE_DAY = ServiceLevel(id="reading", within="1d", clock="working", measures="reading")


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def log(*events: tuple[str, float]) -> list[Milestone]:
    """A log from (event, minutes after START), with the states that the case's machine gives."""
    state, before, rows = "received", "received", []
    for event, after in events:
        if event in {e for _, e in CASE}:
            was, state = state, advance("case", state, event, before=before)
            before = was if state in ("quarantined", "awaiting_clinic") else before
        rows.append(Milestone(name=event, state=state, at=START + minutes(after)))
    return rows


STRAIGHT = log(
    ("dropped", -1), ("received", 0), ("receipt_issued", 0.5), ("preprocessed", 2), ("deidentified", 5), ("routed", 6),
    ("delivered", 8), ("claimed", 12), ("reported", 22), ("returned", 23), ("acknowledged", 50),
)  # fmt: skip


def test_the_legs_of_a_straight_case() -> None:
    assert legs(STRAIGHT, START + minutes(999)) == {
        "receipt": minutes(1),
        "preprocess": minutes(2),
        "deidentify": minutes(3),
        "route": minutes(1),
        "deliver": minutes(2),
        "worklist": minutes(4),
        "reading": minutes(10),
        "return": minutes(1),
        "acknowledgement": minutes(27),
    }


def test_a_leg_is_the_sum_of_its_visits() -> None:
    twice = log(
        ("received", 0), ("preprocessed", 1), ("deidentified", 2), ("routed", 3), ("delivered", 4), ("claimed", 10),
        ("released", 15), ("claimed", 20), ("declined", 27), ("routed", 28), ("delivered", 30), ("claimed", 31),
        ("reported", 41), ("returned", 42), ("addendum", 100), ("returned", 103),
    )  # fmt: skip
    found = legs(twice, START + minutes(110))
    assert found["worklist"] == minutes(6 + 5 + 1)
    assert found["reading"] == minutes(5 + 7 + 10)
    assert found["route"] == minutes(1 + 1)
    assert found["return"] == minutes(1 + 3)
    assert found["acknowledgement"] == minutes(58 + 7)


def test_quarantine_and_the_clinics_answer_are_legs_of_their_own() -> None:
    aside = log(
        ("received", 0), ("preprocessed", 1), ("quarantined", 3), ("replayed", 60), ("deidentified", 62),
        ("routed", 63), ("delivered", 64), ("asked", 70), ("answered", 100), ("preprocessed", 101),
    )  # fmt: skip
    found = legs(aside, START + minutes(105))
    assert found["quarantine"] == minutes(57)
    assert found["deidentify"] == minutes(2 + 2 + 4)
    assert found["clinic"] == minutes(30)


def test_the_leg_that_lasts_is_counted_until_now() -> None:
    stays = visits(STRAIGHT[:8], START + minutes(20))
    assert (stays[-1].leg, stays[-1].end) == ("reading", None)
    assert legs(STRAIGHT[:8], START + minutes(20))["reading"] == minutes(8)


def test_a_clock_that_runs_behind_makes_no_negative_time() -> None:
    skewed = log(("received", 0), ("preprocessed", 2), ("deidentified", 1), ("routed", 3))
    found = legs(skewed, START + minutes(3))
    assert found["deidentify"] == timedelta(0)
    assert sum(found.values(), timedelta(0)) == minutes(3)


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted({event for _, event in CASE})), st.integers(0, 90)), max_size=60
    ),
    st.integers(0, 1000),
)
def test_the_legs_of_any_case_add_up_to_its_whole_open_time(
    steps: Sequence[tuple[str, int]], later: int
) -> None:
    state, before, clock = "received", "received", 0
    rows = [Milestone(name="received", state=state, at=START)]
    resting = 0
    for event, pause in steps:
        was = state
        try:
            state = advance("case", state, event, before=before)
        except NotAllowed:
            continue
        before = was if state in ("quarantined", "awaiting_clinic") else before
        clock += pause
        resting += pause if was in CASE_ENDED else 0
        rows.append(Milestone(name=event, state=state, at=START + minutes(clock)))
    now = clock + later
    resting += later if state in CASE_ENDED else 0
    assert sum(legs(rows, START + minutes(now)).values(), timedelta(0)) == minutes(now - resting)


def test_a_case_back_in_time_has_met_its_level() -> None:
    judged = judge(HALF_HOUR, STRAIGHT, START + minutes(500), OFFICE)
    assert (judged.standing, judged.breached, judged.used) == ("met", False, minutes(23))
    assert judged.due_at == START + minutes(30)


def test_a_case_back_too_late_has_missed_it_and_keeps_the_time_it_was_due() -> None:
    late = [*STRAIGHT[:9], Milestone(name="returned", state="returned", at=START + minutes(31))]
    judged = judge(HALF_HOUR, late, START + minutes(500), OFFICE)
    assert (judged.standing, judged.breached, judged.due_at) == ("missed", True, START + minutes(30))


def test_an_open_case_is_breached_once_its_time_is_up() -> None:
    reading = STRAIGHT[:8]
    before, after = (judge(HALF_HOUR, reading, START + minutes(m), OFFICE) for m in (30, 30.1))
    assert (before.standing, before.breached) == ("running", False)
    assert (after.standing, after.breached) == ("overdue", True)
    assert before.due_at == after.due_at == START + minutes(30)


def test_the_clock_stands_while_the_clinic_is_asked() -> None:
    asked = log(("received", 0), ("asked", 10), ("answered", 500), ("preprocessed", 505))
    waiting = judge(HALF_HOUR, asked[:2], START + minutes(400), OFFICE)
    assert (waiting.standing, waiting.due_at, waiting.used) == ("paused", None, minutes(10))
    going_on = judge(HALF_HOUR, asked, START + minutes(506), OFFICE)
    assert (going_on.standing, going_on.due_at) == ("running", START + minutes(520))


def test_a_case_that_was_late_already_stays_due_when_it_was() -> None:
    late = log(("received", 0), ("asked", 40), ("answered", 500), ("preprocessed", 505))
    for rows, now in ((late[:2], 400), (late, 506)):
        judged = judge(HALF_HOUR, rows, START + minutes(now), OFFICE)
        assert (judged.standing, judged.due_at) == ("overdue", START + minutes(30))


def test_a_clock_ahead_of_ours_makes_no_negative_time() -> None:
    assert legs(log(("received", 5)), START) == {"preprocess": timedelta(0)}


def test_the_clock_runs_in_quarantine() -> None:
    aside = log(("received", 0), ("quarantined", 1))
    assert judge(HALF_HOUR, aside, START + minutes(40), OFFICE).standing == "overdue"


def test_an_addendum_after_the_return_does_not_make_a_met_level_missed() -> None:
    added = log(
        ("received", 0), ("preprocessed", 1), ("deidentified", 2), ("routed", 3), ("delivered", 4), ("claimed", 10),
        ("reported", 20), ("returned", 21), ("acknowledged", 22), ("addendum", 5000), ("returned", 6000),
    )  # fmt: skip
    judged = judge(HALF_HOUR, added, START + minutes(9000), OFFICE)
    assert (judged.standing, judged.used) == ("met", minutes(21))


def test_a_withdrawn_case_is_not_late() -> None:
    gone = log(("received", 0), ("cancelled", 90))
    judged = judge(HALF_HOUR, gone, START + minutes(900), OFFICE)
    assert (judged.standing, judged.breached, judged.due_at) == ("void", False, None)


def test_working_hours_count_where_the_level_says_so() -> None:
    evening = log(("received", 7 * 60))  # 16:00 in Ningbo
    assert judge(FOUR_HOURS, evening, START + minutes(421), OFFICE).due_at == datetime(
        2026, 10, 13, 3, 0, tzinfo=UTC
    )
    next_morning = judge(FOUR_HOURS, evening, datetime(2026, 10, 13, 2, 0, tzinfo=UTC), OFFICE)
    assert (next_morning.standing, next_morning.used) == ("running", timedelta(hours=3))


def test_a_level_on_the_reading_begins_on_the_worklist_and_ends_with_the_signature() -> None:
    assert judge(ONE_DAY, STRAIGHT[:6], START + minutes(7), OFFICE).standing == "not-begun"
    judged = judge(ONE_DAY, STRAIGHT, START + minutes(999), OFFICE)
    assert (judged.standing, judged.used) == ("met", minutes(14))
    assert judged.due_at == START + timedelta(days=1, minutes=8)


def test_before_the_clock_begins_the_expected_due_time_is_counted_from_now() -> None:
    now = START + minutes(7)
    assert expected_due(ONE_DAY, STRAIGHT[:6], now, OFFICE) == now + timedelta(days=1)
    assert expected_due(HALF_HOUR, (), now, OFFICE) == now + minutes(30)
    asked = log(("received", 0), ("asked", 10))
    assert expected_due(HALF_HOUR, asked, START + minutes(400), OFFICE) == START + minutes(420)
    assert expected_due(HALF_HOUR, STRAIGHT[:6], now, OFFICE) == START + minutes(30)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 2.5), (0.9, 3.7), (0.95, 3.85), (1.0, 4)])
def test_percentiles_are_those_of_percentile_cont(share: float, expected: float) -> None:
    found = percentile([minutes(m) for m in (4, 1, 3, 2)], share)
    assert found is not None
    assert abs(found - minutes(expected)) < timedelta(milliseconds=1)


def test_there_is_no_percentile_of_nothing_and_none_outside_zero_to_one() -> None:
    assert percentile([], 0.5) is None
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile([minutes(1)], 95)


@pytest.mark.parametrize("pair", sorted(CASE), ids="/".join)
def test_every_event_of_a_case_is_a_milestone_that_starts_the_leg_of_the_state_it_leads_to(
    pair: tuple[str, str],
) -> None:
    state, event = pair
    target, starts = CASE[pair], MILESTONES[event].starts
    if target == BEFORE:
        assert starts == AS_BEFORE
    elif target in CASE_ENDED:
        assert starts == AT_REST
    elif starts is GOES_ON:
        assert target == state
    else:
        assert starts == LEG_OF_STATE[target]


def test_every_state_is_at_rest_or_one_leg() -> None:
    assert set(LEG_OF_STATE) == set(CASE_STATES) - set(CASE_ENDED)
    assert {leg for measured in MEASURES.values() for leg in measured.legs} <= set(LEGS)
    assert {kind.starts for kind in MILESTONES.values()} <= {*LEGS, GOES_ON, AS_BEFORE, AT_REST}


def test_every_milestone_and_leg_is_told_in_both_languages() -> None:
    for kind in MILESTONES.values():
        assert kind.what.isascii()
        assert not kind.what_zh.isascii()
    assert all(leg.name.isascii() and not leg.name_zh.isascii() for leg in LEGS.values())
