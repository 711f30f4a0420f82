"""No-op dramatiq messages over the same brokers and as many processes: what moving work costs without the work."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

import dramatiq

from queues import broker as brokers

QUEUE = "noop"
WAIT_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class _Share:
    """What a process is told: the broker ('' for the one inside it), threads, messages that it enqueues itself."""

    url: str
    threads: int
    enqueue: int


class _Count:
    """Counts messages over all processes and says when the last one was done."""

    def __init__(self, context: Any, total: int) -> None:
        self._left = context.Value("q", total)
        self.all_done = context.Event()

    def one_done(self) -> None:
        with self._left.get_lock():
            self._left.value -= 1
            if self._left.value == 0:
                self.all_done.set()


def messages_per_second(url: str, processes: int, threads: int, messages: int) -> float:
    """Send `messages` with `url`'s broker (confirmed), or inside each process where it is '', and see all consumed."""
    context = multiprocessing.get_context("spawn")
    count, ready = _Count(context, messages), context.Barrier(processes + 1)
    shares = [messages // processes + (n < messages % processes) for n in range(processes)]
    plans = [_Share(url=url, threads=threads, enqueue=0 if url else share) for share in shares]
    running = [context.Process(target=_consume, args=(plan, count, ready), daemon=True) for plan in plans]
    for process in running:
        process.start()
    sender = _broker(url, lambda: None) if url else None
    ready.wait(WAIT_SECONDS)
    began = time.perf_counter()
    for _ in range(messages if sender else 0):
        assert sender is not None, "only a broker outside has a sender"
        sender.enqueue(_message())
    if not count.all_done.wait(WAIT_SECONDS):
        raise TimeoutError("the no-op messages were not all consumed")
    seconds = time.perf_counter() - began
    for process in running:
        process.join(30)
    if sender:
        sender.close()
    return messages / seconds


def _consume(plan: _Share, count: _Count, ready: Barrier) -> None:
    broker = _broker(plan.url, count.one_done)
    worker = dramatiq.Worker(broker, queues={QUEUE}, worker_threads=plan.threads, worker_timeout=100)
    worker.start()
    ready.wait(WAIT_SECONDS)
    for _ in range(plan.enqueue):
        broker.enqueue(_message())
    count.all_done.wait(WAIT_SECONDS)
    worker.stop()
    broker.close()


def _broker(url: str, act: Any) -> dramatiq.Broker:
    broker = brokers.LaneBroker([url], quorum=False) if url else brokers.in_process()
    dramatiq.actor(actor_name="noop", queue_name=QUEUE, broker=broker)(act)
    broker.declare_queue(QUEUE)
    return broker


def _message() -> dramatiq.Message[None]:
    return dramatiq.Message(queue_name=QUEUE, actor_name="noop", args=(), kwargs={}, options={})
