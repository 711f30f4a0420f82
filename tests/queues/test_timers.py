"""The region's duties: by the clock, soon after a notice, by one leader, and whatever one of them does to itself."""

import threading
import time

import pytest

from queues.timers import Duty, Timers
from tests.servers.server import until


def notify(rows, payload):
    with rows.transaction() as connection:
        connection.execute("SELECT pg_notify('inbox', %s)", (payload,))


@pytest.fixture
def start(rows):
    running = []

    def start(*duties):
        timers = Timers(rows, duties, retry=0.05)
        timers.start()
        running.append(timers)
        return timers

    yield start
    for timers in running:
        timers.stop()


def test_a_duty_is_done_at_its_time_again_and_again(start):
    times = []
    start(Duty("often", 0.05, lambda _: times.append(time.monotonic())))
    until(lambda: len(times) >= 4, what="four times")


def test_a_notice_is_heard_within_a_second_with_its_payload(rows, start):
    heard: list[str] = []
    start(Duty("inbox", 3600, heard.append, channel="inbox"))
    until(lambda: heard == [""], what="the first time by the clock")
    told = time.monotonic()
    notify(rows, "jiangshan")
    until(lambda: heard == ["", "jiangshan"], what="the notice")
    assert time.monotonic() - told < 1


def test_a_flood_of_notices_is_answered_a_few_times_and_the_last_one_too(rows, start):
    heard: list[tuple[str, float]] = []

    def slow(payload):
        heard.append((payload, time.monotonic()))
        threading.Event().wait(0.1)

    start(Duty("inbox", 3600, slow, channel="inbox"))
    until(lambda: len(heard) > 0, what="the first time by the clock")
    for _ in range(100):
        notify(rows, "jiangshan")
    last = time.monotonic()
    until(lambda: heard[-1][1] >= last, what="an answer after the last notice")
    assert len(heard) <= 20


def test_a_duty_that_fails_is_tried_again_and_hinders_no_other(start):
    tried: list[int] = []
    done: list[str] = []

    def fail(_payload):
        tried.append(1)
        raise RuntimeError("a defect")

    start(Duty("fails", 0.05, fail), Duty("works", 0.05, done.append))
    until(lambda: len(tried) >= 2 and len(done) >= 2, what="both, twice")


def test_only_one_process_does_the_duties_and_another_takes_over(start):
    first: list[str] = []
    second: list[str] = []
    leader = start(Duty("d", 0.05, first.append))
    until(lambda: len(first) >= 1, what="the leader's first")
    start(Duty("d", 0.05, second.append))
    before = len(first)
    until(lambda: len(first) > before + 2, what="the leader goes on")
    assert second == []
    leader.stop()
    until(lambda: len(second) >= 1, what="the other takes over")
