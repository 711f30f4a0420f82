"""Why a case waits, in words, for every state and every situation of its next step."""

import re

import pytest

from cases.reasons import REASONS
from cases.states import CASE_STATES
from cases.waiting import SITUATIONS, WAITING, waits_for


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("state", CASE_STATES)
def test_every_state_has_words_in_both_languages_in_every_situation(state, situation):
    reason = "label-unreadable" if state in ("awaiting_clinic", "quarantined", "rejected") else None
    english, chinese = waits_for(state, situation, reason_code=reason, partner=("Yinzhou No. 2", "鄞州二院"))
    assert re.match(r"^[A-Z].+\.$", english), english
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert not re.search(r"[{}]", english + chinese)


@pytest.mark.parametrize("code", sorted(REASONS))
def test_a_case_that_was_sent_back_says_what_and_what_to_do(code):
    english, chinese = waits_for("rejected", reason_code=code)
    assert REASONS[code].what in english
    assert REASONS[code].back_zh in chinese


def test_no_row_of_the_table_names_a_state_or_situation_that_there_is_not():
    assert {state for state, _ in WAITING} <= {*CASE_STATES, "*"}
    assert {situation for _, situation in WAITING} <= set(SITUATIONS)
