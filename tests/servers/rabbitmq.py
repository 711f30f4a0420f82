"""A private RabbitMQ node from Debian's package, with an epmd of its own; runs as any user."""

import secrets
from pathlib import Path

import pika
import pika.exceptions

from teledx.embedded.ports import LOOPBACK, free_ports
from teledx.leash import Leash
from teledx.program import Program
from tests.servers.server import Server

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PLUGINS = "[rabbitmq_management,rabbitmq_prometheus]."

# epmd beside the server in one process group, so that both end together. RUNNING_UNDER_SYSTEMD makes the server's
# script become the Erlang machine instead of watching over it, so that it hears SIGTERM itself.
START = f'epmd -address {LOOPBACK} -port "$ERL_EPMD_PORT" & exec {SERVER}'

CONFIGURATION = """
listeners.tcp.default = {host}:{port}
default_user = {user}
default_pass = {password}
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GB
"""
MANAGEMENT = """
management.tcp.ip = {host}
management.tcp.port = {management}
prometheus.tcp.ip = {host}
prometheus.tcp.port = {prometheus}
"""


class RabbitMQ(Server):
    """A private broker. `url` is its AMQP address, `management_url` that of its HTTP API where it was asked for."""

    def __init__(self, folder: Path, leash: Leash, *, management: bool = False) -> None:
        self.host = LOOPBACK
        self.port, distribution, epmd, http, prometheus = free_ports(5)
        self.user, self.password = "teledx", secrets.token_hex(12)
        self.url = f"amqp://{self.user}:{self.password}@{self.host}:{self.port}/%2F"
        self.management_url = f"http://{self.host}:{http}" if management else None
        self.home = home = folder / "rabbitmq"
        text = CONFIGURATION + (MANAGEMENT if management else "")
        configuration = text.format(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            management=http,
            prometheus=prometheus,
        )

        def prepare() -> None:
            home.mkdir(parents=True, exist_ok=True)
            (home / "rabbitmq.conf").write_text(configuration)
            (home / "enabled_plugins").write_text(PLUGINS if management else "[].")
            (home / "environment").touch()

        program = Program(
            name="rabbitmq",
            argv=("/bin/sh", "-c", START),
            env=environment(home, self.port, distribution, epmd),
            cwd=folder,
            prepare=prepare,
            ready=self.answers,
            stop_seconds=30,
        )
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(program, folder, leash)

    def answers(self) -> bool:
        """Whether a client may sign in."""
        try:
            pika.BlockingConnection(self.parameters()).close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True

    def parameters(self) -> pika.ConnectionParameters:
        """How pika connects, without patience."""
        return pika.ConnectionParameters(
            host=self.host,
            port=self.port,
            credentials=pika.PlainCredentials(self.user, self.password),
            socket_timeout=2,
            stack_timeout=3,
            blocked_connection_timeout=5,
        )


def environment(home: Path, port: int, distribution: int, epmd: int) -> dict[str, str]:
    """Everything that a node would otherwise share with another one on the same machine."""
    return {
        "HOME": str(home),
        "RUNNING_UNDER_SYSTEMD": "true",
        "RABBITMQ_NODENAME": f"teledx{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(epmd),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "environment"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
