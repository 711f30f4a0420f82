"""A Docker daemon of the tests' own: its folders, socket, addresses and firewall rules end with it.

It shares the machine's network namespace, so that an image's build reaches the package index as the machine does. It
makes no bridge of its own; Compose makes one for each network of the composition, from addresses of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from teledx.leash import Leash
from teledx.program import Program
from tests.servers.server import Server

PROGRAMS = ("dockerd", "debootstrap", "iptables-save")
TABLES = ("filter", "nat")
DOCKER = Path("/usr/bin/docker")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
ADDRESSES = "10.213.0.0/16"
COMMAND_SECONDS = 600


class Docker:
    """The daemon and its command line."""

    def __init__(self, folder: Path, leash: Leash) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        _sweep()
        self._rules = _firewall()
        self._forwarding = FORWARDING.read_text()
        program = Program(
            name="dockerd",
            argv=("dockerd", *_arguments(folder)),
            ready=lambda: self.run("version", check=False).returncode == 0,
            stop_seconds=60,
        )
        self._server = Server(program, folder, leash)

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to speak to this daemon and no other."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_"))
        }
        return kept | {
            "DOCKER_HOST": self.host,
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CONFIG": str(self.folder / "config"),
        }

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """Stop the daemon with all its containers, and give the machine back as it was."""
        self._server.stop()
        _undo_firewall(self._rules)
        FORWARDING.write_text(self._forwarding)
        subprocess.run(["rm", "-rf", self.folder], check=True)  # a quarter of a million files

    def run(
        self, *words: str | Path, check: bool = True, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """A `docker` command; AssertionError with what it said, if it fails."""
        done = subprocess.run(
            [DOCKER, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"docker {words}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
        return done

    def build(self, context: Path, tag: str, *, target: str = "") -> None:
        """An image from a Dockerfile, its build on the machine's own network."""
        wanted = ("--target", target) if target else ()
        self.run("build", "--quiet", "--network", "host", *wanted, "--tag", tag, context)

    def import_root(self, root: Path, tag: str) -> None:
        """An image from the archive of a root file system."""
        self.run("import", root, tag)


def _arguments(folder: Path) -> tuple[str, ...]:
    return (
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid",
        f"--host=unix://{folder}/docker.sock",
        "--bridge=none",
        f"--default-address-pool=base={ADDRESSES},size=24",
    )


def _sweep() -> None:
    """Take away the bridges, and the rules that name them, of a run that was killed before it could.

    A bridge that carries something is of a run that lives, and is left alone.
    """
    shown = subprocess.run(
        ["ip", "-json", "-4", "address"], capture_output=True, text=True, check=True
    ).stdout
    ours = [a for a in json.loads(shown) if any(i["local"].startswith(ADDRESSES[:7]) for i in a["addr_info"])]
    dead = [link["ifname"] for link in ours if "NO-CARRIER" in link["flags"]]
    for bridge in dead:
        # one that is gone meanwhile was taken away by the daemon that made it
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)
    for table in TABLES:
        for rule in _rules_of(table):
            if rule.startswith("-A") and set(rule.split()) & set(dead):
                _iptables(table, "-D", *rule.split()[1:])


def _firewall() -> dict[str, list[str]]:
    """The lines of `iptables-save` by table, without comments and counters."""
    return {table: _rules_of(table) for table in TABLES}


def _rules_of(table: str) -> list[str]:
    saved = subprocess.run(["iptables-save", "-t", table], capture_output=True, text=True, check=True).stdout
    return [line.partition(" [")[0] for line in saved.splitlines() if line.startswith((":", "-A"))]


def _undo_firewall(before: dict[str, list[str]]) -> None:
    """Take away what Docker put in since then, and nothing that others did: a daemon leaves its chains behind."""
    for table, lines in before.items():
        added = [line for line in _rules_of(table) if line not in lines]
        rules = [line.split() for line in added if line.startswith("-A") and "DOCKER" in line]
        chains = [line[1:].split()[0] for line in added if line.startswith(":DOCKER")]
        policies = [line[1:].split() for line in lines if line.startswith(":FORWARD")]
        for rule in rules:
            _iptables(table, "-D", *rule[1:])
        for step in ("-F", "-X"):
            for chain in chains:
                _iptables(table, step, chain)
        for chain, policy in policies:
            _iptables(table, "-P", chain, policy)


def _iptables(table: str, *words: str) -> None:
    subprocess.run(["iptables", "-w", "10", "-t", table, *words], check=True, capture_output=True)
