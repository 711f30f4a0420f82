"""Holes that other tools for de-identification are known to have, one test each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

from cases.errors import Quarantine
from imaging.deid import deidentify_dataset, deidentify_file
from imaging.deid.dicom import transform
from imaging.deid.elements import Element, Reader, Writer
from imaging.deid.folder import Run, deidentify_tree
from imaging.deid.known import KnownIdentity
from imaging.deid.objects import LeftOut, check_whole_slide
from imaging.deid.profiles import profile
from imaging.slides import deid as slides
from imaging.slides.plan import write
from teledx.samples.slide import make_slide
from tests.imaging.deid.conftest import CANARIES, EXPLICIT, NAME, canary, nested, sample

SECRET = b"0123456789abcdef"
PROFILES = ("network", "basic")


@pytest.fixture
def ct():
    return pydicom.dcmread(sample("CT_small.dcm"))


def said(dataset: Dataset) -> str:
    """Everything that a data set says but its pixels."""
    return "\n".join(str(e.value) for e in dataset.iterall() if e.VR not in ("SQ", "OB", "OW"))


@pytest.mark.parametrize("name", PROFILES)
def test_tags_inside_sequences_are_treated_like_those_at_the_root(name, ct):
    inner = Dataset()
    inner.PatientName, inner.InstitutionName, inner.ReferencedSOPInstanceUID = (
        NAME,
        "Canaryson Clinic",
        "1.2.3.999.4",
    )
    middle = Dataset()
    middle.ReferencedImageSequence = Sequence([inner])
    ct.ReferencedStudySequence = Sequence([middle])
    after = said(deidentify_dataset(ct, secret=SECRET, profile=name))
    assert not [word for word in ("Canaryson", "金丝雀", "1.2.3.999") if word in after]


@pytest.mark.parametrize("name", PROFILES)
def test_a_colour_profile_says_nothing_of_its_maker_at_any_depth(name, ct):
    """Slides and photographs carry one in their optical path; its header and its tags hold dates and texts."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[80:84] = b"WANG"
    path = Dataset()
    path.ICCProfile = bytes(profile)
    ct.OpticalPathSequence = Sequence([path])
    ct.ICCProfile = b"Canaryson" + bytes(profile[9:])

    after = deidentify_dataset(ct, secret=SECRET, profile=name)

    kept = after.OpticalPathSequence[0].ICCProfile
    assert b"acsp" in kept
    assert not [
        word for word in (b"WANG", bytes(profile[24:36]), b"RGB built-in", b"R\0G\0B\0 \0b") if word in kept
    ]
    assert b"Canaryson" not in (after.get("ICCProfile") or b"")


def test_the_names_in_a_dicomdir_do_not_come_out(tmp_path):
    folder = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
    reports = list(deidentify_tree(folder / "DICOMDIR", tmp_path / "out", Run(secret=SECRET)))
    assert [(r.verdict, r.reasons[0][0]) for r in reports] == [("withheld", "format-unknown")]
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_no_map_of_uids_is_lost_between_runs_for_there_is_none(ct, tmp_path):
    ct.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = ct.SOPClassUID, ct.SOPInstanceUID
    ct.SourceImageSequence, ct.SOPInstanceUID = Sequence([reference]), f"{ct.SOPInstanceUID}.7"
    ct.save_as(tmp_path / "two.dcm", enforce_file_format=True)
    # two runs that know nothing of each other: each in a process of its own
    for part in ("one", "two"):
        lines = (
            "from pathlib import Path; from imaging.deid import deidentify_file; "
            f"deidentify_file(Path('{part}.dcm'), Path('out-{part}.dcm'), secret={SECRET!r})"
        )
        where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, env=where, check=True)
    one, two = (pydicom.dcmread(tmp_path / f"out-{part}.dcm") for part in ("one", "two"))
    assert two.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert (one.StudyInstanceUID, one.PatientID) == (two.StudyInstanceUID, two.PatientID)


def frames(count: int, written: int) -> Dataset:
    """A grey ultrasound loop; `written` is the frame that shows a name."""
    loop = np.zeros((count, 240, 480), np.uint8)
    for index in range(count):
        picture = Image.fromarray(loop[index])
        ImageDraw.Draw(picture).ellipse((180, 80 + index, 280, 180 + index), fill=90)
        if index == written:
            ImageDraw.Draw(picture).text(
                (30, 30), "Maria Canaryson", fill=255, font=ImageFont.load_default(26)
            )
        loop[index] = np.array(picture)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = UltrasoundImageStorage, "1.2.3.999.9", "US"
    made.PatientName, made.NumberOfFrames, made.Rows, made.Columns = "Canaryson^Maria", count, 240, 480
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
    made.PixelData = loop.tobytes()
    return made


def test_a_name_on_one_frame_of_many_is_seen():
    with pytest.raises(Quarantine, match="pixels-doubtful"):
        deidentify_dataset(frames(20, written=13), secret=SECRET)
    assert deidentify_dataset(frames(20, written=-1), secret=SECRET).NumberOfFrames == 20


@pytest.fixture(scope="module")
def slide(tmp_path_factory) -> tuple[bytes, bytes]:
    """A slide as its scanner wrote it, and as it comes out."""
    folder = tmp_path_factory.mktemp("slide")
    make_slide(
        folder / "in.svs",
        size=2_000_000,
        pathology_number="S2026-04711",
        block="A1",
        stain="HE",
        patient_name="王秀英",
    )
    plan = slides.plan_slide(folder / "in.svs")
    write(plan, folder / "in.svs", folder / "out.svs")
    slides.check_written(folder / "out.svs", identity_values=plan.removed_values)
    return (folder / "in.svs").read_bytes(), (folder / "out.svs").read_bytes()


def test_no_label_is_left_in_the_macro(slide):
    before, after = slide
    for word in (b"macro", b"label"):
        assert word in before.lower()
        assert word not in after.lower()


@pytest.mark.parametrize("flavor", ["LABEL", "OVERVIEW", "LOCALIZER", "UNHEARD OF"])
def test_what_a_newer_scanner_calls_its_label_is_not_taken_for_a_picture(flavor, tmp_path):
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = (
        "1.2.840.10008.5.1.4.1.1.77.1.6",
        "1.2.3.999.2",
        "SM",
    )
    made.ImageType = ["ORIGINAL", "PRIMARY", flavor, "NONE"]
    made.SeriesInstanceUID, made.Rows, made.Columns, made.NumberOfFrames = "1.2.3.999.3", 64, 64, 1
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = 64, 64
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 3, "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PlanarConfiguration = 8, 8, 7, 0
    made.PixelData = bytes(64 * 64 * 3)
    made.save_as(tmp_path / "in.dcm", enforce_file_format=True)
    with pytest.raises((LeftOut, Quarantine)):
        check_whole_slide(tmp_path / "in.dcm")


def test_no_title_and_no_date_is_left_in_a_slides_metadata(slide):
    before, after = slide
    for word in (
        b"S2026-04711",
        b"Date",
        b"06/19/26",
        b"09:59:15",
        b"wang.technician",
        b"SS7043",
        b"Filename",
    ):
        assert word in before
        assert word not in after
    assert b"MPP" in after


def test_nesting_of_any_depth_needs_no_recursion(key, known):
    raw = b"".join(Writer(EXPLICIT).chunks(nested(5000, [canary(0x00081010), canary(0x0040A123)])))
    read = Reader(memoryview(raw), 0, EXPLICIT).read()
    transform(read, key, known, profile("basic"))
    out = b"".join(Writer(EXPLICIT).chunks(read))
    assert not [c for c in CANARIES if c in out]


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    "tag",
    [
        0x00080040,  # Data Set Type, of ACR-NEMA
        0x00091234,  # private, of no creator
        0x00120999,  # an attribute that no edition names
        0x00101050,  # Insurance Plan Identification
        0x00104000,  # Patient Comments
        0x00324000,  # Study Comments
        0x00380011,  # Issuer of Admission ID
        0x40080102,  # Interpretation Recorder
        0x40080115,  # Interpretation Diagnosis Description
        0x0040A353,  # Address (Trial)
        0x50003000,  # Curve Data
        0x60004000,  # Overlay Comments
    ],
    ids=lambda t: f"{t:08X}",
)
def test_retired_and_unknown_tags_are_treated_too(name, tag, key, known):
    element = Element(tag, "LO", NAME.encode())
    elements = [element]
    transform(elements, key, known, profile(name))
    left = next((bytes(e.value) for e in elements if e.tag == tag), b"")
    assert not [c for c in CANARIES if c in left]


@pytest.mark.parametrize("name", PROFILES)
def test_text_in_a_structured_report_does_not_come_out(name, key, known):
    with pytest.raises(Quarantine, match="reading-loss"):
        deidentify_dataset(pydicom.dcmread(sample("test-SR.dcm")), secret=SECRET, profile=name)
    item = [
        Element(0x0040A040, "CS", b"TEXT"),
        Element(0x0040A160, "UT", b"her neighbour Qzxvalue found her"),
    ]
    elements = [Element(0x0040A730, "SQ", b"", [item])]
    transform(elements, key, known, profile(name))
    assert b"Qzxvalue" not in b"".join(Writer(EXPLICIT).chunks(elements))


@pytest.mark.parametrize("name", PROFILES)
def test_no_private_creator_is_kept_without_a_safe_attribute_of_its_block(name, ct):
    ct.private_block(0x0019, "Maria Canaryson", create=True).add_new(1, "LO", "x")
    ct.private_block(0x0023, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "1000")
    after = deidentify_dataset(ct, secret=SECRET, profile=name)
    creators = {str(e.value) for e in after.iterall() if e.tag.is_private_creator}
    assert not [c for c in creators if "Canaryson" in c or "SIEMENS" in c]
    if name == "basic":
        assert not [e.tag for e in after.iterall() if e.tag.is_private]


def test_what_comes_out_is_read_by_others_without_the_name_that_was_known_only_to_the_order(ct, tmp_path):
    ct.StudyDescription = "CT for 林道仁"
    ct.SpecificCharacterSet = "ISO_IR 192"
    ct.save_as(tmp_path / "in.dcm", enforce_file_format=True)
    known = KnownIdentity(names=("林道仁",))
    deidentify_file(tmp_path / "in.dcm", tmp_path / "out.dcm", secret=SECRET, known=known)
    assert pydicom.dcmread(tmp_path / "out.dcm").StudyDescription == "CT"
