"""What is kept in memory: never more than told, and made once for all who ask."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from storage.kept import Kept


def test_values_weigh_no_more_than_they_may_and_the_longest_unused_goes_first():
    kept = Kept[bytes](100, len)
    for name in "abc":
        kept.made(name, lambda: bytes(30))
    assert kept.get("a") == bytes(30)  # used again
    kept.made("d", lambda: bytes(30))
    assert (kept.get("b"), kept.weight) == (None, 90)
    assert [name for name in "acd" if kept.get(name) is None] == []


def test_there_are_no_more_values_than_told():
    kept = Kept[str](1000, len, most=3)
    for number in range(10):
        kept.made(number, lambda: "x")
    assert (len(kept), kept.weight) == (3, 3)


def test_what_is_heavier_than_everything_may_be_is_given_and_not_kept():
    kept = Kept[bytes](10, len)
    assert kept.made("large", lambda: bytes(11)) == bytes(11)
    assert (len(kept), kept.weight) == (0, 0)


def test_what_many_ask_for_at_once_is_made_once():
    kept, made, go = Kept[str](100, len), [], threading.Event()

    def make():
        go.wait(20)
        made.append(1)
        return "value"

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(kept.made, "key", make) for _ in range(8)]
        go.set()
        assert {each.result() for each in asked} == {"value"}
    assert len(made) == 1


def test_a_failure_goes_to_whoever_waits_and_is_forgotten():
    kept = Kept[str](100, len)

    def fail():
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        kept.made("key", fail)
    assert kept.made("key", lambda: "there again") == "there again"


def test_under_many_hands_the_weight_stays_that_of_what_is_kept():
    kept = Kept[bytes](500, len, most=20)

    def work(seed):
        for number in range(300):
            kept.made((seed * number) % 70, partial(bytes, number % 60))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(1, 7)))
    there = [value for key in range(70) if (value := kept.get(key)) is not None]
    assert kept.weight == sum(map(len, there)) <= 500
    assert len(kept) <= 20
