"""Objects read by ranges through blocks in memory, on the real store."""

import hashlib
import random

import pytest

from cases.errors import Quarantine
from storage.blocks import BLOCK, LONGEST_IN_BLOCKS, Blocks, StoredSource
from storage.s3 import S3, Conflict, S3Settings

SIZE = 5 * BLOCK + 1234


@pytest.fixture(scope="module")
def s3(object_store):
    store = S3(
        S3Settings(
            url=object_store.url,
            access_key=object_store.access_key,
            secret_key=object_store.secret_key,
            bucket_prefix="blocks-",
        )
    )
    store.ensure_bucket("partner")
    return store


@pytest.fixture
def content(s3, request):
    """Random bytes in the store, under this test's own key."""
    made = random.Random(request.node.name).randbytes(SIZE)
    s3.replace("partner", request.node.name, made, "image/tiff")
    return made


@pytest.fixture
def source(s3, content, request):
    etag = s3.head("partner", request.node.name).etag
    return StoredSource(Blocks(s3, 3 * BLOCK), "partner", request.node.name, SIZE, etag)


def test_every_range_is_the_objects_own(source, content):
    chosen = random.Random(3)
    for _ in range(200):
        offset = chosen.randrange(SIZE)
        length = chosen.randrange(min(2 * BLOCK, SIZE - offset) + 1)
        assert source.read(offset, length) == content[offset : offset + length]
    assert source.read(0, SIZE) == content
    assert SIZE > LONGEST_IN_BLOCKS


def test_memory_stays_within_what_it_may_take(source):
    for offset in range(0, SIZE - 10, BLOCK // 3):
        source.read(offset, 10)
    assert source._blocks.kept.weight <= 3 * BLOCK


def test_what_was_read_is_at_hand_and_nothing_else(source, content):
    assert source.at_hand(10, 20) is None
    source.read(10, 20)
    assert source.at_hand(BLOCK - 30, 30) == content[BLOCK - 30 : BLOCK]
    assert source.at_hand(BLOCK - 30, 31) is None


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, SIZE + 1), (SIZE, 1), (5, -1)])
def test_a_range_that_is_not_inside_is_damage(source, offset, length):
    with pytest.raises(Quarantine):
        source.read(offset, length)


def test_an_object_that_was_replaced_is_not_read_as_the_one_before(source, s3, request):
    source.read(0, 10)
    other = hashlib.sha256(b"other").digest() * (SIZE // 32 + 1)
    s3.replace("partner", request.node.name, other[:SIZE], "image/tiff")
    with pytest.raises(Conflict):
        source.read(3 * BLOCK, 10)
