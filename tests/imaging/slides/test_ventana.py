"""Ventana slides: tiles overlap as before, and of the XML only numbers stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import tifffile

from imaging.slides import markup, second_vendors, ventana, writing
from imaging.slides.picture import Picture
from imaging.slides.plan import SlidePlan, make_plan
from imaging.slides.source import Source
from imaging.slides.tiff import Tiff
from tests.imaging.slides import vendors
from tests.imaging.slides.treated import refused, stopped


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vendors.bif(tmp_path_factory.mktemp("bif") / "slide.bif")


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

    assert stopped(changed).code == code


def test_one_without_its_scanners_xml_is_refused_with_advice(tmp_path: Path) -> None:
    slide = tmp_path / "slide.tiff"
    with tifffile.TiffWriter(slide) as writer:
        writer.write(
            vendors.tissue_on_glass(), tile=(256, 256), photometric="rgb", software="Ventana", metadata=None
        )

    reason = stopped(slide)
    assert reason.code == "slide-unsafe"
    assert "uPath" in reason.detail


def test_a_hundred_thousand_joints_are_judged_to_the_last() -> None:
    """A hundred thousand joints, and one that says more behind them all."""
    area = vendors._bif_stitched(8, 6, 256, (10, 6))
    joints = area[area.index("<TileJointInfo") : area.index("</ImageInfo>")]
    told = ventana.rebuilt(markup.parsed(area.replace(joints, joints * 1200)))

    assert second_vendors._STITCHED.match(told)
    assert not second_vendors._STITCHED.match(told.replace("</ImageInfo>", "<Wang/></ImageInfo>"))


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

    assert "XML" in refused(slide)


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

    assert "page 1 shows" in refused(slide)


def test_a_word_left_in_a_levels_description_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ventana._page

    def changed(*parts: object) -> writing.Page:
        page = made(*parts)  # type: ignore[arg-type]
        return dataclasses.replace(page, description=page.description + " Wang")

    monkeypatch.setattr(ventana, "_page", changed)

    assert "description" in refused(slide)
