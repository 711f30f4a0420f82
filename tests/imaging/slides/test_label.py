from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cases.order import SlideLine
from imaging.slides.label import label_picture, read_label, read_picture_of_label
from imaging.slides.matching import Line, compare
from imaging.slides.stains import names_stain, stain_of, stains_in
from teledx.samples.slide import make_slide
from tests.imaging.slides.conftest import NAME, NUMBER

Make = Callable[..., SlideLine]


def _printed(*texts: str, confidence: float = 0.99) -> tuple[Line, ...]:
    return tuple(Line(text=t, confidence=confidence) for t in texts)


def _barcode(text: str) -> tuple[Line, ...]:
    return (Line(text=text, confidence=1.0, barcode=True),)


@pytest.mark.parametrize(
    "texts",
    [
        ("S2026-04711", "A1", "HE"),
        ("S2026-04711 A1 HE",),
        ("S2026-04711", "A1HE"),
        ("S2026—04711", "A—1", "H&E"),
        ("Ｓ２０２６－０４７１１", "Ａ１", "ＨＥ"),
        ("S26-4711", "A1", "H-E"),
        ("S 2026 04711", "A 1", "苏木素伊红"),
        ("S2O26-O47II", "AI", "HE"),
        ("病理号: S2026-04711", "蜡块: A1", "染色: HE", "2026-05-04"),
        ("S2026-04711-A1-HE",),
    ],
)
def test_a_label_matches_in_every_way_it_is_written(texts: tuple[str, ...], line: Make) -> None:
    assert compare(_printed(*texts), line()).matches


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        (("S2026-04799", "A1", "HE"), ("pathology number",)),
        (("S2025-04711", "A1", "HE"), ("pathology number",)),
        (("T2026-04711", "A1", "HE"), ("pathology number",)),
        (("S2026-04711", "A2", "HE"), ("block",)),
        (("S2026-04711", "B1", "HE"), ("block",)),
        (("S2026-04711", "A1", "PAS"), ("stain",)),
        (("S2026-04711", "A1", "Ki-67"), ("stain",)),
        (("S2026-08822", "C3", "Masson"), ("pathology number", "block", "stain")),
    ],
)
def test_another_slides_label_differs_in_the_parts_that_differ(
    texts: tuple[str, ...], parts: tuple[str, ...], line: Make
) -> None:
    assert compare(_printed(*texts), line()).differs == parts


@pytest.mark.parametrize(
    "lines",
    [
        (),
        _printed("S2026-04799", "A2", "PAS", confidence=0.6),
        _printed("S20?6-0&7", "~~"),
        _printed("2026-05-04", "仁济医院"),
        _printed("S2026-0471"),
    ],
    ids=["nothing", "uncertain", "garbled", "date", "cut"],
)
def test_garbled_text_is_unreadable_and_never_a_mismatch(lines: tuple[Line, ...], line: Make) -> None:
    found = compare(lines, line())

    assert not found.differs
    assert found.number == "unreadable"


def test_one_character_that_may_be_misread_is_no_mismatch(line: Make) -> None:
    assert compare(_printed("S2026-04771", confidence=0.93), line()).number == "unreadable"
    assert compare(_printed("S2026-04771", confidence=0.99), line()).number == "differs"


def test_a_longer_number_is_not_the_ordered_one(line: Make) -> None:
    order = line(number="2026-1234")

    assert compare(_printed("2026-12345", "A1", "HE"), order).number != "matches"
    assert compare(_printed("12026-1234", "A1", "HE"), order).number != "matches"


def test_a_barcode_with_another_number_differs_whatever_is_printed(line: Make) -> None:
    lines = (*_barcode("S2026-09999;A1;HE"), *_printed("S2026-04711", "A1", "HE"))

    assert compare(lines, line()).differs == ("pathology number",)


def test_a_barcode_that_holds_the_scanners_own_number_says_nothing(line: Make) -> None:
    lines = (*_barcode("0001004486"), *_printed("S2026-04711", "A1", "HE"))

    assert compare(lines, line()).matches


def test_bare_digits_are_another_number_only_where_the_label_says_so(line: Make) -> None:
    order = line(number="2612345")

    assert compare(_printed("7654321", "A1", "HE"), order).number == "unreadable"
    assert compare(_printed("病理号 7654321", "A1", "HE"), order).number == "differs"


def test_a_stain_is_not_taken_for_a_block_nor_a_block_for_a_stain(line: Make) -> None:
    order = line(block="P4", stain="P40")

    assert compare(_printed("S2026-04711", "P4", "P40"), order).matches
    assert compare(_printed("S2026-04711", "P40"), order).block == "unreadable"


def test_a_patients_name_is_no_stain(line: Make) -> None:
    lines = _printed("S2026-04711", "A1", "HE LI")

    assert compare(lines, line()).stain == "matches"
    assert compare(lines, line(), names=("He Li",)).stain == "unreadable"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("H&E", "HE"), ("h-e", "HE"), ("H E", "HE"), ("苏木精-伊红", "HE"), ("Ki-67", "KI67"), ("CK5/6", "CK56"),
        ("CD 20", "CD20"), ("AB-PAS", "AB-PAS"), ("HER-2", "HER2"), ("TTF-1", "TTF1"), ("抗酸", "ACID FAST"),
    ],
)  # fmt: skip
def test_a_stain_has_one_name_however_it_is_written(written: str, name: str) -> None:
    assert stain_of(written) == name


def test_a_stain_inside_a_longer_one_does_not_count() -> None:
    assert stains_in("AB-PAS") == {"AB-PAS"}
    assert stains_in("HER2") == {"HER2"}
    assert stains_in("Hernandez Perera") == frozenset()


def test_a_marker_that_the_table_does_not_know_is_found_by_its_own_name() -> None:
    assert names_stain("S26-1 A1 XYZ-9", "XYZ9")
    assert not names_stain("S26-1 A1 XYZ-8", "XYZ9")


def test_a_made_slides_label_is_read_from_its_barcode(made: Path, line: Make) -> None:
    assert read_label(made, line()).result == "matches"


@pytest.mark.parametrize("barcode", ["", "DataMatrix", "Code128"])
def test_a_made_slides_label_is_read_with_any_barcode_or_none(
    barcode: str, tmp_path: Path, line: Make
) -> None:
    slide = make_slide(
        tmp_path / "slide.svs", size=1_000_000, pathology_number=NUMBER, block="A1", stain="HE", patient_name=NAME,
        barcode=barcode,
    )  # fmt: skip

    assert read_label(slide, line(), names=(NAME,)).result == "matches"
    assert read_label(slide, line(number="S2026-05822"), names=(NAME,)).differs == ("pathology number",)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_turned_label_is_read(quarter_turns: int, tmp_path: Path, line: Make) -> None:
    slide = make_slide(
        tmp_path / "slide.svs", size=1_000_000, pathology_number=NUMBER, block="A1", stain="HE", patient_name=NAME,
        barcode="",
    )  # fmt: skip
    picture = label_picture(slide)
    assert picture is not None

    found = read_picture_of_label(np.rot90(picture, quarter_turns).copy(), line(), names=(NAME,))

    assert found.result == "matches"


def test_a_smeared_label_is_unreadable_and_shown(made: Path, line: Make) -> None:
    picture = label_picture(made)
    assert picture is not None
    smeared = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(14)))

    found = read_picture_of_label(smeared, line())

    assert found.result == "unreadable"
    assert found.picture is not None
    assert found.picture.startswith(b"\x89PNG")


def test_a_mismatch_names_the_parts_and_no_values(made: Path, line: Make) -> None:
    found = read_label(made, line(number="S2026-08822", stain="PAS"))

    refusal = found.refusal()
    assert refusal is not None
    assert refusal.code == "label-mismatch"
    assert refusal.detail == "differs: pathology number, stain"
    assert found.picture is not None


def test_a_slide_without_label_says_so(made: Path, tmp_path: Path, line: Make) -> None:
    from imaging.slides import deid
    from imaging.slides.plan import write

    bare = tmp_path / "bare.svs"
    write(deid.plan_slide(made), made, bare)

    assert read_label(bare, line()).result == "absent"


def test_a_real_label_in_handwriting_is_unreadable(real: Path, real_dicom: Path, line: Make) -> None:
    assert read_label(real, line()).result == "unreadable"
    assert read_label(real_dicom / "volume.dcm", line()).result == "unreadable"
