"""Leica slides: areas at their places stay, the macro image and every word go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile

from imaging.slides import leica
from tests.imaging.slides import vendors
from tests.imaging.slides.conftest import NAME, NUMBER, pages_of
from tests.imaging.slides.treated import deidentified, refused, stopped

SIZES = ((2048, 1536), (1024, 768), (512, 384))


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vendors.scn(tmp_path_factory.mktemp("scn") / "slide.scn")


def test_tifffile_reads_one_series_of_all_levels(slide: Path, tmp_path: Path) -> None:
    with tifffile.TiffFile(deidentified(slide, tmp_path / "out.scn", vendors.CANARIES)) as after:
        assert [level.shape[:2] for level in after.series[0].levels] == [s[::-1] for s in SIZES]


def _changed(slide: Path, target: Path, change: Callable[[bytes], bytes]) -> Path:
    """The slide with bytes of its XML replaced by as many others."""
    content = change(slide.read_bytes())
    assert len(content) == slide.stat().st_size
    target.write_bytes(content)
    return target


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

    assert stopped(changed).code == code


def test_a_document_type_is_refused_unread(tmp_path: Path) -> None:
    slide = vendors.scn(tmp_path / "slide.scn", comment="<!ENTITY a 'b'>")

    assert stopped(slide).code == "file-damaged"


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

    assert "description" in refused(slide)


def test_a_description_left_as_it_was_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tifffile.TiffFile(slide) as opened:
        described = pages_of(opened)[0].description.encode("ascii", "replace").decode()
    monkeypatch.setattr(leica, "rebuilt", lambda *_: described)

    assert "description" in refused(slide)


def test_a_macro_image_left_among_the_areas_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leica, "_is_area", lambda image, glass: True)

    assert "macro" in refused(slide)


def test_a_page_that_no_area_names_is_caught(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = leica.rebuilt
    monkeypatch.setattr(
        leica,
        "rebuilt",
        lambda n, g, areas: made(n, g, areas).replace(
            '<dimension sizeX="512" sizeY="384" r="2" ifd="2"/>', ""
        ),
    )

    assert "no levels" in refused(slide)


def test_names_are_nowhere_in_what_a_refusal_says(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leica, "rebuilt", lambda *_: f"leica-microsystems.com/scn {NUMBER}")

    assert NAME not in refused(slide)
