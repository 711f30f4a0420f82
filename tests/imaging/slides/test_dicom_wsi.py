from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage

from cases.errors import Quarantine
from imaging.deid.objects import LeftOut, check_whole_slide
from imaging.slides.dicom_wsi import check_frames, read_instance
from tests.imaging.slides import vendors


def test_volume_and_thumbnail_leave_label_and_overview_stay(real_dicom: Path) -> None:
    instances = {p.name: read_instance(p) for p in real_dicom.glob("*.dcm")}

    assert {name for name, i in instances.items() if i.leaves} == {"volume.dcm", "thumbnail.dcm"}
    assert {i.role for i in instances.values()} == {"LABEL", "OVERVIEW", "THUMBNAIL", "VOLUME"}
    check_whole_slide(real_dicom / "thumbnail.dcm")


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


def _thumbnail(path: Path, picture: vendors.Pixels, said: str | None) -> Path:
    dataset = Dataset()
    dataset.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    dataset.SOPInstanceUID, dataset.Modality = "1.2.3.4", "SM"
    dataset.ImageType = ["DERIVED", "PRIMARY", "THUMBNAIL", "RESAMPLED"]
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = *picture.shape[:2], 1
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = picture.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "YBR_FULL", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    if said is not None:
        dataset.SpecimenLabelInImage = said
    dataset.PixelData = encapsulate([vendors.jpeg(picture)])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_thumbnail_of_the_tissue_alone_leaves(tmp_path: Path) -> None:
    check_whole_slide(_thumbnail(tmp_path / "a.dcm", vendors.smaller(vendors.tissue_on_glass(), 2), "NO"))


@pytest.mark.parametrize("said", [None, "", "YES", "NO"])
def test_a_thumbnail_with_the_label_stays_behind_whatever_it_says(said: str | None, tmp_path: Path) -> None:
    with pytest.raises(LeftOut):
        check_whole_slide(_thumbnail(tmp_path / "a.dcm", vendors.label_on_glass(), said))


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
