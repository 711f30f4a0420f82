from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import skimage.data
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from imaging.slides import deid
from imaging.slides.icc import neutral_profile
from imaging.slides.plan import write
from tests.imaging.slides.conftest import NAME, NUMBER, pages_of
from tests.imaging.slides.treated import stopped

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def base() -> Pixels:
    """Tissue on glass, 2048 x 1536."""
    tissue = np.asarray(skimage.data.immunohistochemistry())
    picture = np.full((1536, 2048, 3), 243, np.uint8)
    picture[256:1280, 512:1536] = np.tile(tissue, (2, 2, 1))
    return picture


def _label() -> Pixels:
    picture = Image.new("RGB", (512, 384), "white")
    ImageDraw.Draw(picture).text((30, 60), NUMBER, fill="black", font_size=60)
    return np.asarray(picture)


def _smaller(pixels: Pixels, factor: int) -> Pixels:
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _write(
    path: Path, base: Pixels, *, extra: tuple[tuple[Pixels, dict[str, Any]], ...] = (), **options: Any
) -> Path:
    tiled: dict[str, Any] = {
        "tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "metadata": None,
        "software": "QuPath of Wang", "datetime": "2026:06:19 09:59:15", **options,
    }  # fmt: skip
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            base, description=f"patient {NAME}".encode(), resolution=(39682.5, 39682.5), resolutionunit=3,
            extratags=[(315, 2, None, "Dr. Wang", True), (700, 1, 12, b"<x>Wang</x> ", True)], **tiled,
        )  # fmt: skip
        for factor in (2, 4, 8):
            writer.write(_smaller(base, factor), subfiletype=1, **tiled)
        for pixels, changed in extra:
            writer.write(pixels, **{**tiled, **changed})
    return path


def _deidentified(slide: Path, target: Path) -> Path:
    write(deid.plan_slide(slide), slide, target)
    deid.check_written(target, identity_values=(NAME, NUMBER))
    return target


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "jpeg"},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw", "predictor": True},
        {"compression": None},
    ],
    ids=["jpeg", "deflate", "lzw", "none"],
)
def test_a_pyramid_keeps_levels_pixels_and_resolution(
    options: dict[str, Any], base: Pixels, tmp_path: Path
) -> None:
    slide = _write(tmp_path / "slide.tiff", base, **options)

    result = _deidentified(slide, tmp_path / "out.tiff")

    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(result) as after:
        assert after.properties["openslide.vendor"] == "generic-tiff"
        assert (
            after.level_dimensions
            == before.level_dimensions
            == ((2048, 1536), (1024, 768), (512, 384), (256, 192))
        )
        assert after.properties["openslide.mpp-x"] == before.properties["openslide.mpp-x"]
        for level in range(4):
            region = ((700, 500), level, (200, 150))
            assert after.read_region(*region).tobytes() == before.read_region(*region).tobytes()


def test_who_when_and_what_with_are_gone(base: Pixels, tmp_path: Path) -> None:
    slide = _write(tmp_path / "slide.tiff", base)

    content = _deidentified(slide, tmp_path / "out.tiff").read_bytes()

    for canary in (NAME.encode(), b"Wang", b"QuPath", b"2026:06:19", b"<x>"):
        assert canary in slide.read_bytes()
        assert canary not in content


@pytest.mark.parametrize(
    "changed",
    [
        {"tile": None, "subfiletype": 0},
        {"tile": None, "subfiletype": 1},
        {"subfiletype": 0},
        {"subfiletype": 1},
    ],
    ids=["strips", "reduced strips", "tiles", "reduced tiles"],
)
def test_a_label_is_dropped_whatever_it_says_of_itself(
    changed: dict[str, Any], base: Pixels, tmp_path: Path
) -> None:
    """Even tiled, marked as a reduced picture and of the very shape of a level: it does not show what they show."""
    slide = _write(tmp_path / "slide.tiff", base, extra=((_label(), changed),))

    result = _deidentified(slide, tmp_path / "out.tiff")

    with tifffile.TiffFile(slide) as before, tifffile.TiffFile(result) as after:
        assert len(pages_of(before)) == 5
        assert [p.shape for p in pages_of(after)] == [p.shape for p in pages_of(before)[:4]]
        for kept in pages_of(after)[1:]:
            assert np.abs(kept.asarray().astype(int).mean() - base.astype(int).mean()) < 2


def test_levels_below_the_base_come_out_as_pages(base: Pixels, tmp_path: Path) -> None:
    """As OME-TIFF writes them; its XML goes, and a label below the base does not come out."""
    slide = tmp_path / "slide.ome.tiff"
    tiled: dict[str, Any] = {
        "tile": (256, 256),
        "photometric": "rgb",
        "compression": "jpeg",
        "metadata": None,
    }
    described = f'<?xml version="1.0"?><OME><Image Name="{NAME}"/></OME>'.encode()
    with tifffile.TiffWriter(slide) as writer:
        writer.write(base, subifds=3, description=described, **tiled)
        for pixels in (_smaller(base, 2), _smaller(base, 4), _label()):
            writer.write(pixels, subfiletype=1, **tiled)

    result = _deidentified(slide, tmp_path / "out.tiff")

    assert NAME.encode() not in result.read_bytes()
    with openslide.OpenSlide(result) as opened:
        assert opened.level_dimensions == ((2048, 1536), (1024, 768), (512, 384))
    with tifffile.TiffFile(result) as opened:
        assert np.abs(pages_of(opened)[2].asarray().astype(int) - _smaller(base, 4)).mean() < 12


def test_a_sub_directory_that_is_the_base_itself_is_damage(base: Pixels, tmp_path: Path) -> None:
    slide = tmp_path / "slide.tiff"
    tiled: dict[str, Any] = {
        "tile": (256, 256),
        "photometric": "rgb",
        "compression": "jpeg",
        "metadata": None,
    }
    with tifffile.TiffWriter(slide) as writer:
        writer.write(base, subifds=1, **tiled)
        writer.write(_smaller(base, 2), subfiletype=1, **tiled)
    with tifffile.TiffFile(slide) as opened:
        page = pages_of(opened)[0]
        at, own = page.tags["SubIFDs"].valueoffset, page.offset
    content = bytearray(slide.read_bytes())
    content[at : at + 4] = own.to_bytes(4, "little")
    slide.write_bytes(content)

    assert stopped(slide).code == "file-damaged"


def test_a_single_small_level_is_held_against_the_base(tmp_path: Path) -> None:
    """With nothing small beside it, a level is compared with tiles of the base: kept if it agrees, else dropped."""
    tissue = np.asarray(skimage.data.immunohistochemistry())
    large = np.full((5120, 5120, 3), 243, np.uint8)
    large[512:4608, 512:2560] = np.tile(tissue, (8, 4, 1))
    tiled: dict[str, Any] = {
        "tile": (256, 256),
        "photometric": "rgb",
        "compression": "jpeg",
        "metadata": None,
    }
    blank = np.asarray(Image.fromarray(_label()).resize((640, 640)))
    for small, levels in ((_smaller(large, 8), 2), (blank, 1)):
        slide = tmp_path / f"{levels}.tiff"
        with tifffile.TiffWriter(slide) as writer:
            writer.write(large, **tiled)
            writer.write(small, subfiletype=1, **tiled)

        assert len(deid.plan_slide(slide).levels) == levels


def test_labels_that_agree_with_each_other_do_not_outvote_the_tissue(base: Pixels, tmp_path: Path) -> None:
    """Three labels in the shape of levels, the smallest among them: all go, every true level stays."""
    labels = tuple((_smaller(_label(), n), {"subfiletype": 1, "tile": (64, 64)}) for n in (1, 2, 4))
    slide = _write(tmp_path / "slide.tiff", base, extra=labels)

    assert deid.plan_slide(slide).levels == ((2048, 1536), (1024, 768), (512, 384), (256, 192))


def test_a_colour_profile_keeps_its_colours_and_loses_its_words(base: Pixels, tmp_path: Path) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[80:84] = b"WANG"
    slide = _write(tmp_path / "slide.tiff", base, iccprofile=bytes(profile))

    result = _deidentified(slide, tmp_path / "out.tiff")

    with tifffile.TiffFile(result) as opened:
        kept = pages_of(opened)[0].tags[34675].value
    assert b"WANG" not in kept
    picture = Image.fromarray(base[400:500, 600:700])
    target = ImageCms.createProfile("LAB")
    before, after = (
        ImageCms.applyTransform(
            picture, ImageCms.buildTransform(ImageCms.ImageCmsProfile(io.BytesIO(p)), target, "RGB", "LAB")
        )
        for p in (bytes(profile), kept)
    )
    assert before is not None
    assert after is not None
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize("content", [b"", b"x" * 200, bytes(128) + b"\xff\xff\xff\xff" + bytes(400)])
def test_a_profile_that_is_none_is_left_out(content: bytes) -> None:
    assert neutral_profile(content) is None


@pytest.mark.parametrize("compression", ["webp", "png", "zstd"])
def test_a_compression_that_cannot_be_proven_is_refused(
    compression: str, base: Pixels, tmp_path: Path
) -> None:
    slide = _write(tmp_path / "slide.tiff", base, compression=compression)

    assert stopped(slide).code == "slide-unsafe"


@pytest.mark.parametrize("compression", ["zlib", "lzw", None])
def test_bytes_behind_packed_pixels_are_refused(
    compression: str | None, base: Pixels, tmp_path: Path
) -> None:
    slide = _write(tmp_path / "slide.tiff", base, compression=compression)
    with tifffile.TiffFile(slide) as opened:
        page = pages_of(opened)[3]
        at, tag = page.dataoffsets[0], page.tags["TileByteCounts"]
        count = page.databytecounts[0]
    content = bytearray(slide.read_bytes())
    moved = len(content)
    content += content[at : at + count] + b"WANG XIAOMING"
    with tifffile.TiffFile(slide) as opened:
        offsets = pages_of(opened)[3].tags["TileOffsets"]
    content[offsets.valueoffset : offsets.valueoffset + 4] = moved.to_bytes(4, "little")
    content[tag.valueoffset : tag.valueoffset + 4] = (count + 13).to_bytes(4, "little")
    slide.write_bytes(content)

    assert stopped(slide).code == "slide-unsafe"
