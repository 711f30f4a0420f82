"""Reports: preliminary, final, addendum, correction; every version is kept and none is overwritten."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from cases.documents import ReportBody
from cases.errors import TeledxError
from cases.states import advance
from storage import cases, readings, transition
from storage.database import Connection
from storage.readings import WorkItem


class UnknownReport(TeledxError):
    """No such report, or not one of the asking organisation."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report as it stands: its newest version. `body` is a `cases.documents.ReportBody`."""

    id: UUID
    case_id: str
    partner: str
    status: str
    version: int
    body: dict[str, Any]
    body_sha256: str
    why: str
    signed_by: str
    signed_at: datetime
    work_item_id: UUID | None


_CURRENT = """
SELECT r.id, r.case_id, r.partner, r.status, r.version, v.body, v.body_sha256, v.why, v.signed_by, v.signed_at,
       v.work_item_id
FROM report r JOIN report_version v ON v.report_id = r.id AND v.version = r.version
"""


def current(connection: Connection, case_id: str) -> Report | None:
    """The report that stands for the case, or None: nobody has written one, or its partner declined."""
    row = connection.execute(
        f"{_CURRENT} WHERE r.case_id = %s AND r.status <> 'cancelled'", (case_id,)
    ).fetchone()
    return Report(**row) if row else None


def get(connection: Connection, report_id: UUID) -> Report:
    """Raises `UnknownReport`."""
    row = connection.execute(f"{_CURRENT} WHERE r.id = %s", (report_id,)).fetchone()
    if row is None:
        raise UnknownReport(f"no report {report_id}")
    return Report(**row)


def versions(connection: Connection, report_id: UUID) -> list[dict[str, Any]]:
    """All versions of a report, oldest first."""
    return connection.execute(
        "SELECT version, status, body, body_sha256, why, signed_by, signed_at FROM report_version"
        " WHERE report_id = %s ORDER BY version",
        (report_id,),
    ).fetchall()


def digest_of(case_id: str, body: ReportBody) -> str:
    """SHA-256 in hex of the case and the body as JSON with sorted keys, no spaces and plain Unicode.

    The case is part of it, so that two reports that changed places are not what was signed.
    """
    said = json.dumps(
        {"case": case_id, **body.model_dump(mode="json")},
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return hashlib.sha256(said.encode()).hexdigest()


def preliminary(connection: Connection, work_item_id: UUID, reader: str, body: ReportBody) -> Report:
    """The holder's preliminary report; the reading goes on. Saying the same twice is saying it once."""
    found = readings.held(connection, work_item_id, reader)
    standing = current(connection, found.case_id)
    if (
        standing
        and standing.status == "preliminary"
        and standing.body_sha256 == digest_of(found.case_id, body)
    ):
        return standing
    report = _write(connection, found, reader, body, "preliminary")
    cases.move(connection, found.case_id, "preliminary", actor=reader)
    return report


def sign(connection: Connection, work_item_id: UUID, reader: str, body: ReportBody) -> Report:
    """The holder's final report: the reading is complete and the run of `return` is written.

    Signing the same words again, after an answer that was lost, returns what stands.
    """
    found = readings.get(connection, work_item_id, lock=True)
    standing = current(connection, found.case_id)
    if standing and found.state == "COMPLETED" and _is_that(standing, found, reader, body):
        return standing
    found = readings.held(connection, work_item_id, reader)
    report = _write(connection, found, reader, body, "sign")
    readings.complete(connection, found)
    case = cases.move(connection, found.case_id, "reported", actor=reader)
    transition.next_run(connection, case, "return")
    return report


def _is_that(standing: Report, found: WorkItem, reader: str, body: ReportBody) -> bool:
    return (standing.work_item_id, standing.signed_by, standing.body_sha256) == (
        found.id,
        reader,
        digest_of(found.case_id, body),
    )


def addendum(connection: Connection, report_id: UUID, reader: str, body: ReportBody) -> Report:
    """What the reader adds to a signed report: the body is the whole text with the addition; it returns once more."""
    return _change(connection, report_id, reader, body, event="append", milestone="addendum", why="")


def correction(connection: Connection, report_id: UUID, reader: str, body: ReportBody, why: str) -> Report:
    """What the reader puts right in a signed report: the body is the whole corrected text; it returns once more."""
    return _change(connection, report_id, reader, body, event="correct", milestone="correction", why=why)


def _change(
    connection: Connection,
    report_id: UUID,
    reader: str,
    body: ReportBody,
    *,
    event: str,
    milestone: str,
    why: str,
) -> Report:
    case_id = get(connection, report_id).case_id
    cases.get(connection, case_id, lock=True)
    standing = get(connection, report_id)
    if (standing.signed_by, standing.body_sha256, standing.why) == (reader, digest_of(case_id, body), why):
        return standing
    status = advance("report", standing.status, event)
    _add_version(
        connection,
        report_id,
        case_id,
        standing.partner,
        standing.version + 1,
        status,
        reader,
        body,
        why,
        None,
    )
    case = cases.move(connection, case_id, milestone, actor=reader)
    transition.next_run(connection, case, "return")
    return get(connection, report_id)


def _write(connection: Connection, found: WorkItem, reader: str, body: ReportBody, event: str) -> Report:
    """The next version of the case's report, which is registered at its first."""
    row = (
        connection.execute(
            "SELECT id, status, version FROM report WHERE case_id = %s AND status <> 'cancelled' FOR UPDATE",
            (found.case_id,),
        ).fetchone()
        or connection.execute(
            "INSERT INTO report (case_id, partner, status, version) VALUES (%s, %s, 'registered', 0)"
            " RETURNING id, status, version",
            (found.case_id, found.partner),
        ).fetchone()
    )
    assert row is not None, "INSERT RETURNING gives a row"
    status = advance("report", row["status"], event)
    _add_version(
        connection,
        row["id"],
        found.case_id,
        found.partner,
        row["version"] + 1,
        status,
        reader,
        body,
        "",
        found.id,
    )
    return get(connection, row["id"])


def _add_version(
    connection: Connection,
    report_id: UUID,
    case_id: str,
    partner: str,
    version: int,
    status: str,
    reader: str,
    body: ReportBody,
    why: str,
    work_item_id: UUID | None,
) -> None:
    connection.execute(
        "INSERT INTO report_version"
        " (report_id, version, partner, status, body, body_sha256, why, signed_by, work_item_id, network_version)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, (SELECT max(version) FROM network_version))",
        (
            report_id,
            version,
            partner,
            status,
            Jsonb(body.model_dump(mode="json")),
            digest_of(case_id, body),
            why,
            reader,
            work_item_id,
        ),
    )
    connection.execute(
        "UPDATE report SET status = %s, version = %s WHERE id = %s", (status, version, report_id)
    )
