"""Blocks of a JPEG are blanked, and all other blocks keep their coefficients."""

import imagecodecs
import numpy as np
import pytest

from imaging.deid.jpeg_blocks import Box, NotBaseline, blanked, grown
from tests.imaging.deid.test_pixels import HEADER, picture

NOISE = np.random.default_rng(3).integers(0, 255, (101, 147, 3), np.uint8)
SCAN = picture(HEADER)


def packed_of(image, **how):
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(image), **how))


def as_stored(codestream):
    """Every component as it is coded, so that no conversion of colours hides a difference."""
    space = None if imagecodecs.jpeg8_decode(codestream).ndim == 2 else "YCBCR"
    return imagecodecs.jpeg8_decode(codestream, outcolorspace=space)


@pytest.mark.parametrize(
    "image", [NOISE, SCAN, NOISE[:, :, 0], SCAN[:, :, 1]], ids=["noise", "scan", "grey noise", "grey scan"]
)
@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize("level", [35, 92])
@pytest.mark.parametrize("optimize", [False, True])
def test_what_a_box_touches_is_black_and_the_rest_as_it_was(image, subsampling, level, optimize):
    packed = packed_of(image, level=level, subsampling=subsampling, optimize=optimize)
    box = Box(21, 3, 70, 30)
    result = blanked(packed, [box], luma_and_chroma=image.ndim == 3)
    before, after = as_stored(packed), as_stored(result)
    touched = grown(packed, box)
    assert touched.left <= box.left < box.right <= touched.right
    assert (touched.left % 8, touched.top % 8) == (0, 0)
    rows, columns = slice(touched.top, touched.bottom), slice(touched.left, touched.right)
    luma = after if after.ndim == 2 else after[:, :, 0]
    assert (np.ptp(luma[rows, columns]), luma[rows, columns].max() <= 3) == (0, True)
    # decoders smooth chroma over the border of a blanked block by one pixel
    outside = np.ones(before.shape[:2], bool)
    margin = 0 if subsampling == "444" or image.ndim == 2 else 1
    outside[
        max(0, touched.top - margin) : touched.bottom + margin,
        max(0, touched.left - margin) : touched.right + margin,
    ] = False
    assert (after[outside] == before[outside]).all()


def test_nothing_blanked_is_the_same_picture():
    packed = packed_of(SCAN, level=80)
    again = blanked(packed, [], luma_and_chroma=True)
    assert (imagecodecs.jpeg8_decode(again) == imagecodecs.jpeg8_decode(packed)).all()


def test_comments_do_not_stay():
    packed = packed_of(SCAN, level=80)
    named = packed[:2] + b"\xff\xfe\x00\x0dWang Xiumei"[:15] + packed[2:]
    assert b"Wang" in named
    assert b"Wang" not in blanked(named, [Box(0, 0, 8, 8)], luma_and_chroma=True)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\xff\xd8",
        packed_of(SCAN, level=80)[:400],
        packed_of(SCAN, level=80)[:-3000] + b"\xff\xd9",
        packed_of(SCAN, lossless=True),
        b"\xff\xd8\xff\xc2\x00\x04ab",
    ],
)
def test_what_is_no_whole_baseline_codestream_is_refused(stream):
    with pytest.raises(NotBaseline):
        blanked(stream, [Box(0, 0, 8, 8)], luma_and_chroma=True)


def test_restart_markers_are_followed():
    import io

    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(SCAN).save(target, "JPEG", quality=85, restart_marker_rows=1)
    packed = target.getvalue()
    assert b"\xff\xd0" in packed
    after = imagecodecs.jpeg8_decode(blanked(packed, [Box(0, 0, 640, 40)], luma_and_chroma=True))
    assert not after[:40].any()
    assert (after[64:] == imagecodecs.jpeg8_decode(packed)[64:]).all()


def test_broken_codes_are_refused_and_never_loop():
    packed = bytearray(packed_of(NOISE, level=80))
    random = np.random.default_rng(5)
    start = packed.index(b"\xff\xda")
    for _ in range(200):
        broken = bytearray(packed)
        for at in random.integers(2 if random.random() < 0.5 else start, len(packed), 4):
            broken[at] = random.integers(0, 256)
        try:
            blanked(bytes(broken), [Box(0, 0, 8, 8)], luma_and_chroma=True)
        except NotBaseline:
            continue
