"""The whole way: from a clinic's drop to the signed report back under the real name."""

import io
import json
import subprocess
import zipfile
from datetime import UTC, datetime

import openslide
import pydicom
import pytest

from cases.documents import ReportBody
from storage import network, readings, signing
from teledx.samples import orders, studies
from teledx.samples.slide import make_slide
from tests.imaging.slides import vendors
from tests.imaging.slides.conftest import NUMBER
from tests.imaging.slides.philips_slide import CANARIES, write_philips
from tests.region import sample_network

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
BODY = ReportBody(findings="两肺纹理清晰。", conclusion="未见明显异常。")


def drop_ct(region, slices=6, clinic="jiangshan", **changes):
    files = dict(studies.ct_series(PATIENT, slices, station="CT1", at=AT, rows=128))
    lines = [orders.file_line(name, content) for name, content in files.items()]
    order = orders.order("ct", PATIENT, lines, accession_number=changes.pop("accession", "CT-1"), **changes)
    region.drop(clinic, order, files)
    region.settle()
    return files


def sign(region, reader="lin", *, meanwhile=lambda: None):
    item = region.one("SELECT id FROM work_item WHERE state = 'SCHEDULED'")
    with region.rows.transaction() as connection:
        readings.claim(connection, item["id"], reader)
    with region.rows.transaction() as connection:
        signing.sign(connection, item["id"], reader, BODY)
    meanwhile()
    region.settle()


def at_partner(region, bucket, suffix):
    return {
        f.key: region.s3.get(bucket, f.key) for f in region.s3.listing(bucket, "") if f.key.endswith(suffix)
    }


def printed_report(region, pdftotext, folder) -> str:
    """The text of the one report that was returned."""
    (paper,) = [f.key for f in region.s3.listing("reports", "") if f.key.endswith(".pdf")]
    printed = folder / "report.pdf"
    printed.write_bytes(region.s3.get("reports", paper))
    return subprocess.run([pdftotext, printed, "-"], capture_output=True, text=True, check=True).stdout


def test_a_ct_case_reaches_the_reader_without_identity_and_returns_under_the_real_name(
    region, pdftotext, tmp_path
):
    files = drop_ct(region)
    case = region.one("SELECT id, state, partner, reason_code, reason_detail, brief, pseudonym FROM cases")
    assert case["state"] == "delivered", case
    arrived = at_partner(region, "partner-yinzhou2", ".dcm")
    assert len(arrived) == len(files)
    for content in arrived.values():
        image = pydicom.dcmread(io.BytesIO(content))
        assert str(image.PatientName) == image.PatientID == case["pseudonym"]
        assert image.PatientAge == case["brief"]["age"] == "068Y"
        assert image.pixel_array.shape == (128, 128)
        for value in (PATIENT.name, PATIENT.id, "Wang"):
            assert value.encode() not in content
            assert value.encode("gb18030") not in content
    sign(region)
    assert region.one("SELECT state FROM cases")["state"] == "returned"
    text = printed_report(region, pdftotext, tmp_path)
    assert PATIENT.name in text
    assert "未见明显异常" in text
    (resource,) = [f.key for f in region.s3.listing("reports", "") if f.key.endswith(".json")]
    assert json.loads(region.s3.get("reports", resource))["resourceType"] in ("DiagnosticReport", "Bundle")


def test_a_report_names_its_signer_as_known_on_the_day_of_signing(region, pdftotext, tmp_path):
    def leave():
        text = sample_network().replace('id = "lin"', 'id = "somebody-else"').replace("林浩", "别人")
        with region.rows.transaction() as connection:
            assert network.apply(connection, text, "operator")[1]

    drop_ct(region, 1)
    sign(region, meanwhile=leave)
    assert region.one("SELECT state FROM cases")["state"] == "returned"
    assert "林浩" in printed_report(region, pdftotext, tmp_path)


def test_a_slide_reaches_the_reader_without_label_and_returns(region, tmp_path):
    path = tmp_path / "a.svs"
    make_slide(
        path, size=40_000_000, pathology_number="S26-1", block="A1", stain="HE", patient_name="Wang Xiuying"
    )
    content = path.read_bytes()
    line = orders.slide_line("a.svs", pathology_number="S26-1", block="A1", stain="HE")
    order = orders.order(
        "histology", PATIENT, [orders.file_line("a.svs", content)], accession_number="S-1", slides=[line]
    )
    region.drop("jiangshan", order, {"a.svs": content})
    region.settle()
    case = region.one("SELECT state, partner, reason_code, reason_detail, brief FROM cases")
    assert case["state"] == "delivered", case
    ((key, arrived),) = at_partner(region, f"partner-{case['partner']}", ".svs").items()
    assert b"Wang" not in arrived
    assert b"S26-1" not in arrived
    (tmp_path / "b.svs").write_bytes(arrived)
    with openslide.OpenSlide(tmp_path / "b.svs") as after, openslide.OpenSlide(path) as before:
        assert after.dimensions == before.dimensions
        assert set(after.associated_images) <= {"thumbnail"}
        where = ((1000, 1000), 0, (256, 256))
        assert after.read_region(*where).tobytes() == before.read_region(*where).tobytes()
    assert case["brief"]["slides"][0]["name"] in key
    sign(region, "wang" if case["partner"] == "beijing-pathology" else "gu")
    assert region.one("SELECT state FROM cases")["state"] == "returned"


@pytest.mark.parametrize("make", [vendors.ndpi, vendors.scn, vendors.bif])
def test_a_slide_of_another_vendor_reaches_the_reader_in_its_own_format(make, region, tmp_path):
    path = make(tmp_path / f"a.{make.__name__}")
    content = path.read_bytes()
    line = orders.slide_line(path.name, pathology_number=NUMBER, block="A1", stain="HE")
    order = orders.order(
        "histology", PATIENT, [orders.file_line(path.name, content)], accession_number="S-1", slides=[line]
    )
    region.drop("jiangshan", order, {path.name: content})
    region.settle()
    case = region.one("SELECT state, partner, reason_code, reason_detail FROM cases")
    assert case["state"] == "delivered", case
    ((key, arrived),) = at_partner(region, f"partner-{case['partner']}", f".{make.__name__}").items()
    result = tmp_path / f"b.{make.__name__}"
    result.write_bytes(arrived)
    with openslide.OpenSlide(result) as after, openslide.OpenSlide(path) as before:
        assert after.level_dimensions == before.level_dimensions
        assert not after.associated_images
    assert NUMBER not in key


def test_a_philips_slide_reaches_the_reader_as_one(region, tmp_path):
    path = write_philips(tmp_path / "a.tiff")
    content = path.read_bytes()
    line = orders.slide_line("a.tiff", pathology_number="S2026-04711", block="A1", stain="HE")
    files = [orders.file_line("a.tiff", content)]
    region.drop(
        "jiangshan",
        orders.order("histology", PATIENT, files, accession_number="S-1", slides=[line]),
        {"a.tiff": content},
    )
    region.settle()
    case = region.one("SELECT state, partner, reason_code, reason_detail FROM cases")
    assert case["state"] == "delivered", case
    (arrived,) = at_partner(region, f"partner-{case['partner']}", ".tiff").values()
    assert not [canary for canary in ("S2026-04711", *CANARIES) if canary.encode() in arrived]
    (tmp_path / "b.tiff").write_bytes(arrived)
    with openslide.OpenSlide(tmp_path / "b.tiff") as after, openslide.OpenSlide(path) as before:
        assert after.properties["openslide.vendor"] == "philips"
        assert after.level_dimensions == before.level_dimensions
        assert after.properties["openslide.mpp-x"] == before.properties["openslide.mpp-x"]
        assert not after.associated_images


def test_earlier_examinations_are_told_by_their_interval(region):
    drop_ct(region)
    later = datetime(2027, 5, 22, 9, 30, tzinfo=UTC)
    image = studies.single("CT_small.dcm", PATIENT, station="CT1", at=later)
    order = orders.order("ct", PATIENT, [orders.file_line("b.dcm", image)], accession_number="CT-2")
    region.drop("jiangshan", order, {"b.dcm": image})
    region.settle()
    brief = region.one("SELECT brief FROM cases ORDER BY received_at DESC LIMIT 1")["brief"]
    assert [e["days_before"] for e in brief["earlier"]] == [183]


def test_the_same_patient_has_one_pseudonym_and_another_clinics_same_number_another(region):
    drop_ct(region)
    drop_ct(region, accession="CT-2")
    drop_ct(region, clinic="xianxiang")
    rows = region.fetch("SELECT clinic, pseudonym FROM cases")
    mine = {r["pseudonym"] for r in rows if r["clinic"] == "jiangshan"}
    theirs = {r["pseudonym"] for r in rows if r["clinic"] == "xianxiang"}
    assert len(mine) == len(theirs) == 1
    assert mine != theirs


def test_a_stat_case_is_delivered_before_an_older_backlog(region):
    for number in range(3):
        image = studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT)
        order = orders.order(
            "ct", PATIENT, [orders.file_line("a.dcm", image)], accession_number=f"R-{number}"
        )
        region.drop("jiangshan", order, {"a.dcm": image})
    image = studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT)
    stat = orders.order(
        "ct", PATIENT, [orders.file_line("a.dcm", image)], accession_number="S-0", priority="stat"
    )
    region.drop("jiangshan", stat, {"a.dcm": image})
    region.settle()
    first = region.fetch(
        "SELECT c.priority FROM milestone m JOIN cases c ON c.id = m.case_id WHERE m.name = 'delivered' ORDER BY m.id"
    )
    assert first[0]["priority"] == "stat"


@pytest.mark.parametrize("zone", ["identified", "deidentified", "reports"])
def test_every_object_of_ours_belongs_to_a_case(region, zone):
    drop_ct(region)
    sign(region)
    claimed = {
        r["key"]
        for r in region.fetch("SELECT key FROM object WHERE zone = %s AND claimed_at IS NOT NULL", zone)
    }
    assert {f.key for f in region.s3.listing(zone, "")} == claimed


def test_a_study_in_an_archive_larger_than_a_batch_arrives_whole(region):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in studies.ct_series(PATIENT, 40, station="CT1", at=AT, rows=128):
            archive.writestr(name, content)
    content = packed.getvalue()
    order = orders.order("ct", PATIENT, [orders.file_line("study.zip", content)], accession_number="Z-1")
    region.drop("jiangshan", order, {"study.zip": content})
    region.settle()
    case = region.one("SELECT state, reason_code, reason_detail FROM cases")
    assert case["state"] == "delivered", case
    assert len(at_partner(region, "partner-yinzhou2", ".dcm")) == 40
