"""The report's FHIR form is valid R4, says the same as the page, and holds together."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from cases.states import REPORT_STATES
from reports.content import ReportContent
from reports.fhir import bundle, document
from reports.pdf import render
from tests.reports.samples import CONCLUSION, FINDINGS, NAME, imaging, pathology

SAMPLES = pytest.mark.parametrize(
    "content",
    [imaging(), pathology(), imaging(side="left", clinical_question="", change_reason="<更正> & \x07")],
    ids=["imaging", "pathology", "odd"],
)


def resources(content: ReportContent, kind: str) -> list[dict[str, Any]]:
    entries = json.loads(document(content))["entry"]
    return [e["resource"] for e in entries if e["resource"]["resourceType"] == kind]


@SAMPLES
def test_the_bundle_is_valid_r4_and_survives_the_models(content: ReportContent) -> None:
    said = document(content, render(content))

    model = Bundle.model_validate_json(said)

    assert json.loads(model.model_dump_json()) == json.loads(said)


@SAMPLES
def test_every_reference_leads_to_an_entry(content: ReportContent) -> None:
    said = bundle(content)
    urls = [entry["fullUrl"] for entry in said["entry"]]

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["reference"]] if isinstance(node.get("reference"), str) else []
            return own + [r for value in node.values() for r in references(value)]
        return [r for value in node for r in references(value)] if isinstance(node, list) else []

    assert len(urls) == len(set(urls))
    assert set(references(said)) <= set(urls)
    assert len(references(said)) > 8


def test_the_same_content_gives_the_same_bytes() -> None:
    assert document(pathology()) == document(pathology())


@pytest.mark.parametrize("status", REPORT_STATES)
def test_the_status_is_the_report_machines_own_word(status: str) -> None:
    report = resources(imaging(status=status), "DiagnosticReport")[0]

    assert report["status"] == status
    DiagnosticReport.model_validate(report)


def test_the_report_says_who_what_and_for_whom() -> None:
    (report,), (patient,) = resources(imaging(), "DiagnosticReport"), resources(imaging(), "Patient")
    (request,), (study,) = resources(imaging(), "ServiceRequest"), resources(imaging(), "ImagingStudy")

    assert report["conclusion"].startswith(CONCLUSION)
    assert FINDINGS in report["text"]["div"]
    assert report["issued"] == "2026-03-05T14:30:12+08:00"
    assert report["conclusionCode"][0]["coding"][0]["code"] == "R91"
    assert patient["name"] == [{"text": NAME}]
    assert patient["birthDate"] == "1968-02-14"
    assert request["identifier"][0]["value"] == "ZH2026030500012"
    assert study["identifier"][0]["value"] == f"urn:oid:{imaging().study_uids[0]}"


def test_every_slide_names_the_specimen_that_it_was_cut_from() -> None:
    specimens = resources(pathology(), "Specimen")
    slides = [s for s in specimens if s.get("type", {}).get("text") == "slide"]
    (whole,) = [s for s in specimens if s not in slides]

    assert [s["processing"][0]["procedure"]["text"] for s in slides] == ["HE", "ER", "HER2 (4B5)"]
    assert {s["parent"][0]["reference"] for s in slides} == {f"urn:uuid:{whole['id']}"}


def test_the_pdf_is_carried_whole() -> None:
    pdf = render(imaging())

    (form,) = bundle(imaging(), pdf)["entry"][0]["resource"]["presentedForm"]

    assert b64decode(form["data"]) == pdf
    assert form["size"] == len(pdf)


def test_the_binding_digests_are_in_the_provenance() -> None:
    (provenance,) = resources(imaging(), "Provenance")

    assert [e["what"]["identifier"]["value"] for e in provenance["entity"]] == [
        "a1" * 32,
        "b2" * 32,
        "c3" * 32,
    ]


def test_a_name_that_no_font_has_is_whole_in_the_electronic_form() -> None:
    patient = imaging().patient.model_copy(update={"name": "𠮷小雨"})

    assert resources(imaging(patient=patient), "Patient")[0]["name"][0]["text"] == "𠮷小雨"
