from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.errors import Quarantine, Reject
from imaging.slides import deid
from imaging.slides.check import check_slide
from imaging.slides.formats import recognise
from imaging.slides.picture import read_picture
from imaging.slides.plan import write
from imaging.slides.second_pass import check_slide as check_slide_again
from imaging.slides.source import BytesSource, FileSource
from imaging.slides.tiff import MAX_DIRECTORIES, read_tiff
from tests.imaging.slides.conftest import pages_of
from tests.imaging.slides.treated import check_planned


def _written(tmp_path: Path, **options: Any) -> Path:
    path = tmp_path / "some.tif"
    with tifffile.TiffWriter(path, **options) as writer:
        for side in (1024, 512):
            writer.write(
                np.zeros((side, side, 3), np.uint8),
                photometric="rgb",
                tile=(256, 256),
                compression="zlib",
                description="x" * 100,
                metadata=None,
            )
    return path


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_directories_are_read_as_tifffile_reads_them(tmp_path: Path, bigtiff: bool, byteorder: str) -> None:
    path = _written(tmp_path, bigtiff=bigtiff, byteorder=byteorder)

    with FileSource(path) as source, tifffile.TiffFile(path) as expected:
        tiff = read_tiff(source)
        assert (tiff.big, tiff.order) == (bigtiff, byteorder)
        assert [d.offset for d in tiff.directories] == [p.offset for p in pages_of(expected)]
        for index, page in enumerate(pages_of(expected)):
            found = read_picture(source, tiff, index)
            assert found.offsets.tolist() == list(page.dataoffsets)
            assert found.counts.tolist() == list(page.databytecounts)
            assert (found.width, found.height) == (page.imagewidth, page.imagelength)
            assert found.description == page.description


def _classic(*rows: tuple[int, int, int, int], following: int = 0) -> bytes:
    table = b"".join(struct.pack("<HHII", *row) for row in rows)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(rows)) + table + struct.pack("<I", following)


@pytest.mark.parametrize(
    "content",
    [
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\0\0\0\0",
        b"II+\0\x08\0\0\0" + b"\xff" * 8,
        b"II+\0\x04\0\0\0" + bytes(8),
        _classic((256, 4, 1, 1), following=8),
        _classic((256, 4, 1, 1), following=7_000_000),
        _classic((256, 99, 1, 1)),
        _classic((256, 4, 1, 1), (256, 4, 1, 2)),
        _classic((270, 2, 0xFFFF_FFFF, 8)),
        _classic((270, 2, 5000, 8)),
        _classic((270, 2, 50, 0xFFFF_FFF0)),
        b"II*\0\x08\0\0\0\xff\xff" + bytes(100),
        b"II*\0\x08\0\0\0\0\0" + bytes(100),
    ],
    ids=[
        "cut", "far", "none", "big-far", "big-size", "loop", "next-far", "type", "twice", "huge", "long", "value-far",
        "many-entries", "no-entries",
    ],
)  # fmt: skip
def test_a_broken_directory_is_damage(content: bytes) -> None:
    with pytest.raises(Quarantine) as found:
        read_tiff(BytesSource(content))
    assert found.value.code == "file-damaged"


def test_an_endless_chain_of_directories_is_damage() -> None:
    each = 2 + 12 + 4
    chain = b"".join(
        struct.pack("<H", 1) + struct.pack("<HHII", 256, 4, 1, 1) + struct.pack("<I", 8 + each * (n + 1))
        for n in range(MAX_DIRECTORIES + 10)
    )
    with pytest.raises(Quarantine) as found:
        read_tiff(BytesSource(b"II*\0\x08\0\0\0" + chain))
    assert found.value.code == "file-damaged"


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0", b""]),
)
def test_no_bytes_crash_the_directory_reader(content: bytes, head: bytes) -> None:
    assert _ended(lambda: read_tiff(BytesSource(head + content))) in ("read", "file-damaged")


def _ended(what: Callable[[], object]) -> str:
    """How it ended: `read`, or the code of the reason. Anything else is a defect and raises."""
    try:
        what()
    except (Quarantine, Reject) as reason:
        return reason.code
    return "read"


def _mutants(content: bytes, metadata_from: int, count: int) -> list[bytes]:
    """Copies with a few bytes changed, mostly in the directories at the end; some cut."""
    draw = random.Random(20260619)
    mutants = []
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(draw.choice((1, 1, 2, 4, 16))):
            at = (
                draw.randrange(metadata_from, len(changed))
                if draw.random() < 0.8
                else draw.randrange(len(changed))
            )
            changed[at] = draw.choice((0, 1, 0x7F, 0xFF, draw.randrange(256)))
        mutants.append(bytes(changed[: draw.randrange(len(changed))] if draw.random() < 0.1 else changed))
    return mutants


def test_a_fuzzed_slide_ends_with_a_reason_or_leaves_nothing_identifying(tmp_path: Path, real: Path) -> None:
    """Whatever is broken: a reason, or a result that the second pass proves and that holds no canary."""
    content = real.read_bytes()
    canaries = ("CPAPERIOCS", "b414003d-95c6-48b0-9369-8010ed517ba7")
    ended: Counter[str] = Counter()
    path = tmp_path / "mutant.svs"
    for mutant in _mutants(content, 1_275_000, 150):
        path.write_bytes(mutant)
        ended[_ended(lambda: check_planned(path, deid.plan_slide(path), identity_values=canaries))] += 1
    assert set(ended) <= {"read", "file-damaged", "slide-unsafe", "format-unknown", "identity-left"}
    assert ended["read"] > 10
    assert ended["file-damaged"] > 10


def test_a_fuzzed_result_passes_the_second_pass_or_is_identity_left(tmp_path: Path, real: Path) -> None:
    result = tmp_path / "out.svs"
    write(deid.plan_slide(real), real, result)
    content = result.read_bytes()
    directories = len(content) - 6000

    ended = Counter(
        _ended(lambda: check_slide_again(BytesSource(mutant)))  # noqa: B023
        for mutant in _mutants(content, directories, 400)
    )

    assert set(ended) <= {"read", "identity-left"}
    assert ended["identity-left"] > 100


def test_a_fuzzed_slide_is_judged_without_a_crash(tmp_path: Path, real: Path) -> None:
    path = tmp_path / "mutant.svs"
    ended: Counter[str] = Counter()
    for mutant in _mutants(real.read_bytes(), 1_275_000, 12):
        path.write_bytes(mutant)
        ended[_ended(lambda: check_slide(path))] += 1
    assert ended["read"] > 0
    assert ended["file-damaged"] > 0


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=6000))
def test_no_bytes_crash_the_recognition(content: bytes) -> None:
    assert _ended(lambda: recognise(BytesSource(content))) in ("read", "file-damaged")
