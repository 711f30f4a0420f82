"""A worker killed (-9) between every two steps of every stage: the case still ends where it should, exactly once, and
no object is orphaned or overwritten."""

from datetime import UTC, datetime, timedelta

import pytest

from cases.documents import ReportBody
from storage import readings, runs, signing
from teledx.samples import orders, studies
from tests.faults.counting import Plan, spawn
from tests.region import Region
from workers import intake, reaper, rescue

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
STAGES = ("receive", "preprocess", "deidentify", "route", "deliver", "return")


@pytest.fixture
def region(database, object_store, tmp_path):
    region = Region(database, object_store, tmp_path / "scratch")
    yield region
    region.close()


@pytest.fixture(scope="module")
def files():
    return {
        "a.dcm": studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT),
        "b.dcm": studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT),
    }


def drop(region, files):
    lines = [orders.file_line(name, content) for name, content in files.items()]
    region.drop("jiangshan", orders.order("ct", PATIENT, lines, accession_number="CT-1"), files)
    intake.scan(region.parts)


def sign(region):
    """What the reader does between delivery and return."""
    waiting = region.fetch("SELECT id, partner FROM work_item WHERE state = 'SCHEDULED'")
    for item in waiting:
        with region.rows.transaction() as connection:
            readings.claim(connection, item["id"], "lin")
            signing.sign(connection, item["id"], "lin", ReportBody(findings="未见异常", conclusion="正常"))


def next_run(region):
    """The one run that waits, as (case, stage, version); None if the case is at rest."""
    rows = region.fetch("SELECT case_id, stage, case_version FROM stage_run WHERE outcome IS NULL")
    assert len(rows) <= 1, rows
    return tuple(rows[0].values()) if rows else None


def advance_to(region, stage):
    """Run everything before `stage`."""
    while (waiting := next_run(region)) is None or waiting[1] != stage:
        if waiting is None:
            sign(region)
            assert next_run(region), "nothing leads to this stage"
        else:
            region.runner.run(*waiting)
    return waiting


def finish(region):
    """What the rest of the network does after the kill: reclaim, run, sign, until the report is back."""
    with region.rows.transaction() as connection:
        runs.reclaim(connection, lease=-1)
    while waiting := next_run(region):
        region.runner.run(*waiting)
        if next_run(region) is None:
            sign(region)
    intake.clear(region.rows, region.s3)
    reaper.reap(region.parts, older=timedelta(seconds=-1))


def plan(region, waiting, die_at):
    return Plan(
        database_url=region.rows.url, s3=region.s3.settings, keyring=region.keyring, scratch=region.parts.scratch,
        case_id=waiting[0], stage=waiting[1], case_version=waiting[2], die_at=die_at,
    )  # fmt: skip


def everything(region):
    """Every object in every bucket, by zone and key, with its ETag."""
    return {
        (zone, found.key): found.etag for zone in region.zones if zone != "inbox" for found in region.s3.listing(zone, "")
    }


def check(region, files):
    case = region.one("SELECT id, state FROM cases")
    assert case["state"] == "returned"
    names = [row["name"] for row in region.fetch("SELECT name FROM milestone ORDER BY id")]
    steps = ["dropped", "received", "preprocessed", "deidentified", "routed", "delivered", "claimed", "reported", "returned"]
    assert names == steps, "each milestone once, in order"
    claimed = {(r["zone"], r["key"]) for r in region.fetch("SELECT zone, key FROM object WHERE claimed_at IS NOT NULL")}
    assert set(everything(region)) == claimed, "no object without its row, no row without its object"
    assert region.one("SELECT count(*) AS n FROM object WHERE claimed_at IS NULL")["n"] == 0
    delivered = [key for zone, key in claimed if zone == "partner-yinzhou2" and key.endswith(".dcm")]
    assert len(delivered) == len(files)
    assert region.one("SELECT count(*) AS n FROM report_version")["n"] == 1


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_killed_between_any_two_steps_changes_nothing(database_factory, object_store, tmp_path, files, stage):
    """Count the steps of a run that lives, then kill one at each of them, each on a database of its own."""
    died = 0
    step = 1
    while True:
        region = Region(database_factory(), object_store, tmp_path / f"{stage}-{step}")
        try:
            drop(region, files)
            waiting = advance_to(region, stage)
            before = everything(region)
            code, steps = spawn(plan(region, waiting, step))
            finish(region)
            check(region, files)
            after = everything(region)
            assert before.items() <= after.items(), "what was there was neither overwritten nor deleted"
        finally:
            region.close()
        if steps is not None:
            assert code == 0
            break
        assert code == -9, code
        died += 1
        step += 1
    assert died >= 4, "the stage has steps to die between"


@pytest.mark.faults
def test_a_case_that_kills_its_worker_three_times_is_set_aside(region, files):
    drop(region, files)
    waiting = advance_to(region, "preprocess")
    for _ in range(3):
        code, _ = spawn(plan(region, waiting, 3))
        assert code == -9
        region.with_limits(lease=-1)
        rescue.reclaim(region.parts)
    case = region.one("SELECT state, reason_code FROM cases")
    assert case == {"state": "quarantined", "reason_code": "worker-lost"}
    assert next_run(region) is None
