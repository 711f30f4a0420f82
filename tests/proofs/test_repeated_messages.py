"""Messages that come twice, three times, late and in any order have exactly one effect."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from cases.stages import LANES
from queues.broker import LaneBroker, declare
from queues.relay import Relay, RelaySettings
from storage import runs
from teledx.samples import orders, studies
from tests.faults.way import MILESTONES, advance_to, next_run, objects, sign, tidy
from tests.servers.server import until
from workers import actors, intake
from workers.leases import Leases
from workers.stage import Runner

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
CASES = 4


def drop(region, number):
    patient = orders.PATIENTS[number % len(orders.PATIENTS)]
    content = studies.single("CT_small.dcm", patient, station="CT1", at=AT)
    order = orders.order("ct", patient, [orders.file_line("a.dcm", content)], accession_number=f"CT-{number}")
    region.drop(("jiangshan", "wuxiang")[number % 2], order, {"a.dcm": content})


class Repeating(LaneBroker):
    """Sends every message three times, and with it some older ones once more, in any order."""

    def __init__(self, url):
        super().__init__([url], quorum=False)
        self.sent = []
        self._dice = random.Random(7)
        self._lock = threading.Lock()

    def enqueue(self, message, *, delay=None):
        with self._lock:
            self.sent.append(message)
            older = self._dice.sample(self.sent, min(2, len(self.sent)))
            several = [message, message, message, *older]
            self._dice.shuffle(several)
        for each in several:
            super().enqueue(each.copy(), delay=delay)
        return message


class Counting(Runner):
    """Counts how often it was woken."""

    woken = 0

    def run(self, case_id, stage, case_version):
        type(self).woken += 1
        super().run(case_id, stage, case_version)


def check(region, count):
    tidy(region)
    for case in region.fetch("SELECT id, state FROM cases"):
        assert case["state"] == "returned"
        names = region.fetch("SELECT name FROM milestone WHERE case_id = %s ORDER BY id", case["id"])
        assert tuple(n["name"] for n in names) == MILESTONES, "each milestone once, in order"
    assert region.one("SELECT count(*) AS n FROM cases")["n"] == count
    assert region.one("SELECT count(*) AS n FROM report_version")["n"] == count
    assert region.one("SELECT count(*) AS n FROM work_item")["n"] == count
    assert region.one("SELECT count(*) AS n FROM stage_run")["n"] == 6 * count
    assert region.fetch("SELECT * FROM stage_run WHERE attempt <> 1 OR outcome <> 'done'") == []
    claimed = {(r["zone"], r["key"]) for r in region.fetch("SELECT zone, key FROM object")}
    ours = {r["id"] for r in region.fetch("SELECT id FROM cases")}
    assert {place for place in objects(region) if place[1].partition("/")[0] in ours} == claimed


@pytest.mark.faults
@pytest.mark.slow
def test_messages_sent_three_times_and_shuffled_have_one_effect_on_the_real_broker(region, rabbitmq):
    Counting.woken = 0
    workers, leases = [], []
    consuming = [LaneBroker([rabbitmq.url], quorum=False) for _ in range(2)]
    for number, broker in enumerate(consuming):
        leases.append(Leases(region.rows, 5))
        actors.register(
            broker, Counting(parts=region.parts, leases=leases[-1], owner=f"worker-{number}"), LANES
        )
        declare(broker, LANES)
        workers += [actors.worker(broker, lane, 1) for lane in LANES]
    publishing = Repeating(rabbitmq.url)
    relay = Relay(
        region.rows, publishing, RelaySettings(name="relay", lanes=LANES, window=8, poll=0.2, lead=True)
    )
    starts = [each.start for each in leases] + [each.start for each in workers] + [relay.start]
    for start in starts:
        start()
    try:
        for number in range(CASES):
            drop(region, number)
        intake.scan(region.parts)

        def returned():
            sign(region)
            return region.one("SELECT count(*) AS n FROM cases WHERE state = 'returned'")["n"] == CASES

        until(returned, seconds=200, what="the return of every report")
        sent = len(publishing.sent)
        until(lambda: Counting.woken >= 3 * sent, seconds=30, what="the repeated messages")
    finally:
        relay.stop()
        for worker in workers:
            worker.stop()
        for each in leases:
            each.stop()
        for broker in (*consuming, publishing):
            broker.close()
    assert sent == 6 * CASES
    check(region, CASES)


@pytest.mark.faults
def test_a_message_heard_by_eight_threads_at_once_runs_once_and_old_ones_never_again(region):
    drop(region, 0)
    intake.scan(region.parts)
    heard = []
    with ThreadPoolExecutor(8) as pool:
        while (waiting := next_run(region)) or sign(region):
            if waiting is None:
                continue
            heard.append(waiting)
            again = [waiting] * 8 + heard[:-1]
            random.Random(len(heard)).shuffle(again)
            for _ in pool.map(lambda wake: region.runner.run(*wake), again):
                continue
    assert len(heard) == 6
    check(region, 1)


@pytest.mark.faults
def test_a_worker_that_comes_back_too_late_commits_nothing(region):
    """Another worker took the run over; what the first one still holds is refused, and the case is none the wiser."""
    drop(region, 0)
    intake.scan(region.parts)
    case, stage, version = advance_to(region, "preprocess")
    late = runs.claim(region.rows, case_id=case, stage=stage, case_version=version, owner="late")
    assert late is not None
    with region.rows.transaction() as connection:
        runs.reclaim(connection, lease=-1)
    region.runner.run(case, stage, version)
    before = region.fetch("SELECT * FROM milestone ORDER BY id")
    slow = Runner(parts=region.parts, leases=Leases(region.rows, 10), owner="late")
    assert slow._attempt(late) == "stale"
    assert region.fetch("SELECT * FROM milestone ORDER BY id") == before
    region.settle()
    sign(region)
    region.settle()
    with region.rows.transaction() as connection:
        assert connection.execute("SELECT state FROM cases").fetchall() == [{"state": "returned"}]


@pytest.mark.faults
def test_the_same_drop_noticed_by_many_scans_at_once_is_one_case(region):
    for number in range(3):
        drop(region, number)
    with ThreadPoolExecutor(6) as pool:
        found = sum(pool.map(lambda _: intake.scan(region.parts), range(12)))
    assert found == 3, "each drop became complete once"
    region.settle()
    assert region.one("SELECT count(*) AS n FROM cases")["n"] == 3
    assert region.one("SELECT count(*) AS n FROM vault.drops")["n"] == 3
