"""The report's PDF says all of it, on every page whose it is, and never loses a character."""

from __future__ import annotations

import io
import re
import string
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image
from pypdf import PdfReader

from cases.states import REPORT_STATES
from reports import pdf
from reports.content import Language, ReportContent, Status
from reports.labels import LABELS, age_in_words
from reports.pdf import render
from tests.reports.samples import CONCLUSION, FINDINGS, NAME, imaging, pathology

LANGUAGES = get_args(Language)


def text_of(pdf: bytes) -> str:
    """The text as Poppler extracts it, pages parted by form feeds, without the white space that layout adds."""
    read = subprocess.run(["pdftotext", "-raw", "-", "-"], input=pdf, check=True, capture_output=True)
    return re.sub(r"[^\S\f]", "", read.stdout.decode()).removesuffix("\f")


def bare(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_a_character_without_a_glyph_is_never_drawn_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "_characters", lambda _: frozenset(string.printable))
    with pytest.raises(ValueError, match="no glyph was cut"):
        render(imaging())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("content", [imaging(), pathology()], ids=["imaging", "pathology"])
def test_everything_that_the_report_says_can_be_read_from_the_pdf(
    content: ReportContent, language: Language
) -> None:
    text = text_of(render(content, language))

    said = [
        content.patient.name,
        *(i.value for i in content.patient.identifiers),
        content.patient.birth_date.isoformat(),
        content.accession_number,
        content.case_id,
        content.procedure.text,
        content.clinical_question,
        content.findings,
        content.conclusion,
        content.recommendation,
        content.reader.name,
        content.reader.licence,
        "2026-03-0514:30:12UTC+08:00",
        *content.study_uids,
        *(f"{s.number}/{s.of}{s.pathology_number}{s.specimen}{s.block}{s.stain}" for s in content.slides),
        content.binding.order_sha256,
        content.binding.images_manifest_sha256,
        content.binding.pseudonym,
    ]
    assert [part for part in said if bare(part) not in text] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_content_gives_the_same_bytes(language: Language) -> None:
    assert render(imaging(), language) == render(imaging(), language)


def test_another_content_gives_another_file_id() -> None:
    ids = [str(PdfReader(io.BytesIO(render(imaging(version=n)))).trailer["/ID"]) for n in (1, 2)]

    assert ids[0] != ids[1]


@pytest.mark.parametrize("character", ["𠮷", "🙂", "\u202e", "\x07", "𠀾"])
def test_a_character_that_the_font_lacks_is_printed_by_its_number(character: str) -> None:
    patient = imaging().patient.model_copy(update={"name": f"{character}小雨"})

    text = text_of(render(imaging(patient=patient)))

    assert f"〔U+{ord(character):04X}〕小雨" in text
    assert bare(LABELS["lacking"][1]) in text


def test_a_rare_character_that_the_font_has_is_printed_as_it_is() -> None:
    text = text_of(render(imaging()))

    assert NAME in text
    assert "U+" not in text


def test_every_page_says_whose_it_is_which_version_and_which_page_of_how_many() -> None:
    content = imaging(findings=FINDINGS * 25, version=3, status="corrected", change_reason="补充测量值。")

    pages = text_of(render(content)).split("\f")

    assert len(pages) >= 3
    for number, page in enumerate(pages, start=1):
        assert f"{NAME}·病历号0001" in page
        assert f"病例号{content.case_id}·版本3·已更正" in page
        assert f"{number}/{len(pages)}" in page


def test_long_text_in_chinese_stays_within_the_margins_and_above_the_foot(tmp_path: Path) -> None:
    content = imaging(findings=FINDINGS.replace(",", "") * 12 + "1.2.840." * 60, conclusion=CONCLUSION * 8)

    for page in pictures(render(content), tmp_path):
        ink = page.point(lambda level: 255 if level < 200 else 0).getbbox()
        assert ink is not None
        margin = page.width * 17 / 210
        assert ink[0] >= margin
        assert ink[2] <= page.width - margin
        assert ink[3] <= page.height - margin


def test_the_name_is_found_by_another_reader_too() -> None:
    page = PdfReader(io.BytesIO(render(imaging()))).pages[0].extract_text()

    assert NAME in page.replace("\x00", "")  # pypdf leaves the high byte of the font's own two-byte codes


def pictures(pdf: bytes, folder: Path) -> list[Image.Image]:
    (folder / "report.pdf").write_bytes(pdf)
    subprocess.run(
        ["pdftoppm", "-r", "60", "-gray", "-png", folder / "report.pdf", folder / "page"], check=True
    )
    return [Image.open(io.BytesIO(path.read_bytes())) for path in sorted(folder.glob("page*.png"))]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_painted_and_not_blank(language: Language, tmp_path: Path) -> None:
    first = pictures(render(pathology(), language), tmp_path)[0]

    dark = sum(first.histogram()[:128]) / (first.width * first.height)

    assert 0.01 < dark < 0.2


def test_the_font_is_embedded_and_subsetted(tmp_path: Path) -> None:
    pdf = render(imaging())
    (tmp_path / "report.pdf").write_bytes(pdf)
    fonts = subprocess.run(
        ["pdffonts", tmp_path / "report.pdf"], check=True, capture_output=True, text=True
    ).stdout

    used = fonts.splitlines()[2:]

    assert used
    assert all(re.search(r"\+NotoSansSC .* yes yes yes ", line) for line in used)
    assert len(pdf) < 200_000


def test_metadata_holds_no_identity() -> None:
    reader = PdfReader(io.BytesIO(render(imaging())))

    assert set(reader.metadata or {}) <= {"/Producer", "/CreationDate"}
    assert reader.xmp_metadata is None


@pytest.mark.parametrize("status", ["preliminary", "entered-in-error"])
def test_a_report_that_is_not_to_be_acted_on_says_so_in_a_banner(status: Status) -> None:
    key = "not_final" if status == "preliminary" else "void"

    assert bare(LABELS[key][1]) in text_of(render(imaging(status=status)))
    assert bare(LABELS[key][1]) not in text_of(render(imaging()))


def test_critical_findings_stand_on_the_first_page() -> None:
    pages = text_of(render(imaging(critical_findings=("张力性气胸",), findings=FINDINGS * 20)))

    assert "危急值:张力性气胸" in pages.split("\f")[0]


def test_every_status_of_a_report_has_its_words() -> None:
    assert set(get_args(Status)) == set(REPORT_STATES)
    assert {f"status.{s}" for s in REPORT_STATES} <= set(LABELS)


@pytest.mark.parametrize(
    ("age", "words"), [("058Y", "58岁"), ("003M", "3个月"), ("010D", "10天"), ("58岁", "58岁"), ("", "")]
)
def test_a_dicom_age_is_printed_in_words(age: str, words: str) -> None:
    assert age_in_words(age, "zh") == words
