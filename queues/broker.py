"""The two brokers: RabbitMQ through dramatiq and pika, and dramatiq's in-process broker for one worker process alone.

Retries, delays and time limits live in `stage_run`, so the broker carries none of dramatiq's middleware for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Middleware, ShutdownNotifications

from storage.runs import WakeUp

PREFIX = "teledx."
ACTOR = "run_stage"


def queue_of(lane: str) -> str:
    """The durable queue of a lane."""
    return f"{PREFIX}{lane}"


def _middleware() -> list[Middleware]:
    return [ShutdownNotifications()]


def in_process() -> StubBroker:
    """A broker inside this process: its messages die with it, and the rows that promised them are published again."""
    return StubBroker(middleware=_middleware())


class LaneBroker(RabbitmqBroker):
    """RabbitMQ with confirmed publishing; queues are of the quorum type where the cluster has three nodes."""

    def __init__(self, urls: Sequence[str], *, quorum: bool, heartbeat: int = 10) -> None:
        self._quorum = quorum
        joined = [f"{url}{'&' if '?' in url else '?'}heartbeat={heartbeat}&socket_timeout=10" for url in urls]
        super().__init__(url=joined, confirm_delivery=True, middleware=_middleware())

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        arguments: dict[str, Any] = super()._build_queue_arguments(queue_name)  # type: ignore[no-untyped-call]
        if self._quorum:
            arguments |= {"x-queue-type": "quorum", "x-delivery-limit": 5}
        return arguments


def declare(broker: dramatiq.Broker, lanes: Sequence[str]) -> None:
    """Declare the queues at start-up, long before anything is published to them.

    A quorum queue that a node loses within a second of its declaration loses confirmed messages with it.
    """
    for lane in lanes:
        broker.declare_queue(queue_of(lane))
        if isinstance(broker, RabbitmqBroker):
            broker.declare_queue(queue_of(lane), ensure=True)


def message(wake: WakeUp) -> dramatiq.Message[None]:
    """The wake-up as a message: case, stage and version, and nothing else."""
    return dramatiq.Message(
        queue_name=queue_of(wake.lane),
        actor_name=ACTOR,
        args=(wake.case_id, wake.stage, wake.case_version),
        kwargs={},
        options={},
    )
