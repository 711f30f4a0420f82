"""What frames say beside the picture goes, whoever wrote it, and the picture stays as it is."""

import io

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
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


def late(packed, marker, said):
    """The codestream with `said` before the last marker of this kind, which comes behind the head."""
    at = packed.rindex(bytes((0xFF, marker)))
    return packed[:at] + said + packed[at:]


def progressive(frame):
    """A JPEG of many scans."""
    out = io.BytesIO()
    Image.fromarray(frame).save(out, "JPEG", progressive=True, quality=90)
    return out.getvalue()


def require_silenced(quiet, frame):
    """The secret is gone, and no byte became anything but zero. Encoders' own comments go too."""
    assert SECRET not in quiet
    assert {after for after, before in zip(quiet, frame, strict=True) if after != before} == {0}


COMMENT = segment(0xFE, SECRET)
BEHIND_THE_HEAD = {
    "fill bytes": (uid.JPEGBaseline8Bit, lambda f: jpeg(f, b"\xff\xff\xff" + COMMENT)),
    "a restart in the head": (uid.JPEGBaseline8Bit, lambda f: jpeg(f, b"\xff\xd0" + COMMENT)),
    "behind the only scan": (uid.JPEGBaseline8Bit, lambda f: late(jpeg(f), 0xD9, COMMENT)),
    "fill bytes behind the scan": (
        uid.JPEGBaseline8Bit,
        lambda f: late(jpeg(f), 0xD9, b"\xff\xff" + COMMENT),
    ),
    "between two scans": (uid.JPEGBaseline8Bit, lambda f: late(progressive(f), 0xDA, COMMENT)),
    "behind a JPEG-LS scan": (uid.JPEGLSLossless, lambda f: late(jpeg_ls(f), 0xD9, COMMENT)),
    "fill bytes in JPEG-LS": (uid.JPEGLSLossless, lambda f: jpeg_ls(f, b"\xff\xff" + COMMENT)),
}


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("where", BEHIND_THE_HEAD)
def test_what_a_frame_says_behind_its_head_goes_too(where, pieces, tmp_path, key, engine):
    syntax, pack = BEHIND_THE_HEAD[where]
    source = packed_file(tmp_path / "in.dcm", [picture([])], syntax, pack)
    dataset = pydicom.dcmread(source)
    (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([frame], fragments_per_frame=pieces)
    dataset.save_as(source)
    assert SECRET in frame

    deidentify_file(source, tmp_path / "out.dcm", key, KNOWN, engine=engine)

    before, after = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "out.dcm")
    (quiet,) = pydicom.encaps.generate_frames(after.PixelData, number_of_frames=1)
    require_silenced(quiet, frame)
    assert (after.pixel_array == before.pixel_array).all()
    assert second_pass.findings(source, tmp_path / "out.dcm", KNOWN, key.shift_days) == ()


@pytest.mark.parametrize("cut", [16, 40])
def test_what_is_said_across_fragments_goes_and_their_heads_stay(cut):
    """Within the segment's own head, and within its words."""
    frame = jpeg(picture([]), COMMENT)
    at = frame.index(COMMENT) + cut - 15
    pieces = (b"", frame[:at], frame[at:])
    items = b"".join(b"\xfe\xff\x00\xe0" + len(piece).to_bytes(4, "little") + piece for piece in pieces)
    head = 8 + 8 + at + 8

    quiet = bytes(codestreams.silenced(items))

    assert quiet[16 : 16 + at] + quiet[head:] == frame.replace(SECRET, bytes(len(SECRET)))
    assert (quiet[:16], quiet[16 + at : head]) == (items[:16], items[16 + at : head])


def test_comments_between_the_tile_parts_of_jpeg_2000_go():
    said = segment(0x64, b"\0\1" + SECRET)
    frame = bytes(imagecodecs.jpeg2k_encode(picture([]), level=0, codecformat="j2k"))
    start = frame.index(b"\xff\x90")
    size = int.from_bytes(frame[start + 6 : start + 10], "big")
    whole = start + size
    assert frame[whole:] == b"\xff\xd9"
    longer = frame[: start + 6] + (size + len(said)).to_bytes(4, "big") + frame[start + 10 : start + 12]
    spoken = longer + said + frame[start + 12 :]

    quiet = bytes(codestreams.silenced(pydicom.encaps.encapsulate([spoken])))

    require_silenced(quiet, pydicom.encaps.encapsulate([spoken]))
    (after,) = pydicom.encaps.generate_frames(quiet, number_of_frames=1)
    assert (imagecodecs.jpeg2k_decode(after) == imagecodecs.jpeg2k_decode(frame)).all()


def test_bytes_behind_the_end_of_a_frame_are_not_its_own_to_silence():
    """They may be a frame that the file does not count: the second pass withholds it."""
    pixels = pydicom.encaps.encapsulate([jpeg(picture([])) + COMMENT])
    assert codestreams.silenced(pixels) is pixels


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
