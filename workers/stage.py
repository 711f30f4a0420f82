"""The one wrapper around every stage: claim, load, run, commit; and what becomes of each kind of error.

A stage's function knows nothing of messages, leases or transactions.
"""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from cases.errors import NotAllowed, SetAside, TeledxError, Transient
from cases.stages import STAGES, Stage
from storage import cases, circuits, runs, transition
from storage.database import Connection
from storage.objects import RunObjects
from storage.runs import Run
from storage.transition import Done, LostOwnership
from workers import deidentify, deliver, preprocess, receive, return_, route
from workers.facts import FACTS
from workers.leases import Leases
from workers.parts import Parts, Pause, Tools, Work
from workers.progress import RunProgress

log = structlog.get_logger()

# What each stage runs. `receive` has a drop and no case yet, so it commits by itself.
FUNCTIONS: Mapping[str, Callable[[Work, Tools], Done | Pause]] = {
    "preprocess": preprocess.preprocess,
    "deidentify": deidentify.deidentify,
    "route": route.route,
    "deliver": deliver.deliver,
    "return": return_.return_report,
}


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs stages for one worker process, named `owner`."""

    parts: Parts
    leases: Leases
    owner: str

    def run(self, case_id: str, stage: str, case_version: int) -> None:
        """Run one stage once; a stale duplicate is logged and done with. Raises `Transient` if it cannot even claim."""
        self.parts.step_aside()
        run = runs.claim(
            self.parts.database, case_id=case_id, stage=stage, case_version=case_version, owner=self.owner
        )
        if run is None:
            log.info("wake_up_stale", case=case_id, stage=stage, version=case_version)
            return
        with structlog.contextvars.bound_contextvars(**run.log_context()):
            started = time.monotonic()
            with self.leases.hold(run, STAGES[stage].time_limit):
                outcome = self._attempt(run)
            log.info("stage_ended", outcome=outcome, seconds=round(time.monotonic() - started, 3))

    def _attempt(self, run: Run) -> str:
        """Run and commit; returns what became of it, in one word."""
        scratch = self.parts.scratch / f"run-{run.id}-{run.attempt}"
        try:
            scratch.mkdir(parents=True)
            return self._run_and_commit(run, scratch)
        except LostOwnership:
            return "stale"
        except SetAside as aside:
            reason = aside
            return self._persist(run, lambda c: self._set_aside(c, run, reason))
        except (Transient, OSError) as error:
            words = str(error) if isinstance(error, Transient) else type(error).__name__
            return self._persist(run, lambda c: self._put_back(c, run, words))
        except NotAllowed as moved_on:
            words = str(moved_on)
            return self._persist(run, lambda c: self._end(c, run, "stale", words))
        except Exception as error:  # noqa: BLE001 -- the third kind of error: a bug, recorded and replayable
            where = _where(error)
            log.error("stage_failed", error=where)
            return self._persist(run, lambda c: self._end(c, run, "failed", where))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _run_and_commit(self, run: Run, scratch: Path) -> str:
        tools = self._tools(run, scratch)
        try:
            return self._commit(run, tools)
        finally:
            log.debug("bytes", read=tools.objects.bytes_in, written=tools.objects.bytes_out)

    def _commit(self, run: Run, tools: Tools) -> str:
        if run.stage == "receive":
            return receive.run(self.parts, run, tools)
        done = FUNCTIONS[run.stage](self._load(run), tools)
        if isinstance(done, Pause):
            with self.parts.database.transaction() as connection:
                runs.put_back(connection, run, delay=0, error=done.why, forgive=True)
            return "paused"
        return transition.commit(self.parts.database, run, done).state

    def _tools(self, run: Run, scratch: Path) -> Tools:
        parts = self.parts
        return Tools(
            objects=RunObjects(parts.s3, parts.database, run, parts.step_aside),
            vault=parts.vault,
            child=parts.child,
            progress=RunProgress(parts.database, run, parts.limits.slice),
            scratch=scratch,
            is_workday=parts.is_workday,
            conversion=parts.conversion,
        )

    def _load(self, run: Run) -> Work:
        """The stage's frozen input. Raises `NotAllowed` if the case has moved on since the run was written."""
        stage: Stage = STAGES[run.stage]
        _, network = self.parts.network.current()
        with self.parts.database.transaction() as connection:
            case = cases.get(connection, run.case_id)
            if case.version != run.case_version or case.state != stage.runs_in:
                raise NotAllowed(f"case {case.id} is {case.state} at version {case.version}")
            facts = FACTS[run.stage](connection, case, network) if run.stage in FACTS else None
            return Work(
                run=run,
                case=case,
                order=cases.order_of(connection, run.case_id),
                documents=cases.documents(connection, run.case_id),
                network=network,
                facts=facts,
                now=_now(connection),
            )

    def _persist(self, run: Run, write: Callable[[Connection], str]) -> str:
        """Write what became of the run; while the database is away, keep trying for one lease, then let it lapse."""
        until = time.monotonic() + self.parts.limits.lease
        while True:
            try:
                with self.parts.database.transaction() as connection:
                    return write(connection)
            except Transient as error:
                if time.monotonic() >= until:
                    log.error("outcome_not_written", error=str(error))
                    return "unknown"
                time.sleep(0.5)

    def _set_aside(self, connection: Connection, run: Run, reason: SetAside) -> str:
        case = transition.set_aside(connection, run, reason.event, reason.code, reason.detail)
        log.warning("case_set_aside", how=reason.event, code=reason.code, detail=reason.detail)
        return "stale" if case is None else case.state

    def _put_back(self, connection: Connection, run: Run, error: str) -> str:
        if run.partner:
            circuits.record_failure(connection, run.partner, error)
        if run.attempt >= STAGES[run.stage].attempts:
            return self._end(connection, run, "failed", f"attempts-exhausted: {error}")
        limits = self.parts.limits
        delay = min(limits.transient_delay * 2 ** (run.attempt - 1), limits.transient_delay_max)
        runs.put_back(connection, run, delay=delay, error=error, forgive=False)
        log.warning("stage_put_back", error=error, delay=delay)
        return "waiting"

    def _end(self, connection: Connection, run: Run, outcome: str, error: str) -> str:
        return outcome if runs.end(connection, run, outcome, error) else "stale"


def _now(connection: Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None, "SELECT gives a row"
    now: datetime = row["now"]
    return now


def _where(error: BaseException) -> str:
    """The kind of an unexpected error and where it happened; never its text, which may quote a patient's data."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{Path(f.filename).stem}.{f.name}:{f.lineno}" for f in reversed(frames[-3:]))
    words = f": {error}" if isinstance(error, TeledxError) else ""
    return f"{type(error).__name__} at {places}{words}"
