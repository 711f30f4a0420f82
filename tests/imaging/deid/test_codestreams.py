"""What frames say beside the picture goes, whoever wrote it, and the picture stays as it is."""

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid

from imaging.deid import codestreams, second_pass
from imaging.deid.dicom import deidentify_file
from tests.imaging.deid.conftest import sample
from tests.imaging.deid.test_pixels import KNOWN, engine, packed_file, picture

__all__ = ["engine"]
SECRET = b"Dr. Wang's camera, 29.87N 121.55E"


def segment(marker, contents):
    return bytes((0xFF, marker)) + (len(contents) + 2).to_bytes(2, "big") + contents


def jpeg(frame, *segments):
    packed = bytes(imagecodecs.jpeg8_encode(frame, level=90, outcolorspace="RGB"))
    return packed[:2] + b"".join(segments) + packed[2:]


def jpeg_2000(frame, *segments):
    packed = bytes(imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k"))
    size = 4 + int.from_bytes(packed[4:6], "big")  # SIZ comes first
    return packed[:size] + b"".join(segments) + packed[size:]


def jpeg_ls(frame, *segments):
    packed = bytes(imagecodecs.jpegls_encode(frame))
    return packed[:2] + b"".join(segments) + packed[2:]


SPEAKING = [
    (uid.JPEGBaseline8Bit, jpeg, (0xFE, SECRET)),
    (uid.JPEGBaseline8Bit, jpeg, (0xE1, b"Exif\0\0" + SECRET)),
    (uid.JPEGBaseline8Bit, jpeg, (0xE0, b"JFIF\0\1\1\0\0\1\0\1\3\4" + SECRET)),
    (uid.JPEGLSLossless, jpeg_ls, (0xFE, SECRET)),
    (uid.JPEG2000Lossless, jpeg_2000, (0x64, b"\0\1" + SECRET)),
]


@pytest.mark.parametrize(("syntax", "pack", "said"), SPEAKING)
def test_what_a_frame_says_beside_its_picture_goes(syntax, pack, said, tmp_path, key, engine):
    frames = [picture([]), picture([((500, 300), "1.06 cm")])]
    source = packed_file(tmp_path / "in.dcm", frames, syntax, lambda f: pack(f, segment(*said)))
    assert source.read_bytes().count(SECRET) == 2

    deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)

    assert SECRET not in (tmp_path / "out.dcm").read_bytes()
    before, after = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "out.dcm")
    assert (after.pixel_array == before.pixel_array).all()
    assert len(after.PixelData) == len(before.PixelData)
    assert second_pass.findings(source, tmp_path / "out.dcm", KNOWN, key.shift_days) == ()


@pytest.mark.parametrize(("syntax", "pack", "said"), SPEAKING)
def test_the_second_pass_notices_what_a_frame_says(syntax, pack, said, tmp_path, key, engine, monkeypatch):
    source = packed_file(tmp_path / "in.dcm", [picture([])], syntax, lambda f: pack(f, segment(*said)))
    monkeypatch.setattr(codestreams, "silenced", lambda value: value)
    deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)
    found = second_pass.findings(source, tmp_path / "out.dcm", KNOWN, key.shift_days)
    assert [(f.where, f.what) for f in found] == [("(7FE0,0010)", "bytes beside the picture")]


def test_what_says_how_colours_are_coded_stays(tmp_path):
    packed = bytes(imagecodecs.jpeg8_encode(picture([]), level=90))
    assert b"JFIF" in packed
    pixels = pydicom.encaps.encapsulate([packed, packed])
    assert codestreams.silenced(pixels) is pixels


def test_frames_of_a_file_whose_heads_say_nothing_are_not_copied():
    pixels = memoryview(pydicom.dcmread(sample("JPEG-lossy.dcm")).PixelData)
    silent = codestreams.silenced(pixels)
    assert codestreams.silenced(silent) is silent


def test_broken_heads_are_no_end_of_anything():
    random = np.random.default_rng(11)
    packed = bytearray(pydicom.encaps.encapsulate([jpeg(picture([]), segment(0xFE, SECRET))]))
    for _ in range(300):
        broken = bytearray(packed)
        for at in random.integers(0, 200, 6):
            broken[at] = random.integers(0, 256)
        assert len(codestreams.silenced(bytes(broken))) == len(broken)
