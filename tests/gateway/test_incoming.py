"""A body of several parts, however the network cuts it into pieces."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicomweb.incoming import Related
from gateway.refusals import Refusal

HEAD = b"Content-Type: application/dicom\r\n\r\n"
BOUNDARY = "a b"


def run(coroutine):
    """In a thread of its own: a test's thread may have an event loop already, that of the browser."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def read(body, cuts=()):
    """(media type, content) of each part of a body that comes in pieces."""

    async def pieces():
        edges = [0, *sorted(c for c in cuts if c < len(body)), len(body)]
        for begin, end in itertools.pairwise(edges):
            yield body[begin:end]

    async def all_parts():
        found = []
        async for part in Related(pieces(), BOUNDARY).parts():
            found.append((part.media_type, b"".join([piece async for piece in part.content])))
        return found

    return run(all_parts())


def body_of(*contents, head=HEAD, before=b"", after=b""):
    return before + b"".join(b"--a b\r\n" + head + c + b"\r\n" for c in contents) + b"--a b--" + after


@given(
    contents=st.lists(
        st.binary(max_size=30) | st.sampled_from([b"\r\n--a", b"\r\n--", b"\r", b"--a b"]), max_size=4
    ),
    cuts=st.lists(st.integers(0, 300), max_size=40),
)
def test_parts_come_out_as_they_went_in_wherever_the_body_is_cut(contents, cuts):
    body = body_of(*contents, after=b"\r\nwhat follows")
    assert read(body, cuts) == [("application/dicom", content) for content in contents]


def test_the_delimiter_may_stand_behind_a_preamble_and_before_blanks():
    body = body_of(b"abc", before=b"a preamble\r\n").replace(b"--a b\r\n", b"--a b \t\r\n")
    assert read(body) == [("application/dicom", b"abc")]


def test_a_part_may_be_without_header_fields():
    assert read(body_of(b"abc", head=b"\r\n")) == [("", b"abc")]


def test_a_part_that_nobody_reads_is_passed_over():
    async def first_bytes():
        async def pieces():
            yield body_of(b"1" * 500, b"2" * 500)

        return [part.media_type async for part in Related(pieces(), BOUNDARY).parts()]

    assert run(first_bytes()) == ["application/dicom"] * 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        body_of(b"abc")[:-2],
        body_of(b"abc")[:30],
        b"--a bc\r\n" + HEAD + b"abc\r\n--a b--",
        b"--a b\r\n" + b"X: y\r\n" * 10_000 + b"\r\n\r\n--a b--",
    ],
)
def test_a_body_that_is_cut_or_malformed_is_refused(body):
    with pytest.raises(Refusal) as refused:
        read(body)
    assert refused.value.status == 400
