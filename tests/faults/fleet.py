"""Real worker and gateway processes on a test's region, as `teledx` starts them; their output is kept in files."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from teledx.embedded.ports import LOOPBACK, free_ports
from teledx.leash import Leash
from teledx.program import Program, answers_http, at_once
from tests.faults.way import sign
from tests.region import Region
from tests.servers.server import Server, until

# Short, so that what waits for a lost worker does not make the suite wait. The code is the same.
HURRY = {
    "TELEDX_HEARTBEAT_SECONDS": "0.5",
    "TELEDX_LEASE_SECONDS": "5",
    "TELEDX_INBOX_POLL_SECONDS": "0.5",
    "TELEDX_WORKER_THREADS": "2",
    "TELEDX_LOG_LEVEL": "debug",
}
TELEDX = ("-m", "teledx")


class Process(Server):
    """One program of ours; `members` are all processes that it has started and that still live, itself included."""

    @property
    def members(self) -> list[int]:
        return members(self.pid)

    def kill_alone(self) -> int:
        """SIGKILL for the leader alone, as the kernel does when memory runs out; returns the group's number."""
        group = self.pid
        os.kill(group, signal.SIGKILL)
        until(lambda: not self.running(), what="the end of the killed process")
        return group

    def peak(self) -> int:
        """The most memory, in bytes, that any one of its processes has held so far."""
        return max(peak_of(pid) for pid in self.members)

    def exit_code(self) -> int | None:
        assert self._process is not None
        return self._process.poll()


def members(group: int) -> list[int]:
    """The processes of a group that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def peak_of(pid: int) -> int:
    """VmHWM of a process in bytes; 0 if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


class Fleet:
    """Starts programs on a region; `close` stops them all."""

    def __init__(self, region: Region, folder: Path, leash: Leash, *, broker_url: str = "") -> None:
        self.region = region
        self.folder = folder
        self._leash = leash
        self._broker_url = broker_url
        self.processes: list[Process] = []
        self._write_keyring()

    def _write_keyring(self) -> None:
        keys = self.folder / "keys"
        keys.mkdir(parents=True)
        for name, secret in self.region.keyring.secrets.items():
            (keys / f"{name}.key").write_text(secret.hex())
        (keys / "current").write_text(self.region.keyring.current)

    def environment(self, side: str = "region") -> dict[str, str]:
        """What a program of a side is told."""
        s3, database = self.region.s3.settings, self.region.database
        told = {
            "TELEDX_DATABASE_URL": database.region_url if side == "region" else database.partner_url,
            "TELEDX_S3_URL": s3.url,
            "TELEDX_S3_ACCESS_KEY": s3.access_key,
            "TELEDX_S3_SECRET_KEY": s3.secret_key,
            "TELEDX_S3_BUCKET_PREFIX": s3.bucket_prefix,
            "TELEDX_SECRETS": str(self.folder / "no-secrets"),
            "TELEDX_BROKER_URLS": self._broker_url,
            "TELEDX_SCRATCH": str(self.folder / "scratch"),
        }
        return told | ({"TELEDX_KEYRING": str(self.folder / "keys")} if side == "region" else {}) | HURRY

    def worker(
        self,
        name: str,
        role: str = "all",
        *,
        program: tuple[str, ...] = TELEDX,
        told: Mapping[str, str] | None = None,
    ) -> Process:
        """A worker process of that role, with a scratch folder of its own."""
        scratch = {"TELEDX_SCRATCH": str(self.folder / f"scratch-{name}")}
        return self._start(
            name, (*program, "worker", "--role", role), self.environment() | scratch | dict(told or {})
        )

    def gateway(self, side: str) -> tuple[Process, str]:
        """A gateway process of a side, and its URL."""
        (port,) = free_ports(1)
        url = f"http://{LOOPBACK}:{port}"
        words = (*TELEDX, "gateway", "--side", side, "--host", LOOPBACK, "--port", str(port))
        return self._start(f"gateway-{side}", words, self.environment(side), url), url

    def _start(self, name: str, words: tuple[str, ...], told: Mapping[str, str], url: str = "") -> Process:
        program = Program(
            name=name,
            argv=(sys.executable, *words),
            env=told,
            cwd=Path(__file__).parents[2],
            ready=(lambda: answers_http(f"{url}/healthz")) if url else at_once,
            stop_seconds=40,
        )
        process = Process(program, self.folder / "log", self._leash)
        self.processes.append(process)
        process.start()
        return process

    def logs(self) -> dict[str, str]:
        """What each program has written, by its name."""
        return {p.program.name: p.log.read_text(errors="replace") for p in self.processes}

    def close(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    def settle(self, *, count: int, seconds: float = 280, states: tuple[str, ...] = ("returned",)) -> None:
        """Sign what is delivered until `count` cases have come to rest in one of `states`, and nothing runs."""

        def rested() -> bool:
            sign(self.region)
            found = self.region.fetch("SELECT state, count(*) AS n FROM cases GROUP BY state")
            waiting = self.region.one("SELECT count(*) AS n FROM stage_run WHERE outcome IS NULL")["n"]
            arriving = self.region.one(
                "SELECT count(*) AS n FROM vault.drops WHERE state IN ('arriving', 'complete')"
            )
            return (
                not waiting
                and not arriving["n"]
                and sum(r["n"] for r in found if r["state"] in states) == count
            )

        try:
            until(rested, seconds=seconds, what="the rest of all cases")
        except AssertionError:
            self._tell()
            raise

    def _tell(self) -> None:
        for row in self.region.fetch("SELECT id, state, version, reason_code, reason_detail FROM cases"):
            print(row)
        for row in self.region.fetch("SELECT * FROM stage_run WHERE outcome IS DISTINCT FROM 'done'"):
            print(row)
        for name, text in self.logs().items():
            print(f"----- {name}\n{text[-3000:]}")
