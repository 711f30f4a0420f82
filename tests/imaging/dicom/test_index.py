"""What is told of an instance is what pydicom reads in it, and each frame lies where the index says."""

import json
import struct
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from cases.errors import Quarantine
from cases.indexed import SPAN
from imaging.dicom.index import index

SAMPLES = (
    "CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "color-pl.dcm", "rtplan.dcm",
    "rtdose.dcm", "emri_small.dcm", "emri_small_big_endian.dcm", "color3d_jpeg_baseline.dcm", "US1_J2KR.dcm",
    "eCT_Supplemental.dcm", "gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm", "test-SR.dcm", "waveform_ecg.dcm",
    "mlut_18.dcm", "liver.dcm", "JPEG2000.dcm", "examples_palette.dcm", "explicit_VR-UN.dcm", "UN_sequence.dcm",
)  # fmt: skip


def sample(name):
    found = get_testdata_file(name, download=False)
    if found is None:
        pytest.skip(f"pydicom carries no {name} here")
    return Path(str(found))


def told_of(path):
    return json.loads(zlib.decompress(index(path, "dicom/1.dcm").metadata))


def body_of(path):
    """The bytes in which places are counted: the file, or the inflated data set."""
    content = path.read_bytes()
    syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    if syntax != pydicom.uid.DeflatedExplicitVRLittleEndian:
        return content
    meta = pydicom.filereader.read_file_meta_info(path)
    start = 132 + 12 + meta.FileMetaInformationGroupLength
    return zlib.decompress(content[start:], -zlib.MAX_WBITS)


def simple(value):
    """A value of DICOM JSON, of pydicom's or ours, without the forms that PS3.18 leaves open."""
    if isinstance(value, dict):
        if set(value) & {"Alphabetic", "Ideographic", "Phonetic"}:
            return {group: text for group, text in value.items() if text}
        return {tag: simple(inner) for tag, inner in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.strip() or None if isinstance(value, str) else value


def same(ours, theirs, path=""):
    """Every attribute that pydicom tells is told alike."""
    for tag, expected in theirs.items():
        if tag[4:] == "0000" or tag in ("7FE00001", "7FE00002", "FFFCFFFC"):
            continue
        got = ours[tag]
        assert got["vr"] == expected["vr"], path + tag
        if expected["vr"] == "SQ":
            for mine, other in zip(got.get("Value", []), expected.get("Value", []), strict=True):
                same(mine, other, f"{path}{tag}.")
        elif "BulkDataURI" in got or tag == "00080005":
            continue
        elif "InlineBinary" in expected:
            assert got.get("InlineBinary") == expected["InlineBinary"] or expected["vr"] != "OB", path + tag
        else:
            values = [simple(v) for v in expected.get("Value", [])]
            assert [simple(v) for v in got.get("Value", [])] == values, path + tag


@pytest.mark.parametrize("name", SAMPLES)
def test_the_metadata_says_what_pydicom_says(name):
    path = sample(name)
    dataset = pydicom.dcmread(path)
    ours = told_of(path)
    same(ours, dataset.to_json_dict(suppress_invalid_tags=True))
    assert list(ours) == sorted(ours)
    assert ours["00083002"]["Value"] == [dataset.file_meta.TransferSyntaxUID]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_value_that_stands_outside_lies_where_its_path_says(name):
    path = sample(name)
    told, body = index(path, "dicom/1.dcm"), body_of(path)
    dataset = pydicom.dcmread(path)
    for place, (offset, length, _) in told.bulk.items():
        *steps, last = place.split(".")
        holder = dataset
        for tag, number in zip(steps[::2], steps[1::2], strict=True):
            holder = holder[int(tag, 16)].value[int(number) - 1]
        value = holder[int(last, 16)].value
        assert body[offset : offset + length].startswith(value[:64] if isinstance(value, bytes) else b"")
        assert length >= min(len(value), 1025)


def unwrapped(span):
    """The fragments of a span without their heads."""
    out, at = b"", 0
    while at < len(span):
        length = struct.unpack_from("<L", span, at + 4)[0]
        out += span[at + 8 : at + 8 + length]
        at += 8 + length
    return out


def frames_by_index(path):
    told, content = index(path, "dicom/1.dcm"), path.read_bytes()
    assert told.pixels is not None
    assert told.pixels.spans is not None
    places = [SPAN.unpack_from(told.pixels.spans, at) for at in range(0, len(told.pixels.spans), SPAN.size)]
    return [unwrapped(content[offset : offset + length]) for offset, length in places]


def rewritten(tmp_path, pixels, frames, **changes):
    """The baseline JPEG sample with other encapsulated pixel data."""
    dataset = pydicom.dcmread(sample("color3d_jpeg_baseline.dcm"))
    dataset.PixelData, dataset.NumberOfFrames = pixels, frames
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "rewritten.dcm")
    return tmp_path / "rewritten.dcm"


@pytest.fixture(scope="module")
def five():
    dataset = pydicom.dcmread(sample("color3d_jpeg_baseline.dcm"))
    return list(generate_frames(dataset.PixelData, number_of_frames=120))[:5]


def without_table(pixels):
    """Encapsulated pixel data whose basic offset table is empty."""
    length = struct.unpack_from("<L", pixels, 4)[0]
    return b"\xfe\xff\x00\xe0\0\0\0\0" + pixels[8 + length :]


def test_frames_are_found_by_every_witness(five, tmp_path):
    several = encapsulate(five, fragments_per_frame=3, has_bot=True)
    extended, offsets, lengths = encapsulate_extended(five)
    tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    written = {
        "one fragment a frame": (encapsulate(five, has_bot=False), {}),
        "the basic offset table": (several, {}),
        "the extended offset table": (extended, tables),
        "the codestreams' ends": (without_table(several), {}),
        "a table that is wrong": (several[:8] + b"\x07\0\0\0" * 5 + several[28:], {}),
    }
    for witness, (pixels, changes) in written.items():
        found = frames_by_index(rewritten(tmp_path, pixels, 5, **changes))
        assert [f.rstrip(b"\0") for f in found] == [f.rstrip(b"\0") for f in five], witness


def test_frames_that_nothing_tells_apart_are_not_told(five, tmp_path):
    cut = [frame[:-20] for frame in five]  # no codestream has its end
    pixels = without_table(encapsulate(cut, fragments_per_frame=2, has_bot=True))
    assert frames_by_index(rewritten(tmp_path, pixels, 5)) == []


def test_what_is_no_data_set_is_refused(tmp_path):
    path = tmp_path / "cut.dcm"
    path.write_bytes(sample("CT_small.dcm").read_bytes()[:5000])
    with pytest.raises(Quarantine, match="file-damaged"):
        index(path, "dicom/1.dcm")
