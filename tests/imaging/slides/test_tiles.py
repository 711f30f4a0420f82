"""Tiles as viewers ask for them, beside what OpenSlide and tifffile read of the same slide."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import pydicom
import pytest
import tifffile
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from cases.errors import Quarantine
from imaging.slides import tiles
from imaging.slides.deid import plan_slide
from imaging.slides.dicom_levels import pyramid_of, read_volume
from imaging.slides.levels import Pyramid, halvings, read_pyramids
from imaging.slides.plan import write
from imaging.slides.source import BytesSource, FileSource
from imaging.slides.whole_jpeg import WholeJpeg
from tests.imaging.slides import dicom_slide, philips_slide, vendors


@pytest.fixture(scope="module")
def slide(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made slide as it leaves the region."""
    target = tmp_path_factory.mktemp("tiles") / "slide.svs"
    write(plan_slide(made), made, target)
    return target


def opened(path: Path, code: str = "svs") -> tuple[FileSource, Pyramid]:
    source = FileSource(path)
    (pyramid,) = read_pyramids(source, code)
    return source, pyramid


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), dtype=np.int16)


def every_tile(pyramid: Pyramid):
    side = tiles.tile_side(pyramid)
    for level in range(tiles.top_level(pyramid) + 1):
        halved = tiles.top_level(pyramid) - level
        width, height = -(-pyramid.base.width >> halved), -(-pyramid.base.height >> halved)
        for row in range(-(-height // side)):
            for column in range(-(-width // side)):
                region = tiles.tile_region(pyramid, level, column, row)
                assert region is not None
                yield level, column, row, region


def test_a_tile_that_lines_up_is_the_stored_one_bit_for_bit(slide: Path) -> None:
    source, pyramid = opened(slide)
    found = [(r, tiles.stored(pyramid, r)) for *_, r in every_tile(pyramid)]
    stored = [(region, at) for region, at in found if at]
    assert {at[0].width for _, at in stored} == {lv.width for lv in pyramid.levels}
    with tifffile.TiffFile(slide) as opened_tiff:
        base = opened_tiff.pages[0].asarray()
    for region, (level, column, row) in stored:
        content = tiles.stored_bytes(pyramid, region, source.read)
        offset, length = level.place(column, row)
        scan = source.read(offset, length)
        assert content is not None
        assert content.endswith(scan[scan.index(b"\xff\xda") :])
        if level is pyramid.base:
            shown = base[region.top : region.top + region.height, region.left : region.left + region.width]
            assert np.abs(pixels(content) - shown).max() <= 2  # two builds of libjpeg round apart


def test_most_tiles_of_a_stored_level_line_up(slide: Path) -> None:
    _, pyramid = opened(slide)
    top = tiles.top_level(pyramid)
    for level in (top, top - 2):
        at = [tiles.stored(pyramid, r) is not None for lv, _, _, r in every_tile(pyramid) if lv == level]
        assert sum(at) / len(at) > 0.7


def test_every_tile_shows_what_openslide_shows(slide: Path) -> None:
    source, pyramid = opened(slide)
    with openslide.OpenSlide(slide) as theirs:
        deep_zoom = DeepZoomGenerator(theirs, tiles.tile_side(pyramid), 0, limit_bounds=False)
        assert deep_zoom.level_count == tiles.top_level(pyramid) + 1
        for level, column, row, region in every_tile(pyramid):
            ours = pixels(tiles.picture(source, pyramid, region))
            expected = np.asarray(deep_zoom.get_tile(level, (column, row)).convert("RGB"), dtype=np.int16)
            assert ours.shape == expected.shape
            # a few pixels that stand for a whole slide differ by how each reader weighs the pixels under them
            allowed = 6 if min(region.out_width, region.out_height) >= 64 else 10
            assert np.abs(ours - expected).mean() < allowed, (level, column, row)


def test_there_is_no_tile_beyond_the_slide(slide: Path) -> None:
    _, pyramid = opened(slide)
    top = tiles.top_level(pyramid)
    for level, column, row in ((top + 1, 0, 0), (-1, 0, 0), (top, 10_000, 0), (top, 0, 10_000), (top, -1, 0)):
        assert tiles.tile_region(pyramid, level, column, row) is None


@pytest.mark.parametrize("rgb", [True, False])
@pytest.mark.parametrize("apart", [True, False])
def test_a_browser_sees_the_colours_that_the_tiff_says(rgb: bool, apart: bool) -> None:
    """Tables kept apart or not, with a JFIF segment that lies, a tile decodes to what was encoded."""
    wanted = np.zeros((64, 64, 3), np.uint8)
    wanted[:, :, 0], wanted[:, :32, 1] = 200, 90
    space = "RGB" if rgb else "YCBCR"
    whole = bytes(imagecodecs.jpeg8_encode(wanted, level=95, colorspace="RGB", outcolorspace=space))
    jfif = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    bare = b"\xff\xd8" + jfif + segments(whole, tables=False if apart else None)
    tables = b"\xff\xd8" + segments(whole, tables=True) + b"\xff\xd9" if apart else b""
    assert np.abs(pixels(WholeJpeg(tables, rgb=rgb)(bare)) - wanted).mean() < 4


def segments(jpeg: bytes, *, tables: bool | None) -> bytes:
    """The segments that are tables, or those that are not (and no application's), or both, with the scan."""
    at, kept = 2, b""
    while True:
        kind, end = jpeg[at + 1], at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        wanted = tables is None or tables == (kind in (0xDB, 0xC4))
        kept += jpeg[at:end] if wanted and not 0xE0 <= kind <= 0xEF else b""
        at = end
        if kind == 0xDA:
            return kept if tables else kept + jpeg[at:]


@pytest.mark.parametrize("broken", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xdb\xff\xff12", b"GIF89a.."])
def test_a_tile_whose_headers_are_broken_is_damage(broken: bytes) -> None:
    with pytest.raises(Quarantine) as found:
        WholeJpeg()(broken)
    assert found.value.code == "file-damaged"


@pytest.mark.parametrize(
    ("size", "times"),
    [((1000, 800), 0), ((500, 400), 1), ((250, 200), 2), ((249, 199), 2), ((333, 266), None), ((62, 50), 4)],
)
def test_a_level_is_the_base_halved_or_is_not(size: tuple[int, int], times: int | None) -> None:
    assert halvings((1000, 800), size) == times


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [("zlib", True), ("zlib", False), ("lzw", True), ("none", False), ("jpeg2000", False)],
)
def test_tiles_that_are_not_jpeg_are_decoded(compression: str, predictor: bool) -> None:
    import skimage.data

    tissue = np.tile(np.asarray(skimage.data.immunohistochemistry()), (3, 2, 1))
    stream = io.BytesIO()
    code = 33005 if compression == "jpeg2000" else compression
    tifffile.imwrite(
        stream, tissue, tile=(256, 256), photometric="rgb", compression=code, predictor=predictor
    )
    source = BytesSource(stream.getvalue())
    (pyramid,) = read_pyramids(source, "generic-tiff")
    for *_, region in every_tile(pyramid):
        if region.out_width == region.width:
            shown = tissue[region.top : region.top + region.height, region.left : region.left + region.width]
            assert np.abs(pixels(tiles.picture(source, pyramid, region)) - shown).mean() < 6


def test_a_slide_that_has_no_small_level_is_not_decoded_whole_for_one_tile() -> None:
    stream = io.BytesIO()
    tile = bytes(imagecodecs.jpeg8_encode(np.full((256, 256, 3), 240, np.uint8)))
    tifffile.imwrite(
        stream, iter([tile] * 1600), shape=(10240, 10240, 3), dtype=np.uint8, tile=(256, 256), compression="jpeg",
        photometric="ycbcr",
    )  # fmt: skip
    source = BytesSource(stream.getvalue())
    (pyramid,) = read_pyramids(source, "generic-tiff")
    region = tiles.tile_region(pyramid, 0, 0, 0)
    assert region is not None
    with pytest.raises(tiles.TooMuch):
        tiles.compose(source, pyramid, region)


def reduced(whole: np.ndarray, factor: int) -> np.ndarray:
    return np.asarray(Image.fromarray(whole).reduce(factor), dtype=np.int16)


@pytest.mark.parametrize("halved", range(5))
def test_philips_levels_are_as_large_as_their_spacing_says_and_what_was_not_scanned_is_white(
    halved: int, tmp_path: Path
) -> None:
    target = tmp_path / "out.tiff"
    made = philips_slide.write_philips(tmp_path / "made.tiff")
    write(plan_slide(made), made, target)
    source, pyramid = opened(target, "philips-tiff")
    base = philips_slide.tissue()
    assert [(lv.width, lv.height) for lv in pyramid.levels] == [(2048 >> n, 1536 >> n) for n in range(5)]
    assert [lv.halvings for lv in pyramid.levels] == list(range(5))
    region = tiles.Region(0, 0, 2048, 1536, 2048 >> halved, 1536 >> halved)
    seen = np.asarray(tiles.compose(source, pyramid, region), dtype=np.int16)
    scanned = base if halved > 1 else np.where(base == 243, 255, base).astype(np.uint8)
    expected = reduced(scanned, 1 << halved)
    assert np.abs(seen - expected).mean() < 8


def test_each_area_of_a_leica_slide_is_an_image_of_its_own(tmp_path: Path) -> None:
    target = tmp_path / "out.scn"
    made = vendors.scn(tmp_path / "made.scn", areas=2)
    write(plan_slide(made), made, target)
    source = FileSource(target)
    areas = read_pyramids(source, "leica-scn")
    assert [[(lv.width, lv.height) for lv in area.levels] for area in areas] == [
        [(2048, 1536), (1024, 768), (512, 384)]
    ] * 2
    for area in areas:
        for level, *_, region in every_tile(area):
            if tiles.top_level(area) - level <= 3:
                seen = pixels(tiles.picture(source, area, region))
                part = vendors.tissue_on_glass()[
                    region.top : region.top + region.height, region.left : region.left + region.width
                ]
                assert np.abs(seen - reduced(part, region.width // region.out_width)).mean() < 8


@pytest.mark.parametrize(("code", "make"), [("ndpi", vendors.ndpi), ("ventana-bif", vendors.bif)])
def test_a_format_whose_tiles_overlap_or_are_strips_is_refused_by_name(
    code: str, make: Callable[[Path], Path], tmp_path: Path
) -> None:
    with FileSource(make(tmp_path / "slide")) as source, pytest.raises(Quarantine) as found:
        read_pyramids(source, code)
    assert found.value.code == "format-unknown"


@pytest.mark.parametrize(
    ("syntax", "table"),
    [
        (JPEGBaseline8Bit, "basic"),
        (JPEGBaseline8Bit, "extended"),
        (JPEGBaseline8Bit, "none"),
        (JPEG2000Lossless, "basic"),
        (ExplicitVRLittleEndian, "none"),
    ],
)
def test_the_instances_of_a_dicom_slide_are_levels_of_one_pyramid(
    syntax: str, table: str, tmp_path: Path
) -> None:
    base = vendors.tissue_on_glass()[:1500, :2000]
    paths = dicom_slide.write_slide(tmp_path, base, syntax=syntax, table=table)
    contents = [path.read_bytes() for path in paths]
    found = [(read_volume(BytesSource(content)), content) for content in contents]
    assert found[-1][0] is None  # the thumbnail
    volumes = [(volume, content) for volume, content in found if volume]
    assert len({volume.series for volume, _ in volumes}) == 1
    assert [volume.microns for volume, _ in volumes] == [(0.25 * n, 0.25 * n) for n in (1, 2, 4)]
    pyramid = pyramid_of([volume for volume, _ in volumes], [len(content) for _, content in volumes])
    source = BytesSource(b"".join(content for _, content in volumes))
    lined_up = 0
    for level, *_, region in every_tile(pyramid):
        if tiles.top_level(pyramid) - level <= 3:
            lined_up += tiles.stored_bytes(pyramid, region, source.read) is not None
            factor = 1 << (tiles.top_level(pyramid) - level)
            shown = base[region.top : region.top + region.height, region.left : region.left + region.width]
            expected = np.asarray(
                Image.fromarray(shown).resize((region.out_width, region.out_height), Image.Resampling.BOX)
            )
            seen = pixels(tiles.picture(source, pyramid, region))
            assert np.abs(seen - expected.astype(np.int16)).mean() < 7, (factor, region)
    assert (lined_up > 30) == (syntax == JPEGBaseline8Bit)


@pytest.mark.parametrize("how", ["sparse", "planes", "frames", "compression"])
def test_a_dicom_slide_that_is_laid_in_another_way_is_refused(how: str, tmp_path: Path) -> None:
    path = dicom_slide.write_slide(tmp_path, vendors.tissue_on_glass()[:500, :500])[0]
    changed = pydicom.dcmread(path)
    if how == "sparse":
        changed.DimensionOrganizationType = "TILED_SPARSE"
    elif how == "planes":
        changed.TotalPixelMatrixFocalPlanes = 3
    elif how == "frames":
        changed.NumberOfFrames = 3
    else:
        changed.file_meta.TransferSyntaxUID = JPEGLSLossless
    changed.save_as(path)
    with pytest.raises(Quarantine) as found:
        read_volume(BytesSource(path.read_bytes()))
    assert found.value.code == ("file-damaged" if how == "frames" else "format-unknown")


def test_the_real_slide_shows_its_colours(real: Path, tmp_path: Path) -> None:
    """Aperio's own RGB in JPEG, which a browser would take for YCbCr."""
    target = tmp_path / "slide.svs"
    write(plan_slide(real), real, target)
    source, pyramid = opened(target)
    region = tiles.tile_region(pyramid, tiles.top_level(pyramid), 3, 3)
    assert region is not None
    assert tiles.stored(pyramid, region)
    with openslide.OpenSlide(real) as theirs:
        shown = theirs.read_region((region.left, region.top), 0, (region.width, region.height)).convert("RGB")
    assert np.abs(pixels(tiles.picture(source, pyramid, region)) - np.asarray(shown)).max() <= 2
