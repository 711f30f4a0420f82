"""Burned-in text: blanked above an ultrasound's regions, withheld anywhere else, and pixels otherwise untouched."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pydicom
import pylopdf_fonts_zh_cn
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from cases.documents import Area
from cases.errors import Quarantine
from imaging.deid import second_pass
from imaging.deid.codestreams import silenced
from imaging.deid.dicom import deidentify_file
from imaging.deid.doubts import PixelsDoubtful
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
    assert done.blanked == (Area(left=0, top=0, right=640, bottom=40),)
    assert not after.pixel_array[:40].any()
    assert (after.pixel_array[40:] == scan[40:]).all()
    assert after.BurnedInAnnotation == "NO"
    assert second_pass.findings(source, tmp_path / "out.dcm", KNOWN, key.shift_days) == ()


def test_big_endian_pixels_are_blanked_like_their_little_endian_twin(tmp_path, key, engine):
    after = []
    for name in ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"):
        done = deidentify_file(sample(name), tmp_path / name, key, KNOWN, engine=engine)
        assert [(a.top, a.bottom) for a in done.blanked] == [(0, 60)]
        after.append(pydicom.dcmread(tmp_path / name).pixel_array)
        assert (after[-1][60:] == pydicom.dcmread(sample(name)).pixel_array[60:]).all()
        assert not after[-1][:60].any()
    assert (after[0] == after[1]).all()


def packed_file(path, frames, syntax, encode):
    """The ultrasound file with its frames as codestreams of `syntax`."""
    dataset = pydicom.dcmread(image_file(path, frames, region_top=40))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([bytes(encode(frame)) for frame in frames])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


def _jpeg(frame):
    """Coded in the colours that the data set states."""
    return imagecodecs.jpeg8_encode(frame, level=90, outcolorspace="RGB" if frame.ndim == 3 else "GRAYSCALE")


# transfer syntax | how a frame is packed | the transfer syntax once areas of it are blanked
SYNTAXES = [
    (uid.RLELossless, None, uid.RLELossless),
    (uid.JPEG2000Lossless, None, uid.JPEG2000Lossless),
    (uid.JPEG2000, lambda f: imagecodecs.jpeg2k_encode(f, level=40, codecformat="j2k"), uid.JPEG2000),
    (uid.JPEGLSLossless, imagecodecs.jpegls_encode, uid.JPEGLSLossless),
    (uid.JPEGLSNearLossless, lambda f: imagecodecs.jpegls_encode(f, level=3), uid.JPEGLSNearLossless),
    (uid.JPEGLosslessSV1, lambda f: imagecodecs.jpeg8_encode(f, lossless=True, predictor=1), uid.JPEGLosslessSV1),
    (uid.JPEGLossless, lambda f: imagecodecs.jpeg8_encode(f, lossless=True, predictor=4), uid.JPEGLossless),
    (uid.JPEGBaseline8Bit, _jpeg, uid.JPEGBaseline8Bit),
    (uid.JPEGExtended12Bit, lambda f: imagecodecs.jpeg8_encode(f, level=90), uid.RLELossless),
]  # fmt: skip


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(("syntax", "encode", "after_blanking"), SYNTAXES)
def test_compressed_pictures_are_blanked_and_nothing_beside_the_blanked_area_changes(
    syntax, encode, after_blanking, colour, tmp_path, key, engine
):
    frames = [picture([*HEADER, ((500, 300), "1.06 cm")], colour), picture([], colour)]
    if encode is None:
        packed = pydicom.dcmread(image_file(tmp_path / "in.dcm", frames, region_top=40))
        packed.compress(syntax)
        packed.save_as(tmp_path / "in.dcm")
    else:
        packed_file(tmp_path / "in.dcm", frames, syntax, encode)
    before = pydicom.dcmread(tmp_path / "in.dcm").pixel_array

    done = deidentify_file(tmp_path / "in.dcm", tmp_path / "out.dcm", key, KNOWN, engine=engine)

    after = pydicom.dcmread(tmp_path / "out.dcm")
    assert done.transfer_syntax_uid == after.file_meta.TransferSyntaxUID == after_blanking
    assert not after.pixel_array[:, :40].any()
    assert (after.pixel_array[:, 40:] == before[:, 40:]).all()
    assert second_pass.findings(tmp_path / "in.dcm", tmp_path / "out.dcm", KNOWN, key.shift_days) == ()


def test_a_jpeg_whose_block_holds_more_than_the_text_is_packed_without_loss(tmp_path, key, engine):
    scan = picture(HEADER).copy()
    scan[40:] |= 128
    source = packed_file(tmp_path / "in.dcm", [scan], uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode)
    tilted = pydicom.dcmread(source)
    tilted.SequenceOfUltrasoundRegions[0].RegionLocationMinY0 = 44
    tilted.save_as(source)
    before = tilted.pixel_array

    done = deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)

    after = pydicom.dcmread(tmp_path / "out.dcm").pixel_array
    assert done.transfer_syntax_uid == uid.RLELossless
    assert (after[44:] == before[44:]).all()
    assert not after[:44].any()


def test_a_jpeg_that_codes_its_colours_otherwise_than_is_said_is_packed_without_loss(tmp_path, key, engine):
    source = packed_file(
        tmp_path / "in.dcm", [picture(HEADER)], uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode
    )
    done = deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
    assert done.transfer_syntax_uid == uid.RLELossless
    assert not pydicom.dcmread(tmp_path / "out.dcm").pixel_array[:40].any()


def test_a_real_cine_loop_is_blanked_in_its_own_codestreams(tmp_path, key, engine):
    cine, source = pydicom.dcmread(sample("color3d_jpeg_baseline.dcm")), tmp_path / "in.dcm"
    first = itertools.islice(generate_frames(cine.PixelData, number_of_frames=120), 6)
    cine.NumberOfFrames, cine.PixelData = 6, encapsulate(list(first))
    cine.save_as(source)
    done = deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
    second_pass.check(
        source, tmp_path / "out.dcm", KNOWN, key.shift_days, engine=engine, blanked=done.blanked
    )
    assert done.transfer_syntax_uid == uid.JPEGBaseline8Bit
    ((area,), before) = done.blanked, pydicom.dcmread(source).pixel_array
    after = pydicom.dcmread(tmp_path / "out.dcm").pixel_array
    assert (area.bottom, area.last) == (24, 5)
    assert after[:, :24].max() <= 4
    assert (after[:, 24:] == before[:, 24:]).all()


def test_signed_and_inverted_pixels_are_blanked_to_black(tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture(HEADER, colour=False)], region_top=40)
    inverted = pydicom.dcmread(source)
    inverted.PhotometricInterpretation = "MONOCHROME1"
    inverted.save_as(source)
    deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
    assert (pydicom.dcmread(tmp_path / "out.dcm").pixel_array[:40] == 255).all()


def test_the_output_says_which_areas_were_blanked(tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture(HEADER)] * 2, region_top=40)
    deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
    after = pydicom.dcmread(tmp_path / "out.dcm")
    assert after.DeidentificationMethod[1:] == ["blanked: columns 1-640 rows 1-40 frames 1-2"]
    assert "113101" in [code.CodeValue for code in after.DeidentificationMethodCodeSequence]
    assert after.BurnedInAnnotation == "NO"


def test_a_picture_without_anything_to_blank_stays_in_its_transfer_syntax(tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture([((500, 300), "R 5 cm")])], region_top=40)
    packed = pydicom.dcmread(source)
    packed.compress(JPEG2000Lossless)
    packed.save_as(source)

    done = deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)

    assert (done.blanked, done.transfer_syntax_uid) == ((), JPEG2000Lossless)
    assert pydicom.dcmread(tmp_path / "out.dcm").PixelData == silenced(packed.PixelData)


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


def page(shade, text=""):
    image = Image.new("RGB", (640, 360), (shade,) * 3)
    ImageDraw.Draw(image).text((60, 150), text, font=FONT, fill=(130, 130, 130))
    return np.asarray(image)


def test_a_page_among_brighter_and_darker_pages_is_read(tmp_path, key, engine):
    shades = [255, 0, 255, 40, 255, 0, 255, 0]
    frames = [page(shade, "MARIA HERNANDEZ" if shade == 40 else "") for shade in shades]
    source = image_file(tmp_path / "in.dcm", frames, sop_class=SecondaryCaptureImageStorage, modality="OT")
    with pytest.raises(PixelsDoubtful) as stop:
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
    assert [(f.area.first, f.area.last) for m in stop.value.marked for f in m.findings] == [(3, 3)]


def test_text_in_a_later_frame_of_a_video_is_read(tmp_path, key, engine):
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), int.from_bytes(b"MPG2", "little"), 25, (640, 352))
    assert writer.isOpened()
    for number in range(30):
        texts = [((60, 150), "MARIA HERNANDEZ")] if number == 21 else []
        writer.write(np.ascontiguousarray(picture(texts)[:352, :, ::-1]))
    writer.release()
    source = image_file(tmp_path / "in.dcm", [picture([])[:352]])
    video = pydicom.dcmread(source)
    video.file_meta.TransferSyntaxUID = uid.MPEG2MPML
    video.NumberOfFrames, video.PhotometricInterpretation = 30, "YBR_PARTIAL_420"
    video.PixelData = encapsulate([clip.read_bytes()])
    video.save_as(source, enforce_file_format=True)
    with pytest.raises(PixelsDoubtful) as stop:
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
    assert any(f.known and f.area.first <= 21 <= f.area.last for m in stop.value.marked for f in m.findings)


def test_text_that_only_the_palette_shows_is_read(tmp_path, key, engine):
    mask = np.asarray(page(0, "MARIA HERNANDEZ"))[:, :, 0] > 60
    source = image_file(tmp_path / "in.dcm", [mask.astype(np.uint8)])
    dataset = pydicom.dcmread(source)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    white_is_one = np.array([0, 65535, *[0] * 254], "<u2").tobytes()
    for colour in (1, 2, 3):
        dataset.add_new(0x00281100 + colour, "US", [256, 0, 16])
        dataset.add_new(0x00281200 + colour, "OW", white_is_one)
    dataset.save_as(source)
    with pytest.raises(PixelsDoubtful):
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)


def test_a_picture_behind_the_last_frame_is_withheld(tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture([]), picture([((60, 150), "MARIA")])])
    dataset = pydicom.dcmread(source)
    del dataset.NumberOfFrames
    dataset.save_as(source)
    with pytest.raises(Quarantine, match="more than its frames"):
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_a_compressed_picture_behind_the_last_frame_is_withheld(syntax, tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture([]), picture([((60, 150), "MARIA")])])
    dataset = pydicom.dcmread(source)
    dataset.compress(syntax)
    del dataset.NumberOfFrames
    dataset.save_as(source)
    with pytest.raises(Quarantine, match="more than its frames"):
        deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)


def test_a_picture_that_does_not_say_its_size_is_damaged(tmp_path, key, engine):
    source = image_file(tmp_path / "in.dcm", [picture([])])
    dataset = pydicom.dcmread(source)
    del dataset.Rows
    dataset.save_as(source)
    with pytest.raises(Quarantine, match="file-damaged"):
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
