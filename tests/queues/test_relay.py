"""The relay and both brokers: messages wake, rows are the truth, nothing is lost with a broker."""

import json
import threading

import dramatiq
import pika
import pytest

from cases.stages import LANES
from queues import broker
from queues.relay import Relay, RelaySettings
from storage import runs
from tests.servers.server import until


def add(rows, case_id, priority="routine"):
    with rows.transaction() as connection:
        runs.add(
            connection,
            case_id=case_id,
            stage="preprocess",
            case_version=1,
            family="dicom",
            priority=priority,
            clinic="a",
        )


class Heard:
    """An actor that remembers what it was woken for, and ends the run as a worker would."""

    def __init__(self, rows, on):
        self.calls = []
        self._rows = rows
        dramatiq.actor(actor_name=broker.ACTOR, queue_name=broker.queue_of(LANES[0]), broker=on)(self.run)
        broker.declare(on, LANES)
        self.worker = dramatiq.Worker(
            on, queues={broker.queue_of(lane) for lane in LANES}, worker_threads=2, worker_timeout=50
        )

    def run(self, case_id, stage, version):
        run = runs.claim(self._rows, case_id=case_id, stage=stage, case_version=version, owner="w")
        if run is not None:
            with self._rows.transaction() as connection:
                runs.end(connection, run, "done")
            self.calls.append(case_id)


@pytest.fixture(params=["in process", "rabbitmq"])
def each_broker(request):
    if request.param == "in process":
        made: dramatiq.Broker = broker.in_process()
    else:
        made = broker.LaneBroker([request.getfixturevalue("rabbitmq").url], quorum=False)
    yield made
    made.close()


def test_each_waiting_run_is_woken_and_run_exactly_once(rows, each_broker):
    heard = Heard(rows, each_broker)
    relay = Relay(rows, each_broker, RelaySettings(name="r", lanes=LANES, window=5, poll=0.2))
    for number in range(30):
        add(rows, f"case-{number}")
    heard.worker.start()
    relay.start()
    try:
        until(lambda: len(heard.calls) >= 30, what="all runs")
    finally:
        relay.stop()
        heard.worker.stop()
    assert sorted(heard.calls) == sorted(f"case-{n}" for n in range(30))


def test_a_message_is_case_stage_and_version_and_nothing_else(rows, rabbitmq):
    made = broker.LaneBroker([rabbitmq.url], quorum=False)
    Heard(rows, made)
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url))
    channel = connection.channel()
    channel.queue_purge(broker.queue_of("dicom.standard"))
    add(rows, "K7QX-3M9D")
    Relay(rows, made, RelaySettings(name="r", lanes=LANES, window=5)).relay_once()
    _, _, body = channel.basic_get(broker.queue_of("dicom.standard"), auto_ack=True)
    connection.close()
    made.close()
    told = json.loads(body)
    assert told["args"] == ["K7QX-3M9D", "preprocess", 1]
    assert (told["kwargs"], told["options"]) == ({}, {})


def test_a_broker_that_is_away_marks_nothing_and_is_waited_for(rows, rabbitmq):
    made = broker.LaneBroker([rabbitmq.url], quorum=False)
    heard = Heard(rows, made)
    heard.worker.start()
    relay = Relay(rows, made, RelaySettings(name="r", lanes=LANES, window=5, poll=0.2))
    relay.start()
    try:
        rabbitmq.kill()
        for number in range(5):
            add(rows, f"away-{number}")
        rabbitmq.start()
        until(lambda: len(heard.calls) == 5, seconds=60, what="all runs after the broker is back")
    finally:
        relay.stop()
        heard.worker.stop()
        made.close()
    assert len(set(heard.calls)) == 5


def test_of_two_leading_relays_one_relays_and_the_other_takes_over(rows, each_broker):
    heard = Heard(rows, each_broker)
    heard.worker.start()
    relays = [
        Relay(rows, each_broker, RelaySettings(name=f"r{n}", lanes=LANES, window=5, poll=0.1, lead=True))
        for n in range(2)
    ]
    for relay in relays:
        relay.start()
    try:
        add(rows, "first")
        until(lambda: heard.calls == ["first"], what="the first run")
        leader = rows_publisher(rows, "first")
        relays[int(leader[1])].stop()
        add(rows, "second")
        until(lambda: heard.calls == ["first", "second"], what="the second run")
        assert rows_publisher(rows, "second") != leader
    finally:
        for relay in relays:
            relay.stop()
        heard.worker.stop()
    assert threading.active_count() < 50


def rows_publisher(rows, case_id):
    with rows.transaction() as connection:
        return connection.execute(
            "SELECT published_by AS p FROM stage_run WHERE case_id = %s", (case_id,)
        ).fetchone()["p"]
