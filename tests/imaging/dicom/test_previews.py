"""Previews of real instances in every transfer syntax that the samples carry."""

from __future__ import annotations

import io
import multiprocessing
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from cases.errors import Quarantine
from imaging.dicom import frames
from imaging.dicom.previews import SIDE, preview
from imaging.dicom.read import inspect
from tests.imaging.dicom import samples

# Its codestream is damaged on purpose, to try how fragments are told apart.
UNDECODABLE = "JPEG2000-embedded-sequence-delimiter.dcm"


def readable() -> list[Path]:
    found = []
    for path in samples.all_files():
        try:
            inspect(path)
        except Quarantine:
            continue
        found.append(path)
    return [path for path in found if path.name != UNDECODABLE]


@pytest.mark.parametrize("path", readable(), ids=lambda path: path.name)
def test_every_sample_with_pixels_has_a_preview_that_shows_something(path: Path) -> None:
    png = preview(path)
    assert (png is not None) == inspect(path).has_pixels
    if png is None:
        return
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    assert max(picture.size) <= SIDE
    assert not picture.info
    shown = np.asarray(picture)
    stored = frames.decode(frames.open_instance(path), inspect(path).frames // 2)
    assert stored.min() == stored.max() or shown.min() < shown.max()


def test_a_preview_has_the_same_bytes_every_time() -> None:
    path = samples.TEST_FILES / "CT_small.dcm"
    assert preview(path) == preview(path)


def test_a_preview_keeps_the_pictures_proportions() -> None:
    png = preview(samples.by_name("RG1_UNCR.dcm"))
    dataset = pydicom.dcmread(samples.by_name("RG1_UNCR.dcm"), stop_before_pixels=True)
    assert png is not None
    width, height = Image.open(io.BytesIO(png)).size
    assert abs(width / height - dataset.Columns / dataset.Rows) < 0.02


def test_monochrome1_is_shown_as_monochrome2(tmp_path: Path) -> None:
    dataset = samples.ct()
    plain = tmp_path / "plain.dcm"
    plain.write_bytes(samples.written(dataset))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    inverse = tmp_path / "inverse.dcm"
    inverse.write_bytes(samples.written(dataset))
    one, other = (np.asarray(Image.open(io.BytesIO(preview(p) or b""))).astype(int) for p in (plain, inverse))
    assert np.abs(one + other - 255).max() <= 1


def test_the_window_of_the_header_is_used(tmp_path: Path) -> None:
    dataset = samples.ct(WindowCenter=1000, WindowWidth=2, RescaleIntercept=0, RescaleSlope=1)
    path = tmp_path / "window.dcm"
    path.write_bytes(samples.written(dataset))
    shown = np.asarray(Image.open(io.BytesIO(preview(path) or b"")))
    stored = dataset.pixel_array
    assert (shown[stored > 1001] == 255).all()
    assert (shown[stored < 999] == 0).all()


def test_a_frame_that_cannot_be_decoded_is_damage_and_says_nothing_of_the_file() -> None:
    with pytest.raises(Quarantine, match="cannot be decoded") as refused:
        preview(samples.TEST_FILES / UNDECODABLE)
    assert refused.value.code == "file-damaged"


def test_a_frame_larger_than_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(samples.TEST_FILES / "JPEG2000.dcm")
    dataset.Rows = dataset.Columns = 65535
    path = tmp_path / "bomb.dcm"
    path.write_bytes(samples.written(dataset))
    with pytest.raises(Quarantine) as refused:
        preview(path)
    assert refused.value.code == "read-limit"


def test_a_video_has_a_preview(tmp_path: Path) -> None:
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MPG2"), 25, (320, 240))  # type: ignore[attr-defined]
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MPEG-2")
    for step in range(25):
        writer.write(np.full((240, 320, 3), (0, 10 * step, 255), np.uint8))
    writer.release()
    dataset = pydicom.dcmread(samples.TEST_FILES / "SC_rgb_jpeg_dcmtk.dcm")
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 240, 320, 25
    dataset.PixelData = encapsulate([film.read_bytes()])
    path = tmp_path / "video.dcm"
    path.write_bytes(samples.written(dataset))
    assert inspect(path).frames == 25
    png = preview(path)
    assert png is not None
    assert Image.open(io.BytesIO(png)).size == (320, 240)


PEAK = """
import pathlib, resource, sys
from imaging.dicom.previews import preview
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert preview(pathlib.Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_preview_of_300_megabytes_of_frames_takes_a_frame_and_not_the_file_into_memory(
    tmp_path: Path,
) -> None:
    dataset = samples.ct(Rows=1024, Columns=1024, NumberOfFrames=150)
    dataset.PixelData = b""
    raw = samples.written(dataset)
    at = raw.rindex(b"\xe0\x7f\x10\x00")
    path = tmp_path / "large.dcm"
    with path.open("wb") as target:
        target.write(raw[: at + 8] + (300 << 20).to_bytes(4, "little"))
        target.truncate(at + 12 + (300 << 20))
    root = Path(__file__).parents[3]
    told = subprocess.run(
        [sys.executable, "-c", PEAK, path], cwd=root, check=True, capture_output=True, text=True, timeout=60
    )
    assert int(told.stdout) < 80 << 10


def test_a_preview_is_made_in_a_child_process() -> None:
    path = samples.TEST_FILES / "MR_small.dcm"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(preview, (path,)) == preview(path)
