"""Cases at any place of their way, made by the same transactions that the workers use."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cases.documents import (
    Area,
    Brief,
    Deidentified,
    Delivered,
    Document,
    Doubtful,
    DoubtfulPicture,
    Finding,
    Preprocessed,
    Received,
    ReceivedFile,
    ReportBody,
    Returned,
    Routed,
    StationUse,
    StoredObject,
)
from cases.errors import Quarantine
from cases.order import Order
from storage import cases, drops, network, readings, runs, signing, transition
from storage.cases import Case
from storage.database import Connection, Database
from storage.runs import Run

SAMPLE_NETWORK = Path(__file__).parents[2] / "teledx" / "sample_network.toml"
BODY = ReportBody(findings="No fracture.", conclusion="Normal chest.", recommendation="None.")
STAGES = ("preprocess", "deidentify", "route", "deliver")

# What no partner, log line, metric or URL may ever show.
CANARIES = ("戴诗琪", "Dai^Shiqi", "330227197003041234", "MRN-CANARY-7", "13857412345", "ACC-CANARY")


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """A pool on a role's door, closed at the end."""
    database = Database(url, pool_size=20)
    database.open()
    try:
        yield database
    finally:
        database.close()


def with_network(database: Database, text: str | None = None) -> int:
    """Apply the sample network (or `text`); returns its version."""
    with database.transaction() as connection:
        return network.apply(connection, text or SAMPLE_NETWORK.read_text(), "tests")[0]


def order(clinic: str = "jiangshan", number: int = 1, **changes: Any) -> dict[str, Any]:
    """A valid order as JSON, full of canaries."""
    return {
        "accession_number": f"ACC-CANARY-{clinic}-{number}",
        "service": "xray",
        "priority": "routine",
        "purpose": "diagnosis",
        "procedure": {"text": "Chest PA"},
        "body_site": {"text": "Chest"},
        "side": "none",
        "clinical_question": "Fracture? (戴诗琪)",
        "requesting_doctor": "陈丽",
        "callback": {"name": "陈丽", "phone": "13857412345"},
        "patient": {
            "identifiers": [
                {"value": "MRN-CANARY-7", "type": "MR"},
                {"value": "330227197003041234", "type": "national-id"},
            ],
            "name": "戴诗琪",
            "name_latin": "Dai^Shiqi",
            "sex": "female",
            "birth_date": "1970-03-04",
        },
        "consent": {"document_sha256": "0" * 64, "signer": "戴诗琪", "relation": "self"},
        "files": [{"name": "戴诗琪/chest.dcm", "size": 3, "sha256": "1" * 64}],
    } | changes


def received(database: Database, clinic: str = "jiangshan", number: int = 1, **changes: Any) -> str:
    """A case that `receive` has just accepted; returns its id."""
    told = Order.model_validate_json(json.dumps(order(clinic, number, **changes)))
    at = datetime.now(UTC) - timedelta(minutes=1)
    with database.transaction() as connection:
        drop = drops.sight(
            connection,
            clinic=clinic,
            prefix=f"{clinic}/drop-{number}-戴诗琪/",
            order_etag=f"e{number}",
            order_at=at,
            newest_at=at,
        )
        drops.complete(connection, drop, family="dicom", priority=told.priority)
    run = _run(database, drop.id, "receive", 0)
    key = f"{drop.id}/receive/0"
    _intend(database, drop.id, run, [("identified", key)])
    stored = StoredObject(zone="identified", key=key, size=3, sha256="1" * 64)
    new = drops.NewCase(
        order=told,
        content_sha256=f"{clinic}-{number}",
        received=Received(files=(ReceivedFile(name=told.files[0].name, stored=stored),), total_bytes=3),
        scanning_site=told.scanning_site or clinic,
        family="dicom",
        priority=told.priority,
        network_version=1,
        due_at=at + timedelta(hours=4),
    )
    return drops.accept(database, run, new)


def advanced(database: Database, case_id: str, *, to: str = "deliver", partner: str = "yinzhou2") -> Case:
    """Commit the stages up to `to`; the case is then delivered to `partner`, unless told less."""
    with database.transaction() as connection:
        case = cases.get(connection, case_id)
    for stage in STAGES[: STAGES.index(to) + 1]:
        document, objects = _document(database, case, stage, partner)
        run = _run(database, case_id, stage, case.version)
        _intend(database, case_id, run, [(o.zone, o.key) for o in objects])
        case = transition.commit(database, run, transition.Done(document=document, objects=objects))
    return case


def delivered(
    database: Database, clinic: str = "jiangshan", number: int = 1, partner: str = "yinzhou2", **changes: Any
) -> str:
    """A case on the worklist of `partner`; returns its id."""
    return advanced(database, received(database, clinic, number, **changes), partner=partner).id


def signed(database: Database, case_id: str, reader: str = "lin") -> signing.Report:
    """Claim and sign the case's work item."""
    with database.transaction() as connection:
        item = open_item(connection, case_id)
        readings.claim(connection, item.id, reader)
        return signing.sign(connection, item.id, reader, BODY)


def returned(database: Database, case_id: str, *, pdf: bytes = b"pdf", fhir: bytes = b"{}") -> Case:
    """Commit `return` of a signed case, with a report of these bytes (which the store need not hold)."""
    with database.transaction() as connection:
        case = cases.get(connection, case_id)
    run = _run(database, case_id, "return", case.version)
    stored = [
        StoredObject(
            zone="reports",
            key=f"{case_id}/{case.version}/{name}",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        for name, content in (("report.pdf", pdf), ("report.json", fhir))
    ]
    _intend(database, case_id, run, [(o.zone, o.key) for o in stored])
    document = Returned(pdf=stored[0], fhir=stored[1], recipients=(case.clinic,))
    return transition.commit(database, run, transition.Done(document=document, objects=stored))


def set_aside(
    database: Database, case_id: str, event: str = "quarantined", code: str = "identity-mismatch"
) -> Case:
    """Let the stage whose turn it is set the case aside."""
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT stage, case_version FROM stage_run WHERE case_id = %s AND outcome IS NULL", (case_id,)
        ).fetchone()
        assert row is not None
    run = _run(database, case_id, row["stage"], row["case_version"])
    with database.transaction() as connection:
        case = transition.set_aside(connection, run, event, code, "1 of 1 files")
    assert case is not None
    return case


def doubtful(database: Database, case_id: str, picture: StoredObject, *, known: bool) -> Case:
    """Let de-identification set the case aside for a picture that shows a name of the case, or (not `known`) a date."""
    case = advanced(database, case_id, to="preprocess")
    run = _run(database, case_id, "deidentify", case.version)
    _intend(database, case_id, run, [(picture.zone, picture.key)])
    found = Finding(
        area=Area(left=60, top=40, right=200, bottom=60),
        what="a name or number of this case" if known else "date",
        known=known,
    )
    document = Doubtful(pictures=(DoubtfulPicture(instance="5" * 64, findings=(found,), stored=picture),))
    aside = Quarantine("pixels-doubtful", f"1 of 1 images: text in the picture: {found.what}")
    return transition.commit(
        database, run, transition.Done(document=document, objects=[picture], aside=aside)
    )


def open_item(connection: Connection, case_id: str) -> readings.WorkItem:
    """The case's one open work item."""
    (row,) = connection.execute(
        "SELECT * FROM work_item WHERE case_id = %s AND state IN ('SCHEDULED', 'IN PROGRESS')", (case_id,)
    ).fetchall()
    return readings.from_row(row)


def _run(database: Database, case_id: str, stage: str, version: int) -> Run:
    run = runs.claim(database, case_id=case_id, stage=stage, case_version=version, owner="tests")
    assert run is not None, f"no run of {stage} waits"
    return run


def _intend(database: Database, case_id: str, run: Run, targets: list[tuple[str, str]]) -> None:
    with database.transaction() as connection:
        for zone, key in targets:
            connection.execute(
                "INSERT INTO object (zone, key, case_id, run_id) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (zone, key, case_id, run.id),
            )


def _document(
    database: Database, case: Case, stage: str, partner: str
) -> tuple[Document, tuple[StoredObject, ...]]:
    if stage == "preprocess":
        begun = datetime.fromisoformat("2026-09-01T09:00")  # a station's own clock, without a zone
        use = StationUse(
            station="DX1",
            modality="DX",
            first_acquired_at=begun,
            last_acquired_at=begun + timedelta(minutes=10),
            images=2,
        )
        return Preprocessed(station_use=(use,)), ()
    if stage == "deidentify":
        return Deidentified(brief=_brief(case), files=(), profile="basic", key_id="k1", total_bytes=0), ()
    if stage == "route":
        due = datetime.now(UTC) + timedelta(hours=4)
        return Routed(partner=partner, rule="tests", reasons=("because",), due_at=due), ()
    zone, start = f"partner-{partner}", f"{case.id}/{case.version}"
    kinds = {"files/1.dcm": "application/dicom", "preview/1.jpg": "image/jpeg"}
    objects = tuple(
        StoredObject(zone=zone, key=f"{start}/{name}", size=3, sha256="4" * 64, media_type=kind)
        for name, kind in kinds.items()
    )
    return (
        Delivered(partner=partner, subspecialty="radiology-xray", objects=objects, manifest_sha256="5" * 64),
        objects,
    )


def _brief(case: Case) -> Brief:
    return Brief(
        pseudonym=f"P-{case.id}",
        age="056Y",
        sex="female",
        service=case.service,
        priority=case.priority,
        purpose=case.purpose,
        procedure="Chest PA",
        body_site="Chest",
        side="none",
        clinical_question="Fracture?",
    )
