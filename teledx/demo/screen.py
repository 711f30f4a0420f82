"""What the demonstration shows at its end: a table of the cases, the addresses, the sign-ins; and the same as JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from teledx.demo.script import SCENES, Scene

if TYPE_CHECKING:
    from teledx.demo.run import Course


def ended_well(course: Course, scene: Scene) -> bool:
    """The case is in the state that the script says, and for the reason that it says."""
    case = course.seen.get(scene.accession_number)
    if case is None or case["state"] != scene.ends:
        return False
    return not scene.reason or (case.get("reason") or {}).get("code") == scene.reason


def show(console: Console, course: Course, began: float) -> bool:
    """Print the table of cases; True if every one ended where it should."""
    table = Table(title="The cases, and what became of them", show_lines=True)
    for heading in (
        "case",
        "clinic",
        "partner",
        "state",
        "time in each leg",
        "report, or why not and what to do",
    ):
        table.add_column(heading, overflow="fold")
    for scene in SCENES:
        case = course.seen.get(scene.accession_number)
        colour = "green" if ended_well(course, scene) else "red"
        if case is None:
            table.add_row(scene.name, scene.clinic, "", f"[{colour}]never became a case[/{colour}]", "", "")
            continue
        state = f"[{colour}]{case['state']}[/{colour}]"
        partner = case.get("partner") or ""
        legs = ", ".join(f"{leg['leg']} {_seconds(leg['seconds'])}" for leg in case.get("legs", []))
        table.add_row(
            f"{scene.name}\n{case['case_id']}", scene.clinic, partner, state, legs, _what_now(course, case)
        )
    console.print(table)
    first = f"{course.first_report:.1f} s" if course.first_report else "none"
    console.print(
        f"First report back at its clinic after {first}; everything after {time.monotonic() - began:.1f} s."
    )
    return all(ended_well(course, scene) for scene in SCENES)


def _what_now(course: Course, case: dict[str, Any]) -> str:
    if case.get("reason"):
        reason = case["reason"]
        detail = f" ({reason['detail']})" if reason.get("detail") else ""
        return f"{reason['what']}{detail} {reason['todo']}"
    if case["state"] in ("returned", "acknowledged"):
        return f"{course.house.urls['region']}/api/cases/{case['case_id']}/report.pdf"
    return str(case.get("waits_for") or "")


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def show_doors(console: Console, course: Course) -> None:
    """Print the addresses and the demonstration sign-ins."""
    doors = Table(title="Addresses", show_header=False)
    for door in course.house.doors:
        doors.add_row(door.name, door.url, door.what)
    console.print(doors)
    people = Table(title="Demonstration sign-ins: paste the token on the dashboard")
    for heading in ("account", "organisation", "role", "token"):
        people.add_column(heading, overflow="fold")
    for person in course.people.values():
        people.add_row(person.account, person.organisation, person.role, person.token)
    console.print(people)
    console.print(
        f"For commands in another terminal: `set -a; . {course.house.operator_file}; set +a`,"
        " then `TELEDX_TOKEN=... .venv/bin/teledx status`."
    )
    console.print("Ctrl-C ends the demonstration and everything that it started.")


def as_json(course: Course, began: float) -> dict[str, Any]:
    """What the demonstration saw. Patients are fictional; their names are left out all the same."""
    return {
        "seconds": round(time.monotonic() - began, 1),
        "first_report_seconds": round(course.first_report, 1) if course.first_report else None,
        "cases": [_case_json(course, scene) for scene in SCENES],
        "ok": all(ended_well(course, scene) for scene in SCENES),
    }


def _case_json(course: Course, scene: Scene) -> dict[str, Any]:
    case = course.seen.get(scene.accession_number)
    told = {"name": scene.name, "clinic": scene.clinic, "priority": scene.priority, "expected": scene.ends}
    if case is None:
        return told | {"ok": False, "state": None}
    kept = {k: case.get(k) for k in ("case_id", "partner", "state", "legs", "reason")}
    return told | kept | {"ok": ended_well(course, scene), "report": _what_now(course, case)}
