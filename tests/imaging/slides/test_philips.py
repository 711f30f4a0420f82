"""Philips TIFF: what leaves shows the same slide at the same scale, and nothing of whose it is."""

from __future__ import annotations

import base64
import dataclasses
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile

from cases.errors import Quarantine
from cases.order import SlideLine
from imaging.slides import deid, philips
from imaging.slides.check import check_slide
from imaging.slides.label import label_picture, read_label
from imaging.slides.plan import SlidePlan, make_plan, write
from imaging.slides.scanner import read_scan
from imaging.slides.source import BytesSource
from imaging.slides.writing import Page
from tests.imaging.slides.conftest import NAME, NUMBER, pages_of
from tests.imaging.slides.philips_slide import CANARIES, SPACING, Made, encoded, label, write_philips, xml
from tests.imaging.slides.treated import check_planned, deidentified, stopped

LEVELS = ((2048, 1536), (1024, 768), (512, 384), (256, 192), (128, 96))


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_philips(tmp_path_factory.mktemp("philips") / "slide.tiff")


@pytest.fixture(scope="module")
def result(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("out") / "out.tiff"
    return deidentified(slide, target, (NAME, NUMBER, *CANARIES))


def test_tifffile_reads_one_series_of_all_levels(result: Path) -> None:
    with tifffile.TiffFile(result) as after:
        assert [level.shape[:2] for level in after.series[0].levels] == [(h, w) for w, h in LEVELS]


def test_tiles_that_were_never_scanned_stay_unscanned(result: Path) -> None:
    with tifffile.TiffFile(result) as opened:
        assert all(0 in page.databytecounts for page in pages_of(opened)[:2])


def test_nothing_coded_in_the_xml_is_left(slide: Path, result: Path) -> None:
    for hidden in (
        base64.b64encode(f"{NUMBER};".encode())[:12],
        b">" + base64.b64encode(b"\xff\xd8\xff")[:4],
    ):
        assert hidden in slide.read_bytes()
        assert hidden not in result.read_bytes()


def test_label_and_macro_are_gone_as_directories_and_from_the_xml(slide: Path, result: Path) -> None:
    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(result) as after:
        assert before.properties["openslide.barcode"].startswith(NUMBER)
        assert "openslide.barcode" not in after.properties
    with tifffile.TiffFile(result) as opened:
        assert len(pages_of(opened)) == 5


def test_what_was_removed_is_looked_for(slide: Path) -> None:
    plan = deid.plan_slide(slide)

    assert "1 further keys" in plan.removed
    assert plan.levels == LEVELS
    assert {f"{NUMBER};A1;HE", CANARIES[0], CANARIES[1], CANARIES[6]} <= set(plan.removed_values)


def test_the_label_is_read_in_the_region(slide: Path, line: Callable[..., SlideLine]) -> None:
    assert read_label(slide, line(), names=(NAME,)).result == "matches"
    assert read_label(slide, line(number="S2026-08822"), names=(NAME,)).differs == ("pathology number",)


def test_a_label_that_stands_in_the_xml_alone_is_read(tmp_path: Path, line: Callable[..., SlideLine]) -> None:
    found = write_philips(tmp_path / "slide.tiff", Made(pages=False))

    picture = label_picture(found)
    assert picture is not None
    assert picture.shape == label().shape
    assert read_label(found, line(), names=(NAME,)).result == "matches"
    assert not [name for name in deid.plan_slide(found).removed if name.startswith("label")]


def test_a_slide_without_any_label_says_so(tmp_path: Path, line: Callable[..., SlideLine]) -> None:
    found = write_philips(tmp_path / "slide.tiff", Made(pages=False, pictures=False))

    assert read_label(found, line()).result == "absent"


def test_the_slide_passes_its_check_and_names_its_scanner(slide: Path) -> None:
    reading = check_slide(slide)
    scan = read_scan(slide)

    assert (reading.format, reading.levels) == ("philips-tiff", LEVELS)
    assert reading.mpp == pytest.approx((float(SPACING[1]) * 1000, float(SPACING[0]) * 1000))
    assert (scan.station, scan.at) == (CANARIES[1], datetime(2026, 6, 19, 9, 59, 15))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (Made(spacing=("0.5", "0.5")), "reading-loss"),
        (Made(spacing=("1e-4 Wang", "0.1")), "reading-loss"),
        (Made(steps=(1, 2, 4, 8)), "file-damaged"),
        (Made(steps=(1, 2, 4, 8, 16, 32)), "file-damaged"),
        (Made(steps=(1, 2, 3, 8, 16)), "file-damaged"),
        (Made(before="<!DOCTYPE x [<!ENTITY a 'b'>]>"), "file-damaged"),
        (Made(before="</DataObject>"), "file-damaged"),
    ],
    ids=["scale", "words", "few", "many", "size", "entities", "broken"],
)
def test_a_header_that_cannot_be_believed_stops_the_slide(changed: Made, code: str, tmp_path: Path) -> None:
    reason = stopped(write_philips(tmp_path / "slide.tiff", changed))
    assert reason.code == code
    assert "Wang" not in reason.detail


def test_a_slide_that_states_no_scale_of_its_own_passes(tmp_path: Path) -> None:
    """OpenSlide then gives no microns per pixel, before and after."""
    slide, out = (
        write_philips(tmp_path / "a.tiff", Made(spacing=None, objective="10003")),
        tmp_path / "b.tiff",
    )

    write(deid.plan_slide(slide), slide, out)
    deid.check_written(out, identity_values=(NAME, NUMBER))

    with openslide.OpenSlide(out) as after:
        assert "openslide.mpp-x" not in after.properties
        assert "openslide.objective-power" not in after.properties
        assert after.level_dimensions == LEVELS


def test_a_fuzzed_slide_ends_with_a_reason_or_leaves_nothing_identifying(slide: Path) -> None:
    """Bytes changed in the XML's text and in the directories: a reason, or a proved result without a canary."""
    content = slide.read_bytes()
    with tifffile.TiffFile(slide) as opened:
        described = pages_of(opened)[0].tags["ImageDescription"]
        start, end = described.valueoffset, described.valueoffset + described.count
        directories = [page.offset for page in pages_of(opened)]
    draw, ended = random.Random(20260619), Counter[str]()
    for _ in range(150):
        changed = bytearray(content)
        for _ in range(draw.choice((1, 1, 2, 5))):
            text = draw.choice((start + draw.randrange(2200), end - 1 - draw.randrange(1500)))
            at = draw.choice((text, text, draw.choice(directories) + draw.randrange(180)))
            changed[at] = draw.choice((draw.randrange(256), draw.choice(b'<>"0123456789./ &;-e')))
        source = BytesSource(bytes(changed))
        try:
            plan = deid.plan_slide(source)
            check_planned(source, plan, identity_values=(NAME, NUMBER))
        except Quarantine as reason:
            ended[reason.code] += 1
            continue
        ended["read"] += 1
        own = b"".join(s.payload for s in plan.segments if s.payload is not None)
        assert not [c for c in CANARIES if c.encode() in own]
    assert set(ended) <= {"read", "file-damaged", "reading-loss", "slide-unsafe", "identity-left"}
    assert ended["read"] > 10
    assert ended["file-damaged"] > 10


def _refused(slide: Path, plan: SlidePlan, values: tuple[str, ...] = ()) -> str:
    with pytest.raises(Quarantine) as found:
        check_planned(slide, dataclasses.replace(plan, removed_values=()), identity_values=values)
    assert found.value.code == "identity-left"
    return found.value.detail


def test_xml_left_as_it_was_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Made(pages=False, pictures=False)
    monkeypatch.setattr(philips, "rebuilt", lambda *_: _ascii(kept))

    assert "description" in _refused(slide, deid.plan_slide(slide))


def _ascii(made: Made) -> str:
    return xml(made).encode("ascii", "replace").decode()


@pytest.mark.parametrize(
    "row",
    [
        ("PIM_DP_UFS_BARCODE", "301D", "1002", "IString", r"[A-Za-z0-9+/=]+"),
        ("DICOM_DEVICE_SERIAL_NUMBER", "0018", "1000", "IString", r"[\w-]+"),
        ("PIM_DP_IMAGE_DATA", "301D", "1005", "IString", r"\S+"),
    ],
    ids=lambda row: row[0],
)
def test_one_attribute_more_in_the_allow_list_is_caught(
    row: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_philips(tmp_path / "slide.tiff")
    monkeypatch.setattr(philips, "KEPT_ATTRIBUTES", (*philips.KEPT_ATTRIBUTES, row))
    value = philips._value
    monkeypatch.setattr(philips, "_value", lambda parent, name: value(parent, name) or _where(name))

    assert "description" in _refused(made, deid.plan_slide(made))


def _where(name: str) -> str:
    """As if it stood with the scanned image itself."""
    told = {"PIM_DP_UFS_BARCODE": "UzIwMjYtMDQ3MTE=", "PIM_DP_IMAGE_DATA": "/9j/4AAQ"}
    return {**told, "DICOM_DEVICE_SERIAL_NUMBER": CANARIES[1]}.get(name, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DICOM_BITS_STORED", "13912345678"),
        ("DICOM_PIXEL_REPRESENTATION", "Wang"),
        ("PIM_DP_IMAGE_TYPE", "WSI Wang"),
    ],
)
def test_a_kept_attribute_with_more_than_it_may_say_is_caught(
    name: str, value: str, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = philips.read_header

    def loose(root: Any) -> philips.Header:
        found = read(root)
        return dataclasses.replace(found, attributes={**found.attributes, name: value})

    monkeypatch.setattr(philips, "read_header", loose)

    assert "description" in _refused(slide, deid.plan_slide(slide))


def test_the_software_tag_says_one_thing_alone(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for software in (b"Philips Dr. Wa\0", b"Philips DP v1.1 by Wang\0"):
        monkeypatch.setattr(philips, "_SOFTWARE_TAG", {305: (2, len(software), software)})

        assert "tag 305" in _refused(slide, deid.plan_slide(slide))


def test_a_label_kept_as_a_page_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = make_plan

    def with_label(source: Any, tiff: Any, *, pages: Any, dropped: Any, **options: Any) -> SlidePlan:
        kept = Page(picture=dropped[-1], description="", subfile=0, is_level=False)
        return planned(source, tiff, pages=(*pages, kept), dropped=dropped[:-1], **options)

    monkeypatch.setattr(philips, "make_plan", with_label)

    assert "other levels" in _refused(slide, deid.plan_slide(slide))


def test_a_label_in_a_levels_place_is_no_level(tmp_path: Path) -> None:
    """It is tiled, reduced, as large as a level and described as one; it does not show what the others show."""
    slide = tmp_path / "slide.tiff"
    write_philips(slide, Made(pages=False))
    with tifffile.TiffFile(slide) as opened:
        pages = pages_of(opened)
        offsets = [(p.tags["TileOffsets"], p.tags["TileByteCounts"]) for p in (pages[3], pages[4])]
        assert all(p.tags["TileOffsets"].count == 1 for p in (pages[3], pages[4]))
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[:120] = 255
    tile = encoded(picture)
    content = bytearray(slide.read_bytes())
    at = len(content)
    content += tile
    where, size = offsets[0]
    content[where.offset + 8 : where.offset + 12] = at.to_bytes(4, "little")
    content[size.offset + 8 : size.offset + 12] = len(tile).to_bytes(4, "little")
    slide.write_bytes(content)

    plan = deid.plan_slide(slide)

    assert plan.levels == tuple(size for size in LEVELS if size != (256, 192))
    check_planned(slide, plan, identity_values=(NAME, NUMBER))
