"""Broken at random: every file is read, and then as pydicom reads it, or refused; never anything else, never slowly."""

from __future__ import annotations

import io
import logging
import pickle
import random
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from cases.errors import Quarantine
from imaging.dicom.read import inspect
from tests.imaging.dicom import samples

SMALL = [path for path in samples.all_files() if path.stat().st_size < 400_000]
SLOWEST_SECONDS = 1.0


def cut(raw: bytearray, dice: random.Random) -> None:
    del raw[dice.randrange(len(raw) + 1) :]


def flip_in_header(raw: bytearray, dice: random.Random) -> None:
    raw[dice.randrange(min(len(raw), 2000))] ^= 1 << dice.randrange(8)


def replace_anywhere(raw: bytearray, dice: random.Random) -> None:
    raw[dice.randrange(len(raw))] = dice.randrange(256)


def insert(raw: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(raw))
    raw[at:at] = dice.randbytes(dice.randrange(20))


def leave_out(raw: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(raw))
    del raw[at : at + dice.randrange(40)]


def longest_length(raw: bytearray, dice: random.Random) -> None:
    at = dice.randrange(min(len(raw), 4000))
    raw[at : at + 4] = dice.choice(
        (b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0")
    )


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    cut, flip_in_header, flip_in_header, replace_anywhere, insert, leave_out, longest_length
)  # fmt: skip


def broken(seed: int) -> bytes:
    dice = random.Random(seed)
    raw = bytearray(dice.choice(SMALL).read_bytes())
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        if raw:
            dice.choice(DAMAGES)(raw, dice)
    return bytes(raw)


@pytest.mark.parametrize("block", range(8))
def test_broken_files_are_read_or_refused_and_never_slowly(block: int) -> None:
    for seed in range(block * 500, block * 500 + 500):
        raw = broken(seed)
        began = time.process_time()
        try:
            found = inspect(raw)
        except Quarantine as refused:
            again = pickle.loads(pickle.dumps(refused))
            assert (again.code, again.detail) == (refused.code, refused.detail)  # noqa: PT017
        else:
            assert pickle.loads(pickle.dumps(found)) == found
        assert time.process_time() - began < SLOWEST_SECONDS, seed


@pytest.mark.parametrize("block", range(4))
def test_what_is_read_of_a_broken_file_is_what_pydicom_reads(block: int) -> None:
    """Else the identity that is compared here could be another than the one that de-identification finds."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    compared = 0
    for seed in range(100_000 + block * 1000, 100_000 + block * 1000 + 1000):
        raw = broken(seed)
        try:
            found = inspect(raw)
        except Quarantine:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(io.BytesIO(raw), force=True)
            for tag, ours in (
                (0x00080018, found.sop_instance_uid),
                (0x0020000D, found.study_uid),
                (0x00100020, found.identity.patient_id),
                (0x00100030, found.identity.birth_date),
            ):
                element = dataset.get_item(tag)
                theirs = (element.value or b"") if element is not None else b""
                theirs = theirs if isinstance(theirs, bytes) else str(theirs).encode()
                if theirs.isascii() and b"\x1b" not in theirs:
                    assert theirs.strip(b" \0").decode().strip() == ours.strip(), (seed, hex(tag))
        compared += 1
    assert compared > 50


PREVIEWING = """
import pathlib, resource, sys
from cases.errors import Quarantine
from imaging.dicom.previews import preview
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
made = refused = 0
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        made += preview(path) is not None
    except Quarantine:
        refused += 1
print(made, refused)
"""


def test_previews_of_broken_pixels_are_made_or_refused(tmp_path: Path) -> None:
    dice = random.Random(7)
    sources = [p for p in SMALL if p.stat().st_size > 2000 and not p.name.startswith("DICOMDIR")]
    for number in range(150):
        raw = bytearray(dice.choice(sources).read_bytes())
        for _ in range(dice.choice((1, 3, 30))):
            raw[dice.randrange(len(raw) // 3, len(raw))] = dice.randrange(256)
        (tmp_path / f"{number:03d}").write_bytes(raw)
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREVIEWING, tmp_path], cwd=root, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    made, refused = (int(word) for word in done.stdout.split())
    assert made > 50
    assert refused > 5


def test_many_tiny_elements_are_walked_in_bounded_memory() -> None:
    items = b"\xfe\xff\x00\xe0\x08\0\0\0\x08\x00\x05\x00CS\0\0" * 200_000
    sequence = b"\x40\x00\x30\xa7SQ\0\0" + len(items).to_bytes(4, "little") + items
    whole = (samples.TEST_FILES / "CT_small.dcm").read_bytes()
    pixels = whole.rindex(b"\xe0\x7f\x10\x00")
    raw = whole[:pixels] + sequence + whole[pixels:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert inspect(raw).has_pixels
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10
