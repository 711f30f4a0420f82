"""Operators look at what was set aside, decide, and run again what failed."""

from __future__ import annotations

import hashlib

from fastapi import Response

from cases.documents import DoubtfulPicture, PixelVerdict
from gateway import words
from gateway.cases import Why
from gateway.chinese import zh
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.shapes import (
    CaseState,
    DoubtfulShown,
    FailedRun,
    FailedRuns,
    Found,
    Quarantined,
    QuarantineDetail,
    QuarantineLines,
)
from gateway.signin import Caller, Signed
from storage import audit, cases, listing, pictures, quarantine, transition
from storage.database import Connection
from storage.quarantine import HeldThing


class Release(Why):
    """`pictures`: of a case set aside as `pixels-doubtful`, what becomes of what is marked in them.

    `leave`: nothing of it identifies anybody. `blank`: the marked areas are blanked. For these very files alone.
    """

    pictures: PixelVerdict | None = None


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
        found = _pictures(connection, thing)
    return QuarantineDetail(
        **_line(thing).model_dump(),
        accession_number=thing.accession_number,
        clinic_phone=_phone(asking, thing.clinic),
        pictures=tuple(_shown(held_id, number, each) for number, each in enumerate(found, 1)),
        timeline=words.timeline(rows),
        remarks=words.remarks(said),
    )


def picture(asking: Signed, held_id: str, number: int) -> Response:
    """A doubtful picture with what was found marked in it; it may show the patient's name. That you looked is kept."""
    with asking.transaction() as connection:
        found = _pictures(connection, quarantine.get(connection, held_id))
        if not 1 <= number <= len(found):
            raise Refusal(404, "not-found", "There is no such picture.", "Look at the case again.")
        wanted = found[number - 1]
    content = asking.parts.s3.get(wanted.stored.zone, wanted.stored.key)
    if hashlib.sha256(content).hexdigest() != wanted.stored.sha256:
        raise Refusal(
            409, "file-differs", "The stored picture is not the one that was made.", "Release nothing."
        )
    with asking.transaction() as connection:
        asking.audit(connection, "quarantine.see", held_id, note=pictures.looked_at(wanted))
    return Response(content, media_type=wanted.stored.media_type)


def release(asking: Signed, held_id: str, body: Release) -> CaseState:
    """Let a quarantined case go on: the stage that set it aside runs again."""
    with asking.transaction() as connection:
        state = quarantine.release(connection, held_id, asking.who, body.why, body.pictures)
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


def _pictures(connection: Connection, thing: HeldThing) -> tuple[DoubtfulPicture, ...]:
    return () if thing.is_drop else pictures.to_look_at(connection, cases.get(connection, thing.id))


def _shown(held_id: str, number: int, found: DoubtfulPicture) -> DoubtfulShown:
    return DoubtfulShown(
        number=number,
        url=f"/api/quarantine/{held_id}/pictures/{number}.png",
        found=tuple(
            Found(what=f.what, what_zh=zh(f.what), first_frame=f.area.first + 1, last_frame=f.area.last + 1)
            for f in found.findings
        ),
        may_be_left=not any(f.known for f in found.findings),
    )


def _phone(asking: Caller, clinic: str) -> str:
    try:
        return asking.network.organisation(clinic).phone
    except KeyError:
        return ""


ROUTES = (
    Route("GET", "/api/quarantine", list_quarantine, action="quarantine.see", tag="operating"),
    Route("GET", "/api/quarantine/{held_id}", show_quarantined, action="quarantine.see", tag="operating"),
    Route(
        "GET", "/api/quarantine/{held_id}/pictures/{number}.png", picture, action="quarantine.see", tag="operating",
        media_type="image/png",
    ),
    Route("POST", "/api/quarantine/{held_id}/release", release, action="quarantine.release", tag="operating"),
    Route("POST", "/api/quarantine/{held_id}/reject", reject, action="quarantine.reject", tag="operating"),
    Route("GET", "/api/failed", list_failed, action="failed.see", tag="operating"),
    Route("POST", "/api/failed/{run_id}/replay", replay, action="failed.replay", tag="operating"),
)  # fmt: skip
