"""Reading instances to their end: real ones as they are, broken ones into `Quarantine`."""

from __future__ import annotations

import hashlib
import io
import pickle
import resource
import subprocess
import sys
import time
import zlib
from datetime import datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from cases.errors import Quarantine
from imaging.dicom import walk
from imaging.dicom.read import Inspection, inspect
from tests.imaging.dicom import samples

# Sample files that are broken on purpose or lack what an instance must have, and why each is refused.
REFUSED = {
    **{path.name: "file-damaged" for path in samples.all_files() if "TINY_ALPHA" in path.parts},
    "chrJapMulti.dcm": "file-damaged",  # the following are images without pixel data
    "chrJapMultiExplicitIR6.dcm": "file-damaged",
    "chrKoreanMulti.dcm": "file-damaged",
    "DICOMDIR": "uid-invalid",
    "DICOMDIR-bigEnd": "uid-invalid",
    "DICOMDIR-empty.dcm": "uid-invalid",
    "DICOMDIR-implicit": "uid-invalid",
    "DICOMDIR-nooffset": "file-damaged",
    "DICOMDIR-nopatient": "uid-invalid",
    "DICOMDIR-reordered": "uid-invalid",
    "JPEGLSNearLossless_08.dcm": "uid-invalid",
    "JPEGLSNearLossless_16.dcm": "uid-invalid",
    "MR_truncated.dcm": "file-damaged",
    "SC_rgb_jls_lossy_line.dcm": "uid-invalid",
    "SC_rgb_jls_lossy_sample.dcm": "uid-invalid",
    "UN_sequence.dcm": "uid-invalid",
    "badVR.dcm": "file-damaged",
    "bad_sequence.dcm": "uid-invalid",
    "chrSQEncoding.dcm": "uid-invalid",
    "chrSQEncoding1.dcm": "uid-invalid",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "file-damaged",
    "empty_charset_LEI.dcm": "uid-invalid",
    "meta_missing_tsyntax.dcm": "uid-invalid",
    "nested_priv_SQ.dcm": "uid-invalid",
    "no_meta.dcm": "format-unknown",
    "no_meta_group_length.dcm": "uid-invalid",
    "priv_SQ.dcm": "uid-invalid",
    "rtplan_truncated.dcm": "file-damaged",
}


@pytest.mark.parametrize("path", samples.all_files(), ids=lambda path: path.name)
def test_every_sample_is_read_as_pydicom_reads_it_or_refused_for_its_known_reason(path: Path) -> None:
    if path.name in REFUSED:
        with pytest.raises(Quarantine) as refused:
            inspect(path)
        assert refused.value.code == REFUSED[path.name]
        return
    found = inspect(path)
    dataset = pydicom.dcmread(path, force=True)
    assert found.sop_instance_uid == dataset.SOPInstanceUID
    assert found.sop_class_uid == dataset.SOPClassUID
    assert found.study_uid == dataset.StudyInstanceUID
    assert found.series_uid == dataset.SeriesInstanceUID
    assert found.modality == (dataset.get("Modality") or "OT")
    assert found.frames == int(dataset.get("NumberOfFrames") or 1)
    assert (found.rows, found.columns) == (dataset.get("Rows") or 0, dataset.get("Columns") or 0)
    assert found.has_pixels == any(
        k in dataset for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    )
    assert found.identity.patient_id == samples.top(dataset, "PatientID").strip()
    assert found.size == path.stat().st_size
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_samples_carry_every_transfer_syntax_family_that_the_partners_must_receive() -> None:
    read = {inspect(p).transfer_syntax_uid for p in samples.all_files() if p.name not in REFUSED}
    assert read >= {
        "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
        "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["JPEGLSNearLossless_08.dcm", "SC_rgb_jls_lossy_line.dcm"])
def test_near_lossless_jpeg_ls_is_read_once_its_uids_are_there(name: str) -> None:
    dataset = pydicom.dcmread(samples.by_name(name))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.4"
    target = io.BytesIO()
    dataset.save_as(target)
    assert inspect(target.getvalue()).transfer_syntax_uid == "1.2.840.10008.1.2.4.81"


def test_an_inspection_holds_what_preprocessing_needs() -> None:
    found = inspect(samples.TEST_FILES / "CT_small.dcm", file="f/1", member="00003")
    assert (found.file, found.member) == ("f/1", "00003")
    assert found.station == "CT01_OC0"
    assert found.instance_number == 1
    assert found.series_number == 1
    assert found.first_acquired_at == found.last_acquired_at == datetime.fromisoformat("1997-04-30T11:29:36")
    assert found.position == (-158.135803, -179.035797, -75.699997)
    assert found.identity.patient_id == "1CT1"


def test_an_enhanced_instance_says_when_its_first_and_last_frame_were_acquired() -> None:
    found = inspect(samples.by_name("eCT_Supplemental.dcm"))
    assert found.frames == 2
    assert found.first_acquired_at is not None
    assert found.last_acquired_at is not None
    assert found.first_acquired_at <= found.last_acquired_at


def test_an_inspection_crosses_a_process_border_and_shows_no_identity() -> None:
    found = inspect(samples.TEST_FILES / "CT_small.dcm")
    again: Inspection = pickle.loads(pickle.dumps(found))
    assert again == found
    assert "1CT1" not in repr(found)
    assert "CompressedSamples" not in repr(found)
    assert "1CT1" not in repr(found.identity)


def test_a_path_and_its_bytes_give_the_same_inspection() -> None:
    path = samples.TEST_FILES / "MR_small.dcm"
    assert inspect(path, file="x") == inspect(path.read_bytes(), file="x")


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_rle_2frame.dcm", "image_dfl.dcm", "liver_1frame.dcm"])  # fmt: skip
def test_a_file_cut_anywhere_is_damaged(name: str) -> None:
    whole = (samples.TEST_FILES / name).read_bytes()
    trailer = 8 if name == "image_dfl.dcm" else 0  # a CRC and a length that no reader needs
    cuts = {*range(0, min(len(whole), 3000), 7), *range(len(whole) - 64 - trailer, len(whole) - trailer)}
    survived = []
    for cut in sorted(cuts):
        try:
            inspect(whole[:cut])
        except Quarantine as refused:
            assert refused.code in ("file-damaged", "format-unknown", "uid-invalid")  # noqa: PT017
        else:
            survived.append(cut)
    assert survived == [
        cut for cut in survived if whole[cut : cut + 4] == b"\xfc\xff\xfc\xff"
    ]  # the padding element


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"])
def test_pixel_data_shorter_than_rows_columns_and_frames_say_is_damaged(name: str) -> None:
    dataset = pydicom.dcmread(samples.TEST_FILES / name)
    dataset.PixelData = dataset.PixelData[:-2]
    with pytest.raises(Quarantine, match="shorter"):
        inspect(samples.written(dataset))


def test_pixel_data_with_padding_after_it_is_read() -> None:
    dataset = samples.ct()
    dataset.PixelData += b"\0\0"
    assert inspect(samples.written(dataset)).has_pixels


def _jpeg(fragments: list[bytes], frames: int) -> bytes:
    dataset = pydicom.dcmread(samples.TEST_FILES / "SC_rgb_jpeg_dcmtk.dcm")
    dataset.NumberOfFrames = frames
    dataset.PixelData = encapsulate(fragments)
    return samples.written(dataset)


WHOLE = b"\xff\xd8\xff\xe0" + bytes(40) + b"\xff\xd9"


@pytest.mark.parametrize(
    ("fragments", "frames", "why"),
    [
        ([WHOLE], 2, "fewer fragments"),
        ([WHOLE[:-2]], 1, "cut off"),
        ([WHOLE, WHOLE[:20]], 2, "cut off"),
        ([WHOLE[:20], WHOLE], 2, "cut off"),
        ([WHOLE, bytes(40) + b"\xff\xd9"], 2, "does not begin"),
        ([bytes(40)], 1, "does not begin"),
    ],
)
def test_encapsulated_frames_that_are_missing_or_cut_are_damage(
    fragments: list[bytes], frames: int, why: str
) -> None:
    with pytest.raises(Quarantine, match=why) as refused:
        inspect(_jpeg(fragments, frames))
    assert refused.value.code == "file-damaged"


def test_whole_encapsulated_frames_are_read_in_one_fragment_or_in_several() -> None:
    assert inspect(_jpeg([WHOLE, WHOLE], 2)).frames == 2
    assert inspect(_jpeg([WHOLE[:20], WHOLE[20:]], 1)).frames == 1


@pytest.mark.parametrize("fragments", [b"", b"\xfe\xff\x00\xe0\0\0\0\0"], ids=["none", "an empty one"])
def test_pixel_data_without_a_frame_is_damage(fragments: bytes) -> None:
    dataset = pydicom.dcmread(samples.TEST_FILES / "SC_rgb_jpeg_dcmtk.dcm")
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + fragments
    with pytest.raises(Quarantine, match="no frame"):
        inspect(samples.written(dataset))


def test_a_frame_that_is_no_rle_is_damage() -> None:
    dataset = pydicom.dcmread(samples.TEST_FILES / "SC_rgb_rle_2frame.dcm")
    frames = list(generate_frames(dataset.PixelData, number_of_frames=2))
    dataset.PixelData = encapsulate([frames[0], b"\x10" + frames[1][1:]])
    with pytest.raises(Quarantine, match="does not begin"):
        inspect(samples.written(dataset))


def test_fragments_without_their_terminator_are_damage() -> None:
    whole = (samples.TEST_FILES / "SC_rgb_jpeg_dcmtk.dcm").read_bytes()
    end = whole.rindex(b"\xfe\xff\xdd\xe0")
    with pytest.raises(Quarantine) as refused:
        inspect(whole[:end])
    assert refused.value.code == "file-damaged"


@pytest.mark.parametrize(
    ("depth", "undefined"),
    [
        (walk.MAX_DEPTH + 1, True),
        (walk.MAX_DEPTH + 1, False),
        (2000, True),
        (2000, False),
        (50_000, True),
        (50_000, False),
    ],
)
@pytest.mark.parametrize("explicit", [True, False])
def test_sequences_nested_beyond_reason_are_refused_at_once(
    depth: int, undefined: bool, explicit: bool
) -> None:
    raw = samples.nested(depth, explicit=explicit, undefined=undefined)
    began = time.process_time()
    with pytest.raises(Quarantine, match="nested deeper") as refused:
        inspect(raw)
    assert refused.value.code == "file-damaged"
    assert time.process_time() - began < 1


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("undefined", [True, False])
def test_sequences_nested_as_deep_as_allowed_are_read_and_pydicom_can_walk_them(
    explicit: bool, undefined: bool
) -> None:
    raw = samples.nested(walk.MAX_DEPTH, explicit=explicit, undefined=undefined)
    assert inspect(raw).has_pixels
    pydicom.dcmread(io.BytesIO(raw)).walk(lambda *_: None)


@pytest.mark.parametrize(
    "uid",
    [
        "",
        "1.2.",
        ".1.2",
        "1..2",
        "1.2.03",
        "1.2.abc",
        "1.2.3\n4",
        "../../etc",
        "1." + "2" * 63,
        "0x1.2",
        "1,2",
    ],
)
@pytest.mark.parametrize(
    "keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"]
)
def test_an_invalid_uid_is_refused_without_quoting_it(keyword: str, uid: str) -> None:
    dataset = samples.ct()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset[keyword]._value = uid
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, enforce_file_format=False)
    with pytest.raises(Quarantine) as refused:
        inspect(target.getvalue())
    assert refused.value.code == "uid-invalid"
    assert not uid or uid not in str(refused.value)


def test_the_same_element_twice_is_damage_because_readers_disagree_which_counts() -> None:
    whole = (samples.TEST_FILES / "CT_small.dcm").read_bytes()
    at = whole.index(b"\x10\x00\x20\x00LO")
    patient_id = whole[at : at + 8 + int.from_bytes(whole[at + 6 : at + 8], "little")]
    with pytest.raises(Quarantine, match="same element twice"):
        inspect(whole[:at] + patient_id + whole[at:])


def test_bytes_after_the_end_are_damage() -> None:
    whole = (samples.TEST_FILES / "MR_small.dcm").read_bytes()
    with pytest.raises(Quarantine) as refused:
        inspect(whole + b"PK\x03\x04 anything else")
    assert refused.value.code == "file-damaged"


def test_an_unknown_transfer_syntax_is_an_unknown_format() -> None:
    dataset = samples.ct()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID("1.2.3.4.5")
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, implicit_vr=False, little_endian=True)
    with pytest.raises(Quarantine) as refused:
        inspect(target.getvalue())
    assert refused.value.code == "format-unknown"


@pytest.mark.parametrize("content", [b"", b"\0" * 132 + b"DICM", b"hello", bytes(1000), b"%PDF-1.7"])
def test_what_is_no_instance_is_refused(content: bytes) -> None:
    with pytest.raises(Quarantine) as refused:
        inspect(content)
    assert refused.value.code in ("file-damaged", "format-unknown")


def _deflated(content: bytes) -> bytes:
    dataset = samples.ct()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = samples.written(dataset)
    meta_end = 132 + 12 + pydicom.dcmread(io.BytesIO(whole)).file_meta.FileMetaInformationGroupLength
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return whole[:meta_end] + squeeze.compress(content) + squeeze.flush()


def test_a_deflated_bomb_ends_at_its_limit_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imaging.dicom.stream.MAX_INFLATED", 8 << 20)
    head = b"\x09\x00\x10\x00OB\0\0" + (100 << 20).to_bytes(4, "little")
    with pytest.raises(Quarantine) as refused:
        inspect(_deflated(head + bytes(100 << 20)))
    assert refused.value.code == "read-limit"


def test_a_deflated_data_set_that_is_cut_or_broken_is_damage() -> None:
    whole = (samples.TEST_FILES / "image_dfl.dcm").read_bytes()
    for broken in (whole[:-40], whole[:2000] + b"\xff" * 30 + whole[2030:]):
        with pytest.raises(Quarantine) as refused:
            inspect(broken)
        assert refused.value.code == "file-damaged"


def test_300_megabytes_of_frames_are_read_to_their_end_within_60_megabytes_of_memory(tmp_path: Path) -> None:
    dataset = samples.ct(Rows=1024, Columns=1024, NumberOfFrames=150)
    dataset.PixelData = b""
    path = tmp_path / "large.dcm"
    raw = samples.written(dataset)
    at = raw.rindex(b"\xe0\x7f\x10\x00")
    with path.open("wb") as target:
        target.write(raw[: at + 8] + (300 << 20).to_bytes(4, "little"))
        target.truncate(at + 12 + (300 << 20))
    script = (
        "import resource, sys; from pathlib import Path; from imaging.dicom.read import inspect;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "found = inspect(Path(sys.argv[1]));"
        "print(found.frames, found.size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    root = Path(__file__).parents[3]
    told = subprocess.run(
        [sys.executable, "-c", script, path], cwd=root, check=True, capture_output=True, text=True, timeout=60
    )
    frames, size, kilobytes = (int(word) for word in told.stdout.split())
    assert (frames, size) == (150, path.stat().st_size)
    assert kilobytes < 60 << 10


def test_300_slices_of_a_ct_are_read_in_a_few_seconds_of_one_core() -> None:
    dataset = samples.ct(Rows=512, Columns=512)
    dataset.PixelData = bytes(512 * 512 * 2)
    raw = samples.written(dataset)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(300):
        inspect(raw)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 4


def test_jpeg_under_an_implicit_header_is_read_as_pydicom_reads_it() -> None:
    found = inspect(samples.TEST_FILES / "SC_rgb_jpeg.dcm")
    assert found.transfer_syntax_uid == JPEGBaseline8Bit
    assert found.has_pixels


def test_a_file_without_header_is_read_in_the_encoding_that_it_shows() -> None:
    assert (
        inspect(samples.TEST_FILES / "ExplVR_BigEndNoMeta.dcm").transfer_syntax_uid == "1.2.840.10008.1.2.2"
    )
    assert (
        inspect(samples.TEST_FILES / "ExplVR_LitEndNoMeta.dcm").transfer_syntax_uid == "1.2.840.10008.1.2.1"
    )
    dataset = samples.ct()
    target = io.BytesIO()
    del dataset.file_meta.TransferSyntaxUID
    pydicom.dcmwrite(target, dataset, implicit_vr=True, little_endian=True)
    assert inspect(target.getvalue()).transfer_syntax_uid == ImplicitVRLittleEndian
