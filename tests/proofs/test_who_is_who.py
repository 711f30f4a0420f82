"""People easily taken for one another never meet: twins, namesakes, homophones, and drops that changed places."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from cases.documents import ReportBody
from storage import readings, signing
from teledx.samples import orders, studies
from teledx.samples.orders import SamplePatient
from teledx.samples.slide import make_slide

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
ONE = SamplePatient(
    id="JS20260031", name="王伟明", name_latin="Wang Weiming", sex="male", birth_date=date(1990, 5, 1)
)
# somebody who may be taken for ONE: what differs, and nothing else
ALIKE: dict[str, dict[str, Any]] = {
    "a twin": {"id": "JS20260032", "name": "王伟亮", "name_latin": "Wang Weiliang"},
    "a twin of the other sex": {
        "id": "JS20260032",
        "name": "王伟英",
        "name_latin": "Wang Weiying",
        "sex": "female",
    },
    "the same name": {"id": "JS20260032", "birth_date": date(1990, 1, 5)},
    "the same name, day and sex": {"id": "JS20260032"},
    "the same sound": {"id": "JS20260032", "name": "王卫明"},
    "digits that changed places": {"id": "JS20260013"},
}


def drop(region, name, patient, pictured):
    """An order of `patient` with an image of `pictured`, in the inbox."""
    content = studies.single("CT_small.dcm", pictured, station="CT1", at=AT)
    order = orders.order(
        "ct", patient, [orders.file_line("a.dcm", content)], accession_number=f"CT-{patient.id}"
    )
    region.drop("jiangshan", order, {"a.dcm": content}, name)


def sign_all(region, said):
    """Each case is read as `said` has it for its patient's number."""
    for row in region.fetch(
        "SELECT w.id, o.patient_id FROM work_item w JOIN vault.case_order o USING (case_id)"
    ):
        with region.rows.transaction() as connection:
            readings.claim(connection, row["id"], "lin")
            body = ReportBody(findings="-", conclusion=said[row["patient_id"]])
            signing.sign(connection, row["id"], "lin", body)
    region.settle()


def reports(region):
    """patient's number -> the FHIR report that came back for that order."""
    rows = region.fetch("SELECT o.case_id, o.patient_id FROM vault.case_order o")
    found = {}
    for row in rows:
        (key,) = [
            f.key for f in region.s3.listing("reports", f"{row['case_id']}/") if f.key.endswith(".json")
        ]
        found[row["patient_id"]] = region.s3.get("reports", key).decode()
    return found


@pytest.mark.parametrize("how", ALIKE)
def test_two_who_are_alike_keep_their_own_pseudonym_and_report(region, how):
    other = replace(ONE, **ALIKE[how])
    drop(region, "one", ONE, ONE)
    drop(region, "other", other, other)
    region.settle()
    rows = region.fetch("SELECT state, pseudonym, brief FROM cases")
    assert [r["state"] for r in rows] == ["delivered", "delivered"]
    assert len({r["pseudonym"] for r in rows}) == 2
    assert [r["brief"]["earlier"] for r in rows] == [[], []]
    said = {ONE.id: "CONCLUSION-OF-ONE", other.id: "CONCLUSION-OF-OTHER"}
    sign_all(region, said)
    for patient, text in reports(region).items():
        assert patient in text
        assert said[patient] in text
        (elses,) = (number for number in said if number != patient)
        assert elses not in text
        assert said[elses] not in text


@pytest.mark.parametrize("how", ALIKE)
def test_drops_that_changed_places_are_both_set_aside(region, how):
    other = replace(ONE, **ALIKE[how])
    drop(region, "one", ONE, other)
    drop(region, "other", other, ONE)
    region.settle()
    rows = region.fetch("SELECT state, reason_code FROM cases")
    assert {(r["state"], r["reason_code"]) for r in rows} == {("quarantined", "identity-mismatch")}
    assert len(rows) == 2
    assert nothing_left(region)


@pytest.mark.parametrize("how", ALIKE)
def test_one_image_of_somebody_else_in_a_series_sets_the_case_aside(region, how):
    other = replace(ONE, **ALIKE[how])
    files = dict(studies.ct_series(ONE, 3, station="CT1", at=AT, rows=128))
    elses = dict(studies.ct_series(other, 3, station="CT1", at=AT, rows=128))
    last = max(files)
    files[last] = elses[max(elses)]
    lines = [orders.file_line(name, content) for name, content in files.items()]
    region.drop("jiangshan", orders.order("ct", ONE, lines, accession_number="CT-1"), files)
    region.settle()
    case = region.one("SELECT state, reason_code FROM cases")
    assert (case["state"], case["reason_code"]) == ("quarantined", "identity-mismatch")
    assert nothing_left(region)


def test_slides_that_changed_places_are_both_set_aside(region, tmp_path):
    numbers = {"S26-00101": "S26-00102", "S26-00102": "S26-00101"}
    for ordered, labelled in numbers.items():
        path = make_slide(
            tmp_path / f"{ordered}.svs",
            size=4_000_000,
            pathology_number=labelled,
            block="A1",
            stain="HE",
            patient_name="Wang Weiming",
        )
        content = path.read_bytes()
        line = orders.slide_line("a.svs", pathology_number=ordered, block="A1", stain="HE")
        order = orders.order(
            "histology",
            ONE,
            [orders.file_line("a.svs", content)],
            accession_number=f"P-{ordered}",
            slides=[line],
        )
        region.drop("jiangshan", order, {"a.svs": content})
    region.settle()
    rows = region.fetch("SELECT state, reason_code FROM cases")
    assert [(r["state"], r["reason_code"]) for r in rows] == [("quarantined", "label-mismatch")] * 2
    assert nothing_left(region)


def nothing_left(region) -> bool:
    """Nothing of this region's cases lies where a partner could fetch it."""
    cases = {r["id"] for r in region.fetch("SELECT id FROM cases")}
    zones = ("deidentified", *(z for z in region.zones if z.startswith("partner-")))
    return not any(
        found.key.partition("/")[0] in cases for zone in zones for found in region.s3.listing(zone, "")
    )
