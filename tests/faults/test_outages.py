"""Taking broker, database, store and workers away while cases flow between real processes: each case still ends where
it should, exactly once; nothing is orphaned, nothing is set aside because of an outage, no process outlives its worker.

The network runs on RabbitMQ with two worker processes; each test drops cases of its own and breaks one thing.
"""

import os
import signal
import time
from datetime import UTC, datetime

import pytest

from teledx.samples import orders, studies
from tests.faults.fleet import Fleet, members
from tests.faults.way import MILESTONES, objects, tidy, unfinished_uploads
from tests.region import Region
from tests.servers.server import until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
CASES = 5
AWAY_SECONDS = 10


class Network:
    """A region with two workers on RabbitMQ, and the count of cases dropped so far."""

    def __init__(self, region, fleet):
        self.region = region
        self.fleet = fleet
        self.dropped = 0

    def drop(self, count=CASES):
        """Drop CT cases of two images, of two clinics in turn."""
        for _ in range(count):
            self.dropped += 1
            files = {f"{n}.dcm": studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT) for n in "ab"}
            lines = [orders.file_line(name, content) for name, content in files.items()]
            clinic = ("jiangshan", "wuxiang")[self.dropped % 2]
            priority = "stat" if self.dropped % 5 == 0 else "routine"
            order = orders.order(
                "ct", PATIENT, lines, accession_number=f"CT-{self.dropped}", priority=priority
            )
            self.region.drop(clinic, order, files)

    def until_flowing(self):
        """Some case is on its way, and none of the newest has been delivered yet."""
        until(
            lambda: self.region.fetch("SELECT 1 FROM stage_run WHERE outcome IS NULL AND owner IS NOT NULL"),
            what="a stage that runs",
        )

    def check(self):
        """Every case ended where it should, exactly once, and the store holds exactly what rows claim."""
        self.fleet.settle(count=self.dropped)
        region = self.region
        tidy(region)
        for case in region.fetch("SELECT id, state FROM cases"):
            names = region.fetch("SELECT name FROM milestone WHERE case_id = %s ORDER BY id", case["id"])
            assert tuple(n["name"] for n in names) == MILESTONES, "each milestone once, in order"
        outcomes = {row["outcome"] for row in region.fetch("SELECT DISTINCT outcome FROM stage_run")}
        assert outcomes == {"done"}, "nothing was set aside, nothing failed"
        claimed = {(r["zone"], r["key"]) for r in region.fetch("SELECT zone, key FROM object")}
        assert objects(region).keys() == claimed, "no object without its row, no row without its object"
        assert not unfinished_uploads(region)
        assert region.one("SELECT count(*) AS n FROM vault.drops")["n"] == self.dropped
        assert region.one("SELECT count(*) AS n FROM report_version")["n"] == self.dropped
        assert not list(region.s3.listing("inbox", "jiangshan/x")), "nothing of ours in the inbox"
        for process in self.fleet.processes:
            assert process.running(), f"{process.program.name} ended by itself"


def says(process, words):
    """Return when it has logged these words."""
    until(lambda: words in process.log.read_text(), seconds=60, what=f"{words} in {process.log}")


@pytest.fixture(scope="module")
def network(postgres, object_store, rabbitmq, leash, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outages")
    database = postgres.new_database()
    region = Region(database, object_store, folder / "scratch")
    fleet = Fleet(region, folder, leash, broker_url=rabbitmq.url)
    for name in ("one", "two"):
        says(fleet.worker(name), "worker_started")
    yield Network(region, fleet)
    fleet.close()
    region.close()
    postgres.start()
    postgres.drop(database)


def test_cases_come_back_while_nothing_is_taken_away(network):
    network.drop(2)
    network.check()


def test_a_broker_that_is_killed_and_restarted_loses_and_doubles_no_case(network, rabbitmq):
    network.drop()
    network.until_flowing()
    rabbitmq.kill()
    network.drop(1)
    rabbitmq.start()
    network.check()


def test_a_worker_that_starts_while_the_broker_is_away_waits_for_it(network, rabbitmq):
    rabbitmq.kill()
    late, unwanted = (network.fleet.worker(name) for name in ("late", "unwanted"))
    for process in (late, unwanted):
        says(process, "broker_away")
    unwanted.stop()
    network.drop(1)
    rabbitmq.start()
    says(late, "worker_started")
    network.fleet.settle(count=network.dropped)
    late.stop()
    for process in (late, unwanted):
        network.fleet.processes.remove(process)
        assert "Traceback" not in process.log.read_text()
    assert "worker_started" not in unwanted.log.read_text()
    network.check()


@pytest.mark.parametrize("component", ["postgres", "object_store"])
def test_a_server_away_for_ten_seconds_sets_no_case_aside(network, component, request):
    server = request.getfixturevalue(component)
    network.drop()
    network.until_flowing()
    server.kill()
    time.sleep(AWAY_SECONDS)  # how long it is away is what the test is about
    server.start()
    network.check()


@pytest.mark.parametrize("number", [0, 1])  # one of the two leads the relay and the duties
def test_a_worker_that_hangs_is_replaced_and_what_it_does_afterwards_is_refused(network, number):
    network.drop()
    network.until_flowing()
    hung = network.fleet.processes[number]
    for pid in hung.members:
        os.kill(pid, signal.SIGSTOP)
    try:
        network.fleet.settle(count=network.dropped)
    finally:
        for pid in hung.members:
            os.kill(pid, signal.SIGCONT)
    network.check()


def test_a_killed_worker_leaves_no_process_behind_and_its_cases_go_on(network):
    network.drop()
    network.until_flowing()
    killed = network.fleet.processes[1]
    group = killed.kill_alone()
    until(lambda: not members(group), seconds=20, what="the end of the killed worker's children")
    killed.stop()
    killed.start()
    network.check()
