"""MIRAX: the pictures and their places stay, and nothing else of any of its files."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import struct
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import openslide
import pytest

from cases.errors import Quarantine
from imaging.deid.folder import Run, deidentify_tree
from imaging.slides import deid, mirax, mirax_index, mirax_settings
from imaging.slides.formats import accept, recognise
from imaging.slides.plan import Segment, SlidePlan, write
from imaging.slides.scanner import read_scan
from imaging.slides.source import opened
from tests.imaging.slides import vendors
from tests.imaging.slides.conftest import NAME, NUMBER
from tests.imaging.slides.mirax_slide import CANARIES, SLIDE_ID, Parts, parts, write_mirax
from tests.imaging.slides.treated import (
    bytes_of,
    check_planned,
    deidentified,
    found_in,
    refused,
    require_same_pixels,
    stopped,
)

RUN = Run(secret=b"k" * 32, clinic="here")


@pytest.fixture(scope="module")
def whole() -> Parts:
    return parts()


@pytest.fixture(scope="module")
def slide(whole: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mirax(tmp_path_factory.mktemp("mirax") / "slide.mrxs", whole)


@pytest.fixture
def written(whole: Parts, tmp_path: Path) -> Callable[..., Path]:
    """A slide that differs from the whole one in what is told."""
    return lambda **told: write_mirax(tmp_path / "slide.mrxs", dataclasses.replace(whole, **told))


def _own(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in path.with_suffix("").iterdir()}


def test_every_picture_stays_byte_for_byte_and_nothing_else(
    slide: Path, whole: Parts, tmp_path: Path
) -> None:
    own = _own(deidentified(slide, tmp_path / "out.mrxs", CANARIES))

    data = [own.pop(name) for name in ("Data0000.dat", "Data0001.dat")]
    pictures = {picture for level in whole.levels for _, picture in level}
    assert all(any(picture in content for content in data) for picture in pictures)
    kept = sum(len(p) for level in whole.levels for _, p in level) + len(whole.places)
    assert sum(len(content) for content in data) == 2 * 296 + kept
    assert own.keys() == {"Slidedat.ini", "Index.dat"}


def test_a_slide_without_further_words_between_its_pictures_stays_in_long_ranges(
    written: Callable[..., Path],
) -> None:
    plan = deid.plan_slide(written(between=b""))

    assert len([s for s in plan.segments if s.payload is None]) <= 4
    assert [file.name for file in plan.files] == [
        "",
        "Slidedat.ini",
        "Index.dat",
        "Data0000.dat",
        "Data0001.dat",
    ]


def test_the_file_that_opens_it_shows_nothing(slide: Path, tmp_path: Path) -> None:
    result = deidentified(slide, tmp_path / "out.mrxs", CANARIES)

    assert result.read_bytes() == mirax.white()
    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(result) as after:
        assert set(before.associated_images) == {"label", "macro", "thumbnail"}
        assert not after.associated_images


def test_its_identifier_is_another_and_the_same_each_time(slide: Path, tmp_path: Path) -> None:
    told = [
        _own(deidentified(slide, tmp_path / f"{i}.mrxs", CANARIES))["Slidedat.ini"].decode() for i in (1, 2)
    ]

    assert told[0] == told[1]
    assert "SLIDE_ID = " in told[0]
    assert SLIDE_ID not in told[0]


def test_a_part_by_itself_is_refused_with_advice(slide: Path, tmp_path: Path) -> None:
    alone = tmp_path / "Slidedat.ini"
    shutil.copy(slide.with_suffix("") / "Slidedat.ini", alone)
    opens = tmp_path / "slide.mrxs"
    shutil.copy(slide, opens)

    with pytest.raises(Quarantine) as found:
        accept(alone)
    assert found.value.code == "slide-unsafe"
    assert "whole folder" in found.value.detail
    assert recognise(opens) is None


LEVEL_1 = "LAYER_0_LEVEL_1_SECTION"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"HIERARCHICAL": {"HIER_1_COUNT": 2}}, "slide-unsafe"),
        ({LEVEL_1: {"IMAGE_FORMAT": "PNG"}}, "slide-unsafe"),
        ({LEVEL_1: {"MICROMETER_PER_PIXEL_X": "0"}}, "reading-loss"),
        ({LEVEL_1: {"MICROMETER_PER_PIXEL_X": "Wang"}}, "file-damaged"),
        ({LEVEL_1: {"DIGITIZER_WIDTH": 128}}, "file-damaged"),
        ({LEVEL_1: {"OVERLAP_X": "1e5"}}, "file-damaged"),
        ({LEVEL_1: {"IMAGE_CONCAT_FACTOR": 0}}, "file-damaged"),
        ({"GENERAL": {"SLIDE_ID": "another"}}, "file-damaged"),
        ({"GENERAL": {"IMAGENUMBER_X": 20}}, "file-damaged"),
        ({"GENERAL": {"OBJECTIVE_MAGNIFICATION": NUMBER}}, "file-damaged"),
        ({"DATAFILE": {"FILE_1": "../Data0001.dat"}}, "file-damaged"),
        ({"DATAFILE": {"FILE_1": "Data0000.dat"}}, "file-damaged"),
        ({"DATAFILE": {"FILE_COUNT": 1}}, "file-damaged"),
        ({"HIERARCHICAL": {"INDEXFILE": "Data0000.dat"}}, "file-damaged"),
        ({"HIERARCHICAL": {"HIER_0_NAME": "Another level"}}, "file-damaged"),
    ],
)
def test_settings_that_cannot_be_believed_stop_the_slide(
    more: dict[str, dict[str, object]], code: str, written: Callable[..., Path]
) -> None:
    reason = stopped(written(more=more))

    assert reason.code == code
    assert not found_in(reason.detail.encode(), (NUMBER, "Wang"))


def test_focal_planes_are_refused_with_what_the_clinic_can_do(written: Callable[..., Path]) -> None:
    reason = stopped(
        written(more={"HIERARCHICAL": {"HIER_1_NAME": "Microscope focus level", "HIER_1_COUNT": 3}})
    )

    assert "SlideConverter" in reason.detail


@pytest.mark.parametrize(
    "places",
    [
        b"",
        b"\0" * 9,
        NAME.encode().ljust(108, b"\0"),
        struct.pack("<Bii", 0, 1 << 28, 0) * 12,
        struct.pack("<Bii", 0, 0, -(1 << 31)) * 12,
    ],
    ids=["none", "few", "words", "far", "farthest"],
)
@pytest.mark.parametrize("layer", ["VIMSLIDE_POSITION_BUFFER", "StitchingIntensityLayer"])
def test_places_that_are_none_are_refused(layer: str, places: bytes, written: Callable[..., Path]) -> None:
    assert stopped(written(layer=layer, places=places)).code == "file-damaged"


def test_a_comment_in_a_picture_makes_the_slide_unsafe_for_both(
    whole: Parts, written: Callable[..., Path]
) -> None:
    place, picture = whole.levels[0][7]
    said = picture[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(NAME.encode())) + NAME.encode() + picture[2:]
    slide = written(levels=[[*whole.levels[0][:7], (place, said), *whole.levels[0][8:]], *whole.levels[1:]])

    assert stopped(slide).code == "slide-unsafe"
    assert "may hold text" in refused(slide, deid.plan_slide(slide, check_payload=False))


def test_a_record_of_an_unknown_form_is_no_hindrance(slide: Path, tmp_path: Path) -> None:
    """Its place in the table points at numbers that are none, as far as anybody knows; nothing of it leaves."""
    copy = tmp_path / "slide.mrxs"
    shutil.copy(slide, copy)
    shutil.copytree(slide.with_suffix(""), copy.with_suffix(""))
    index = copy.with_suffix("") / "Index.dat"
    content = bytearray(index.read_bytes())
    (layers,) = struct.unpack_from("<i", content, 5 + len(SLIDE_ID) + 4)
    struct.pack_into("<i", content, layers, len(content) - 10)
    index.write_bytes(content)

    require_same_pixels(copy, deidentified(copy, tmp_path / "out.mrxs", CANARIES))


def test_a_label_named_as_a_picture_too_is_refused(slide: Path, tmp_path: Path) -> None:
    """The bytes of the barcode's own record stand in the first level's as well."""
    copy = tmp_path / "slide.mrxs"
    shutil.copy(slide, copy)
    shutil.copytree(slide.with_suffix(""), copy.with_suffix(""))
    index = copy.with_suffix("") / "Index.dat"
    content = bytearray(index.read_bytes())
    with opened(slide) as source:
        scan = mirax.read_scan(source)
    first = content.index(struct.pack("<4i", *scan.index.levels[0][0].tolist()))
    struct.pack_into("<3i", content, first + 4, *scan.index.further[2, 1:].tolist())
    index.write_bytes(content)

    assert stopped(copy).code == "file-damaged"


def _treated(plan: SlidePlan, name: str, change: Callable[[bytes], bytes]) -> SlidePlan:
    """The plan with another content of one of its files' first segment."""
    segments, files = [], []
    for file, own in plan.by_file():
        if file.name == name:
            assert own[0].payload is not None
            own[0] = Segment(payload=change(own[0].payload))
        segments += own
        files.append(dataclasses.replace(file, size=sum(s.size for s in own)))
    return dataclasses.replace(plan, segments=tuple(segments), folder=tuple(files))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("Slidedat.ini", b"[HIERARCHICAL]", b"SLIDE_NAME = Wang\r\n[HIERARCHICAL]"),
        ("Slidedat.ini", b"SLIDE_VERSION", b"; Wang\r\nSLIDE_VERSION"),
        ("Slidedat.ini", b"ZoomLevel_1", b"ZoomLevel_Wang"),
        ("Slidedat.ini", b"Data0001.dat", b"Wang.dat"),
        ("Slidedat.ini", b"FILE_1 = Data0001", b"FILE_1 = Data4711"),
        ("Slidedat.ini", b"IMAGE_FORMAT = JPEG", b"IMAGE_FORMAT = JPEG Wang"),
        ("Slidedat.ini", b"OVERLAP_X = 16.0", b"OVERLAP_X = 16.013800138000123"),
        ("Slidedat.ini", b"[LAYER_0_LEVEL_1_SECTION]", b"[Wang]\r\n[LAYER_0_LEVEL_1_SECTION]"),
        ("Slidedat.ini", b"HIER_0_COUNT = 4", b"HIER_0_COUNT = 5"),
        ("Index.dat", b"01.02", b"01.03"),
        ("Data0001.dat", b"001\0", b"001W"),
        ("Data0000.dat", b"000\0\0\0", b"000Wan"),
    ],
)
def test_a_word_left_in_a_file_is_caught(name: str, old: bytes, new: bytes, slide: Path) -> None:
    plan = deid.plan_slide(slide)
    assert any(old in (s.payload or b"") for s in plan.segments)

    refused(slide, _treated(plan, name, lambda content: content.replace(old, new, 1)))


@pytest.mark.parametrize("name", ["", "Slidedat.ini", "Index.dat", "Data0000.dat"])
def test_words_behind_a_file_are_caught(name: str, slide: Path) -> None:
    refused(slide, _treated(deid.plan_slide(slide), name, lambda content: content + b"Wang"))


def test_the_slides_own_picture_left_as_it_was_is_caught(
    slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = vendors.jpeg(vendors.label_on_glass(64, 64))
    monkeypatch.setattr(mirax, "white", lambda: small)

    assert "shows something" in refused(slide)


@pytest.mark.parametrize("record", range(4))
def test_a_record_that_is_no_level_left_in_the_index_is_caught(
    record: int, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label among the pictures, as if the first pass took it for one."""
    read = mirax_index.read_index

    def loose(content: bytes, settings: mirax_settings.Settings) -> mirax_index.Index:
        found = read(content, settings)
        level = found.levels[0].copy()
        level[0, 1:] = found.further[record, 1:]
        return dataclasses.replace(found, levels=(level, *found.levels[1:]), further=found.further[:0])

    monkeypatch.setattr(mirax, "read_index", loose)
    monkeypatch.setattr(mirax, "require_one_slide", lambda *_: None)

    refused(slide, deid.plan_slide(slide, check_payload=False))


def test_bytes_between_pictures_left_where_they_were_are_caught(
    slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imaging.slides.plan.any", lambda gap: False, raising=False)

    assert "belong to no picture" in refused(slide)


def test_a_file_too_many_or_too_few_is_caught(slide: Path, tmp_path: Path) -> None:
    result = deidentified(slide, tmp_path / "out.mrxs", CANARIES)
    extra = result.with_suffix("") / "notes.txt"

    for change in (lambda: extra.write_text("hello"), (result.with_suffix("") / "Data0001.dat").unlink):
        change()
        with pytest.raises(Quarantine) as found:
            deid.check_written(result, identity_values=())
        assert found.value.code == "identity-left"
        extra.unlink(missing_ok=True)


def test_a_known_identity_in_what_is_kept_is_caught(slide: Path) -> None:
    with pytest.raises(Quarantine) as found:
        check_planned(slide, deid.plan_slide(slide), identity_values=("0.2325",))
    assert "known identity" in found.value.detail


@pytest.mark.parametrize("name", ["Index.dat", "Data0000.dat", "Slidedat.ini"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_a_file_that_breaks_off_stops_the_slide(
    name: str, share: float, written: Callable[..., Path]
) -> None:
    slide = written()
    broken = slide.with_suffix("") / name
    broken.write_bytes(broken.read_bytes()[: int(broken.stat().st_size * share)])

    assert stopped(slide).code in ("file-damaged", "slide-unsafe", "reading-loss")


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_done_to_settings_and_index_nothing_known_leaves(
    seed: int, written: Callable[..., Path], tmp_path: Path
) -> None:
    slide, chance = written(), random.Random(seed)
    changed = slide.with_suffix("") / chance.choice(("Slidedat.ini", "Index.dat"))
    content = bytearray(changed.read_bytes())
    for _ in range(chance.choice((1, 2, 8))):
        content[chance.randrange(len(content))] = chance.choice((0, 1, 48, 65, 255, chance.randrange(256)))
    changed.write_bytes(content)

    try:
        plan = deid.plan_slide(slide)
        check_planned(slide, plan, identity_values=CANARIES)
    except Quarantine:
        return
    write(plan, slide, tmp_path / "out.mrxs")
    assert not found_in(bytes_of(tmp_path / "out.mrxs"), CANARIES)


def test_a_folder_with_such_a_slide_gives_one_report_of_all_its_own_files(
    slide: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    shutil.copytree(slide.parent, source)

    beside, report = deidentify_tree(source, tmp_path / "out", RUN)

    assert (beside.name, beside.verdict) == (f"slide/{NAME}.txt", "withheld")
    assert (report.verdict, report.format) == ("clean", "mirax")
    result = tmp_path / "out" / report.named
    assert openslide.OpenSlide.detect_format(result) == "mirax"
    files = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert len(files) == 5
    assert report.size == sum(p.stat().st_size for p in files)
    assert not found_in(json.dumps(report.as_json()).encode(), (NAME, NUMBER))


def test_where_a_name_is_taken_nothing_of_the_slide_comes_out(slide: Path, tmp_path: Path) -> None:
    run = dataclasses.replace(RUN, keep_names=True)
    taken = tmp_path / "out" / "slide"
    taken.mkdir(parents=True)

    (report,) = deidentify_tree(slide, tmp_path / "out", run)

    assert report.reasons[0][0] == "name-taken"
    assert list((tmp_path / "out").rglob("*")) == [taken]


def test_its_scanner_and_day_are_known_in_the_region(written: Callable[..., Path]) -> None:
    """The day stands first: the second of January."""
    scan = read_scan(written(more={"GENERAL": {"SLIDE_CREATIONDATETIME": "02/01/2026 09:59:15"}}))

    assert (scan.station, scan.at) == (vendors.SERIAL, datetime(2026, 1, 2, 9, 59, 15))  # noqa: DTZ001
