"""Hamamatsu slides: what stays, what goes, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from cases.errors import Quarantine
from imaging.slides import deid, ndpi, payload, second_pass, second_tiles, writing
from imaging.slides.payload import check_long_jpeg
from imaging.slides.picture import read_picture
from imaging.slides.planned import PlannedSource
from imaging.slides.source import BytesSource, FileSource
from imaging.slides.tiff import NDPI_MARK, read_tiff
from tests.imaging.slides import vendors
from tests.imaging.slides.conftest import NAME, pages_of
from tests.imaging.slides.treated import check_planned, deidentified, refused, stopped

LEVELS = ((2048, 1536), (1024, 768), (512, 384))
# OpenSlide makes three more of the smallest one, by the scales of JPEG.
SEEN = (*LEVELS, (256, 192), (128, 96), (64, 48))


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vendors.ndpi(tmp_path_factory.mktemp("ndpi") / "slide.ndpi")


def test_a_slide_beyond_four_gigabytes_is_planned_from_there(tmp_path: Path) -> None:
    slide = vendors.ndpi(tmp_path / "slide.ndpi", at=5 << 30)

    result = deidentified(slide, tmp_path / "out.ndpi", vendors.CANARIES)

    assert result.stat().st_size < 10 << 20
    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(result) as after:
        region = ((600, 300), 0, (700, 700))
        assert after.read_region(*region).tobytes() == before.read_region(*region).tobytes()


def test_a_result_beyond_four_gigabytes_reads_the_same(slide: Path, tmp_path: Path) -> None:
    """The directories' own writing: the levels are put behind 5 GB of nothing."""
    far = 5 << 30
    target = tmp_path / "far.ndpi"
    with FileSource(slide) as source, target.open("wb") as file:
        tiff = read_tiff(source)
        pictures = tuple(read_picture(source, tiff, i) for i in range(len(tiff.directories)))
        pages = tuple(ndpi._page(source, tiff, p) for p in pictures[:3])
        starts = np.array(sorted(int(p.offsets[0]) for p in pictures[:3]))
        placed = writing.Placed(starts=starts, moved_to=starts + far)
        end = far + int(pictures[2].offsets[0] + pictures[2].counts[0])
        head, tail = writing.assemble(source, pages, tiff, placed, end)
        file.write(head)
        for picture in pictures[:3]:
            file.seek(far + int(picture.offsets[0]))
            file.write(source.read(int(picture.offsets[0]), int(picture.counts[0])))
        file.seek(end)
        file.write(tail)

    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(target) as after:
        assert after.level_dimensions == SEEN
        for level, size in enumerate(SEEN):
            assert (
                after.read_region((0, 0), level, size).tobytes()
                == before.read_region((0, 0), level, size).tobytes()
            )
    with tifffile.TiffFile(slide) as one, tifffile.TiffFile(target) as other:
        assert np.array_equal(pages_of(one)[0].asarray(), pages_of(other)[0].asarray())


def _with_long_base(slide: Path, target: Path, numbers: dict[int, int]) -> Path:
    """The slide with other numbers in its first directory, and a base of 5 GB (a hole in the file) behind its end."""
    content = bytearray(slide.read_bytes())
    at, length = len(content), 5 << 30
    with FileSource(slide) as source:
        directory = read_tiff(source).directories[0]
    for tag, value in {**numbers, 273: at, 279: length}.items():
        rank = sorted(directory.entries).index(tag)
        high_at = directory.offset + 2 + 12 * len(directory.entries) + 8 + 4 * rank
        packed = struct.pack("<Q", value)
        content[directory.entries[tag].offset : directory.entries[tag].offset + 4] = packed[:4]
        content[high_at : high_at + 4] = packed[4:]
    with target.open("wb") as file:
        file.write(content + _levels(slide)[0][:1000])
        file.seek(at + length - 2)
        file.write(b"\xff\xd9")
    return target


def test_a_level_that_is_itself_longer_than_four_gigabytes_stays_one_range(
    slide: Path, tmp_path: Path
) -> None:
    long = _with_long_base(slide, tmp_path / "long.ndpi", {256: 204_800, 257: 153_600, 278: 153_600})

    plan = deid.plan_slide(long, check_payload=False)

    (kept,) = [s for s in plan.segments if s.payload is None]
    assert (kept.offset, kept.length) == (slide.stat().st_size, 5 << 30)
    with FileSource(long) as source:
        result = PlannedSource(plan, source)
        base = read_picture(result, read_tiff(result), 0)
        assert int(base.counts[0]) == 5 << 30
        (page, *_) = second_pass._Walk(result).pages()
        assert page.tiles == [(int(base.offsets[0]), int(base.offsets[0]) + (5 << 30))]


def test_a_small_picture_of_gigabytes_is_refused_unread(slide: Path, tmp_path: Path) -> None:
    assert (
        stopped(_with_long_base(slide, tmp_path / "long.ndpi", {}), check_payload=False).code
        == "file-damaged"
    )


def _levels(slide: Path) -> list[bytes]:
    with FileSource(slide) as source:
        tiff = read_tiff(source)
        pictures = [read_picture(source, tiff, i) for i in range(len(LEVELS))]
        return [source.read(int(p.offsets[0]), int(p.counts[0])) for p in pictures]


def test_a_comment_in_a_level_makes_the_slide_unsafe_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = vendors.ndpi(tmp_path / "slide.ndpi", comment=NAME.encode())

    assert stopped(slide).code == "slide-unsafe"
    with pytest.raises(Quarantine) as found:
        check_planned(slide, deid.plan_slide(slide, check_payload=False), identity_values=())
    assert found.value.code == "identity-left"


def test_a_label_that_calls_itself_a_level_is_dropped(slide: Path, tmp_path: Path) -> None:
    """In the shape of a level and with an objective of its own."""
    disguised = tmp_path / "slide.ndpi"
    label = vendors.label_on_glass(256, 192)
    pages = []
    for factor in (1, 2, 4):
        pixels = (
            vendors.tissue_on_glass() if factor == 1 else vendors.smaller(vendors.tissue_on_glass(), factor)
        )
        pages.append((vendors._ndpi_tags(pixels, 20.0 / factor, 45440), [vendors.jpeg(pixels)]))
    pages.append((vendors._ndpi_tags(label, 2.5, 5680), [vendors.jpeg(label)]))
    vendors.write_tiff(disguised, vendors.Form(ndpi=True), pages)

    assert deid.plan_slide(disguised).levels == LEVELS


def test_a_level_that_breaks_off_is_refused(slide: Path, tmp_path: Path) -> None:
    content = bytearray(slide.read_bytes())
    base = _levels(slide)[0]
    end = content.index(base) + len(base)
    content[end - 2 : end] = b"\x01\x01"
    broken = tmp_path / "broken.ndpi"
    broken.write_bytes(content)

    assert stopped(broken).code == "file-damaged"


def test_fluorescence_is_refused_by_name_with_advice(tmp_path: Path) -> None:
    slide = tmp_path / "slide.ndpi"
    pixels = vendors.tissue_on_glass()
    tags = {**vendors._ndpi_tags(pixels, 20.0, 45440), 65441: vendors.number(vendors.LONG, 7)}
    vendors.write_tiff(slide, vendors.Form(ndpi=True), [(tags, [vendors.jpeg(pixels)])])

    reason = stopped(slide)
    assert reason.code == "slide-unsafe"
    assert "fluorescence" in reason.detail
    assert "NDP.view2" in reason.detail


def test_one_that_other_software_rewrote_as_plain_tiff_is_refused(tmp_path: Path) -> None:
    slide = tmp_path / "slide.ndpi"
    with tifffile.TiffWriter(slide) as writer:
        writer.write(
            vendors.tissue_on_glass(),
            photometric="rgb",
            metadata=None,
            extratags=[(NDPI_MARK, 4, 1, 1, True)],
        )

    assert stopped(slide).code == "slide-unsafe"


def test_a_macro_image_left_as_a_page_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndpi, "scans", lambda source, tiff, pictures: pictures[:4])
    monkeypatch.setattr(ndpi, "_has_shape", lambda picture, base: True)
    monkeypatch.setattr(ndpi, "shows_slide", lambda *_: True)

    assert "label or a macro" in refused(slide)


@pytest.mark.parametrize(
    "own", [{271: vendors.text("Wang")}, {65420: vendors.number(vendors.LONG, 20260619)}]
)
def test_a_number_or_name_that_is_another_is_caught(
    own: dict[int, vendors.Value], slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ndpi._page

    def changed(*parts: object) -> writing.Page:
        page = made(*parts)  # type: ignore[arg-type]
        page.own.update(own)
        return page

    monkeypatch.setattr(ndpi, "_page", changed)

    refused(slide)


def test_words_in_the_place_of_restart_intervals_are_left_out_and_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = tmp_path / "slide.ndpi"
    pixels = vendors.tissue_on_glass()
    words = (NAME * 4).encode().ljust(64)[:64]
    tags = {**vendors._ndpi_tags(pixels, 20.0, 45440), 65426: (vendors.LONG, 16, words)}
    vendors.write_tiff(slide, vendors.Form(ndpi=True), [(tags, [vendors.jpeg(pixels)])])

    plan = deid.plan_slide(slide)
    check_planned(slide, plan, identity_values=(NAME,))
    with FileSource(slide) as source:
        assert 65426 not in read_tiff(PlannedSource(plan, source)).directories[0].entries

    monkeypatch.setattr(ndpi, "_starts", lambda *_: {65426: (vendors.LONG, 16, words)})
    assert "restart intervals" in refused(slide)


@pytest.mark.parametrize("window", [2, 3, 7, 1000, 1 << 22])
def test_a_long_picture_is_walked_by_windows_of_any_size(window: int) -> None:
    picture = vendors.jpeg(np.asarray(vendors.smaller(vendors.tissue_on_glass(), 16)), interval=2)
    for behind, code in ((b"", ""), (bytes(20), ""), (b"x", "slide-unsafe"), (bytes(100), "slide-unsafe")):
        source = BytesSource(b"x" * 10 + picture + behind)
        length = len(picture + behind)
        if not code:
            assert check_long_jpeg(source, 10, length, window) == length
            second_tiles.only_long_picture(source.read, 10, 10 + length, "here", window)
            continue
        with pytest.raises(Quarantine) as found:
            check_long_jpeg(source, 10, length, window)
        assert found.value.code == code
        with pytest.raises(Quarantine) as found:
            second_tiles.only_long_picture(source.read, 10, 10 + length, "here", window)
        assert found.value.code == "identity-left"


def test_of_a_long_level_that_was_walked_before_the_second_pass_reads_little() -> None:
    picture = vendors.jpeg(vendors.tissue_on_glass(), interval=128)
    source = BytesSource(picture)

    assert second_tiles.parts_of_long_picture(source.read, 0, len(picture), "here", 1000) == 10_000
    for content in (
        picture + b"x",
        picture[:-2],
        b"x" + picture,
        picture[:2] + b"\xff\xfe\0\4ab" + picture[2:],
    ):
        with pytest.raises(Quarantine) as found:
            second_tiles.parts_of_long_picture(BytesSource(content).read, 0, len(content), "here", 1000)
        assert found.value.code == "identity-left"


@pytest.mark.parametrize("window", [3, 1000])
def test_a_long_picture_with_a_segment_in_its_middle_or_no_end_is_refused(window: int) -> None:
    picture = vendors.jpeg(np.asarray(vendors.smaller(vendors.tissue_on_glass(), 16)), interval=2)
    segment = b"\xff\xfe" + struct.pack(">H", 2 + len(NAME.encode())) + NAME.encode()
    for content, code in (
        (picture[:-50] + segment + picture[-50:], "slide-unsafe"),
        (picture[:-2], "file-damaged"),
    ):
        with pytest.raises(Quarantine) as found:
            check_long_jpeg(BytesSource(content), 0, len(content), window)
        assert found.value.code == code
        with pytest.raises(Quarantine) as found:
            second_tiles.only_long_picture(BytesSource(content).read, 0, len(content), "here", window)
        assert found.value.code == "identity-left"


def test_levels_too_long_for_memory_take_the_way_by_windows(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "MAX_TILE_BYTES", 1000)
    monkeypatch.setattr("imaging.slides.second_pass.LONGEST_TILE", 1000)

    deidentified(slide, tmp_path / "out.ndpi", vendors.CANARIES)
