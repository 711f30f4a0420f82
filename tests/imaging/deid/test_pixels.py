"""Burned-in text: blanked above an ultrasound's regions, withheld anywhere else, and pixels otherwise untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pylopdf_fonts_zh_cn
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from cases.errors import Quarantine
from imaging.deid import second_pass
from imaging.deid.dicom import deidentify_file
from imaging.deid.known import KnownIdentity
from imaging.deid.pixels import what_identifies
from imaging.ocr import Engine, TextBox
from tests.imaging.deid.conftest import sample

FONT = ImageFont.truetype(str(Path(pylopdf_fonts_zh_cn.__file__).parent / "NotoSansSC-Regular.otf"), 22)
KNOWN = KnownIdentity(names=("王小明", "Maria Hernandez"), identifiers=("MR-00123",))


@pytest.fixture(scope="module")
def engine():
    return Engine()


def picture(texts, colour=True):
    """A grey scan with `texts` at (left, top)."""
    image = Image.new("RGB" if colour else "L", (640, 360))
    draw = ImageDraw.Draw(image)
    draw.ellipse((160, 90, 480, 340), fill=(90, 90, 90) if colour else 90)
    for at, text in texts:
        draw.text(at, text, font=FONT, fill=(255, 255, 255) if colour else 255)
    return np.asarray(image)


def image_file(path, frames, *, sop_class=UltrasoundImageStorage, region_top=None, modality="US", **more):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, "1.2.3.4.5"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.1"
    dataset.PatientName, dataset.PatientID, dataset.StudyDate, dataset.Modality = (
        "Hernandez^Maria",
        "MR-00123",
        "",
        modality,
    )
    stack = np.stack(frames)
    dataset.Rows, dataset.Columns = stack.shape[1:3]
    dataset.SamplesPerPixel = 3 if stack.ndim == 4 else 1
    dataset.PhotometricInterpretation = "RGB" if stack.ndim == 4 else "MONOCHROME2"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    if region_top is not None:
        region = Dataset()
        region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, region_top
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 639, 359
        dataset.SequenceOfUltrasoundRegions = Sequence([region])
    for name, value in more.items():
        setattr(dataset, name, value)
    dataset.PixelData = stack.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


HEADER = [((10, 5), "王小明 MARIA HERNANDEZ"), ((400, 5), "ID MR-00123")]


@pytest.mark.parametrize("colour", [True, False])
def test_the_rows_above_the_regions_are_blanked_and_the_rest_is_untouched(colour, tmp_path, key, engine):
    scan = picture([*HEADER, ((500, 300), "1.06 cm")], colour)
    source = image_file(tmp_path / "in.dcm", [scan], region_top=40)

    done = deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)

    after = pydicom.dcmread(tmp_path / "out.dcm")
    assert done.blanked_rows == 40
    assert not after.pixel_array[:40].any()
    assert (after.pixel_array[40:] == scan[40:]).all()
    assert after.BurnedInAnnotation == "NO"
    assert second_pass.findings(source, tmp_path / "out.dcm", KNOWN, key.shift_days) == ()


def test_big_endian_pixels_are_blanked_like_their_little_endian_twin(tmp_path, key, engine):
    after = []
    for name in ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"):
        done = deidentify_file(sample(name), tmp_path / name, key, KNOWN, engine=engine)
        assert done.blanked_rows == 60
        after.append(pydicom.dcmread(tmp_path / name).pixel_array)
        assert (after[-1][60:] == pydicom.dcmread(sample(name)).pixel_array[60:]).all()
        assert not after[-1][:60].any()
    assert (after[0] == after[1]).all()


def test_compressed_pictures_are_blanked_and_packed_without_loss(tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture(HEADER), picture([])], region_top=40)
    packed = pydicom.dcmread(source)
    packed.compress(JPEG2000Lossless)
    packed.save_as(source)
    before = packed.pixel_array

    done = deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)

    after = pydicom.dcmread(tmp_path / "out.dcm")
    assert done.transfer_syntax_uid == after.file_meta.TransferSyntaxUID == RLELossless
    assert not after.pixel_array[:, :40].any()
    assert (after.pixel_array[:, 40:] == before[:, 40:]).all()


def test_a_picture_without_anything_to_blank_stays_in_its_transfer_syntax(tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture([((500, 300), "R 5 cm")])], region_top=40)
    packed = pydicom.dcmread(source)
    packed.compress(JPEG2000Lossless)
    packed.save_as(source)

    done = deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)

    assert (done.blanked_rows, done.transfer_syntax_uid) == (0, JPEG2000Lossless)
    assert pydicom.dcmread(tmp_path / "out.dcm").PixelData == packed.PixelData


@pytest.mark.parametrize(
    "text",
    ["王小明", "HERNANDEZ, MARIA", "ID: MR-00123", "2019-06-19 10:20", "330283199001011234", "13812345678"],
)
@pytest.mark.parametrize("colour", [True, False])
def test_text_that_identifies_inside_the_picture_withholds_it(text, colour, tmp_path, key, engine):
    source = image_file(
        tmp_path / "in.dcm", [picture([((60, 150), text)], colour)],
        sop_class=SecondaryCaptureImageStorage, modality="OT",
    )  # fmt: skip
    with pytest.raises(Quarantine, match="pixels-doubtful") as stop:
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
    assert text not in str(stop.value)
    assert not (tmp_path / "out.dcm").exists()


def test_one_frame_of_many_that_identifies_withholds_all(tmp_path, key, engine):
    frames = [picture([]) for _ in range(20)]
    frames[13] = picture([((60, 150), "MARIA HERNANDEZ")])
    source = image_file(tmp_path / "in.dcm", frames)
    with pytest.raises(Quarantine, match="pixels-doubtful"):
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)


def test_measurements_and_side_markers_pass(tmp_path, key, engine):
    texts = [
        ((60, 150), "L"),
        ((500, 60), "DIST 1.06 cm"),
        ((10, 320), "MI 0.9 TIS 0.7"),
        ((300, 20), "左肾"),
    ]
    source = image_file(
        tmp_path / "in.dcm", [picture(texts)], sop_class=SecondaryCaptureImageStorage, modality="OT"
    )
    deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
    assert pydicom.dcmread(tmp_path / "out.dcm").PixelData == pydicom.dcmread(source).PixelData


def test_a_file_that_says_text_is_burned_in_where_none_is_found_is_doubtful(tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture([])], BurnedInAnnotation="YES")
    with pytest.raises(Quarantine, match="pixels-doubtful: the file says"):
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)


def test_without_a_reader_of_text_such_pictures_are_withheld(tmp_path, key):
    source = image_file(tmp_path / "in.dcm", [picture([])])
    with pytest.raises(Quarantine, match="no reader"):
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN)


def test_overlays_in_the_unused_bits_are_withheld(tmp_path, key):
    dataset = pydicom.dcmread(sample("CT_small.dcm"))
    dataset.add_new(0x60000100, "US", 16)
    dataset.add_new(0x60000102, "US", 12)
    dataset.save_as(tmp_path / "in.dcm")
    with pytest.raises(Quarantine, match="overlay"):
        deidentify_file(tmp_path / "in.dcm", tmp_path / "out.dcm", key, KNOWN)


def test_an_encapsulated_document_is_withheld(tmp_path, key, engine):
    dataset = pydicom.dcmread(sample("CT_small.dcm"))
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    dataset.save_as(tmp_path / "in.dcm")
    with pytest.raises(Quarantine, match="pixels-doubtful"):
        deidentify_file(tmp_path / "in.dcm", tmp_path / "out.dcm", key, KNOWN, engine=engine)


SAID = "a name or number of this case"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MARIAHERNANDEZ", (SAID,)), ("IDMR00123X", (SAID, "number")),
        ("ID00123452019-06-19", ("date", "number")),
        ("王小明男45岁", (SAID,)), ("DIST1.06cm", ()), ("120/80", ()), ("左肾上极", ()),
    ],
)  # fmt: skip
def test_spaces_that_were_not_read_hide_nothing(text, found):
    box = TextBox(text=text, left=0, top=0, right=9, bottom=9, confidence=0.9)
    assert what_identifies(box, KNOWN) == found


def test_without_calibrated_regions_nothing_is_blanked(tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture(HEADER)])
    with pytest.raises(Quarantine, match="pixels-doubtful"):
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
