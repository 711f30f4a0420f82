"""Ventana slides: tiles overlap as before, and of the XML only numbers stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile

from cases.errors import Quarantine
from imaging.slides import deid, markup, second_vendors, ventana, writing
from imaging.slides.check import check_slide
from imaging.slides.formats import accept
from imaging.slides.label import label_picture
from imaging.slides.picture import Picture
from imaging.slides.plan import SlidePlan, make_plan, write
from imaging.slides.second_pass import forms
from imaging.slides.source import Source
from imaging.slides.tiff import Tiff
from tests.imaging.slides import vendors
from tests.imaging.slides.conftest import NUMBER, pages_of
from tests.imaging.slides.treated import check_planned


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vendors.bif(tmp_path_factory.mktemp("bif") / "slide.bif")


def _deidentified(slide: Path, target: Path) -> Path:
    write(deid.plan_slide(slide), slide, target)
    deid.check_written(target, identity_values=vendors.CANARIES)
    return target


def _levels(path: Path) -> list[list[bytes]]:
    content = path.read_bytes()
    with tifffile.TiffFile(path) as opened:
        return [
            [content[a : a + n] for a, n in zip(p.dataoffsets, p.databytecounts, strict=True)]
            for p in pages_of(opened)
            if "level=" in p.description
        ]


def test_the_made_slide_is_one_for_openslide_too(slide: Path) -> None:
    assert openslide.OpenSlide.detect_format(slide) == "ventana"
    assert accept(slide).code == "ventana-bif"


@pytest.mark.parametrize("overlap", [(0, 0), (10, 6), (31, 0)])
def test_openslide_puts_the_tiles_together_as_before(overlap: tuple[int, int], tmp_path: Path) -> None:
    slide = vendors.bif(tmp_path / "slide.bif", overlap=overlap)

    result = _deidentified(slide, tmp_path / "out.bif")

    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(result) as after:
        assert openslide.OpenSlide.detect_format(result) == "ventana"
        assert after.level_dimensions == before.level_dimensions
        assert after.level_dimensions[0] == (2048 - 7 * overlap[0], 1536 - 5 * overlap[1])
        for name in (
            "openslide.mpp-x",
            "openslide.mpp-y",
            "openslide.objective-power",
            "openslide.region[0].width",
        ):
            assert after.properties[name] == before.properties[name]
        for level, size in enumerate(before.level_dimensions):
            assert (
                after.read_region((0, 0), level, size).tobytes()
                == before.read_region((0, 0), level, size).tobytes()
            )


def test_every_tile_stays_byte_for_byte(slide: Path, tmp_path: Path) -> None:
    result = _deidentified(slide, tmp_path / "out.bif")

    assert _levels(result) == _levels(slide)
    assert [len(level) for level in _levels(result)] == [48, 12, 4]


def test_tifffile_reads_the_same_pixels(slide: Path, tmp_path: Path) -> None:
    result = _deidentified(slide, tmp_path / "out.bif")

    with tifffile.TiffFile(slide) as before, tifffile.TiffFile(result) as after:
        assert after.is_bif
        for one, other in zip(pages_of(before)[2:], pages_of(after)[1:], strict=True):
            assert np.array_equal(one.asarray(), other.asarray())


def test_no_byte_of_an_identity_is_left(slide: Path, tmp_path: Path) -> None:
    before = slide.read_bytes()

    after = _deidentified(slide, tmp_path / "out.bif").read_bytes()

    for canary in (*vendors.CANARIES, "ScanOutputManager", "Barcode1D", "SlideAnnotation", "SlideInfo"):
        assert any(f in before for f in forms(canary)), "the canary was never there"
        assert not any(f in after for f in forms(canary))


def test_macro_image_and_thumbnail_are_gone_as_entries_and_as_bytes(slide: Path, tmp_path: Path) -> None:
    plan = deid.plan_slide(slide)
    result = _deidentified(slide, tmp_path / "out.bif")

    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(result) as after:
        assert set(before.associated_images) == {"macro", "thumbnail"}
        assert not after.associated_images
    for picture in (vendors.label_on_glass(), vendors.label_on_glass(600, 200)):
        assert vendors.jpeg(picture) in slide.read_bytes()
        assert vendors.jpeg(picture) not in result.read_bytes()
    assert {"macro image (1200x400)", "thumbnail (600x200)", "key: Barcode1D"} <= set(plan.removed)
    assert not any(canary in " ".join(plan.removed) for canary in vendors.CANARIES)


def test_the_label_is_read_from_the_macro_image(slide: Path) -> None:
    picture = label_picture(slide)

    assert picture is not None
    assert np.abs(picture.astype(int) - vendors.label_on_glass()).mean() < 2


def test_the_slide_is_judged_like_any_other(slide: Path) -> None:
    reading = check_slide(slide)

    assert reading.format == "ventana-bif"
    assert reading.mpp == (0.465, 0.465)


def test_a_label_that_calls_itself_a_level_is_refused(tmp_path: Path) -> None:
    slide = vendors.bif(tmp_path / "slide.bif", disguised=True)

    with pytest.raises(Quarantine) as found:
        deid.plan_slide(slide)
    assert found.value.code == "slide-unsafe"
    assert "uPath" in found.value.detail


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b'Z-layers="1"', b'Z-layers="3"', "slide-unsafe"),
        (b'ScanRes="0.465"', b'ScanRes="Wang5"', "reading-loss"),
        (b"level=1", b"level=7", "file-damaged"),
        (b'Direction="RIGHT"', b'Direction="WANGX"', "file-damaged"),
        (b'OverlapX="10"', b'OverlapX="1a"', "file-damaged"),
        (b'NumCols="8"', b'NumCols="x"', "file-damaged"),
        (b"</EncodeInfo>", b"</EncodeInfx>", "file-damaged"),
    ],
)
def test_what_cannot_be_taken_is_refused(
    old: bytes, new: bytes, code: str, slide: Path, tmp_path: Path
) -> None:
    content = slide.read_bytes()
    assert old in content
    changed = tmp_path / "changed.bif"
    changed.write_bytes(content.replace(old, new))

    with pytest.raises(Quarantine) as found:
        deid.plan_slide(changed)
    assert found.value.code == code


def test_one_without_its_scanners_xml_is_refused_with_advice(tmp_path: Path) -> None:
    slide = tmp_path / "slide.tiff"
    with tifffile.TiffWriter(slide) as writer:
        writer.write(
            vendors.tissue_on_glass(), tile=(256, 256), photometric="rgb", software="Ventana", metadata=None
        )

    with pytest.raises(Quarantine) as found:
        deid.plan_slide(slide)
    assert found.value.code == "slide-unsafe"
    assert "uPath" in found.value.detail


def test_a_hundred_thousand_joints_are_judged_to_the_last() -> None:
    """A hundred thousand joints, and one that says more behind them all."""
    area = vendors._bif_stitched(8, 6, 256, (10, 6))
    joints = area[area.index("<TileJointInfo") : area.index("</ImageInfo>")]
    told = ventana.rebuilt(markup.parsed(area.replace(joints, joints * 1200)))

    assert second_vendors._STITCHED.match(told)
    assert not second_vendors._STITCHED.match(told.replace("</ImageInfo>", "<Wang/></ImageInfo>"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_slide_is_refused(share: float, slide: Path, tmp_path: Path) -> None:
    content = slide.read_bytes()
    short = tmp_path / "short.bif"
    short.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(Quarantine) as found:
        deid.plan_slide(short)
    assert found.value.code == "file-damaged"


def _refused(slide: Path) -> str:
    plan = deid.plan_slide(slide)
    with pytest.raises(Quarantine) as found:
        check_planned(slide, plan, identity_values=())
    assert found.value.code == "identity-left"
    assert NUMBER not in found.value.detail
    return found.value.detail


@pytest.mark.parametrize("tag", [306, 316, 65000])
def test_any_tag_left_as_it_was_is_caught(tag: int, slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(writing.KEPT_TAGS, tag, ((1, 2), 1000))

    assert f"tag {tag}" in _refused(slide)


@pytest.mark.parametrize(
    ("made", "old", "new"),
    [
        ("kept_scanner", "<iScan ", '<iScan UserName="Wang" '),
        ("kept_scanner", "/>", ">Wang</iScan>"),
        ("kept_scanner", "0.465", "0.46520260619"),
        ("rebuilt", "<EncodeInfo ", '<EncodeInfo Name="Wang" '),
        ("rebuilt", "<AoiOrigin>", "<Date>2026-06-19</Date><AoiOrigin>"),
        ("rebuilt", "<TileJointInfo", "<!-- Wang --><TileJointInfo"),
        ("rebuilt", 'Direction="RIGHT"', 'Direction="WANG"'),
        ("rebuilt", 'OverlapX="10"', 'OverlapX="13800138000"'),
        ("rebuilt", "</EncodeInfo>", "</EncodeInfo> Wang"),
    ],
)
def test_a_word_left_in_the_xml_is_caught(
    made: str, old: str, new: str, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(ventana, made)
    monkeypatch.setattr(ventana, made, lambda element: original(element).replace(old, new, 1))

    assert "XML" in _refused(slide)


@pytest.mark.parametrize("which", ["macro", "base"])
def test_another_picture_in_the_first_directory_is_caught(
    which: str, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(
        source: Source,
        tiff: Tiff,
        *,
        pages: tuple[writing.Page, ...],
        dropped: tuple[Picture, ...],
        **named: Any,
    ) -> SlidePlan:
        picture = dropped[0] if which == "macro" else pages[1].picture
        first = dataclasses.replace(pages[0], picture=picture)
        others = tuple(p for p in dropped if p is not picture)
        return make_plan(source, tiff, pages=(first, *pages[1:]), dropped=others, **named)

    monkeypatch.setattr(ventana, "make_plan", changed)

    assert "page 1 shows" in _refused(slide)


def test_a_word_left_in_a_levels_description_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ventana._page

    def changed(*parts: object) -> writing.Page:
        page = made(*parts)  # type: ignore[arg-type]
        return dataclasses.replace(page, description=page.description + " Wang")

    monkeypatch.setattr(ventana, "_page", changed)

    assert "description" in _refused(slide)
