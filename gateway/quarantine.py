"""Operators look at what was set aside, decide, and run again what failed."""

from __future__ import annotations

from gateway import words
from gateway.cases import Why
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.shapes import CaseState, FailedRun, FailedRuns, Quarantined, QuarantineDetail, QuarantineLines
from gateway.signin import Caller, Signed
from storage import audit, listing, quarantine, transition
from storage.quarantine import HeldThing


def list_quarantine(asking: Signed) -> QuarantineLines:
    """Cases and drops that a person must look at, the longest waiting first."""
    with asking.transaction() as connection:
        found = quarantine.held(connection)
        asking.audit(connection, "quarantine.see", note=" ".join(x.id for x in found))
    return QuarantineLines(cases=tuple(_line(thing) for thing in found))


def show_quarantined(asking: Signed, held_id: str) -> QuarantineDetail:
    """One quarantined case or drop, with what was found and whom to call."""
    with asking.transaction() as connection:
        thing = quarantine.get(connection, held_id)
        asking.audit(connection, "quarantine.see", held_id)
        rows = listing.milestones(connection, held_id)
        said = audit.remarks(connection, held_id)
    return QuarantineDetail(
        **_line(thing).model_dump(),
        accession_number=thing.accession_number,
        clinic_phone=_phone(asking, thing.clinic),
        timeline=words.timeline(rows),
        remarks=words.remarks(said),
    )


def release(asking: Signed, held_id: str, body: Why) -> CaseState:
    """Let a quarantined case go on: the stage that set it aside runs again."""
    with asking.transaction() as connection:
        state = quarantine.release(connection, held_id, asking.who, body.why)
    return CaseState(case_id=held_id, state=state)


def reject(asking: Signed, held_id: str, body: Why) -> CaseState:
    """Send a quarantined case back to its clinic, with the reason and these words."""
    with asking.transaction() as connection:
        state = quarantine.reject(connection, held_id, asking.who, body.why)
    return CaseState(case_id=held_id, state=state)


def list_failed(asking: Signed) -> FailedRuns:
    """Stage runs that ended in a defect of the software, the newest first."""
    with asking.transaction() as connection:
        rows = quarantine.failed(connection)
        asking.audit(connection, "failed.see")
    return FailedRuns(runs=tuple(FailedRun.model_validate(row) for row in rows))


def replay(asking: Signed, run_id: int) -> dict[str, int]:
    """Run a failed stage again, from its first attempt."""
    with asking.transaction() as connection:
        if not transition.replay_failed(connection, run_id):
            raise Refusal(404, "not-found", "No failed run has this number.", "Look at the list again.")
        asking.audit(connection, "failed.replay", note=f"run {run_id}")
    return {"run_id": run_id}


def _line(thing: HeldThing) -> Quarantined:
    shown = words.reason(thing.reason_code, thing.reason_detail)
    assert shown is not None, "a quarantined thing has a reason of the table"
    return Quarantined(
        case_id=None if thing.is_drop else thing.id,
        drop=thing.id if thing.is_drop else None,
        clinic=thing.clinic,
        service=thing.service,
        priority=thing.priority,
        since=thing.since,
        held_from=thing.held_from,
        stage=thing.stage,
        reason=shown,
    )


def _phone(asking: Caller, clinic: str) -> str:
    try:
        return asking.network.organisation(clinic).phone
    except KeyError:
        return ""


ROUTES = (
    Route("GET", "/api/quarantine", list_quarantine, action="quarantine.see", tag="operating"),
    Route("GET", "/api/quarantine/{held_id}", show_quarantined, action="quarantine.see", tag="operating"),
    Route("POST", "/api/quarantine/{held_id}/release", release, action="quarantine.release", tag="operating"),
    Route("POST", "/api/quarantine/{held_id}/reject", reject, action="quarantine.reject", tag="operating"),
    Route("GET", "/api/failed", list_failed, action="failed.see", tag="operating"),
    Route("POST", "/api/failed/{run_id}/replay", replay, action="failed.replay", tag="operating"),
)
