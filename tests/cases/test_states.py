"""Every state and event of every machine."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases.errors import NotAllowed
from cases.stages import STAGES
from cases.states import BEFORE, CASE, CASE_ENDED, CASE_OPEN, CASE_STATES, MACHINES, advance

# What must happen, written down a second time and in another shape: machine -> state -> "event>state ...".
EXPECTED: dict[str, dict[str, str]] = {
    "case": {
        "received": "preprocessed>preprocessed asked>awaiting_clinic rejected>rejected quarantined>quarantined "
        "cancelled>cancelled",
        "preprocessed": "deidentified>deidentified asked>awaiting_clinic rejected>rejected quarantined>quarantined "
        "cancelled>cancelled",
        "deidentified": "routed>routed quarantined>quarantined cancelled>cancelled",
        "routed": "delivered>delivered quarantined>quarantined cancelled>cancelled",
        "delivered": "claimed>in_reading declined>deidentified asked>awaiting_clinic quarantined>quarantined "
        "cancelled>cancelled",
        "in_reading": "preliminary>in_reading discrepancy>in_reading reported>reported released>delivered "
        "lease_expired>delivered declined>deidentified asked>awaiting_clinic quarantined>quarantined "
        "cancelled>cancelled",
        "reported": "returned>returned addendum>reported correction>reported quarantined>quarantined",
        "returned": "acknowledged>acknowledged addendum>reported correction>reported",
        "acknowledged": "addendum>reported correction>reported",
        "awaiting_clinic": "answered>received rejected>rejected cancelled>cancelled",
        "quarantined": "replayed>*before* rejected>rejected cancelled>cancelled",
        "rejected": "",
        "cancelled": "",
    },
    "work item": {
        "SCHEDULED": "claim>IN-PROGRESS cancel>CANCELED",
        "IN PROGRESS": "complete>COMPLETED cancel>CANCELED",
        "COMPLETED": "",
        "CANCELED": "",
    },
    "report": {
        "registered": "preliminary>preliminary sign>final cancel>cancelled",
        "preliminary": "preliminary>preliminary sign>final cancel>cancelled",
        "final": "amend>amended correct>corrected append>appended retract>entered-in-error",
        "amended": "amend>amended correct>corrected append>appended retract>entered-in-error",
        "corrected": "amend>amended correct>corrected append>appended retract>entered-in-error",
        "appended": "amend>amended correct>corrected append>appended retract>entered-in-error",
        "cancelled": "",
        "entered-in-error": "",
    },
    "critical finding": {
        "raised": "notify>notified",
        "notified": "notify>notified read_back>read_back",
        "read_back": "close>closed",
        "closed": "",
    },
    "drop": {
        "arriving": "completed>complete rejected>rejected quarantined>quarantined",
        "complete": "received>received rejected>rejected quarantined>quarantined",
        "received": "",
        "rejected": "",
        "quarantined": "replayed>complete reopened>arriving rejected>rejected",
    },
}


def _expected(machine: str, state: str, event: str) -> str | None:
    moves = dict(move.split(">") for move in EXPECTED[machine][state].split())
    target = moves.get(event)
    return target.replace("IN-PROGRESS", "IN PROGRESS") if target else None


PAIRS = [
    (machine, state, event)
    for machine, (states, table) in MACHINES.items()
    for state, event in product(states, sorted({event for _, event in table}))
]


@pytest.mark.parametrize(("machine", "state", "event"), PAIRS, ids=["/".join(pair) for pair in PAIRS])
def test_each_event_leads_where_it_must_or_is_refused(machine: str, state: str, event: str) -> None:
    expected = _expected(machine, state, event)
    if expected is None:
        with pytest.raises(NotAllowed, match=f"a {machine} that is {state} cannot be {event}; possible: "):
            advance(machine, state, event, before="received")
    elif expected == BEFORE:
        for before in CASE_OPEN:
            assert advance(machine, state, event, before=before) == before
        with pytest.raises(NotAllowed):
            advance(machine, state, event)
    else:
        assert advance(machine, state, event) == expected


def test_the_machines_and_their_states_are_exactly_the_expected_ones() -> None:
    assert {name: set(states) for name, (states, _) in MACHINES.items()} == {
        name: set(states) for name, states in EXPECTED.items()
    }


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_can_be_reached_from_the_first(machine: str) -> None:
    states, table = MACHINES[machine]
    reached, before = {states[0]}, set[str]()
    while reached != before:
        before = set(reached)
        reached |= {to for (at, _), to in table.items() if at in reached and to != BEFORE}
    assert reached == set(states)


def test_every_stage_turns_the_state_it_runs_in_into_one_that_the_next_stage_runs_in() -> None:
    for stage in STAGES.values():
        if stage.runs_in is None or stage.event is None:
            continue
        state = advance("case", stage.runs_in, stage.event)
        if stage.next is not None:
            assert STAGES[stage.next].runs_in == state


def test_every_open_case_can_come_to_rest() -> None:
    rest: set[str] = set(CASE_ENDED)
    for _ in CASE_STATES:
        rest |= {at for (at, _), to in CASE.items() if to in rest}
    assert set(CASE_STATES) <= rest


@given(st.lists(st.sampled_from(sorted({event for _, event in CASE})), max_size=40))
def test_a_rejected_or_cancelled_case_never_moves_again(events: list[str]) -> None:
    state, before = "received", "received"
    for event in events:
        was = state
        try:
            state = advance("case", state, event, before=before)
        except NotAllowed:
            continue
        assert was not in ("rejected", "cancelled")
        assert state in CASE_STATES
        if state == "quarantined":
            before = was
