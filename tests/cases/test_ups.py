"""Work items as Unified Procedure Steps: UIDs that lead back, and the standard's table of what may be asked when."""

from uuid import UUID, uuid4

import pytest

from cases.states import WORK_ITEM_STATES
from cases.ups import OUTCOMES, TABLE, is_uid, outcome, uid_of, work_item_of

OWN, OTHER = "1.2.3", "1.2.4"


@pytest.mark.parametrize("work_item", [uuid4(), UUID(int=0), UUID(int=(1 << 128) - 1)])
def test_a_uid_leads_back_to_its_work_item(work_item):
    uid = uid_of(work_item)
    assert is_uid(uid)
    assert work_item_of(uid) == work_item


@pytest.mark.parametrize(
    "uid", ["", "2.25.", "2.25.01", "2.25.-1", "1.2.3", f"2.25.{1 << 128}", "2.25.1.1", "2.25.1 "]
)
def test_another_uid_is_no_work_items(uid):
    assert work_item_of(uid) is None


def test_every_cell_of_the_table_has_an_answer():
    assert {(asked, right) for asked, right, _ in TABLE} == {
        (asked, right) for asked in (*WORK_ITEM_STATES, "cancel request", "update") for right in (True, False)
    }
    assert set(TABLE.values()) < set(OUTCOMES)
    assert all((code == "done") == (not answer.warning) for code, answer in OUTCOMES.items())


# state, transaction UID of the claim, of the request | what a change to COMPLETED gives
@pytest.mark.parametrize(
    ("state", "kept", "given", "code"),
    [
        ("IN PROGRESS", OWN, OWN, "done"),
        ("IN PROGRESS", OWN, OTHER, "C301"),
        ("IN PROGRESS", OWN, "", "C301 missing"),
        ("IN PROGRESS", None, OTHER, "C301"),  # held at a page
        ("IN PROGRESS", None, "", "C301 missing"),
        ("COMPLETED", OWN, OWN, "B306"),
        ("COMPLETED", None, OTHER, "C301"),
        ("SCHEDULED", None, OTHER, "C310"),
        ("CANCELED", None, OTHER, "C300"),
    ],
)
def test_the_transaction_uid_of_the_claim_alone_is_right(state, kept, given, code):
    assert outcome("COMPLETED", state, given, kept) == code
