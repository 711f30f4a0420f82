"""The order: what is taken, what is refused, and in which words."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from cases.order import Order, problems

SHA = "0" * 64
COMPLETE: dict[str, Any] = {
    "version": "1",
    "accession_number": "GL-2026-000123",
    "service": "histology",
    "priority": "routine",
    "purpose": "diagnosis",
    "procedure": {"text": "Gastroscopy with biopsy"},
    "body_site": {"text": "stomach", "code": "69695003", "system": "SNOMED CT"},
    "side": "none",
    "clinical_question": "Malignant?",
    "history": "Ulcer in 2019",
    "allergies": ["penicillin"],
    "earlier_accession_numbers": ["GL-2019-000001"],
    "requesting_doctor": "陈丽",
    "callback": {"name": "陈丽", "phone": "0574-88001016"},
    "wished_partner": "beijing-pathology",
    "scanning_site": "haishu2",
    "patient": {
        "identifiers": [{"value": "330227195001010011", "type": "national-id"}, {"value": "0001"}],
        "name": "王小明",
        "name_latin": "Wang Xiaoming",
        "sex": "male",
        "birth_date": "1950-01-01",
    },
    "consent": {"document_sha256": SHA, "signer": "王小明", "relation": "self"},
    "specimens": [{"id": "A", "description": "antrum", "collected_on": "2026-10-11", "fixation": "formalin"}],
    "slides": [
        {
            "file": "slides/1.svs",
            "pathology_number": "P26-01234",
            "specimen": "A",
            "block": "A1",
            "stain": "HE",
            "number": 1,
            "of": 1,
        }
    ],
    "first_diagnosis": {"text": "gastritis", "doctor": "陈丽", "made_at": "2026-10-11T10:00:00+08:00"},
    "files": [{"name": "slides/1.svs", "size": 12345, "sha256": SHA}],
}

Edit = Callable[[dict[str, Any]], object]


def edited(edit: Edit) -> dict[str, Any]:
    order = json.loads(json.dumps(COMPLETE))
    edit(order)
    return order


def said_about(order: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate_json(json.dumps(order))
    return problems(caught.value)


def test_a_complete_order_is_taken_by_the_model_and_by_the_published_schema() -> None:
    order = Order.model_validate_json(json.dumps(COMPLETE))
    assert order.patient.id == "0001"
    assert Order.model_validate_json(order.model_dump_json()) == order
    jsonschema.Draft202012Validator(Order.model_json_schema()).validate(COMPLETE)


def test_the_patients_id_is_the_clinics_own_number_else_the_first_given() -> None:
    without = edited(lambda o: o["patient"]["identifiers"].pop())
    assert Order.model_validate_json(json.dumps(without)).patient.id == "330227195001010011"


REQUIRED = [name for name, field in Order.model_fields.items() if field.is_required()]


@pytest.mark.parametrize("part", REQUIRED)
def test_each_missing_part_is_named(part: str) -> None:
    assert f"{part}: is missing" in said_about(edited(lambda o: o.pop(part)))


@pytest.mark.parametrize("part", REQUIRED)
def test_the_schema_refuses_an_order_without_a_required_part(part: str) -> None:
    schema = jsonschema.Draft202012Validator(Order.model_json_schema())
    assert list(schema.iter_errors(edited(lambda o: o.pop(part))))


def test_all_missing_parts_are_named_at_once() -> None:
    assert len(said_about({})) == len(REQUIRED)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda o: o["patient"].pop("birth_date"), "patient.birth_date: is missing"),
        (
            lambda o: o["patient"].update(identifiers=[]),
            "patient.identifiers: needs at least one",
        ),
        (lambda o: o["slides"][0].pop("block"), "slides.0.block: is missing"),
        (lambda o: o["slides"][0].update(file="2.svs"), "slide 1 names a file that is not among files"),
        (
            lambda o: o["slides"][0].update(specimen="B"),
            "slide 1 names a specimen that is not among specimens",
        ),
        (lambda o: o["slides"][0].update(number=3), "slides: slide 3 of 1"),
        (lambda o: o["files"].append(o["files"][0]), "files: each file is named once"),
        (
            lambda o: o["files"].append({"name": "order.json", "size": 1, "sha256": SHA}),
            "order.json does not name itself",
        ),
        (
            lambda o: o["files"].append({"name": "../x", "size": 1, "sha256": SHA}),
            "a relative path without '..'",
        ),
        (
            lambda o: o["files"].append({"name": "/etc/x", "size": 1, "sha256": SHA}),
            "a relative path without '..'",
        ),
        (
            lambda o: o["files"].append({"name": "a\\b", "size": 1, "sha256": SHA}),
            "a relative path without '..'",
        ),
        (
            lambda o: o["files"].append({"name": "a//b", "size": 1, "sha256": SHA}),
            "a relative path without '..'",
        ),
        (lambda o: o["files"].append({"name": "a\nb", "size": 1, "sha256": SHA}), "no control characters"),
        (lambda o: o["files"][0].update(size=-1), "files.0.size"),
        (lambda o: o["patient"].update(name="王\0秀英"), "patient.name: it is one line"),
        (lambda o: o["patient"].update(name="王\n秀英"), "patient.name: it is one line"),
        (lambda o: o.update(accession_number="A\x1b1"), "accession_number: it is one line"),
        (lambda o: o.update(clinical_question="占位\0?"), "clinical_question: a text holds no control"),
        (lambda o: o["files"][0].update(sha256="abc"), "files.0.sha256"),
        (lambda o: o.update(priority="now"), "priority: must be 'stat', 'urgent' or 'routine'"),
        (lambda o: o.update(service="CT Scan"), "service: is not written as it must be"),
        (lambda o: o.update(surprise=1), "order: holds a part that does not exist"),
        (
            lambda o: o.update(accession_number=" "),
            "accession_number: is empty or too short",
        ),
        (
            lambda o: o["patient"].update(birthdate="x"),
            "patient: holds a part that does not exist; did you mean 'birth_date'",
        ),
        (lambda o: o["consent"].update(relation="neighbour"), "consent.relation"),
    ],
)
def test_what_is_wrong_is_told_by_its_part(edit: Edit, sentence: str) -> None:
    assert any(sentence in line for line in said_about(edited(edit)))


def test_no_complaint_repeats_what_the_order_says() -> None:
    """Complaints are logged and sent; an order is identity through and through."""

    def spoil(order: dict[str, Any]) -> None:
        order["patient"].update(birth_date="CANARY", sex="CANARY", identifiers="CANARY", name=["CANARY"])
        order["files"][0].update(sha256="CANARY", size="CANARY", name="../CANARY")
        order["consent"].update(relation="CANARY")
        order.update(priority="CANARY", service="CANARY CANARY", callback="CANARY", CANARY="CANARY")
        order["slides"][0]["CANARY"] = "CANARY"

    lines = said_about(edited(spoil))
    assert len(lines) >= 12
    assert not any("CANARY" in line for line in lines)


def test_an_empty_question_is_no_schema_error_because_the_clinic_is_given_advice_instead() -> None:
    assert (
        Order.model_validate_json(
            json.dumps(edited(lambda o: o.update(clinical_question="")))
        ).clinical_question
        == ""
    )


def test_a_text_may_have_lines() -> None:
    order = edited(lambda o: o.update(clinical_question="一、占位?\r\n二、\t炎症?"))
    assert Order.model_validate(order).clinical_question == "一、占位?\r\n二、\t炎症?"


def test_text_is_taken_without_the_blanks_around_it() -> None:
    order = Order.model_validate_json(json.dumps(edited(lambda o: o.update(accession_number="  A1 "))))
    assert order.accession_number == "A1"
