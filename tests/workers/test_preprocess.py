"""preprocess: what a drop holds, by content; what cannot be trusted is set aside, what is inadequate goes back."""

import io
import zipfile
from datetime import UTC, datetime

import pytest

from storage.transition import Done
from teledx.samples import orders, studies
from workers import stage

PATIENT, OTHER = orders.PATIENTS[0], orders.PATIENTS[3]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _end_after_preprocess(monkeypatch):
    """What comes after preprocess is not this file's affair: it stays put back."""

    def wait(work, tools) -> Done:
        raise ConnectionRefusedError

    monkeypatch.setitem(stage.FUNCTIONS, "deidentify", wait)


def drop_and_settle(region, files, *, service="ct", clinic="jiangshan", patient=PATIENT, **changes):
    lines = [orders.file_line(name, content) for name, content in files.items()]
    order = orders.order(service, patient, lines, accession_number="CT-1", **changes)
    region.drop(clinic, order, files)
    region.settle()
    return region.one("SELECT id, state, reason_code, reason_detail FROM cases")


def ct(patient=PATIENT):
    return studies.single("CT_small.dcm", patient, station="CT1", at=AT)


def series(slices=8):
    return dict(studies.ct_series(PATIENT, slices, station="CT1", at=AT, rows=128))


def document(region, case_id):
    return region.one("SELECT body FROM vault.document WHERE case_id = %s AND stage = 'preprocess'", case_id)[
        "body"
    ]


def test_a_series_is_grouped_and_its_stations_use_recorded(region):
    case = drop_and_settle(region, series())
    assert case["state"] == "preprocessed", case
    found = document(region, case["id"])
    assert [len(s["instances"]) for st in found["studies"] for s in st["series"]] == [8]
    use = region.one("SELECT clinic, station, modality, images FROM station_use")
    assert use == {"clinic": "jiangshan", "station": "CT1", "modality": "CT", "images": 8}


def test_each_series_has_a_preview_in_the_region(region):
    case = drop_and_settle(region, series())
    (preview,) = document(region, case["id"])["previews"]
    assert preview["stored"]["zone"] == "identified"
    assert region.s3.get("identified", preview["stored"]["key"]).startswith(b"\x89PNG")


def test_a_zip_archive_is_read_like_the_files_in_it(region):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in series().items():
            archive.writestr(name, content)
    case = drop_and_settle(region, {"study.zip": packed.getvalue()})
    assert case["state"] == "preprocessed", case
    assert [len(s["instances"]) for st in document(region, case["id"])["studies"] for s in st["series"]] == [
        8
    ]


def missing_slices():
    files = series()
    del files["series1/slice0004.dcm"]
    return files


def conflicting():
    content = ct()
    return {"a.dcm": content, "b.dcm": content[:-2] + b"\x01\x02"}


@pytest.mark.parametrize(
    ("make", "state", "code"),
    [
        pytest.param(lambda: {"a.dcm": ct(OTHER)}, "quarantined", "identity-mismatch", id="another patient"),
        pytest.param(
            lambda: {"a.dcm": ct(), "b.dcm": ct(OTHER)}, "quarantined", "identity-mismatch", id="one of two"
        ),
        pytest.param(lambda: {"a.dcm": ct()[:20_000]}, "quarantined", "file-damaged", id="cut"),
        pytest.param(
            lambda: {"a.dcm": b"\x7fELF" + bytes(900)}, "quarantined", "format-unknown", id="unknown"
        ),
        pytest.param(conflicting, "quarantined", "uid-conflict", id="same UID, other bytes"),
        pytest.param(missing_slices, "rejected", "slices-missing", id="missing slices"),
        pytest.param(lambda: {"a.txt": b"hello there\n"}, "rejected", "no-images", id="no image"),
    ],
)
def test_what_is_wrong_with_files_ends_with_its_reason(region, make, state, code):
    case = drop_and_settle(region, make())
    assert (case["state"], case["reason_code"]) == (state, code), case


def test_a_service_that_the_files_do_not_fit_is_set_aside(region):
    case = drop_and_settle(region, {"a.dcm": ct()}, service="mr")
    assert (case["state"], case["reason_code"]) == ("quarantined", "service-mismatch")


def test_an_order_without_a_question_goes_back_with_advice(region):
    case = drop_and_settle(region, {"a.dcm": ct()}, clinical_question="")
    assert (case["state"], case["reason_code"]) == ("rejected", "no-question")


def test_what_is_said_of_a_case_set_aside_holds_no_identity(region):
    case = drop_and_settle(region, {"王秀英.dcm": ct(OTHER)})
    notes = region.fetch("SELECT note FROM milestone")
    errors = region.fetch("SELECT error FROM stage_run")
    said = f"{case['reason_detail']} {notes} {errors}"
    for value in (PATIENT.name, OTHER.name, PATIENT.id, OTHER.id, "Wang", "1958"):
        assert value not in said


def slide_bytes(tmp_path, **changes):
    from teledx.samples.slide import make_slide

    path = tmp_path / "made.svs"
    told = {"pathology_number": "S26-01234", "block": "A1", "stain": "HE", "patient_name": PATIENT.name_latin}
    make_slide(path, size=12_000_000, **told | changes)
    return path.read_bytes()


def drop_slide(region, content):
    line = orders.slide_line("a.svs", pathology_number="S26-01234", block="A1", stain="HE")
    return drop_and_settle(region, {"a.svs": content}, service="histology", slides=[line])


def test_a_slide_is_opened_judged_and_its_label_matched(region, tmp_path):
    case = drop_slide(region, slide_bytes(tmp_path))
    assert case["state"] == "preprocessed", case
    (slide,) = document(region, case["id"])["slides"]
    assert (slide["format"], slide["label"]) == ("svs", "matches")
    assert slide["tissue_share"] > 0.05
    assert region.one("SELECT clinic, modality FROM station_use") == {
        "clinic": "yinzhou-people",
        "modality": "SM",
    }


@pytest.mark.parametrize(
    ("changes", "state", "code"),
    [
        ({"pathology_number": "S26-09999"}, "quarantined", "label-mismatch"),
        ({"empty": True}, "rejected", "no-tissue"),
        ({"blurred": True}, "rejected", "out-of-focus"),
    ],
)
def test_what_is_wrong_with_a_slide_ends_with_its_reason(region, tmp_path, changes, state, code):
    case = drop_slide(region, slide_bytes(tmp_path, **changes))
    assert (case["state"], case["reason_code"]) == (state, code), case
