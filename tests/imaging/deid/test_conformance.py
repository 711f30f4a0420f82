"""Types 1 and 2 stay valid: `dciodvfy` finds no error in an output that it did not find in the input."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from cases.errors import Quarantine
from imaging.deid.dicom import deidentify_file
from imaging.deid.known import KnownIdentity
from imaging.deid.profiles import OPTIONS
from imaging.ocr import Engine
from tests.imaging.deid.test_dicom import samples

EVERY_RETAINING = "+".join(
    ("basic", *(o.column for o in OPTIONS if "retain" in o.column and "modified" not in o.column))
)
EVERY_CLEANING = "+".join(("basic", *(o.column for o in OPTIONS if "clean" in o.column)))


@pytest.fixture(scope="module")
def engine():
    return Engine()


def errors(dciodvfy: Path, file: Path, folder: Path) -> Counter[str]:
    """Each error with how often it was said. Deflated files are inflated first: the program reads none."""
    dataset = pydicom.dcmread(file)
    if dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = folder / f"inflated-{file.name}"
        dataset.save_as(file)
    said = subprocess.run([dciodvfy, file], capture_output=True, timeout=60)
    lines = (said.stdout + said.stderr).decode("latin-1").splitlines()
    assert lines, "it says at least which IOD it is"
    return Counter(line for line in lines if line.startswith("Error"))


# these must come out, so that the test cannot be passed by withholding
PLAIN = frozenset({
    "CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "rtplan.dcm",
    "rtdose_1frame.dcm", "waveform_ecg.dcm", "liver_1frame.dcm", "examples_overlay.dcm", "JPEG2000.dcm",
})  # fmt: skip
CASES = [(s, "network") for s in samples()]
CASES += [(s, p) for s in samples() if s.name in PLAIN for p in ("basic", EVERY_RETAINING, EVERY_CLEANING)]


@pytest.mark.parametrize(("source", "profile"), CASES, ids=lambda v: getattr(v, "name", v)[:40])
def test_no_error_that_the_input_does_not_have(source, profile, dciodvfy, tmp_path, key, engine):
    output, stopped = tmp_path / "out.dcm", None
    try:
        deidentify_file(source, output, key, KnownIdentity(), profile, engine=engine)
    except Quarantine as stop:
        stopped = stop
    if stopped is not None:
        assert source.name not in PLAIN, stopped
        assert not output.exists()
        return
    assert errors(dciodvfy, output, tmp_path) - errors(dciodvfy, source, tmp_path) == Counter()


def test_an_error_that_was_added_is_seen(dciodvfy, tmp_path):
    dataset = pydicom.dcmread(next(s for s in samples() if s.name == "CT_small.dcm"))
    dataset.save_as(tmp_path / "whole.dcm")
    del dataset.StudyInstanceUID
    dataset.save_as(tmp_path / "without.dcm")
    added = errors(dciodvfy, tmp_path / "without.dcm", tmp_path) - errors(
        dciodvfy, tmp_path / "whole.dcm", tmp_path
    )
    assert any("StudyInstanceUID" in line for line in added)
