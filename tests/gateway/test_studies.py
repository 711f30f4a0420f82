"""Orders of studies that come through a modality's door: checked at once, and kept until the study is there."""

import pytest
from pydicom.uid import generate_uid

from teledx.samples import orders
from tests.gateway.instances import written
from tests.gateway.test_store import send
from tests.storage.filled import order


def told(**changes):
    content = order(**changes)
    del content["files"]
    return content


@pytest.fixture
def image(tmp_path):
    """`image(accession)`: (study UID, bytes) of an instance with that accession number."""

    def make(accession):
        study = generate_uid()
        changes = {"StudyInstanceUID": study, "SOPInstanceUID": generate_uid(), "AccessionNumber": accession}
        return study, written(tmp_path, "CT_small.dcm", **changes).read_bytes()

    return make


def test_a_study_waits_for_its_order_and_an_order_for_its_study(at_region, image):
    chen = at_region("chen")
    study, content = image("N-1")
    send(chen, content).raise_for_status()
    (line,) = chen.get("/api/studies").json()["studies"]
    assert (line["study"], line["accession_number"]) == (study, "N-1")
    assert (line["instances"], line["size"], line["ordered"]) == (1, len(content), False)
    answer = chen.post("/api/studies", json={"order": told(accession_number="N-2")})
    assert answer.status_code == 202
    (line,) = answer.json()["studies"]
    assert (line["study"], line["accession_number"], line["instances"], line["ordered"]) == (
        "",
        "N-2",
        0,
        True,
    )
    assert len(chen.get("/api/studies").json()["studies"]) == 2


@pytest.mark.parametrize("by", ["study", "accession number"])
def test_an_order_finds_its_study(at_region, image, by):
    chen = at_region("chen")
    study, content = image("N-1")
    send(chen, content).raise_for_status()
    named = {"study": study} if by == "study" else {}
    number = "another" if by == "study" else "N-1"
    answer = chen.post("/api/studies", json=named | {"order": told(accession_number=number)})
    (line,) = answer.json()["studies"]
    assert (line["study"], line["instances"], line["ordered"]) == (study, 1, True)


def test_another_clinics_studies_are_neither_seen_nor_ordered(at_region, image):
    chen, zhou = at_region("chen"), at_region("zhou")
    study, content = image("N-1")
    send(chen, content).raise_for_status()
    assert zhou.get("/api/studies").json() == {"studies": []}
    (line,) = zhou.post("/api/studies", json={"study": study, "order": told()}).json()["studies"]
    assert line["instances"] == 0
    (line,) = chen.get("/api/studies").json()["studies"]
    assert not line["ordered"]


def test_a_second_order_takes_the_place_of_the_first(at_region, region):
    chen, study = at_region("chen"), generate_uid()
    for number in ("N-1", "N-2", "N-2"):
        body = {"study": study, "order": told(accession_number=number)}
        (line,) = chen.post("/api/studies", json=body).json()["studies"]
    assert line["accession_number"] == "N-2"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"order": told(service="frozen-section")}, "service: this clinic cannot order it"),
        ({"order": told() | {"files": []}}, "order.files: "),
        ({"order": {k: v for k, v in told().items() if k != "patient"}}, "order.patient: is missing"),
        ({"order": told(), "study": "1..2"}, "study: "),
    ],
)
def test_an_order_that_does_not_fit_is_refused_in_words(at_region, body, problem):
    refused = at_region("chen").post("/api/studies", json=body)
    assert refused.status_code == 422
    assert refused.json()["problems"][0].startswith(problem)


def test_an_order_of_slides_is_handed_in_with_its_files(at_region):
    slide = orders.slide_line("a.svs", pathology_number="1", block="A1", stain="HE")
    slides = told(service="histology", specimens=[{"id": "A", "description": "biopsy"}], slides=[slide])
    refused = at_region("chen").post("/api/studies", json={"order": slides})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "order-incomplete")
    assert refused.json()["problems"] == ["service: an order of slides names its files: hand it in with them"]
