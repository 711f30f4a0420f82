"""The report as PDF: A4, Chinese and English, one embedded font, the same bytes for the same content."""

from __future__ import annotations

import contextlib
import json
import string
import tempfile
from datetime import datetime
from pathlib import Path

from cases.order import Coded
from reports.content import Language, Organisation, ReportContent
from reports.font import cut
from reports.labels import AGE_UNITS, LABELS, age_in_words, label, pick
from reports.sheet import BODY, QUIET, SMALL, Fact, Sheet

_NOT_FINAL = ("registered", "preliminary")
_VOID = ("entered-in-error", "cancelled")


def render(content: ReportContent, language: Language = "zh") -> bytes:
    """The PDF's bytes. Its labels are in `language`; what people wrote is printed as they wrote it.

    The same content gives the same bytes: the creation date is the signature's, and the file id is derived from the
    bytes. A character that the font lacks is printed as its Unicode number, never left out. The file's metadata
    holds no identity.
    """
    characters = _characters(content)
    with tempfile.NamedTemporaryFile(prefix="teledx-font-", suffix=".otf") as font:
        font.write(cut(characters))
        font.flush()
        sheet = Sheet(
            font=Path(font.name),
            characters=characters,
            foot=_foot(content, language),
            made_at=content.signed_at,
        )
        with contextlib.closing(sheet):
            return _drawn(sheet, content, language)


def _characters(content: ReportContent) -> frozenset[str]:
    """Every character that the report may show: its own, those of all labels, and of numbers, dates and codes."""
    said = json.dumps(content.model_dump(mode="json"), ensure_ascii=False)
    labels = (text for pair in (*LABELS.values(), *AGE_UNITS.values()) for text in pair)
    return frozenset("".join((said, *labels, string.printable, "·—〔〕")))


def _drawn(sheet: Sheet, content: ReportContent, language: Language) -> bytes:
    _head(sheet, content, language)
    _patient(sheet, content, language)
    _examination(sheet, content, language)
    _slides(sheet, content, language)
    _reading(sheet, content, language)
    _signature(sheet, content, language)
    _provenance(sheet, content, language)
    return bytes(sheet.output())


def _foot(content: ReportContent, language: Language) -> tuple[str, str]:
    first = content.patient.identifiers[0]
    who = f"{content.patient.name}  ·  {label(f'id.{first.type}', language)} {first.value}"
    what = "  ·  ".join(
        (
            f"{label('case', language)} {content.case_id}",
            f"{label('version', language)} {content.version}",
            label(f"status.{content.status}", language),
        )
    )
    return who, what


def _name(organisation: Organisation, language: Language) -> str:
    return pick((organisation.name, organisation.name_zh), language, joint="\n")


def _coded(coded: Coded) -> str:
    return f"{coded.text} ({coded.code})" if coded.code else coded.text


def _minute(content: ReportContent, at: datetime) -> str:
    return f"{content.local(at):%Y-%m-%d %H:%M}"


def _head(sheet: Sheet, content: ReportContent, language: Language) -> None:
    partner, title = content.reader.organisation, LABELS[f"title.{content.family}"]
    names, titles = (partner.name, partner.name_zh), title
    first: Language = "en" if language == "en" else "zh"
    sheet.centred(pick(names, first), 15, strong=True)
    sheet.centred(pick(titles, first), 12.5)
    if language == "both":
        sheet.centred(f"{names[0]}  ·  {titles[0]}", SMALL + 0.5, QUIET)
    sheet.set_y(sheet.get_y() + 3)
    if content.status in _NOT_FINAL:
        sheet.box(label("not_final", language), alarm=True)
    if content.status in _VOID:
        sheet.box(label("void", language), alarm=True)
    if content.critical_findings:
        sheet.box(f"{label('critical', language)}: " + "\n".join(content.critical_findings), alarm=True)


def _patient(sheet: Sheet, content: ReportContent, language: Language) -> None:
    patient = content.patient
    facts: list[Fact] = [
        (label("patient", language), patient.name),
        (label("sex", language), label(f"sex.{patient.sex}", language)),
        (label("age", language), age_in_words(patient.age, language)),
        (label("birth_date", language), patient.birth_date.isoformat()),
    ]
    facts += [(label(f"id.{i.type}", language), i.value) for i in patient.identifiers]
    facts += [(label("accession_number", language), content.accession_number)]
    sheet.heading(label("section.patient", language))
    sheet.facts(facts, columns=4)


def _examination(sheet: Sheet, content: ReportContent, language: Language) -> None:
    side = "" if content.side == "none" else f", {label(f'side.{content.side}', language)}"
    facts: list[Fact] = [
        (label("procedure", language), _coded(content.procedure)),
        (label("body_site", language), _coded(content.body_site) + side),
        (
            label("service", language),
            pick((content.service_name, content.service_name_zh), language, joint="\n"),
        ),
        (label("clinic", language), _name(content.clinic, language)),
        (label("requesting_doctor", language), content.requesting_doctor),
    ]
    if content.laboratory and content.laboratory != content.clinic:
        facts.append((label("laboratory", language), _name(content.laboratory, language)))
    if content.modalities:
        facts.append((label("modalities", language), ", ".join(content.modalities)))
    if content.examined_on:
        facts.append((label("examined_on", language), content.examined_on.isoformat()))
    facts.append((label("received_at", language), _minute(content, content.received_at)))
    sheet.heading(label("section.examination", language))
    sheet.facts(facts, columns=3)
    if content.clinical_question:
        sheet.heading(label("clinical_question", language))
        sheet.paragraph(content.clinical_question)


def _slides(sheet: Sheet, content: ReportContent, language: Language) -> None:
    if not (content.specimens or content.slides):
        return
    sheet.heading(label("specimens", language))
    for specimen in content.specimens:
        sheet.paragraph(f"{specimen.id}  {specimen.description}", BODY - 0.5)
    if content.slides:
        names = ("number", "pathology_number", "specimen", "block", "stain")
        sheet.set_y(sheet.get_y() + 1)
        sheet.ruled(
            [label(f"column.{name}", language) for name in names],
            [
                (f"{s.number}/{s.of}", s.pathology_number, s.specimen, s.block, s.stain)
                for s in content.slides
            ],
            (0.14, 0.26, 0.22, 0.16, 0.22),
        )


def _reading(sheet: Sheet, content: ReportContent, language: Language) -> None:
    if content.change_reason:
        sheet.heading(label("change_reason", language))
        sheet.paragraph(content.change_reason)
    sheet.heading(label(f"findings.{content.family}", language))
    sheet.paragraph(content.findings)
    sheet.heading(label("conclusion", language))
    sheet.box(content.conclusion)
    if content.codes:
        coded = "; ".join(f"{text} ({code.rpartition('|')[2]})" for code, text in content.codes)
        sheet.set_y(sheet.get_y() + 1)
        sheet.paragraph(f"{label('codes', language)}: {coded}", SMALL + 0.5, QUIET)
    if content.recommendation:
        sheet.heading(label("recommendation", language))
        sheet.paragraph(content.recommendation)


def _signature(sheet: Sheet, content: ReportContent, language: Language) -> None:
    reader, signed_at = content.reader, content.local(content.signed_at)
    offset = f"{signed_at:%z}"
    facts: list[Fact] = [
        (label("reader", language), reader.name),
        (label("licence", language), reader.licence or "—"),
        (label("signed_at", language), f"{signed_at:%Y-%m-%d %H:%M:%S} UTC{offset[:3]}:{offset[3:]}"),
    ]
    facts += [
        (
            f"{label('co_signatures', language)}: {label(f'role.{c.role}', language)}",
            "\n".join(
                part for part in (f"{c.name}  {c.licence}".rstrip(), _minute(content, c.signed_at)) if part
            ),
        )
        for c in content.co_signatures
    ]
    sheet.heading(label("section.signature", language))
    sheet.facts(facts, columns=3)
    sheet.paragraph(label("signed_note", language, joint="\n"), SMALL, QUIET)


def _provenance(sheet: Sheet, content: ReportContent, language: Language) -> None:
    binding = content.binding
    facts: list[Fact] = [
        (label("case", language), content.case_id),
        (label("pseudonym", language), binding.pseudonym),
        (label("order_sha256", language), binding.order_sha256),
        (label("images_sha256", language), binding.images_manifest_sha256),
    ]
    if binding.report_sha256:
        facts.append((label("report_sha256", language), binding.report_sha256))
    facts += [(label("study_uids", language), uid) for uid in content.study_uids]
    sheet.heading(label("provenance", language))
    sheet.facts(facts, columns=2, size=SMALL - 1.8)
    if content.milestones:
        passed = [(pick((m.name, m.name_zh), language), _minute(content, m.at)) for m in content.milestones]
        sheet.facts(passed, columns=5, size=SMALL - 0.5)
    if sheet.lacking:
        sheet.paragraph(label("lacking", language, joint="\n"), SMALL, QUIET)
