"""The house that is measured: the embedded servers with the region's door, and worker processes started for a round."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cases.documents import ReportBody
from cases.network import Network
from storage import readings, signing
from storage.database import Database
from storage.runs import CHANNEL
from storage.s3 import S3, S3Settings
from teledx import bootstrap
from teledx.house import House
from teledx.program import Program
from teledx.settings import Settings
from teledx.supervisor import Supervisor
from workers.parts import Parts

SERVERS = ("postgres", "seaweedfs", "gateway-region")
START_SECONDS = 120.0
FINDINGS = ReportBody(findings="两肺纹理清晰,未见实变影。", conclusion="胸部未见明显异常。")


class _Servers(House):
    """The embedded house without workers, pages and what else is not among `kept`."""

    kept: Sequence[str] = SERVERS

    def _programs(self) -> list[Program]:
        return [p for p in super()._programs() if p.name in self.kept]


class _WithReaders(_Servers):
    """The partners' door too."""

    kept = (*SERVERS, "gateway-partner")


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """One worker process: a name of its own, its role, and settings beside the house's."""

    name: str
    role: str = "all"
    settings: Mapping[str, str] = ()  # type: ignore[assignment]


class Deployment:
    """Servers that run, and everything that a measurement asks of them."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.network: Network = house.network
        self._folder = folder
        told = {
            k.removeprefix("TELEDX_").lower(): v for k, v in house.environment("region", "worker").items()
        }
        self.settings = Settings(**told)  # type: ignore[arg-type]  # pydantic reads the strings
        self.parts: Parts = bootstrap.worker_parts(self.settings)
        self.rows: Database = self.parts.database
        admin = house.identity("administrator")
        self.s3 = S3(
            S3Settings(url=house.store.url, access_key=admin.access_key, secret_key=admin.secret_key)
        )

    def close(self) -> None:
        self.parts.child.close()
        self.rows.close()

    @contextmanager
    def workers(self, *plans: WorkerPlan) -> Iterator[dict[str, int]]:
        """Real worker processes for the length of the block, all of them at work; gives their pids by name."""
        logs = Path(tempfile.mkdtemp(prefix="workers-", dir=self._folder))
        programs = [self._worker(plan, logs / plan.name) for plan in plans]
        self.logs = logs
        with Supervisor(programs, logs=logs) as supervisor:
            supervisor.wait_ready(START_SECONDS)
            pids = {plan.name: supervisor.pid(plan.name) for plan in plans}
            yield {name: pid for name, pid in pids.items() if pid}
            if any(s.restarts for s in supervisor.standings()):
                raise RuntimeError("a worker died during the measurement")

    def _worker(self, plan: WorkerPlan, scratch: Path) -> Program:
        env = (
            self.house.environment("region", "worker")
            | {"TELEDX_SCRATCH": str(scratch)}
            | dict(plan.settings)
        )
        return Program(
            name=plan.name,
            argv=(sys.executable, "-m", "teledx", "worker", "--role", plan.role),
            env=env,
            ready=lambda: any(scratch.rglob("alive")),
            stop_seconds=40,
        )

    def fetch(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self.rows.transaction() as connection:
            return connection.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        """The first column of the only row."""
        (row,) = self.fetch(query, *values)
        return next(iter(row.values()))

    def hold_back(self) -> None:
        """No run that waits now may start before `release`."""
        self.fetch("UPDATE stage_run SET not_before = 'infinity' WHERE outcome IS NULL RETURNING id")

    def release(self) -> float:
        """Let everything start at once; returns the moment in seconds since 1970, by the database's clock."""
        with self.rows.transaction() as connection:
            connection.execute(
                "UPDATE stage_run SET not_before = clock_timestamp() WHERE not_before = 'infinity'"
            )
            connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
            row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8 AS at").fetchone()
        assert row is not None, "SELECT gives a row"
        at: float = row["at"]
        return at

    def wait(self, what: str, condition: Callable[[], bool], seconds: float, every: float = 0.05) -> None:
        """Return when `condition` holds; TimeoutError with the states of all cases if it does not in time."""
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                states = self.fetch(
                    "SELECT state, reason_code, reason_detail, count(*) FROM cases GROUP BY 1, 2, 3"
                    " UNION ALL SELECT stage, outcome, error, count(*) FROM stage_run"
                    " WHERE outcome IS DISTINCT FROM 'done' GROUP BY 1, 2, 3"
                )
                raise TimeoutError(
                    f"{what} did not happen within {seconds:.0f} s: {[tuple(s.values()) for s in states]}"
                )
            time.sleep(every)

    def sign_waiting(self, accession: str) -> int:
        """Claim and sign every waiting work item of cases whose accession number is LIKE `accession`; how many."""
        waiting = self.fetch(
            "SELECT w.id, w.partner FROM work_item w JOIN vault.case_order o ON o.case_id = w.case_id"
            " WHERE w.state = 'SCHEDULED' AND o.accession_number LIKE %s ORDER BY w.created_at",
            accession,
        )
        for item in waiting:
            reader = self._reader(item["partner"])
            with self.rows.transaction() as connection:
                readings.claim(connection, item["id"], reader)
                signing.sign(connection, item["id"], reader, FINDINGS)
        return len(waiting)

    def _reader(self, partner: str) -> str:
        return next(a.id for a in self.network.accounts if a.organisation == partner and a.role == "reader")

    def clinics(self, service: str) -> Sequence[str]:
        """The clinics that may ask for the service."""
        return [c.id for c in self.network.clinics if service in c.services]

    @property
    def server_pids(self) -> dict[str, int]:
        return {name: pid for name in SERVERS if (pid := self.house.supervisor.pid(name))}


@contextmanager
def deployed(*, readers: bool = False) -> Iterator[Deployment]:
    """Servers in a folder of their own, gone afterwards; on ports that the kernel chose.

    `readers`: with the partners' gateway.
    """
    with tempfile.TemporaryDirectory(prefix="teledx-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL does not run as root and must be able to enter
        house = (_WithReaders if readers else _Servers)(folder / "house")
        with house.supervisor:
            house.supervisor.wait_ready(START_SECONDS)
            deployment = Deployment(house, folder)
            try:
                yield deployment
            finally:
                deployment.close()
