"""The first pass's reader and writer: what is read is written back, and no input crashes or hangs them."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.errors import Quarantine
from imaging.deid import part10, second_reader
from imaging.deid.elements import Damaged, Element, Encoding, Reader, Writer
from imaging.deid.second_reader import Unreadable, take_apart
from tests.imaging.deid.conftest import EXPLICIT, nested, sample

SAMPLES = Path(pydicom.data.__file__).parent / "test_files"
# what the writer says better: undefined lengths where a private sequence was of unknown VR, no transfer syntax, a
# repeated element
DIFFERENT = frozenset({"SC_rgb_jpeg.dcm", "meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm"})


def readable():
    for path in sorted(SAMPLES.glob("*.dcm")):
        raw = path.read_bytes()
        if raw[128:132] == b"DICM" and path.name not in DIFFERENT and "deflate" not in path.name:
            yield path


@pytest.mark.parametrize("path", tuple(readable()), ids=lambda p: p.name)
def test_what_is_read_is_written_back(path):
    raw = memoryview(path.read_bytes())
    head = part10.read_head(raw)
    try:
        elements = Reader(raw, head.start, head.encoding).read()
    except Damaged:
        pytest.skip("a damaged sample")
    out = b"".join(Writer(head.encoding).chunks(elements))

    again = Reader(memoryview(out), 0, head.encoding).read()
    assert b"".join(Writer(head.encoding).chunks(again)) == out
    assert pydicom.dcmread(path) == pydicom.dcmread(io.BytesIO(bytes(raw[: head.start]) + out))


def test_a_large_value_is_spliced_and_never_copied():
    raw = bytearray(b"".join(Writer(EXPLICIT).chunks([Element(0x7FE00010, "OW", bytes(1 << 20))])))
    chunks = list(Writer(EXPLICIT).chunks(Reader(memoryview(raw), 0, EXPLICIT).read()))
    assert [type(c) for c in chunks if len(c) > 1 << 16] == [memoryview]


@pytest.mark.parametrize("encoding", [EXPLICIT, Encoding(explicit=False), Encoding(explicit=True, big=True)])
def test_two_thousand_levels_are_read_and_written(encoding):
    deep = nested(2000, [Element(0x00081010, "SH", b"AB")])
    raw = b"".join(Writer(encoding).chunks(deep))
    assert b"".join(Writer(encoding).chunks(Reader(memoryview(raw), 0, encoding).read())) == raw


def test_padding_after_the_data_set_is_dropped():
    raw = b"".join(Writer(EXPLICIT).chunks([Element(0x00081010, "SH", b"AB")]))
    assert len(Reader(memoryview(raw + bytes(700)), 0, EXPLICIT).read()) == 1


ORIGINAL = sample("rtplan.dcm").read_bytes()


@settings(max_examples=300, deadline=2000)
@given(st.lists(st.tuples(st.integers(132, len(ORIGINAL) - 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_no_change_of_bytes_crashes_either_reader(changes):
    raw = bytearray(ORIGINAL)
    for at, byte in changes:
        raw[at] = byte
    with suppress(Damaged, Quarantine):
        head = part10.read_head(memoryview(raw))
        Reader(memoryview(raw), head.start, head.encoding).read()
    with suppress(Unreadable):
        take_apart(memoryview(raw), frozenset())


CT = sample("CT_small.dcm").read_bytes()
LENGTHS = sorted(
    {
        at
        for at in range(132, 6000)
        if CT[at : at + 2] in (b"LO", b"DS", b"SQ", b"SH", b"\xff\xff", b"\xfe\xff")
    }
)


def elements_of(reader):
    try:
        return [(e.tag, e.vr, bytes(e.value), len(e.items or ())) for e in reader.read()]
    except Damaged:
        return Damaged


def seen_in(raw):
    try:
        return take_apart(raw, frozenset()).elements
    except Unreadable:
        return Unreadable


@settings(max_examples=300, deadline=2000)
@given(
    st.lists(
        st.tuples(st.sampled_from(LENGTHS) | st.integers(132, 6000), st.integers(0, 9), st.integers(0, 255)),
        max_size=4,
    )
)
def test_the_loops_over_plain_elements_read_what_the_general_reading_reads(changes):
    raw = bytearray(CT)
    for at, beyond, byte in changes:
        raw[at + beyond] = byte
    content = memoryview(raw)
    start = part10.read_head(memoryview(CT)).start
    fast = elements_of(Reader(content, start, EXPLICIT)), seen_in(content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "_plain_elements", lambda *_: False)
        patch.setattr(second_reader._Stream, "_narrow_ones", lambda *_: None)
        slow = elements_of(Reader(content, start, EXPLICIT)), seen_in(content)

    assert fast == slow


def test_an_item_that_leads_beyond_the_file_is_unreadable():
    item = bytes.fromhex("feff00e0") + (1 << 20).to_bytes(4, "little")
    sequence = bytes.fromhex("08001511") + b"SQ\0\0" + bytes.fromhex("ffffffff") + item
    value = bytes.fromhex("08001010") + b"SH\2\0AB"
    raw = part10.written_head("1.2", "1.3", "1.2.840.10008.1.2.1") + sequence + value * 2 + b"\x08\0"
    with pytest.raises(Unreadable):
        take_apart(memoryview(raw), frozenset())


@settings(max_examples=200, deadline=2000)
@given(st.binary(max_size=600))
def test_no_bytes_crash_either_reader(tail):
    raw = memoryview(part10.written_head("1.2", "1.3", "1.2.840.10008.1.2.1") + tail)
    with suppress(Damaged):
        Reader(raw, part10.read_head(raw).start, EXPLICIT).read()
    with suppress(Unreadable):
        take_apart(raw, frozenset())
