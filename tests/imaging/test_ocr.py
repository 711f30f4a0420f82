"""Reading text in pictures."""

from pathlib import Path

import numpy as np
import pylopdf_fonts_zh_cn
import pytest
from PIL import Image, ImageDraw, ImageFont

from imaging.ocr import Engine, eight_bit

FONT = Path(pylopdf_fonts_zh_cn.__file__).parent / "NotoSansSC-Regular.otf"


@pytest.fixture(scope="module")
def engine():
    return Engine()


def written(text, size=(640, 120)):
    picture = Image.new("L", size, 0)
    ImageDraw.Draw(picture).text((20, 30), text, font=ImageFont.truetype(str(FONT), 28), fill=255)
    return np.asarray(picture)


@pytest.mark.parametrize("scale", [1, 200])
def test_chinese_and_english_are_read_with_their_place(engine, scale):
    picture = written("姓名: 王小明 MARIA").astype(np.uint8 if scale == 1 else np.uint16) * scale

    boxes = engine.read(picture)

    assert "王小明" in "".join(b.text for b in boxes)
    assert "MARIA" in "".join(b.text for b in boxes)
    assert all(0 <= b.left < b.right <= 640 and 0 <= b.top < b.bottom <= 121 for b in boxes)


def test_a_picture_without_text_gives_nothing(engine):
    assert engine.read(np.zeros((200, 300, 3), np.uint8)) == ()


@pytest.mark.parametrize("shape", [(4,), (2, 2, 2, 2), (0, 5), (3, 3, 7)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(ValueError, match="not a picture"):
        eight_bit(np.zeros(shape))
