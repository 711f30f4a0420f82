from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from cases.errors import Quarantine
from imaging.slides import deid
from imaging.slides.plan import LEAST_PART, SHORTEST_RANGE, SlidePlan, lay_out, stream, write
from imaging.slides.planned import PlannedSource
from imaging.slides.second_pass import forms
from imaging.slides.source import FileSource
from teledx.samples.slide import make_slide
from tests.imaging.slides.conftest import NAME, NUMBER, pages_of
from tests.imaging.slides.treated import check_planned, stopped

# What the made slide betrays, in its descriptions or as words of its scanner.
CANARIES = (
    NAME,
    NUMBER,
    "SS7043",
    "wang.technician",
    "1004486",
    "06/19/26",
    "09:59:15",
    "GMT+08:00",
    "USM Filter",
)
REAL_CANARIES = (
    "CPAPERIOCS",
    "b414003d-95c6-48b0-9369-8010ed517ba7",
    "12/29/09",
    "CMU-1",
    "1004486",
    "09:59:15",
)


def _deidentified(slide: Path, target: Path) -> tuple[SlidePlan, Path]:
    plan = deid.plan_slide(slide)
    write(plan, slide, target)
    return plan, target


def _tiles(path: Path) -> list[list[bytes]]:
    """The tiles of every level as bytes, by another reader."""
    content = path.read_bytes()
    with tifffile.TiffFile(path) as opened:
        return [
            [content[a : a + n] for a, n in zip(p.dataoffsets, p.databytecounts, strict=True)]
            for p in pages_of(opened)
            if p.is_tiled
        ]


@pytest.mark.parametrize("which", ["made", "long", "real"])
def test_every_tile_of_every_level_stays_byte_for_byte(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    slide: Path = request.getfixturevalue(which)

    _, result = _deidentified(slide, tmp_path / "out.svs")

    assert _tiles(result) == _tiles(slide)


@pytest.mark.parametrize("which", ["made", "long", "real"])
def test_openslide_reads_the_same_pixels_levels_and_microns(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    slide: Path = request.getfixturevalue(which)

    _, result = _deidentified(slide, tmp_path / "out.svs")

    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(result) as after:
        assert after.properties["openslide.vendor"] == "aperio"
        assert after.level_dimensions == before.level_dimensions
        for name in ("openslide.mpp-x", "openslide.mpp-y", "openslide.objective-power"):
            assert after.properties[name] == before.properties[name]
        width, height = before.dimensions
        for level in range(before.level_count):
            for x, y in ((0, 0), (width // 2, height // 2), (width - 300, height - 300)):
                region = ((x, y), level, (300, 300))
                assert after.read_region(*region).tobytes() == before.read_region(*region).tobytes()


@pytest.mark.parametrize(("which", "canaries"), [("made", CANARIES), ("real", REAL_CANARIES)])
def test_no_byte_of_an_identity_is_left(
    which: str, canaries: tuple[str, ...], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    slide: Path = request.getfixturevalue(which)
    before = slide.read_bytes()

    _, result = _deidentified(slide, tmp_path / "out.svs")

    after = result.read_bytes()
    for canary in canaries:
        assert any(f in before for f in forms(canary)), "the canary was never there"
        assert not any(f in after for f in forms(canary))


@pytest.mark.parametrize("which", ["made", "real"])
def test_label_and_macro_are_gone_as_entries_and_as_bytes(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    slide: Path = request.getfixturevalue(which)

    plan, result = _deidentified(slide, tmp_path / "out.svs")

    with openslide.OpenSlide(result) as opened:
        assert set(opened.associated_images) == {"thumbnail"}
    content, kept = slide.read_bytes(), result.read_bytes()
    with tifffile.TiffFile(slide) as before:
        for page in pages_of(before)[-2:]:
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                assert content[offset : offset + count] not in kept
    assert any(r.startswith("label image") for r in plan.removed)
    assert any(r.startswith("macro image") for r in plan.removed)


def test_digest_is_that_of_the_written_slide(long: Path, tmp_path: Path) -> None:
    plan, result = _deidentified(long, tmp_path / "out.svs")

    with FileSource(long) as source:
        assert b"".join(stream(plan, source)) == result.read_bytes()
    assert result.stat().st_size == plan.size


def test_the_same_slide_gives_the_same_plan(made: Path) -> None:
    assert deid.plan_slide(made) == deid.plan_slide(made)


def test_a_long_slide_stays_ranges_that_a_store_can_compose(long: Path) -> None:
    plan = deid.plan_slide(long)

    ranges = [s for s in plan.segments if s.payload is None]
    ranges = [s for s in plan.segments if s.payload is None]
    assert all(s.length >= SHORTEST_RANGE for s in ranges)
    assert len(ranges) == 1
    assert ranges[0].length > 0.8 * long.stat().st_size
    assert plan.size - sum(s.length for s in ranges) < 0.2 * long.stat().st_size


@pytest.mark.parametrize("which", ["made", "long"])
def test_a_plan_is_laid_out_in_parts_that_a_store_accepts(which: str, request: pytest.FixtureRequest) -> None:
    slide: Path = request.getfixturevalue(which)
    plan, made = deid.plan_slide(slide), io.BytesIO()

    with FileSource(slide) as source:
        (laid,) = lay_out(plan, source, made)
        expected = b"".join(stream(plan, source))
    content = {True: made.getvalue(), False: slide.read_bytes()}
    parts = [content[p.made][p.offset : p.offset + p.length] for p in laid.parts]
    assert b"".join(parts) == expected
    assert [p.sha256 for p in laid.parts] == [hashlib.sha256(p).hexdigest() for p in parts]
    assert laid.sha256 == hashlib.sha256(expected).hexdigest()
    assert all(len(p) >= LEAST_PART for p in parts[:-1])


def test_what_was_removed_is_named_without_its_values(made: Path) -> None:
    plan = deid.plan_slide(made)

    told = " ".join(plan.removed) + repr(plan)[-4000:].split("removed=")[-1]
    assert "key: Title" in plan.removed
    assert "key: Barcode" in plan.removed
    assert NAME not in told
    assert NUMBER not in told


def test_the_second_pass_agrees_with_what_was_planned_and_with_what_was_written(
    made: Path, tmp_path: Path
) -> None:
    plan, result = _deidentified(made, tmp_path / "out.svs")

    planned = check_planned(made, plan, identity_values=(NAME, NUMBER))
    written = deid.check_written(result, identity_values=(NAME, NUMBER))

    assert planned == written
    assert written > 0.99 * result.stat().st_size


def test_a_thumbnail_that_shows_a_label_is_not_kept(tmp_path: Path, made: Path) -> None:
    slide = tmp_path / "label-as-thumbnail.svs"
    with tifffile.TiffFile(made) as opened:
        pages = [p.asarray() for p in pages_of(opened)]
        described = [p.description.encode() for p in pages_of(opened)]
    label = np.asarray(Image.fromarray(pages[4]).resize((pages[1].shape[1], pages[1].shape[0])))
    with tifffile.TiffWriter(slide) as writer:
        tiled: dict[str, Any] = {
            "tile": (256, 256),
            "compression": "jpeg",
            "photometric": "ycbcr",
            "metadata": None,
        }
        writer.write(pages[0], description=described[0], **tiled)
        writer.write(
            label,
            description=described[1],
            rowsperstrip=16,
            compression="jpeg",
            photometric="ycbcr",
            metadata=None,
        )
        writer.write(pages[2], description=described[2], **tiled)

    _, result = _deidentified(slide, tmp_path / "out.svs")

    with openslide.OpenSlide(result) as opened:
        assert not opened.associated_images


@pytest.mark.parametrize("hidden", [b"\xff\xfe", b"\xff\xe1", b"\xff\xe2", b"\xff\xed"])
def test_a_tile_with_a_segment_for_text_makes_the_slide_unsafe(
    made: Path, tmp_path: Path, hidden: bytes
) -> None:
    slide = tmp_path / "hidden.svs"
    text = NAME.encode()
    segment = hidden + (2 + len(text)).to_bytes(2, "big") + text
    with tifffile.TiffFile(made) as opened:
        tiles = [list(_raw_tiles(made, page)) for page in pages_of(opened) if page.is_tiled]
        shapes = [p.shape for p in pages_of(opened) if p.is_tiled]
        described = pages_of(opened)[0].description.encode()
    tiles[0][5] = tiles[0][5][:2] + segment + tiles[0][5][2:]
    _write_levels(slide, tiles, shapes, described)

    reason = stopped(slide)
    assert reason.code == "slide-unsafe"
    assert NAME not in str(reason)

    careless = deid.plan_slide(slide, check_payload=False)
    with pytest.raises(Quarantine) as found:
        check_planned(slide, careless, identity_values=())
    assert found.value.code == "identity-left"


@pytest.mark.parametrize("every", [True, False])
def test_a_thumbnail_with_a_comment_is_unsafe_where_the_levels_were_walked_before_too(
    every: bool, made: Path, tmp_path: Path
) -> None:
    slide = tmp_path / "thumbnail.svs"
    slide.write_bytes(made.read_bytes())
    with tifffile.TiffFile(slide, mode="r+") as opened:
        thumbnail, handle = pages_of(opened)[1], opened.filehandle
        offsets, counts = list(thumbnail.dataoffsets), list(thumbnail.databytecounts)
        handle.seek(offsets[-1])
        strip, text = handle.read(counts[-1]), NAME.encode()
        said = strip[:2] + b"\xff\xfe" + (2 + len(text)).to_bytes(2, "big") + text + strip[2:]
        offsets[-1], counts[-1] = handle.seek(0, io.SEEK_END), len(said)
        handle.write(said)
        thumbnail.tags["StripOffsets"].overwrite(offsets)
        thumbnail.tags["StripByteCounts"].overwrite(counts)

    assert stopped(slide, check_payload=every).code == "slide-unsafe"


def test_bytes_behind_a_tiles_picture_make_the_slide_unsafe(made: Path, tmp_path: Path) -> None:
    slide = tmp_path / "trailing.svs"
    with tifffile.TiffFile(made) as opened:
        tiles = [list(_raw_tiles(made, page)) for page in pages_of(opened) if page.is_tiled]
        shapes = [p.shape for p in pages_of(opened) if p.is_tiled]
        described = pages_of(opened)[0].description.encode()
    tiles[1][3] += NAME.encode()
    _write_levels(slide, tiles, shapes, described)

    assert stopped(slide).code == "slide-unsafe"


def test_bytes_between_tiles_are_not_kept(made: Path, tmp_path: Path) -> None:
    """A writer that puts a patient's name between two tiles does not carry it out of the region."""
    slide = tmp_path / "between.svs"
    content = bytearray(made.read_bytes())
    with tifffile.TiffFile(made) as opened:
        page = pages_of(opened)[0]
        busy = int(np.argmax(page.databytecounts))
        offset, count = page.dataoffsets[busy], page.databytecounts[busy]
        counts_at = page.tags["TileByteCounts"].valueoffset
    smaller = bytes(content[offset : offset + count])
    assert smaller.endswith(b"\xff\xd9")
    # the tile becomes a shorter one of the same slide, and the name stands in the room that is left
    other = min(_raw_tiles(made, page), key=len)
    assert len(other) + 40 < count
    content[offset : offset + count] = other + NAME.encode().ljust(count - len(other), b"\0")
    content[counts_at + 4 * busy : counts_at + 4 * busy + 4] = len(other).to_bytes(4, "little")
    slide.write_bytes(content)
    assert NAME.encode() in slide.read_bytes()

    _, result = _deidentified(slide, tmp_path / "out.svs")

    assert NAME.encode() not in result.read_bytes()
    deid.check_written(result, identity_values=(NAME,))


def test_a_tile_that_points_into_the_label_stops_the_slide(made: Path, tmp_path: Path) -> None:
    slide = tmp_path / "pointing.svs"
    content = bytearray(made.read_bytes())
    with tifffile.TiffFile(made) as opened:
        tags, label = pages_of(opened)[0].tags, pages_of(opened)[4]
        at, size = tags["TileOffsets"].valueoffset, tags["TileByteCounts"].valueoffset
        offset, count = label.dataoffsets[0], label.databytecounts[0]
    content[at : at + 4], content[size : size + 4] = offset.to_bytes(4, "little"), count.to_bytes(4, "little")
    slide.write_bytes(content)

    assert stopped(slide).code == "file-damaged"


def test_a_bigtiff_stays_one_and_reads_the_same(made: Path, tmp_path: Path) -> None:
    slide = tmp_path / "big.svs"
    with tifffile.TiffFile(made) as opened:
        tiles = [list(_raw_tiles(made, page)) for page in pages_of(opened) if page.is_tiled]
        shapes = [p.shape for p in pages_of(opened) if p.is_tiled]
        described = pages_of(opened)[0].description.encode()
    _write_levels(slide, tiles, shapes, described, bigtiff=True, byteorder=">")

    _, result = _deidentified(slide, tmp_path / "out.svs")

    assert result.read_bytes()[:4] == b"MM\0\x2b"
    assert _tiles(result) == _tiles(slide)
    deid.check_written(result, identity_values=(NAME, NUMBER))
    with openslide.OpenSlide(result) as opened:
        assert opened.level_count == len(shapes)


def test_a_planned_slide_reads_like_the_written_one(made: Path, tmp_path: Path) -> None:
    plan, result = _deidentified(made, tmp_path / "out.svs")
    content = result.read_bytes()

    with FileSource(made) as source:
        planned = PlannedSource(plan, source)
        for offset, length in ((0, 20), (10, 5000), (plan.size - 3, 3), (0, plan.size)):
            assert planned.read(offset, length) == content[offset : offset + length]


@pytest.mark.slow
def test_a_gigabyte_stays_within_300_mb_of_memory(tmp_path: Path) -> None:
    import subprocess
    import sys

    slide = make_slide(
        tmp_path / "gigabyte.svs",
        size=1_000_000_000,
        pathology_number=NUMBER,
        block="A1",
        stain="HE",
        patient_name=NAME,
    )
    script = (
        "import re,sys;from pathlib import Path;from imaging.slides import check,deid;"
        "from tests.imaging.slides.treated import check_planned;"
        "p=Path(sys.argv[1]);check.check_slide(p);plan=deid.plan_slide(p);"
        "check_planned(p,plan,identity_values=());"
        "print(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text()).group(1))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(slide)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    slide.unlink()
    assert int(done.stdout) < 300 * 1024


def _raw_tiles(path: Path, page: Any) -> list[bytes]:
    with path.open("rb") as file:
        tiles = []
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            tiles.append(file.read(count))
    return tiles


def _write_levels(
    path: Path, tiles: list[list[bytes]], shapes: list[tuple[int, ...]], described: bytes, **options: Any
) -> None:
    with tifffile.TiffWriter(path, **{"byteorder": "<", **options}) as writer:
        for level, shape in zip(tiles, shapes, strict=True):
            writer.write(
                iter(level),
                shape=shape,
                dtype=np.uint8,
                tile=(256, 256),
                photometric="ycbcr",
                compression="jpeg",
                subsampling=(2, 2),
                description=described,
                metadata=None,
                software=False,
            )
