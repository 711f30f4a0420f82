"""The second pass catches what the first one would leave, whatever it was."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image, ImageDraw

from cases.errors import Quarantine
from imaging.slides import aperio, deid, generic_tiff, writing
from imaging.slides.picture import read_picture
from imaging.slides.plan import Segment, SlidePlan, write
from imaging.slides.second_pass import check_slide
from imaging.slides.source import BytesSource
from imaging.slides.written import require_no_text
from tests.imaging.slides.conftest import BLOCK, NAME, NUMBER, pages_of
from tests.imaging.slides.treated import check_planned


def _refused(slide: Path, plan: SlidePlan, values: tuple[str, ...] = ()) -> str:
    with pytest.raises(Quarantine) as found:
        check_planned(slide, plan, identity_values=values)
    assert found.value.code == "identity-left"
    assert NAME not in found.value.detail
    assert NUMBER not in found.value.detail
    return found.value.detail


def test_a_description_left_as_it_was_is_caught(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        aperio, "rebuilt", lambda picture, base: picture.description.encode("ascii", "replace").decode()
    )

    assert "description" in _refused(made, deid.plan_slide(made))


@pytest.mark.parametrize("key", ["ScanScope ID", "Filename", "Title", "Barcode", "Date", "User", "ImageID"])
def test_one_identifying_key_left_is_caught(key: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = aperio._is_kept
    monkeypatch.setattr(aperio, "_is_kept", lambda k, v: (k == key and v.isascii()) or kept(k, v))
    monkeypatch.setattr(aperio, "_plain", lambda value: value)
    plan = deid.plan_slide(made)

    if key != "Title":
        assert "description" in _refused(made, plan)


@pytest.mark.parametrize("tag", [269, 271, 285, 305, 306, 315, 316, 700, 33432, 33723, 34377, 65000])
def test_any_tag_beyond_the_table_is_caught(
    tag: int, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = tmp_path / "slide.tiff"
    tissue = np.tile(np.asarray(skimage.data.immunohistochemistry()), (2, 2, 1))
    with tifffile.TiffWriter(slide) as writer:
        writer.write(
            tissue, tile=(256, 256), compression="jpeg", photometric="rgb", metadata=None, software=False,
            extratags=[(tag, 2, None, "Wang Xiaoming", True)],
        )  # fmt: skip
    check_planned(slide, deid.plan_slide(slide), identity_values=("Wang Xiaoming",))

    monkeypatch.setitem(writing.KEPT_TAGS, tag, ((2,), 100))

    assert f"tag {tag}" in _refused(slide, deid.plan_slide(slide))


def test_a_label_kept_as_a_page_is_caught(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aperio, "levels_of", lambda source, pictures, only_reduced: pictures)

    _refused(made, deid.plan_slide(made))


def test_a_thumbnail_of_another_shape_is_caught(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = read_picture

    def label_as_second(source: object, tiff: object, index: int) -> object:
        order = {1: 4, 4: 1}
        found = wanted(source, tiff, order.get(index, index))  # type: ignore[arg-type]
        return dataclasses.replace(found, subfile=0) if index == 1 else found

    monkeypatch.setattr(aperio, "read_picture", label_as_second)
    monkeypatch.setattr(aperio, "shows_slide", lambda *_: True)

    assert "shape" in _refused(made, deid.plan_slide(made, check_payload=False))


def _appended(plan: SlidePlan, content: bytes) -> SlidePlan:
    last = plan.segments[-1].payload
    assert last is not None
    return dataclasses.replace(plan, segments=(*plan.segments[:-1], Segment(payload=last + content)))


@pytest.mark.parametrize(
    "hidden", [NAME.encode(), NAME.encode("gb18030"), b"x", bytes(5000)], ids=["utf-8", "gbk", "one", "zeros"]
)
def test_bytes_that_nothing_names_are_caught(hidden: bytes, made: Path) -> None:
    assert "belong to no tile" in _refused(made, _appended(deid.plan_slide(made), hidden))


def test_a_range_that_reaches_into_the_label_is_caught(long: Path) -> None:
    plan = deid.plan_slide(long)
    index = next(i for i, s in enumerate(plan.segments) if s.payload is None)
    wide = dataclasses.replace(plan.segments[index], length=plan.segments[index].length + 3000)
    segments = (*plan.segments[:index], wide, *plan.segments[index + 1 :])

    _refused(long, dataclasses.replace(plan, segments=segments))


@pytest.mark.parametrize("value", [NAME, NUMBER, "wang.technician"])
@pytest.mark.parametrize(
    "coded",
    [
        lambda v: v.encode(),
        lambda v: v.encode("gb18030"),
        lambda v: v.encode("utf-16-le"),
        lambda v: v.encode("utf-16-be"),
        lambda v: __import__("base64").b64encode(b"ab" + v.encode()),
        lambda v: __import__("urllib.parse").parse.quote(v).encode(),
        lambda v: v.upper().encode(),
    ],
    ids=["utf-8", "gb18030", "utf-16-le", "utf-16-be", "base64", "percent", "upper"],
)
def test_a_known_identity_in_a_permitted_tag_is_caught(
    value: str, coded: Callable[[str], bytes], made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hidden where only numbers should be: in the JPEG tables' place, which any bytes may fill."""
    tables = b"\xff\xd8\xff\xdb\x00\x43\x00" + coded(value).ljust(64, b"\1") + b"\xff\xd9"
    values = writing._values

    def with_tables(*parts: object) -> dict[int, writing.Value]:
        return {**values(*parts), 347: (7, len(tables), tables)}  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "_values", with_tables)
    plan = dataclasses.replace(deid.plan_slide(made), removed_values=())

    assert "known identity" in _refused(made, plan, (value,))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"II*\0",
        b"II*\0\x08\0\0\0",
        b"\xff\xd8\xff\xe0",
        b"II*\0\x08\0\0\0\xff\xff" + bytes(60),
        bytes(4000),
    ],
)
def test_what_is_no_slide_does_not_leave(content: bytes) -> None:
    with pytest.raises(Quarantine) as found:
        check_slide(BytesSource(content))
    assert found.value.code == "identity-left"


def test_directories_in_a_loop_do_not_leave(made: Path, tmp_path: Path) -> None:
    result = tmp_path / "out.svs"
    write(deid.plan_slide(made), made, result)
    content = bytearray(result.read_bytes())
    with tifffile.TiffFile(result) as opened:
        last = pages_of(opened)[-1].offset
        first = pages_of(opened)[0].offset
    (count,) = struct.unpack_from("<H", content, last)
    struct.pack_into("<I", content, last + 2 + 12 * count, first)

    with pytest.raises(Quarantine) as found:
        check_slide(BytesSource(bytes(content)))
    assert found.value.code == "identity-left"


@pytest.mark.parametrize("compression", [33003, 33005, 5, 8, 1])
def test_a_name_hidden_behind_a_tile_is_caught_in_every_compression(
    compression: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = tmp_path / "slide.tiff"
    _packed(slide, compression, b"WANG XIAOMING")

    with pytest.raises(Quarantine) as first:
        deid.plan_slide(slide)
    assert first.value.code == "slide-unsafe"
    monkeypatch.setattr(deid, "_check_payload", lambda result, levels: None)
    _refused(slide, deid.plan_slide(slide))


def test_a_comment_in_a_jpeg_2000_tile_is_caught_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind SIZ, where encoders put their own names (T.800 A.9.2)."""
    slide, said = tmp_path / "slide.tiff", b"\xff\x64\0\x11\0\x01WANG XIAOMING"
    _packed(slide, 33003, said, inside=True)

    with pytest.raises(Quarantine) as first:
        deid.plan_slide(slide)
    assert first.value.code == "slide-unsafe"
    monkeypatch.setattr(deid, "_check_payload", lambda result, levels: None)
    assert "may hold text" in _refused(slide, deid.plan_slide(slide))


@pytest.mark.parametrize("compression", [33003, 33005, 5, 8, 1])
def test_every_compression_that_is_taken_passes_both(compression: int, tmp_path: Path) -> None:
    slide, result = tmp_path / "slide.tiff", tmp_path / "out.tiff"
    _packed(slide, compression, b"")

    write(deid.plan_slide(slide), slide, result)

    deid.check_written(result, identity_values=(NAME,))
    with tifffile.TiffFile(slide) as before, tifffile.TiffFile(result) as after:
        one, other = pages_of(before)[0].asarray(), pages_of(after)[0].asarray()
        assert np.array_equal(one, other)


def _packed(path: Path, compression: int, behind: bytes, *, inside: bool = False) -> None:
    """A tiled picture of 1024 x 1024; one tile has bytes behind its picture, or `inside` behind its first segment."""
    import imagecodecs

    tissue = np.tile(np.asarray(skimage.data.immunohistochemistry()), (2, 2, 1))
    cut = [
        np.ascontiguousarray(tissue[y : y + 256, x : x + 256])
        for y in range(0, 1024, 256)
        for x in range(0, 1024, 256)
    ]
    encode: dict[int, Callable[[np.ndarray], bytes]] = {
        33003: lambda t: bytes(imagecodecs.jpeg2k_encode(t, level=40, codecformat="j2k", mct=False)),
        33005: lambda t: bytes(imagecodecs.jpeg2k_encode(t, level=40, codecformat="j2k", mct=False)),
        5: lambda t: bytes(imagecodecs.lzw_encode(t.tobytes())),
        8: lambda t: bytes(imagecodecs.zlib_encode(t.tobytes())),
        1: lambda t: t.tobytes(),
    }
    tiles = [encode[compression](t) for t in cut]
    at = 4 + int.from_bytes(tiles[6][4:6], "big") if inside else len(tiles[6])
    tiles[6] = tiles[6][:at] + behind + tiles[6][at:]
    named: Any = {33003: 33003, 33005: 33005, 5: "lzw", 8: "zlib", 1: None}[compression]
    if compression == 1 and behind:
        tiles[6] = tiles[6][: -len(behind)] + behind + b"x"
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            iter(tiles), shape=(1024, 1024, 3), dtype=np.uint8, tile=(256, 256), photometric="rgb",
            compression=named, metadata=None, software=False,
        )  # fmt: skip


def test_writing_on_the_glass_withholds_the_slide(made: Path, tmp_path: Path) -> None:
    slide = tmp_path / "written.tiff"
    with tifffile.TiffFile(made) as opened:
        picture = Image.fromarray(pages_of(opened)[2].asarray())
    ImageDraw.Draw(picture).text((100, 60), NUMBER, fill=(20, 20, 40), font_size=90)
    with tifffile.TiffWriter(slide) as writer:
        writer.write(
            np.asarray(picture), tile=(256, 256), compression="jpeg", photometric="rgb", metadata=None
        )

    with pytest.raises(Quarantine) as found:
        require_no_text(slide, identity_values=(NUMBER,))
    assert found.value.code == "pixels-doubtful"
    assert NUMBER not in found.value.detail


@pytest.mark.parametrize("which", ["made", "real"])
def test_tissue_is_not_taken_for_writing(which: str, request: pytest.FixtureRequest) -> None:
    require_no_text(request.getfixturevalue(which), identity_values=(NAME, NUMBER, BLOCK))


def test_generic_levels_kept_without_looking_are_caught_by_their_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = tmp_path / "slide.tiff"
    tissue = np.tile(np.asarray(skimage.data.immunohistochemistry()), (2, 2, 1))
    with tifffile.TiffWriter(slide) as writer:
        for picture in (tissue, tissue[:512, :256]):
            writer.write(picture, tile=(256, 256), compression="jpeg", photometric="rgb", metadata=None)
    monkeypatch.setattr(generic_tiff, "levels_of", lambda source, pictures, only_reduced: pictures)

    assert "shape" in _refused(slide, deid.plan_slide(slide))
