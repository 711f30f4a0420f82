"""Registering the stages on a given broker, and running one worker process until it is told to stop."""

from __future__ import annotations

from collections.abc import Sequence

import dramatiq

from queues.broker import ACTOR, queue_of
from workers.stage import Runner


def register(broker: dramatiq.Broker, runner: Runner, lanes: Sequence[str]) -> None:
    """Register the one actor that all messages name; the caller declares the lanes' queues."""

    def run_stage(case_id: str, stage: str, case_version: int) -> None:
        runner.run(case_id, stage, case_version)

    dramatiq.actor(actor_name=ACTOR, queue_name=queue_of(lanes[0]), broker=broker)(run_stage)


def worker(broker: dramatiq.Broker, lane: str, threads: int) -> dramatiq.Worker:
    """A dramatiq worker of `threads` threads on the lane's queue; the caller starts and stops it."""
    made = dramatiq.Worker(broker, queues={queue_of(lane)}, worker_threads=threads, worker_timeout=100)
    # one message for each thread: one that waits inside a busy process could run at once in another
    made.queue_prefetch = made.delay_prefetch = threads
    return made
