"""Slides for these tests: made ones of a few megabytes, and the real ones where the samples are present."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tifffile

from cases.order import SlideLine
from teledx.samples.slide import make_slide

SAMPLES = Path(__file__).parents[3].parent / "shared" / "data"
REAL = SAMPLES / "slides" / "CMU-1-Small-Region.svs"
REAL_DICOM = SAMPLES / "dicom-slide"

NUMBER, BLOCK, STAIN, NAME = "S2026-04711", "A1", "HE", "欧阳丽娜"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Aperio slide of 8 MB, three levels, with the identity above in label, macro and descriptions."""
    path = tmp_path_factory.mktemp("made") / "made.svs"
    return make_slide(
        path, size=8_000_000, pathology_number=NUMBER, block=BLOCK, stain=STAIN, patient_name=NAME
    )


@pytest.fixture(scope="session")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of 60 MB, whose base level is long enough to stay a range."""
    path = tmp_path_factory.mktemp("long") / "long.svs"
    return make_slide(
        path, size=60_000_000, pathology_number=NUMBER, block=BLOCK, stain=STAIN, patient_name=NAME
    )


@pytest.fixture(scope="session")
def real() -> Path:
    if not REAL.exists():
        pytest.skip("the real slide is not here")
    return REAL


@pytest.fixture(scope="session")
def real_dicom() -> Path:
    if not REAL_DICOM.exists():
        pytest.skip("the real DICOM slide is not here")
    return REAL_DICOM


@pytest.fixture
def line() -> Callable[..., SlideLine]:
    def make(number: str = NUMBER, block: str = BLOCK, stain: str = STAIN) -> SlideLine:
        return SlideLine(
            file="a.svs", pathology_number=number, specimen="1", block=block, stain=stain, number=1, of=1
        )

    return make


def pages_of(opened: tifffile.TiffFile) -> list[Any]:
    """The pages as another reader sees them."""
    return list(opened.pages)
