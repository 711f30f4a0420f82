"""The killable child: limits are enforced from outside, and what ends one child harms no other call."""

import pytest

from cases.errors import Quarantine, Transient
from tests.workers import deeds
from workers.child import Child


@pytest.fixture(scope="module")
def child():
    child = Child()
    yield child
    child.close()


@pytest.mark.parametrize("deed", [deeds.never_return, deeds.want_memory, deeds.crash])
def test_what_breaks_a_limit_is_a_quarantine_and_the_next_call_is_served(child, deed):
    with pytest.raises(Quarantine, match="read-limit"):
        child.run_for(3.0, deed)
    assert child.run(deeds.add, 1, 2) == 3


def test_a_child_that_was_stopped_with_its_process_is_no_fault_of_the_file(child):
    with pytest.raises(Transient):
        child.run_for(60.0, deeds.be_stopped)
    assert child.run(deeds.add, 2, 2) == 4


def test_an_error_of_ours_crosses_the_border_with_its_reason(child):
    with pytest.raises(Quarantine, match="uid-conflict") as raised:
        child.run(raise_conflict)
    assert raised.value.code == "uid-conflict"


def raise_conflict() -> None:
    raise Quarantine("uid-conflict", "two files")
