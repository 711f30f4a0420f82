"""Two hundred drops made to do harm, at one real worker: each ends with its reason, the worker lives, its memory stays
bounded, and a good case behind them all comes through."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from cases.reasons import REASONS
from teledx.samples.slide import make_slide
from tests.faults.fleet import Fleet, peak_of
from tests.proofs.hostile import BLOCK, NUMBER, PATIENT, STAIN, all_of_them, ct, ordered
from tests.region import Region
from tests.servers.server import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

MIB = 1 << 20
# Of the worker itself, and of any child of its: those read hostile bytes under a limit of their own.
WORKER_MAX, CHILD_MAX = 400 * MIB, 1500 * MIB
ENDED = ("received", "rejected", "quarantined")
RESTS = ("delivered", "quarantined", "rejected", "awaiting_clinic")


@pytest.fixture(scope="module")
def after(postgres, object_store, leash, tmp_path_factory):
    """What became of everything, once nothing moves any more."""
    folder = tmp_path_factory.mktemp("hostile")
    database = postgres.new_database()
    region = Region(database, object_store, folder / "scratch")
    fleet = Fleet(region, folder, leash)
    slide = make_slide(
        folder / "made.svs", size=800_000, pathology_number=NUMBER, block=BLOCK, stain=STAIN,
        patient_name=PATIENT.name_latin,
    ).read_bytes()  # fmt: skip
    try:
        yield After(region, fleet, all_of_them(slide))
    finally:
        fleet.close()
        region.close()
        postgres.start()
        postgres.drop(database)


class After:
    def __init__(self, region, fleet, drops):
        self.region, self.drops = region, drops
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(self._put, drops):
                continue
        self.worker = fleet.worker("worker", told={"TELEDX_ARRIVAL_MINUTES": "0.2"})
        self.pid = self.worker.pid
        self.children_peak = 0
        self._until_at_rest(len(drops))
        good = ordered("good", {"a.dcm": ct()})
        self._put(good)
        self._until_at_rest(len(drops) + 1)
        self.alive = self.worker.running()
        self.peak = peak_of(self.pid)
        self.log = self.worker.log.read_text()
        fleet.close()

    def _put(self, hostile):
        store, prefix = self.region.s3, f"jiangshan/{hostile.name}/"
        if len(hostile.files) > 100:
            with ThreadPoolExecutor(8) as pool:
                for _ in pool.map(
                    lambda f: store.replace("inbox", prefix + f[0], f[1], "x/x"), hostile.files.items()
                ):
                    continue
        else:
            for name, content in hostile.files.items():
                store.replace("inbox", prefix + name, content, "x/x")
        store.replace("inbox", f"{prefix}order.json", hostile.order, "application/json")

    def _until_at_rest(self, count):
        def rested():
            others = [pid for pid in self.worker.members if pid != self.pid]
            self.children_peak = max([self.children_peak, *map(peak_of, others)])
            open_runs = self.region.one("SELECT count(*) AS n FROM stage_run WHERE outcome IS NULL")["n"]
            ended = self.region.one(
                "SELECT count(*) AS n FROM vault.drops WHERE state = ANY(%s)", list(ENDED)
            )["n"]
            return not self.worker.running() or (not open_runs and ended >= count)

        try:
            until(rested, seconds=900, what="the end of every drop")
        except AssertionError:
            print(
                self.region.fetch(
                    "SELECT prefix, state FROM vault.drops WHERE NOT state = ANY(%s)", list(ENDED)
                )
            )
            print(self.region.fetch("SELECT * FROM stage_run WHERE outcome IS NULL"))
            print(self.worker.log.read_text()[-5000:])
            raise


def test_there_are_two_hundred_of_them(after):
    assert len(after.drops) >= 200
    assert len({h.name for h in after.drops}) == len(after.drops)


def test_each_ends_as_a_case_a_quarantine_or_a_rejection_with_its_reason(after):
    drops = after.region.fetch("SELECT prefix, state, reason_code, case_id FROM vault.drops")
    assert len(drops) == len(after.drops) + 1
    wrong = {}
    for drop in drops:
        name = drop["prefix"].split("/")[1]
        if drop["state"] in ("rejected", "quarantined"):
            if drop["reason_code"] not in REASONS:
                wrong[name] = drop
            continue
        case = after.region.one("SELECT state, reason_code FROM cases WHERE id = %s", drop["case_id"])
        reasoned = case["state"] == "delivered" or case["reason_code"] in REASONS
        if case["state"] not in RESTS or not reasoned:
            wrong[name] = case
    assert wrong == {}


def test_none_is_a_defect_of_the_software(after):
    failed = after.region.fetch(
        "SELECT d.prefix, r.stage, r.error FROM stage_run r JOIN vault.drops d ON d.id = r.case_id"
        " WHERE r.outcome = 'failed'"
    )
    assert failed == []
    for word in ("drop_not_looked_at", "drop_not_cleared", "duty_failed", "stage_failed"):
        assert word not in after.log, word


def test_nobody_dies_and_the_good_case_behind_them_all_is_delivered(after):
    assert after.alive
    case = after.region.one(
        "SELECT c.state FROM cases c JOIN vault.drops d ON d.case_id = c.id WHERE d.prefix = 'jiangshan/good/'"
    )
    assert case["state"] == "delivered"


def test_memory_stays_bounded(after):
    assert 0 < after.peak <= WORKER_MAX, f"{after.peak / MIB:.0f} MiB"
    assert after.children_peak <= CHILD_MAX, f"{after.children_peak / MIB:.0f} MiB"
