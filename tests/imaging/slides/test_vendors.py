"""What holds for every vendor's form of slide: the whole way through, and whatever is done to the bytes."""

from __future__ import annotations

import hashlib
import logging
import random
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from cases.errors import Quarantine
from imaging import kinds
from imaging.deid.folder import Run, deidentify_tree
from imaging.slides import deid, writing
from imaging.slides.check import check_slide
from imaging.slides.formats import SUFFIXES, accept
from imaging.slides.label import label_picture
from imaging.slides.plan import LEAST_PART, beside, stream
from imaging.slides.source import BytesSource, opened
from imaging.slides.written import require_no_text
from tests.imaging.slides import mirax_slide, vendors
from tests.imaging.slides.conftest import pages_of
from tests.imaging.slides.forms import FORMS, Form
from tests.imaging.slides.treated import (
    bytes_of,
    check_planned,
    deidentified,
    found_in,
    near,
    refused,
    require_same_pixels,
    stopped,
)
from workers.native import plan_slide
from workers.slides import MEDIA_TYPES

ORDINARY = ("ndpi", "scn", "bif", "philips", "mirax")
TIFFS = tuple(name for name, form in FORMS.items() if form.code != "mirax")
ordinary = pytest.mark.parametrize("form", ORDINARY, indirect=True)
tiffs = pytest.mark.parametrize("form", TIFFS, indirect=True)


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


@pytest.fixture(scope="module")
def slide(form: Form, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return form.at(tmp_path_factory.mktemp(form.code))


@pytest.fixture(scope="module")
def result(form: Form, slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("out") / f"out{slide.suffix}"
    return deidentified(slide, target, form.canaries)


def test_a_slide_and_its_result_are_known_for_what_they_are_and_taken(
    form: Form, slide: Path, result: Path
) -> None:
    kind = kinds.kind_of(slide)

    assert (kind.family, kind.format, kind.file_kind) == ("slide", form.code, "slide")
    assert kinds.refusal(kind) is None
    for path in (slide, result):
        assert openslide.OpenSlide.detect_format(path) == form.vendor
        assert accept(path).code == form.code
    assert MEDIA_TYPES.keys() == SUFFIXES.keys()


def test_openslide_reads_the_same_pixels_places_and_microns(form: Form, slide: Path, result: Path) -> None:
    require_same_pixels(slide, result)

    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(result) as after:
        assert after.level_dimensions[: len(form.levels)] == form.levels
        assert float(after.properties["openslide.mpp-x"]) == pytest.approx(form.mpp, rel=1e-4)
        assert {name: after.properties[name] for name in form.told} == {
            name: before.properties[name] for name in form.told
        }


@tiffs
def test_tifffile_reads_the_same_pixels_and_every_tile_is_the_same_bytes(
    form: Form, slide: Path, result: Path
) -> None:
    first, after_first, count = form.pages
    contents = slide.read_bytes(), result.read_bytes()
    with tifffile.TiffFile(slide) as before, tifffile.TiffFile(result) as after:
        assert [after.is_ndpi, after.is_scn, after.is_bif, after.is_philips].count(True) == 1
        levels = pages_of(before)[first : first + count], pages_of(after)[after_first:]
        for one, other in zip(*levels, strict=True):
            assert np.array_equal(one.asarray(), other.asarray())
            assert _tiles(contents[0], one) == _tiles(contents[1], other)
            assert all(one.tags[t].value == other.tags[t].value for t in (282, 283) if t in one.tags)


def _tiles(content: bytes, page: tifffile.TiffPage) -> list[bytes]:
    return [content[a : a + n] for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)]


def test_no_byte_of_an_identity_is_left(form: Form, slide: Path, result: Path) -> None:
    canaries = [*form.canaries, *form.says]

    assert found_in(bytes_of(slide), canaries) == canaries, "a canary was never there"
    assert not found_in(bytes_of(result), canaries)


def test_pictures_of_the_label_are_gone_as_entries_and_as_bytes(
    form: Form, slide: Path, result: Path
) -> None:
    before, after = bytes_of(slide), bytes_of(result)
    for picture in form.gone():
        assert picture in before
        assert picture not in after
    tissue = vendors.smaller(vendors.tissue_on_glass(), 4)
    with openslide.OpenSlide(slide) as one, openslide.OpenSlide(result) as other:
        assert set(one.associated_images) == form.associated
        for shown in other.associated_images.values():  # of a collection of areas: its smallest level
            assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - tissue).mean() < 8
        assert len(other.associated_images) == (form is FORMS["scn of two areas"])


def test_what_was_removed_is_named_without_its_values(form: Form, slide: Path) -> None:
    plan = deid.plan_slide(slide)

    assert form.removed <= set(plan.removed)
    assert not found_in(" ".join(plan.removed).encode(), form.canaries)


@ordinary
def test_the_label_is_read_in_the_region(form: Form, slide: Path) -> None:
    picture = label_picture(slide)

    assert picture is not None
    assert near(picture, form.label())


@ordinary
def test_the_slide_is_judged_like_any_other(form: Form, slide: Path) -> None:
    reading = check_slide(slide)

    assert reading.format == form.code
    assert reading.mpp == pytest.approx((form.mpp, form.mpp), rel=1e-3)
    assert reading.levels[: len(form.levels)] == form.levels
    assert reading.tissue_share > 0.1
    kept = sum(s.length for s in deid.plan_slide(slide).segments)
    assert reading.bytes_read > 0.9 * kept


@pytest.mark.parametrize(("form", "advice"), [("scn", "ImageScope"), ("bif", "uPath"), ("mirax", "something else")],
                         indirect=["form"])  # fmt: skip
def test_a_label_that_calls_itself_a_level_is_refused(form: Form, advice: str, tmp_path: Path) -> None:
    path = tmp_path / f"slide{SUFFIXES[form.code]}"
    if form.code == "mirax":
        mirax_slide.write_mirax(path, mirax_slide.parts(disguised=True))
    elif form.code == "leica-scn":
        vendors.scn(path, disguised=True)
    else:
        vendors.bif(path, disguised=True)

    reason = stopped(path)

    assert reason.code == "slide-unsafe"
    assert advice in reason.detail


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("form", ["ndpi", "scn", "bif", "philips"], indirect=True)
def test_a_truncated_slide_is_refused(share: float, form: Form, slide: Path, tmp_path: Path) -> None:
    content = slide.read_bytes()
    short = tmp_path / f"short{slide.suffix}"
    short.write_bytes(content[: int(len(content) * share)])

    assert stopped(short).code in ("file-damaged", *(["format-unknown"] if form.code == "ndpi" else []))


@pytest.mark.parametrize(
    ("form", "tag"),
    [
        *(
            ("ndpi", tag)
            for tag in (270, 272, 306, 315, 700, 65427, 65428, 65442, 65449, 65468, 65477, 65480)
        ),
        *(("scn", tag) for tag in (305, 306, 316, 700, 65000)),
        *(("bif", tag) for tag in (306, 316, 65000)),
        *(("philips", tag) for tag in (306, 315, 316)),
    ],
    indirect=["form"],
)
def test_any_tag_left_as_it_was_is_caught(
    form: Form, tag: int, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(writing.KEPT_TAGS, tag, ((1, 2, 7), 1000))

    assert f"tag {tag}" in refused(slide) or tag == 270


def test_the_workers_child_plans_it_in_parts_that_a_store_accepts(
    form: Form, slide: Path, tmp_path: Path
) -> None:
    laid = plan_slide(slide, tmp_path / "made")

    with opened(slide) as source:
        plan = deid.plan_slide(source)
        expected = b"".join(stream(plan, source))
        content = {True: (tmp_path / "made").read_bytes(), False: source.read(0, source.size)}
    files = [[content[p.made][p.offset : p.offset + p.length] for p in file.parts] for file in laid.files]
    assert b"".join(part for parts in files for part in parts) == expected
    for file, planned, parts in zip(laid.files, plan.files, files, strict=True):
        assert (file.name, len(b"".join(parts))) == (planned.name, planned.size)
        assert file.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
        assert [p.sha256 for p in file.parts] == [hashlib.sha256(p).hexdigest() for p in parts]
        assert all(len(p) >= LEAST_PART for p in parts[:-1])


@ordinary
def test_tissue_is_not_taken_for_writing(form: Form, slide: Path) -> None:
    require_no_text(slide, identity_values=form.canaries)


def test_the_same_slide_gives_the_same_plan(slide: Path) -> None:
    assert deid.plan_slide(slide) == deid.plan_slide(slide)


@ordinary
def test_what_left_may_come_in_again(form: Form, result: Path, tmp_path: Path) -> None:
    """A partner may hand on what it got: the same levels, and the second pass agrees."""
    twice = deidentified(result, tmp_path / f"again{result.suffix}", form.canaries)

    for file in deid.plan_slide(twice).files:
        assert beside(twice, file.name).read_bytes() == beside(result, file.name).read_bytes()


@ordinary
def test_a_folder_of_slides_comes_out_under_names_of_its_own(form: Form, slide: Path, tmp_path: Path) -> None:
    report = next(deidentify_tree(slide, tmp_path / "out", Run(secret=b"k" * 32, clinic="here")))

    assert (report.verdict, report.format) == ("clean", form.code)
    assert report.named.endswith(SUFFIXES[form.code])
    with openslide.OpenSlide(tmp_path / "out" / report.named) as opened_again:
        assert opened_again.level_count >= 3


def test_what_tags_say_is_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """tifffile quotes a text that it cannot decode."""
    slide = tmp_path / "slide.tiff"
    logging.getLogger("tifffile").disabled = False
    tissue = vendors.tissue_on_glass()
    with tifffile.TiffWriter(slide) as writer:
        for picture in (tissue, vendors.smaller(tissue, 2), vendors.smaller(tissue, 4)):
            writer.write(
                picture, tile=(256, 256), compression="jpeg", photometric="rgb", metadata=None, subfiletype=1,
                software=False,
                extratags=[(tag, 2, 10, b"Wang \x81\x8d\x8f\x90\0", True) for tag in (270, 305, 306)],
            )  # fmt: skip

    deid.plan_slide(slide)

    assert "Wang" not in caplog.text


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("form", ["ndpi", "scn", "bif"], indirect=True)
def test_whatever_is_done_to_its_bytes_nothing_known_leaves(form: Form, slide: Path, seed: int) -> None:
    """Bytes are changed where directories and XML stand: the slide is refused, or leaves without an identity."""
    content = bytearray(slide.read_bytes())
    chance = random.Random(seed)
    places = _directories(slide)
    for _ in range(chance.choice((1, 2, 8))):
        content[chance.choice(places) + chance.randrange(-4, 300)] = chance.choice(
            (0, 1, 65, 255, chance.randrange(256))
        )
    source = BytesSource(bytes(content))

    try:
        plan = deid.plan_slide(source)
        check_planned(source, plan, identity_values=form.canaries)
    except Quarantine:
        return
    assert not found_in(b"".join(stream(plan, source)), form.canaries)


def _directories(path: Path) -> list[int]:
    with tifffile.TiffFile(path) as opened_by_tifffile:
        pages = [p for p in opened_by_tifffile.pages if isinstance(p, tifffile.TiffPage)]
        values = [tag.valueoffset for page in pages for tag in page.tags if tag.code in (270, 700, 65426)]
    return [8, *(page.offset for page in pages), *values]
