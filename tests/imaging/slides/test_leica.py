"""Leica slides: areas at their places stay, the macro image and every word go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from cases.errors import Quarantine
from imaging.slides import deid, leica, writing
from imaging.slides.check import check_slide
from imaging.slides.formats import accept
from imaging.slides.label import label_picture
from imaging.slides.plan import write
from imaging.slides.second_pass import forms
from tests.imaging.slides import vendors
from tests.imaging.slides.conftest import NAME, NUMBER, pages_of
from tests.imaging.slides.treated import check_planned

SIZES = ((2048, 1536), (1024, 768), (512, 384))


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vendors.scn(tmp_path_factory.mktemp("scn") / "slide.scn")


@pytest.fixture(scope="module")
def twofold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vendors.scn(tmp_path_factory.mktemp("scn") / "twofold.scn", areas=2)


def _deidentified(slide: Path, target: Path) -> Path:
    write(deid.plan_slide(slide), slide, target)
    deid.check_written(target, identity_values=vendors.CANARIES)
    return target


def _changed(slide: Path, target: Path, change: Callable[[bytes], bytes]) -> Path:
    """The slide with bytes of its XML replaced by as many others."""
    content = change(slide.read_bytes())
    assert len(content) == slide.stat().st_size
    target.write_bytes(content)
    return target


def _tiles(path: Path) -> set[bytes]:
    content = path.read_bytes()
    with tifffile.TiffFile(path) as opened:
        return {
            content[a : a + n]
            for p in pages_of(opened)
            for a, n in zip(p.dataoffsets, p.databytecounts, strict=True)
        }


def test_the_made_slide_is_one_for_openslide_too(slide: Path) -> None:
    assert openslide.OpenSlide.detect_format(slide) == "leica"
    assert accept(slide).code == "leica-scn"


@pytest.mark.parametrize("which", ["slide", "twofold"])
def test_openslide_reads_the_same_pixels_places_and_microns(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    slide: Path = request.getfixturevalue(which)

    result = _deidentified(slide, tmp_path / "out.scn")

    with openslide.OpenSlide(slide) as before, openslide.OpenSlide(result) as after:
        assert after.level_dimensions == before.level_dimensions
        kept = {n for n in before.properties if n.startswith(("openslide.region", "openslide.bounds"))}
        for name in (
            *kept,
            "openslide.mpp-x",
            "openslide.mpp-y",
            "openslide.objective-power",
            "leica.aperture",
        ):
            assert after.properties[name] == before.properties[name]
        areas = sum(n.endswith("].x") for n in kept)
        for area in range(areas):
            x, y = (int(before.properties[f"openslide.region[{area}].{axis}"]) for axis in "xy")
            for level, size in enumerate(SIZES):
                assert (
                    after.read_region((x, y), level, size).tobytes()
                    == before.read_region((x, y), level, size).tobytes()
                )
                assert np.asarray(after.read_region((x, y), level, size))[:, :, 3].all()
    assert areas == (2 if which == "twofold" else 1)


@pytest.mark.parametrize("which", ["slide", "twofold"])
def test_every_tile_stays_byte_for_byte_and_the_macro_images_go(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    slide: Path = request.getfixturevalue(which)
    macro = set(vendors.tiles(vendors.label_on_glass(512, 1479), 256))

    result = _deidentified(slide, tmp_path / "out.scn")

    assert macro <= _tiles(slide)
    assert _tiles(result) == _tiles(slide) - macro
    assert not any(tile in result.read_bytes() for tile in macro)


def test_tifffile_reads_the_same_pixels(slide: Path, tmp_path: Path) -> None:
    result = _deidentified(slide, tmp_path / "out.scn")

    with tifffile.TiffFile(slide) as before, tifffile.TiffFile(result) as after:
        assert after.is_scn
        assert [level.shape[:2] for level in after.series[0].levels] == [s[::-1] for s in SIZES]
        for one, other in zip(pages_of(before)[1:], pages_of(after), strict=True):
            assert np.array_equal(one.asarray(), other.asarray())


@pytest.mark.parametrize("which", ["slide", "twofold"])
def test_no_byte_of_an_identity_is_left(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    slide: Path = request.getfixturevalue(which)
    before = slide.read_bytes()

    after = _deidentified(slide, tmp_path / "out.scn").read_bytes()

    for canary in (*vendors.CANARIES, "SCN400", "1.4.0.9691", "7d1b0c7e", "creationDate", "barcode"):
        assert any(f in before for f in forms(canary)), "the canary was never there"
        assert not any(f in after for f in forms(canary))


def test_what_was_removed_is_named_without_its_values(slide: Path) -> None:
    plan = deid.plan_slide(slide)

    assert {"macro or further image (512x1479)", "key: barcode", "key: device"} <= set(plan.removed)
    assert not any(canary in " ".join(plan.removed) for canary in vendors.CANARIES)


def test_no_picture_of_the_label_can_be_opened(slide: Path, twofold: Path, tmp_path: Path) -> None:
    with openslide.OpenSlide(_deidentified(slide, tmp_path / "one.scn")) as opened:
        assert not opened.associated_images
    with openslide.OpenSlide(_deidentified(twofold, tmp_path / "two.scn")) as opened:
        (picture,) = opened.associated_images.values()
        tissue = vendors.smaller(vendors.tissue_on_glass(), 4)
        assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - tissue).mean() < 8


def test_the_label_is_read_from_the_macro_image(slide: Path) -> None:
    picture = label_picture(slide)

    assert picture is not None
    assert np.abs(picture.astype(int) - vendors.label_on_glass(512, 1479)).mean() < 2


def test_the_slide_is_judged_like_any_other(slide: Path) -> None:
    reading = check_slide(slide)

    assert reading.format == "leica-scn"
    assert reading.mpp == (0.5, 0.5)
    assert reading.tissue_share > 0.1


def test_a_label_that_calls_itself_a_level_is_refused(tmp_path: Path) -> None:
    slide = vendors.scn(tmp_path / "slide.scn", disguised=True)

    with pytest.raises(Quarantine) as found:
        deid.plan_slide(slide)
    assert found.value.code == "slide-unsafe"
    assert "ImageScope" in found.value.detail


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b">brightfield<", b">fluorescent<"[:13].ljust(13), "slide-unsafe"),
        (b' r="2" ifd="3"', b' z="2" ifd="3"', "slide-unsafe"),
        (b' r="2" ifd="3"', b' r="2" ifd="9"', "file-damaged"),
        (b'sizeX="512" sizeY="384"', b'sizeX="513" sizeY="384"', "file-damaged"),
        (b"<objective>20<", b"<objective>Wa<", "reading-loss"),
        (b'offsetX="5000000"', b'offsetX="500000a"', "file-damaged"),
        (b"</collection>", b"</collectiom>", "file-damaged"),
    ],
    ids=["fluorescence", "focal planes", "no directory", "other size", "objective", "place", "broken XML"],
)
def test_what_cannot_be_taken_is_refused(
    old: bytes, new: bytes, code: str, slide: Path, tmp_path: Path
) -> None:
    assert old in slide.read_bytes()
    changed = _changed(slide, tmp_path / "changed.scn", lambda c: c.replace(old, new.ljust(len(old))))

    with pytest.raises(Quarantine) as found:
        deid.plan_slide(changed)
    assert found.value.code == code


def test_a_document_type_is_refused_unread(tmp_path: Path) -> None:
    slide = vendors.scn(tmp_path / "slide.scn", comment="<!ENTITY a 'b'>")

    with pytest.raises(Quarantine) as found:
        deid.plan_slide(slide)
    assert found.value.code == "file-damaged"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_slide_is_refused(share: float, slide: Path, tmp_path: Path) -> None:
    content = slide.read_bytes()
    short = tmp_path / "short.scn"
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


@pytest.mark.parametrize("tag", [305, 306, 316, 700, 65000])
def test_any_tag_left_as_it_was_is_caught(tag: int, slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(writing.KEPT_TAGS, tag, ((1, 2), 1000))

    assert f"tag {tag}" in _refused(slide)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<image>", f'<image name="{vendors.FILE_NAME}">'),
        ("<image>", "<image><creationDate>2026-06-19</creationDate>"),
        ("<pixels", "<!-- Wang --><pixels"),
        ("</collection>", "<barcode>UzIwMjYtMDQ3MTE=</barcode></collection>"),
        ("</scn>", "</scn> Wang"),
        ("<objective>20<", "<objective>20.20260619095915<"),
        ('offsetX="5000000"', 'offsetX="13800138000"'),
        ("brightfield", "wang"),
    ],
)
def test_a_word_left_in_the_xml_is_caught(
    old: str, new: str, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = leica.rebuilt
    monkeypatch.setattr(leica, "rebuilt", lambda *parts: made(*parts).replace(old, new, 1))

    assert "description" in _refused(slide)


def test_a_description_left_as_it_was_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tifffile.TiffFile(slide) as opened:
        described = pages_of(opened)[0].description.encode("ascii", "replace").decode()
    monkeypatch.setattr(leica, "rebuilt", lambda *_: described)

    assert "description" in _refused(slide)


def test_a_macro_image_left_among_the_areas_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leica, "_is_area", lambda image, glass: True)

    assert "macro" in _refused(slide)


def test_a_page_that_no_area_names_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = leica.rebuilt
    monkeypatch.setattr(
        leica,
        "rebuilt",
        lambda n, g, areas: made(n, g, areas).replace(
            '<dimension sizeX="512" sizeY="384" r="2" ifd="2"/>', ""
        ),
    )

    assert "no levels" in _refused(slide)


def test_names_are_nowhere_in_what_a_refusal_says(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leica, "rebuilt", lambda *_: f"leica-microsystems.com/scn {NUMBER}")

    assert NAME not in _refused(slide)
