"""The demonstration's course: start the house, drop, read, sign, return; then show what became of each case."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cases.order import Order
from storage import accounts
from storage.database import Database
from teledx.demo import screen
from teledx.demo.people import Clinic, Person, Reader, wait_for
from teledx.demo.script import SCENES, Scene
from teledx.house import House, write_operator_file
from teledx.supervisor import Report, signals_interrupt

START_SECONDS = 120.0
REST_SECONDS = 600.0


@dataclass
class Course:
    """What the demonstration knows as it goes: sign-ins, and each scene's case by accession number."""

    house: House
    people: dict[str, Person] = field(default_factory=dict)
    clinics: dict[str, Clinic] = field(default_factory=dict)
    wanted: dict[str, Scene] = field(default_factory=dict)
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    dropped_at: dict[str, float] = field(default_factory=dict)
    first_report: float | None = None


def main(
    state: Path, *, once: bool = False, json_file: Path | None = None, console: Console | None = None
) -> int:
    """Run the demonstration in a new `state` folder; 0 only if every case ended where it should."""
    console = console or _console()
    began = time.monotonic()
    shutil.rmtree(state, ignore_errors=True)
    house = House(state, report=lambda r: _tell(console, r))
    course = Course(house)
    with signals_interrupt(), tempfile.TemporaryDirectory(prefix="teledx-demo-") as folder:
        try:
            with house.supervisor, _progress(console) as progress:
                _play(course, Path(folder), progress, began)
                progress.stop()
                well = screen.show(console, course, began)
                if json_file is not None:
                    json_file.write_text(
                        json.dumps(screen.as_json(course, began), ensure_ascii=False, indent=1)
                    )
                if not once:
                    write_operator_file(house)
                    screen.show_doors(console, course)
                    house.supervisor.wait()
        except KeyboardInterrupt:
            console.print("Stopped; nothing is left running.")
            return 0 if not once else 130
    return 0 if well else 1


def _console() -> Console:
    """Standard error; where it is no terminal, wide enough for the table."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=150)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description:28}"), BarColumn(), TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(), console=console,
    )  # fmt: skip


def _tell(console: Console, report: Report) -> None:
    if report.event in ("died", "failed", "killed"):
        console.print(f"[red]{report.program} {report.event}[/red] {report.detail}")


def _play(course: Course, folder: Path, progress: Progress, began: float) -> None:
    starting = progress.add_task("starting the house", total=1, note="")
    made = progress.add_task("making the sample files", total=len(SCENES), note="")
    with ThreadPoolExecutor(2, thread_name_prefix="demo") as pool:
        orders = {s.name: pool.submit(_make, s, folder / s.name.replace(" ", "-")) for s in SCENES}
        for order in orders.values():
            order.add_done_callback(lambda _: progress.advance(made))
        course.house.supervisor.wait_ready(START_SECONDS, "gateway-region", "gateway-partner")
        _sign_in(course)
        progress.update(starting, completed=1, note="ready")
        _drop_all(course, folder, orders, progress)
    stop = threading.Event()
    readers = [Reader(p, course.wanted, stop) for p in course.people.values() if p.role == "reader"]
    try:
        for reader in readers:
            reader.start()
        _follow(course, progress, readers, began)
    finally:
        stop.set()
        for reader in readers:
            reader.join(timeout=10)
    course.house.supervisor.wait_ready(START_SECONDS)


def _make(scene: Scene, folder: Path) -> Order:
    return scene.make(scene, folder)


def _sign_in(course: Course) -> None:
    """A token for every demonstration account, as an operator would issue them."""
    rows = Database(course.house.database("region"), pool_size=1)
    rows.open()
    with rows.transaction() as connection:
        for account in course.house.network.accounts:
            course.people[account.id] = Person(
                account=account.id,
                organisation=account.organisation,
                role=account.role,
                token=accounts.issue(connection, account.id),
                gateway=course.house.urls["partner" if account.role == "reader" else "region"],
            )
    rows.close()
    for person in course.people.values():
        if person.role == "clinic":
            course.clinics.setdefault(person.organisation, Clinic(course.house, person))


def _drop_all(course: Course, folder: Path, orders: Mapping[str, Future[Order]], progress: Progress) -> None:
    bar = progress.add_task("clinics drop their cases", total=len(SCENES), note="")
    for scene in sorted(SCENES, key=lambda s: s.priority != "stat"):
        order = orders[scene.name].result()
        progress.update(bar, note=scene.name)
        course.clinics[scene.clinic].drop(scene, order, folder / scene.name.replace(" ", "-"), lambda _: None)
        course.dropped_at[scene.accession_number] = time.monotonic()
        progress.advance(bar)
    progress.update(bar, note="")


def _follow(course: Course, progress: Progress, readers: list[Reader], began: float) -> None:
    """Look again and again until every case is at rest, acknowledging what the script wants acknowledged."""
    bar = progress.add_task("cases at rest", total=len(SCENES), note="")

    def settled() -> bool:
        failed = next((r.error for r in readers if r.error), None)
        if failed is not None:
            raise failed
        for clinic in course.clinics.values():
            for case in clinic.cases():
                course.seen[case["accession_number"]] = case
        for scene in SCENES:
            _act(course, scene, began)
        resting = [s for s in SCENES if _at_rest(course, s)]
        states = sorted({c["state"] for c in course.seen.values()})
        progress.update(bar, completed=len(resting), note=", ".join(states))
        return len(resting) == len(SCENES)

    try:
        wait_for("every case at rest", settled, REST_SECONDS)
    except TimeoutError as late:
        progress.console.print(f"[red]{late}[/red]")
    for scene in SCENES:
        if case := course.seen.get(scene.accession_number):
            course.seen[scene.accession_number] = course.clinics[scene.clinic].case(case["case_id"])


def _act(course: Course, scene: Scene, began: float) -> None:
    case = course.seen.get(scene.accession_number)
    if case is None:
        return
    if scene.signed:
        course.wanted[case["case_id"]] = scene
    if case["state"] in ("returned", "acknowledged") and course.first_report is None:
        course.clinics[scene.clinic].report(case["case_id"])
        course.first_report = time.monotonic() - began
    if case["state"] == "returned" and scene.acknowledged:
        course.clinics[scene.clinic].acknowledge(case["case_id"])


def _at_rest(course: Course, scene: Scene) -> bool:
    """Where it should be, or where nothing moves it any more."""
    case = course.seen.get(scene.accession_number)
    return case is not None and case["state"] in {
        scene.ends,
        "quarantined",
        "rejected",
        "cancelled",
        "awaiting_clinic",
    }
