"""A worker killed (-9) between every two steps of every stage: the case still ends where it should, exactly once, and
no object is orphaned or overwritten."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from storage import runs
from teledx.samples import orders, studies
from teledx.samples.slide import make_slide
from tests.faults.counting import Plan, spawn
from tests.faults.way import MILESTONES, advance_to, next_run, objects, rows, sign, tidy, unfinished_uploads
from tests.region import Region
from tests.servers.postgres import TestDatabase
from workers import intake, rescue

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
NUMBER, BLOCK, STAIN = "S26-01234", "A1", "HE"
STAGES = [
    *(("ct", stage) for stage in ("receive", "preprocess", "deidentify", "route", "deliver", "return")),
    pytest.param("slide", "deidentify", marks=pytest.mark.exhaustive),
]


@pytest.fixture
def region(database, object_store, tmp_path):
    region = Region(database, object_store, tmp_path / "scratch")
    yield region
    region.close()


@pytest.fixture(scope="module")
def ct():
    return {"a.dcm": studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT)}


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "made.svs"
    made = make_slide(
        path,
        size=6_500_000,
        pathology_number=NUMBER,
        block=BLOCK,
        stain=STAIN,
        patient_name=PATIENT.name_latin,
    )
    return {"a.svs": made.read_bytes()}


def drop(region, files):
    lines = [orders.file_line(name, content) for name, content in files.items()]
    if "a.svs" in files:
        line = orders.slide_line("a.svs", pathology_number=NUMBER, block=BLOCK, stain=STAIN)
        order = orders.order("histology", PATIENT, lines, accession_number="P-1", slides=[line])
    else:
        order = orders.order("ct", PATIENT, lines, accession_number="CT-1")
    region.drop("jiangshan", order, files)
    intake.scan(region.parts)


@dataclass(frozen=True)
class Origin:
    """A case that stands before a stage: its database, from which every attempt takes a copy, and its buckets."""

    region: Region
    database: TestDatabase
    waiting: tuple[str, str, int]
    before: dict
    inbox: dict

    @classmethod
    def before_stage(cls, region, stage):
        waiting = advance_to(region, stage)
        inbox = {f.key: region.s3.get("inbox", f.key) for f in region.s3.listing("inbox", "")}
        region.rows.close()
        return cls(region, region.database, waiting, objects(region), inbox)

    def plan(self, database, scratch, die_at, reads):
        case, stage, version = self.waiting
        return Plan(
            reads=reads,
            database_url=database.region_url, s3=self.region.s3.settings, keyring=self.region.keyring, scratch=scratch,
            case_id=case, stage=stage, case_version=version, die_at=die_at,
        )  # fmt: skip

    def give_back(self):
        """The buckets as they were before the stage."""
        now = objects(self.region)
        for zone in {zone for zone, _ in now}:
            self.region.s3.delete(zone, [key for z, key in now.keys() - self.before.keys() if z == zone])
        kept = {f.key for f in self.region.s3.listing("inbox", "")}
        self.region.s3.delete("inbox", sorted(kept - self.inbox.keys()))
        for key in self.inbox.keys() - kept:
            self.region.s3.replace("inbox", key, self.inbox[key], "application/octet-stream")


def attempt(postgres, object_store, origin, scratch, die_at, reads):
    """Run the stage with a worker that dies at the step, and then as the network goes on: (exit code, steps, seen)."""
    database = postgres.copy(origin.database)
    region = Region(database, object_store, scratch, like=origin.region)
    try:
        code, steps = spawn(origin.plan(database, scratch, die_at, reads))
        with region.rows.transaction() as connection:
            runs.reclaim(connection, lease=-1)
        if next_run(region) == origin.waiting:
            region.runner.run(*origin.waiting)
        tidy(region)
        assert not unfinished_uploads(region)
        there = objects(region)
        claimed = {(r["zone"], r["key"]) for r in region.fetch("SELECT zone, key FROM object")}
        assert there.keys() == claimed, "no object without its row, no row without its object"
        assert origin.before.items() <= there.items(), "what was there was neither overwritten nor deleted"
        return code, steps, (there, rows(region))
    finally:
        region.close()
        postgres.drop(database)
        origin.give_back()


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("files", "stage"), STAGES)
def test_a_worker_killed_between_any_two_steps_changes_nothing(
    database, postgres, object_store, tmp_path, request, files, stage
):
    """One worker lives, then one dies at each of its steps; every time each row and each object is the same after."""
    region, reads = Region(database, object_store, tmp_path / "scratch"), files == "ct"
    try:
        drop(region, request.getfixturevalue(files))
        origin = Origin.before_stage(region, stage)
        code, steps, expected = attempt(postgres, object_store, origin, tmp_path / "lives", 0, reads)
        assert code == 0
        assert steps >= 4, "the stage has steps to die between"
        for step in range(1, steps + 1):
            code, _, seen = attempt(postgres, object_store, origin, tmp_path / f"dies-{step}", step, reads)
            assert code == -9, f"the worker ended with {code} before step {step} of {steps}"
            assert seen == expected, f"killed at step {step} of {steps}"
    finally:
        region.close()


@pytest.mark.faults
@pytest.mark.parametrize("files", ["ct", "slide"])
def test_a_worker_killed_once_in_every_stage_loses_nothing_of_the_way(region, request, files):
    drop(region, request.getfixturevalue(files))
    while (waiting := next_run(region)) or sign(region):
        if waiting is None:
            continue
        plan = Plan(
            database_url=region.rows.url, s3=region.s3.settings, keyring=region.keyring, scratch=region.parts.scratch,
            case_id=waiting[0], stage=waiting[1], case_version=waiting[2], die_at=4,
        )  # fmt: skip
        assert spawn(plan)[0] == -9
        region.with_limits(lease=-1)
        rescue.reclaim(region.parts)
        if next_run(region) == waiting:
            region.runner.run(*waiting)
    tidy(region)
    assert region.one("SELECT state FROM cases")["state"] == "returned"
    names = [row["name"] for row in region.fetch("SELECT name FROM milestone ORDER BY id")]
    assert tuple(names) == MILESTONES, "each milestone once, in order"
    assert region.one("SELECT count(*) AS n FROM report_version")["n"] == 1


@pytest.mark.faults
def test_a_case_that_kills_its_worker_three_times_is_set_aside(region, ct):
    drop(region, ct)
    waiting = advance_to(region, "preprocess")
    plan = Plan(
        database_url=region.rows.url, s3=region.s3.settings, keyring=region.keyring, scratch=region.parts.scratch,
        case_id=waiting[0], stage=waiting[1], case_version=waiting[2], die_at=4,
    )  # fmt: skip
    for _ in range(3):
        assert spawn(plan)[0] == -9
        region.with_limits(lease=-1)
        rescue.reclaim(region.parts)
    case = region.one("SELECT state, reason_code FROM cases")
    assert case == {"state": "quarantined", "reason_code": "worker-lost"}
    assert next_run(region) is None
