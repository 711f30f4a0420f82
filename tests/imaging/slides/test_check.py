from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openslide
import pytest
import skimage.data
import tifffile
from PIL import Image, ImageFilter

from cases.errors import Quarantine, Reject
from imaging.slides.check import LEAST_FOCUS, check_slide
from imaging.slides.look import sharpness
from teledx.samples.slide import make_slide
from tests.imaging.slides.conftest import BLOCK, NAME, NUMBER, STAIN


def _made(path: Path, **options: Any) -> Path:
    return make_slide(
        path,
        size=5_000_000,
        pathology_number=NUMBER,
        block=BLOCK,
        stain=STAIN,
        patient_name=NAME,
        **options,
    )


def test_a_made_slide_opens_as_aperio_with_all_its_images(made: Path) -> None:
    with openslide.OpenSlide(made) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert set(slide.associated_images) == {"label", "macro", "thumbnail"}
        assert slide.properties["aperio.Title"] == NAME
        assert slide.level_count == 3


def test_a_slide_is_judged_by_size_microns_tissue_and_focus(made: Path) -> None:
    found = check_slide(made)

    assert found.format == "svs"
    assert found.mpp == (0.252, 0.252)
    assert found.levels == ((6144, 7168), (1536, 1792), (384, 448))
    assert 0.3 < found.tissue_share < 0.7
    assert found.focus > 0.8
    assert found.bytes_read > 0.9 * made.stat().st_size


def test_a_real_slide_is_adequate(real: Path) -> None:
    found = check_slide(real)

    assert found.mpp == (0.499, 0.499)
    assert found.levels == ((2220, 2967),)
    assert 0.2 < found.tissue_share < 0.5
    assert found.focus > 0.8


def test_a_real_dicom_slide_is_judged_like_its_original(real: Path, real_dicom: Path) -> None:
    original, found = check_slide(real), check_slide(real_dicom / "volume.dcm")

    assert found.format == "dicom-wsi"
    assert (found.mpp, found.levels) == (original.mpp, original.levels)
    assert found.focus == pytest.approx(original.focus, abs=0.02)


def test_the_preview_shows_tissue_and_is_the_same_each_time(made: Path) -> None:
    first, second = check_slide(made), check_slide(made)

    assert first.preview == second.preview
    with Image.open(io.BytesIO(first.preview)) as picture:
        assert max(picture.size) <= 1024
        assert picture.width / picture.height == pytest.approx(6144 / 7168, rel=0.01)


def test_bare_glass_goes_back_for_want_of_tissue(tmp_path: Path) -> None:
    with pytest.raises(Reject) as found:
        check_slide(_made(tmp_path / "empty.svs", empty=True))
    assert found.value.code == "no-tissue"


def test_a_blurred_slide_goes_back_as_out_of_focus(tmp_path: Path) -> None:
    with pytest.raises(Reject) as found:
        check_slide(_made(tmp_path / "blurred.svs", blurred=True))
    assert found.value.code == "out-of-focus"


@pytest.mark.parametrize("quality", [95, 75, 50, 30])
@pytest.mark.parametrize("enlarged", [1, 2], ids=["20x", "40x"])
def test_focus_tells_sharp_tissue_from_its_blurred_copy_at_any_jpeg_quality(
    quality: int, enlarged: int
) -> None:
    tissue = Image.fromarray(np.asarray(skimage.data.immunohistochemistry()))
    tissue = tissue.crop((0, 0, 512 // enlarged, 512 // enlarged)).resize(
        (512, 512), Image.Resampling.BICUBIC
    )

    def focus(picture: Image.Image) -> float:
        coded = imagecodecs.jpeg8_encode(np.asarray(picture), level=quality)
        found = sharpness(Image.fromarray(imagecodecs.jpeg8_decode(coded)).convert("L"))
        assert found is not None
        return found

    assert focus(tissue) > LEAST_FOCUS + 0.15
    assert focus(tissue.filter(ImageFilter.GaussianBlur(4))) < LEAST_FOCUS - 0.05


def test_a_slide_whose_end_is_missing_is_damaged(made: Path, tmp_path: Path) -> None:
    content = made.read_bytes()
    for share in (0.3, 0.7, 0.95, 0.999):
        short = tmp_path / f"{share}.svs"
        short.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(Quarantine) as found:
            check_slide(short)
        assert found.value.code == "file-damaged"


def test_a_hole_of_zeros_in_the_middle_is_damage(made: Path, tmp_path: Path) -> None:
    """What a transfer that lost a block leaves behind: the file has its size, and opens."""
    broken = tmp_path / "hole.svs"
    content = bytearray(made.read_bytes())
    content[2_000_000 : 2_000_000 + 65536] = bytes(65536)
    broken.write_bytes(content)

    with pytest.raises(Quarantine) as found:
        check_slide(broken)
    assert found.value.code == "file-damaged"


def test_a_slide_without_small_levels_is_judged_from_a_grid(tmp_path: Path) -> None:
    """A base of 8192 x 8192 pixels and nothing else: it is never decoded whole."""
    path = tmp_path / "single.svs"
    tissue = np.asarray(skimage.data.immunohistochemistry())
    sharp = [bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(tissue[:256, :256]), level=85))]
    white = [bytes(imagecodecs.jpeg8_encode(np.full((256, 256, 3), 243, np.uint8), level=85))]
    tiles = (sharp * 16 + white * 16) * 32
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            iter(tiles),
            shape=(8192, 8192, 3),
            dtype=np.uint8,
            tile=(256, 256),
            photometric="ycbcr",
            compression="jpeg",
            subsampling=(2, 2),
            description="Aperio Image Library v12.0.15 \r\n8192x8192 (256x256) JPEG/YCC Q=85|AppMag = 20|MPP = 0.5",
            metadata=None,
            software=False,
        )

    found = check_slide(path)

    assert found.tissue_share == pytest.approx(0.5, abs=0.06)
    assert found.focus > 0.6
