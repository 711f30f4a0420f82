"""What stands in compressed frames beside the picture is seen wherever a decoder would pass it over."""

import struct

import pytest

from imaging.deid.second_frames import _said

NAME = b"Lin Daiyu"
COMMENT = b"\xff\xfe" + struct.pack(">H", 2 + len(NAME)) + NAME
SCAN = b"\xff\xda\x00\x08" + bytes(6) + b"\x12\xff\x00\x34\xff\xd0\x56"
HEAD, END = b"\xff\xd8\xff\xdb\x00\x04ab", b"\xff\xd9"
TILE_PART = b"\xff\x90\x00\x0a" + bytes(8)
COMMENT_2000 = b"\xff\x64" + struct.pack(">HH", 4 + len(NAME), 1) + NAME
HEAD_2000 = b"\xff\x4f\xff\x51\x00\x04ab"


def fragments(*pieces: bytes) -> memoryview:
    items = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(piece)) + piece for piece in (b"", *pieces))
    return memoryview(items + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + SCAN + END],
        [HEAD + SCAN + END + b"\0"],
        [HEAD + SCAN + END + b"\xff", HEAD + SCAN + SCAN + END],
        [HEAD + SCAN[:9], SCAN[9:] + END],
        [b"\xff\xd8\xff" + HEAD[2:] + SCAN + END],
        [HEAD_2000 + TILE_PART + b"\xff\x93packets" + TILE_PART + b"\xff\x93more" + END],
        [b"\x01\0\0\0run lengths"],
    ],
)
def test_a_picture_alone_says_nothing(pieces):
    assert not any(_said(fragments(*pieces)))


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + COMMENT + SCAN + END],
        [b"\xff\xd8\xff" + COMMENT + HEAD[2:] + SCAN + END],
        [b"\xff\xd8\xff\xd0" + COMMENT + HEAD[2:] + SCAN + END],
        [b"\xff\xd8\xff\x01" + COMMENT + HEAD[2:] + SCAN + END],
        [HEAD + SCAN + COMMENT + SCAN + END],
        [HEAD + SCAN + END + COMMENT],
        [HEAD + SCAN + END + HEAD + SCAN + END],
        [HEAD + SCAN + END, b"\x89PNG" + NAME],
        [HEAD + COMMENT[:8], COMMENT[8:] + SCAN + END],
        [HEAD_2000 + COMMENT_2000 + TILE_PART + b"\xff\x93packets" + END],
        [HEAD_2000 + TILE_PART + COMMENT_2000 + b"\xff\x93packets" + END],
        [HEAD_2000 + TILE_PART + b"\xff\x93packets" + TILE_PART + COMMENT_2000 + b"\xff\x93more" + END],
        [b"\0\0\0\x0cjP  \r\n\x87\n" + NAME],
    ],
)
def test_whatever_stands_beside_the_picture_is_seen(pieces):
    assert any(_said(fragments(*pieces)))
