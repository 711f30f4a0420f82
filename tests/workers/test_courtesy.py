"""A bulk worker waits while stat work is due anywhere in the region, and for no other reason, and not for ever."""

import threading
import time

import pytest

from storage import drops, runs
from tests.servers.server import until
from workers import courtesy
from workers.courtesy import Courtesy


@pytest.fixture
def start(rows):
    started = []

    def start() -> Courtesy:
        asking = Courtesy(rows)
        asking.start()
        started.append(asking)
        return asking

    yield start
    for asking in started:
        asking.stop()


def add(rows, case_id: str, priority: str, *, delay: float = 0) -> None:
    with rows.transaction() as connection:
        runs.add(
            connection,
            case_id=case_id,
            stage="preprocess",
            case_version=1,
            family="slides",
            priority=priority,
            clinic="a",
            delay=delay,
        )


def end(rows, case_id: str) -> None:
    run = runs.claim(rows, case_id=case_id, stage="preprocess", case_version=1, owner="w")
    assert run is not None
    with rows.transaction() as connection:
        assert runs.end(connection, run, "done")


def seconds_of(asking: Courtesy) -> float:
    started = time.monotonic()
    asking()
    return time.monotonic() - started


def until_held(asking: Courtesy) -> None:
    until(lambda: not asking._go.is_set(), what="the hold")


def test_nobody_waits_while_only_routine_work_is_due(rows, start):
    asking = start()
    add(rows, "ROUT-INE1", "routine")
    add(rows, "STAT-LATR", "stat", delay=3600)  # it waits for something else: a partner that is away
    until_looked_twice = time.monotonic() + 2 * courtesy.LOOK_WORKING
    while time.monotonic() < until_looked_twice:
        assert seconds_of(asking) < 0.04, "less than the shortest hold"


def test_bulk_work_waits_until_the_stat_work_has_ended(rows, start):
    asking = start()
    add(rows, "STAT-CAS1", "stat")
    until_held(asking)
    passed = threading.Event()

    def work() -> None:
        asking()
        passed.set()

    threading.Thread(target=work, daemon=True).start()
    assert not passed.wait(0.3)
    end(rows, "STAT-CAS1")
    assert passed.wait(2)


def held_for_a_hint(rows, asking) -> bool:
    with rows.transaction() as connection:
        drops.hint(connection, "jiangshan", "jiangshan/x/")
    return not asking._go.is_set()


def test_a_hint_of_a_new_drop_holds_bulk_work_until_somebody_has_looked(rows, start):
    asking = start()
    until(lambda: held_for_a_hint(rows, asking), what="a hold for a hint")
    assert courtesy.HINT / 3 < seconds_of(asking) < courtesy.HINT * 4


def test_a_flood_of_stat_work_slows_bulk_work_and_does_not_stop_it(rows, start, monkeypatch):
    monkeypatch.setattr(courtesy, "CREDIT", 0.5)
    asking = start()
    add(rows, "STAT-CAS2", "stat")
    until_held(asking)
    assert seconds_of(asking) < 2  # it has not ended, and the credit is used up


def test_nobody_waits_while_the_database_cannot_be_asked(start, rows, postgres):
    asking = start()
    add(rows, "STAT-CAS3", "stat")
    until_held(asking)
    postgres.kill()
    until(asking._go.is_set, seconds=5, what="the end of the hold")
    assert seconds_of(asking) < 0.1
