"""A study that came instance by instance becomes a case as any drop does, with all that came and nothing else."""

import io
import json
from datetime import UTC, datetime, timedelta

import pydicom
import pytest

from cases.calendar import monday_to_friday
from gateway import arriving
from gateway.parts import Parts
from storage import arrivals as rows
from storage.network import NetworkRows
from teledx.samples import orders, studies
from workers import arrivals, intake, stage

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _only_receive(monkeypatch, region):
    """The stages after receive wait for ever, and a study is quiet at once."""

    def never(work, tools):
        raise AssertionError("not in this test")

    monkeypatch.setitem(stage.FUNCTIONS, "preprocess", never)
    region.with_limits(study_quiet=0)


@pytest.fixture
def series():
    made = studies.ct_series(PATIENT, 3, station="CT1", at=AT, rows=128)
    return [content for _, content in made]


def arrive(region, contents, clinic="jiangshan"):
    """What a modality's door does with each of them; the last one as it was read."""
    door = Parts(
        database=region.rows, s3=region.s3, network=NetworkRows(region.rows), is_workday=monday_to_friday
    )
    for content in contents:
        with arriving.spooled(door) as spool:
            spool.write(content)
            found = arriving.keep(door, clinic, spool.whole())
    return found


def ordered(region, study="", accession="CT-1", clinic="jiangshan", **changes):
    document = orders.order(
        "ct", PATIENT, [orders.file_line("x", b"")], accession_number=accession, **changes
    ).model_dump(mode="json", exclude={"files"}, exclude_unset=True)
    with region.rows.transaction() as connection:
        rows.keep_order(connection, clinic, study, "chen", document)


def settle(region):
    arrivals.assemble(region.parts)
    region.settle(most=1)


def received(region):
    """Content of the files of every case."""
    keys = [f.key for f in region.s3.listing("identified", "")]
    return sorted(region.s3.get("identified", key) for key in keys)


def test_a_study_becomes_a_case_when_its_order_is_there(region, series):
    study = arrive(region, series).study_uid
    settle(region)
    assert region.fetch("SELECT id FROM cases") == []
    ordered(region, study)
    settle(region)
    assert received(region) == sorted(series)
    case = region.one(
        "SELECT c.state, o.accession_number FROM cases c JOIN vault.case_order o ON o.case_id = c.id"
    )
    assert case == {"state": "received", "accession_number": "CT-1"}
    assert [f.key.rpartition("/")[2] for f in region.s3.listing("inbox", "")] == ["receipt.json"]
    for table in ("arrival", "arrived_instance", "arrival_order"):
        assert region.fetch(f"SELECT * FROM vault.{table}") == []


def test_an_order_that_comes_first_waits_for_its_study_by_accession_number(region):
    ordered(region)
    settle(region)
    image = studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT, AccessionNumber=" CT-1")
    other = studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT, AccessionNumber="CT-11")
    arrive(region, [other, image])
    settle(region)
    assert received(region) == [image]


def test_another_clinics_order_takes_nothing(region, series):
    study = arrive(region, series).study_uid
    ordered(region, study, clinic="xianxiang")
    settle(region)
    assert region.fetch("SELECT id FROM cases") == []


def test_a_study_is_left_alone_until_it_is_quiet(region, series):
    ordered(region, arrive(region, series[:2]).study_uid)
    region.with_limits(study_quiet=3600)
    assert arrivals.assemble(region.parts) == 0
    arrive(region, series[2:])
    region.with_limits(study_quiet=0)
    settle(region)
    assert received(region) == sorted(series)


def test_what_comes_after_the_drop_was_closed_waits_for_an_order_of_its_own(region, series):
    ordered(region, arrive(region, series[:2]).study_uid)
    assert arrivals.assemble(region.parts) == 1
    arrive(region, series[2:])
    settle(region)
    assert received(region) == sorted(series[:2])
    assert region.one("SELECT count(*) AS n FROM vault.arrival WHERE order_document IS NULL") == {"n": 1}


def test_an_instance_whose_study_is_closed_while_it_is_stored_is_kept_for_the_next(
    region, series, monkeypatch
):
    ordered(region, arrive(region, series[:1]).study_uid)
    put = region.s3.put_stream
    closed: list[int] = []

    def put_and_close(*arguments):
        put(*arguments)
        if not closed:
            closed.append(arrivals.assemble(region.parts))

    monkeypatch.setattr(region.s3, "put_stream", put_and_close)
    arrive(region, series[1:2])
    settle(region)
    assert (closed, received(region)) == ([1], series[:1])
    kept, left = region.fetch(
        "SELECT i.name, a.prefix IS NULL AS closed FROM vault.arrived_instance i"
        " LEFT JOIN vault.arrival a USING (prefix) ORDER BY stored_at NULLS LAST"
    )
    assert kept["name"] == left["name"]
    assert (kept["closed"], left["closed"]) == (False, True), "what went to the closed one is for the reaper"


def test_the_corrected_instance_is_received_and_the_first_one_is_deleted(region, series):
    first = studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT)
    corrected = studies.instance(pydicom.dcmread(io.BytesIO(first)), PATIENT, StationName="CT2")
    ordered(region, arrive(region, [first, corrected]).study_uid)
    settle(region)
    assert received(region) == [corrected]
    assert arrivals.reap(region.parts, older=timedelta(0)) == 1
    assert [f.key.rpartition("/")[2] for f in region.s3.listing("inbox", "")] == ["receipt.json"]


def test_what_is_stored_is_never_reaped(region, series):
    arrive(region, series)
    assert arrivals.reap(region.parts, older=timedelta(0)) == 0
    assert len(list(region.s3.listing("inbox", ""))) == 3


def test_killed_after_the_order_was_written_the_next_one_goes_on(region, series, monkeypatch):
    ordered(region, arrive(region, series).study_uid)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(rows, "handed_over", killed)
        with pytest.raises(KeyboardInterrupt):
            arrivals.assemble(region.parts)
    intake.scan(region.parts)
    settle(region)
    assert received(region) == sorted(series)
    assert region.fetch("SELECT * FROM vault.arrival") == []
    assert region.one("SELECT count(*) AS n FROM vault.drops") == {"n": 1}


def test_a_study_without_an_order_is_told_to_the_clinic_and_its_order_may_still_come(region, series):
    study = arrive(region, series).study_uid
    region.with_limits(arrival_patience=-1)
    settle(region)
    drop = region.one("SELECT state, reason_code, missing, prefix FROM vault.drops")
    assert (drop["state"], drop["reason_code"], drop["missing"]) == (
        "rejected",
        "files-missing",
        ["order.json"],
    )
    assert json.loads(region.s3.get("inbox", f"{drop['prefix']}rejected.json"))["missing"] == ["order.json"]
    ordered(region, study)
    settle(region)
    assert received(region) == sorted(series)


def test_the_same_study_and_order_twice_is_one_case(region, series):
    for _ in range(2):
        ordered(region, arrive(region, series).study_uid)
        settle(region)
    assert region.one("SELECT count(*) AS n FROM cases") == {"n": 1}
    assert [d["state"] for d in region.fetch("SELECT state FROM vault.drops")] == ["received"] * 2
