from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from cases.errors import Quarantine
from imaging.slides.dicom_wsi import check_frames, leaving, read_instance


def test_volume_and_thumbnail_leave_label_and_overview_stay(real_dicom: Path) -> None:
    instances = [(p, read_instance(p)) for p in sorted(real_dicom.glob("*.dcm"))]

    assert {p.name for p in leaving(instances)} == {"volume.dcm", "thumbnail.dcm"}
    assert {i.role for _, i in instances} == {"LABEL", "OVERVIEW", "THUMBNAIL", "VOLUME"}


@pytest.mark.parametrize("name", ["volume.dcm", "thumbnail.dcm", "label.dcm", "overview.dcm"])
def test_every_frame_of_the_real_slide_is_walked_to_its_end(name: str, real_dicom: Path) -> None:
    path = real_dicom / name

    assert 0.8 * path.stat().st_size < check_frames(path) <= path.stat().st_size


def test_a_volume_that_shows_the_label_stays_behind(real_dicom: Path, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(real_dicom / "volume.dcm")
    dataset.SpecimenLabelInImage = "YES"
    path = tmp_path / "volume.dcm"
    dataset.save_as(path)

    assert not read_instance(path).leaves
    with pytest.raises(Quarantine) as found:
        leaving([(path, read_instance(path))])
    assert found.value.code == "slide-unsafe"


def test_a_thumbnail_of_another_shape_stays_behind(real_dicom: Path, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(real_dicom / "overview.dcm")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "THUMBNAIL", "NONE"]
    dataset.SpecimenLabelInImage = "NO"
    path = tmp_path / "thumbnail.dcm"
    dataset.save_as(path)
    volume = real_dicom / "volume.dcm"

    assert leaving([(volume, read_instance(volume)), (path, read_instance(path))]) == [volume]


@pytest.mark.parametrize("where", ["comment", "behind", "cut"])
def test_a_frame_with_more_or_less_than_a_picture_is_refused(
    where: str, real_dicom: Path, tmp_path: Path
) -> None:
    dataset = pydicom.dcmread(real_dicom / "volume.dcm")
    frames = list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)))
    frame = frames[7]
    frames[7] = {
        "comment": frame[:2] + b"\xff\xfe\x00\x0bMARIA H. " + frame[2:],
        "behind": frame + b"MARIA HERNANDEZ",
        "cut": frame[: len(frame) // 2],
    }[where]
    dataset.PixelData = encapsulate(frames)
    path = tmp_path / "volume.dcm"
    dataset.save_as(path)

    with pytest.raises(Quarantine) as found:
        check_frames(path)
    assert found.value.code == ("file-damaged" if where == "cut" else "slide-unsafe")
    assert "MARIA" not in str(found.value)
