"""A RabbitMQ node of the measurement's own, from Debian's package, where that is installed."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from teledx.leash import Leash
from teledx.supervisor import Supervisor
from tests.servers.rabbitmq import SERVER, RabbitMQ


@dataclass(frozen=True, kw_only=True)
class Node:
    """A running node: its AMQP address and its process."""

    url: str
    pid: int


@contextmanager
def rabbitmq() -> Iterator[Node | None]:
    """None where the package is missing: the figures on RabbitMQ are then left out, and the table says so."""
    if not SERVER.exists():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="teledx-bench-", ignore_cleanup_errors=True) as folder:
        node = RabbitMQ(Path(folder), Leash())
        # until the node answers, pika reports each refusal as an error
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        with Supervisor([node.program], logs=Path(folder) / "log") as supervisor:
            supervisor.wait_ready(60)
            pid = supervisor.pid(node.program.name)
            assert pid is not None, "it is ready"
            yield Node(url=node.url, pid=pid)
