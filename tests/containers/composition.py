"""The composition of docker-compose.yml under a name of its own, on ports that are free."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from teledx.embedded.ports import free_ports
from tests.containers.daemon import Docker

ROOT = Path(__file__).parents[2]
COMPOSE = Path(sys.executable).with_name("docker-compose")
PORTS = ("S3", "REGION", "PARTNER", "DASHBOARD")


class Composition:
    """`compose()` runs its commands; containers are named by service."""

    def __init__(self, docker: Docker, secrets: Path, project: str = "teledx-test") -> None:
        self.docker = docker
        self.secrets = secrets
        self.project = project
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.environment = docker.environment | {
            "COMPOSE_PROJECT_NAME": project,
            "TELEDX_SECRETS_FOLDER": str(secrets),
            "TELEDX_S3_PUBLIC_URL": self.url("S3"),
            "TELEDX_LEASE_SECONDS": "15",
            "TELEDX_HEARTBEAT_SECONDS": "3",
            **{f"TELEDX_{name}_PORT": str(port) for name, port in self.ports.items()},
        }

    def url(self, name: str) -> str:
        """A published address: S3, REGION, PARTNER or DASHBOARD."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def compose(self, *words: str, check: bool = True, seconds: float = 600) -> str:
        """A `docker compose` command's standard output; AssertionError with what it said, if it fails."""
        done = subprocess.run(
            [COMPOSE, "--file", ROOT / "docker-compose.yml", *words],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, (
            f"{words}: {done.stdout[-4000:]}{done.stderr[-4000:]}{self._told()}"
        )
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, those that have ended too."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def container(self, service: str) -> str:
        (found,) = self.containers(service)
        return found

    def inspect(self, container: str) -> dict[str, Any]:
        """All that the daemon knows of a container."""
        (found,) = json.loads(self.docker.run("inspect", container).stdout)
        return dict(found)

    def make_secrets(self, *options: str) -> None:
        """Run the project's own script; `options` are for it."""
        sample = ROOT / "teledx" / "sample_network.toml"
        words = [str(ROOT / "script" / "compose-secrets"), str(self.secrets), str(sample), *options]
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def within(self, service: str, *words: str, check: bool = True) -> str:
        """Standard output of a command inside the service's first container."""
        return self.docker.run("exec", self.containers(service)[0], *words, check=check).stdout

    def _told(self) -> str:
        """The end of every log, for the report of a failure."""
        done = subprocess.run(
            [COMPOSE, "--file", ROOT / "docker-compose.yml", "logs", "--no-color", "--tail=25"],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return f"\n{done.stdout[-12000:]}"
