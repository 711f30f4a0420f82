"""The transition that commits a stage: its objects, its document, its effects, the event and the next run, or nothing.

`EFFECTS` says which rows a stage writes beside its document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from cases.documents import Deidentified, Delivered, Document, Preprocessed, Returned, Routed, StoredObject
from cases.errors import SetAside
from cases.indexed import IndexedInstance
from cases.reasons import REASONS
from cases.stages import STAGES
from storage import cases, dicom_index, objects, runs
from storage.cases import Case
from storage.database import Connection, Database
from storage.runs import Run


class LostOwnership(Exception):
    """The run belongs to another worker by now: what was done here is a stale duplicate and is not committed."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a stage found: its document, and every object that it wrote (which the case owns from now on).

    With `aside` the findings are kept, but the case is set aside for that reason in place of going on. `indexed`: all
    that is told of the case's instances from now on; None from stages that make none.
    """

    document: Document
    objects: Sequence[StoredObject] = ()
    indexed: Sequence[IndexedInstance] | None = None
    note: str = ""
    aside: SetAside | None = None


def commit(database: Database, run: Run, done: Done) -> Case:
    """Commit a stage run that came to an end. Raises `LostOwnership`, or `NotAllowed` if the case has moved on."""
    stage = STAGES[run.stage]
    assert stage.event is not None, "receive commits through storage.drops"
    with database.transaction() as connection:
        objects.claim(connection, run.case_id, done.objects)
        cases.keep_document(connection, run.case_id, run.stage, run.case_version, done.document)
        if done.indexed is not None:
            dicom_index.keep(connection, run.case_id, done.indexed)
        if done.aside:
            aside = set_aside(connection, run, done.aside.event, done.aside.code, done.aside.detail)
            if aside is None:
                raise LostOwnership(run.stage)
            return aside
        if not runs.end(connection, run, "done"):
            raise LostOwnership(run.stage)
        columns = EFFECTS[run.stage](connection, run, done.document)
        case = cases.move(
            connection,
            run.case_id,
            stage.event,
            actor=run.stage,
            version=run.case_version,
            note=done.note,
            **columns,
        )
        if stage.next:
            next_run(connection, case, stage.next)
        return case


def next_run(connection: Connection, case: Case, stage: str, *, delay: float = 0) -> None:
    """Write the run of `stage` for the case as it now is."""
    runs.add(
        connection,
        case_id=case.id,
        stage=stage,
        case_version=case.version,
        family=case.family,
        priority=case.priority,
        clinic=case.clinic,
        partner=case.partner if stage == "deliver" else None,
        delay=delay,
    )


def set_aside(connection: Connection, run: Run, event: str, code: str, detail: str) -> Case | None:
    """Close the run and set its case aside (`event`: quarantined, rejected or asked) for `code` of `REASONS`.

    None if the run is not ours any more.
    """
    reason = REASONS[code]
    if not runs.end(connection, run, event, f"{code}: {detail}" if detail else code):
        return None
    return cases.move(
        connection,
        run.case_id,
        event,
        actor=run.stage,
        version=run.case_version,
        note=reason.code,
        reason_code=code,
        reason_detail=detail,
        held_stage=run.stage,
    )


def replay(connection: Connection, case_id: str, *, actor: str, note: str) -> Case:
    """Let a quarantined case go on: the stage that set it aside runs again, for the case's new version."""
    case = cases.get(connection, case_id, lock=True)
    stage = case.held_stage
    case = cases.move(connection, case_id, "replayed", actor=actor, note=note)
    if stage:
        next_run(connection, case, stage)
    return case


def replay_failed(connection: Connection, run_id: int) -> bool:
    """Give a failed run, whose case still stands where it stood, a fresh start; False if there is none such."""
    row = connection.execute(
        "UPDATE stage_run r SET outcome = NULL, ended_at = NULL, owner = NULL, heartbeat_at = NULL, attempt = 0,"
        " lost = 0, progress = '[]', published_at = NULL, published_by = NULL, not_before = clock_timestamp()"
        " WHERE id = %s AND outcome = 'failed' RETURNING id",
        (run_id,),
    ).fetchone()
    if row:
        connection.execute("SELECT pg_notify(%s, '')", (runs.CHANNEL,))
    return row is not None


def _after_preprocess(connection: Connection, run: Run, document: Document) -> dict[str, Any]:
    assert isinstance(document, Preprocessed)
    case = cases.get(connection, run.case_id)
    connection.execute("DELETE FROM station_use WHERE case_id = %s", (run.case_id,))
    for use in document.station_use:
        connection.execute(
            "INSERT INTO station_use (case_id, clinic, station, modality, first_acquired_at, last_acquired_at, images)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                run.case_id,
                case.scanning_site,
                use.station,
                use.modality,
                use.first_acquired_at,
                use.last_acquired_at,
                use.images,
            ),
        )
    return {}


def _after_deidentify(connection: Connection, run: Run, document: Document) -> dict[str, Any]:
    assert isinstance(document, Deidentified)
    return {"brief": Jsonb(document.brief.model_dump(mode="json")), "pseudonym": document.brief.pseudonym}


def _after_route(connection: Connection, run: Run, document: Document) -> dict[str, Any]:
    assert isinstance(document, Routed)
    connection.execute(
        "INSERT INTO route_decision (case_id, case_version, partner, document) VALUES (%s, %s, %s, %s)",
        (run.case_id, run.case_version, document.partner, Jsonb(document.model_dump(mode="json"))),
    )
    return {"partner": document.partner, "due_at": document.due_at}


def _after_deliver(connection: Connection, run: Run, document: Document) -> dict[str, Any]:
    assert isinstance(document, Delivered)
    rows = [
        (run.case_id, document.partner, o.key, o.size, o.sha256, o.media_type, _role_of(o.key))
        for o in document.objects
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO partner_object (case_id, partner, key, size, sha256, media_type, role)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            rows,
        )
    dicom_index.delivered(connection, run.case_id, document.partner, [o.key for o in document.objects])
    connection.execute(
        "INSERT INTO work_item (case_id, partner, purpose, state, subspecialty)"
        " VALUES (%s, %s, 'primary', 'SCHEDULED', %s)",
        (run.case_id, document.partner, document.subspecialty),
    )
    connection.execute("DELETE FROM partner_circuit WHERE partner = %s", (document.partner,))
    return {}


def _role_of(key: str) -> str:
    return "preview" if "/preview/" in key else "file"


def _after_return(connection: Connection, run: Run, document: Document) -> dict[str, Any]:
    assert isinstance(document, Returned)
    return {}


EFFECTS: Mapping[str, Callable[[Connection, Run, Document], dict[str, Any]]] = {
    "preprocess": _after_preprocess,
    "deidentify": _after_deidentify,
    "route": _after_route,
    "deliver": _after_deliver,
    "return": _after_return,
}
