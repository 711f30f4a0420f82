"""What will be composed, read before it is there."""

import hashlib
import random

import pytest

from cases.documents import StoredObject
from cases.errors import Quarantine
from cases.ports import Range
from workers.ranges import BLOCK, RangesSource, verified


class Kept:
    """Objects in memory that count what is read of them."""

    def __init__(self, **contents):
        self.contents = contents
        self.bytes_read = 0

    def read(self, stored, offset=0, length=None):
        self.bytes_read += length
        return self.contents[stored.key][offset : offset + length]


def stored(key, content):
    return StoredObject(
        zone="identified", key=key, size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )


@pytest.fixture
def kept():
    return Kept(a=random.Random(1).randbytes(5 * BLOCK + 77), b=random.Random(2).randbytes(3 * BLOCK + 5))


@pytest.fixture
def source(kept):
    a, b = (stored(key, kept.contents[key]) for key in "ab")
    return RangesSource(
        kept,
        [
            Range(stored=b, offset=7, length=100),
            Range(stored=a, offset=1000, length=4 * BLOCK),
            Range(stored=b, offset=BLOCK, length=2 * BLOCK),
        ],
    )


def whole(kept):
    a, b = kept.contents["a"], kept.contents["b"]
    return b[7:107] + a[1000 : 1000 + 4 * BLOCK] + b[BLOCK : 3 * BLOCK]


def test_it_reads_as_what_the_ranges_make_together(kept, source):
    expected, chance = whole(kept), random.Random(3)
    assert source.size == len(expected)
    assert source.read(0, source.size) == expected
    for _ in range(300):
        at = chance.randrange(source.size)
        length = chance.randrange(1, min(2 * BLOCK, source.size - at) + 1)
        assert source.read(at, length) == expected[at : at + length]


def test_neighbouring_small_reads_go_to_the_store_once(kept, source):
    for at in range(100, 100 + BLOCK, 512):
        source.read(at, 512)
    assert kept.bytes_read == BLOCK


def test_what_is_beyond_the_end_is_refused(source):
    with pytest.raises(Quarantine):
        source.read(source.size - 1, 2)


def digested(kept, *spans):
    content = kept.contents["a"]
    return [
        Range(
            stored=stored("a", content),
            offset=at,
            length=length,
            sha256=hashlib.sha256(content[at : at + length]).hexdigest(),
        )
        for at, length in spans
    ]


def test_ranges_are_held_against_their_digests_and_not_read_again(kept):
    ranges = digested(kept, (0, 300), (300, 5000), (5300, 100))

    held = verified(kept, ranges, 1000)

    assert set(held) == {ranges[0], ranges[2]}
    assert kept.bytes_read == 400
    source = RangesSource(kept, ranges, held)
    assert source.read(0, 300) == kept.contents["a"][:300]
    assert source.read(5300, 100) == kept.contents["a"][5300:5400]
    assert kept.bytes_read == 400


def test_a_range_that_is_another_than_it_was_is_refused(kept):
    ranges = digested(kept, (0, 300))
    kept.contents["a"] = b"x" + kept.contents["a"][1:]

    with pytest.raises(Quarantine) as found:
        verified(kept, ranges, 1000)
    assert found.value.code == "binding-broken"


def test_ranges_of_the_release_before_have_no_digests_and_are_read_as_they_are(kept, source):
    assert verified(kept, source._ranges, 1 << 30) == {}
