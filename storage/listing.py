"""Cases as lists and pages show them: one SQL for the line, and what stands behind a single case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cases.milestones import Milestone
from cases.states import CASE_ENDED
from storage.cases import Case
from storage.database import Connection, Row

_FIELDS = tuple(Case.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A case with what its line shows. `accession_number` and `patient_name` are identity: for its own clinic alone.

    `situation` is one of `cases.waiting.SITUATIONS`; `now` is the database's clock.
    """

    case: Case
    accession_number: str
    patient_name: str
    situation: str
    report_ready: bool
    now: datetime


_LINES = """
SELECT c.*, o.accession_number, o.patient_name, clock_timestamp() AS now,
    EXISTS (SELECT FROM vault.document d WHERE d.case_id = c.id AND d.stage = 'return') AS report_ready,
    CASE WHEN r.outcome = 'failed' THEN 'failed'
         WHEN r.outcome IS NOT NULL OR r.id IS NULL THEN ''
         WHEN r.owner IS NOT NULL THEN 'running'
         WHEN r.stage = 'deliver' AND p.open_until > clock_timestamp() THEN 'line-down'
         WHEN r.not_before > clock_timestamp() THEN 'resting'
         ELSE 'queued' END AS situation
FROM cases c
JOIN vault.case_order o ON o.case_id = c.id
LEFT JOIN LATERAL (SELECT * FROM stage_run r WHERE r.case_id = c.id AND r.case_version = c.version
                   ORDER BY r.id DESC LIMIT 1) r ON true
LEFT JOIN partner_circuit p ON p.partner = c.partner
"""
_FILTER = """
WHERE (%(organisation)s::text IS NULL OR %(organisation)s IN (c.clinic, c.scanning_site))
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(service)s::text IS NULL OR c.service = %(service)s)
  AND (%(priority)s::text IS NULL OR c.priority = %(priority)s)
  AND (NOT %(open)s OR NOT c.state = ANY(%(ended)s))
  AND (%(after)s::text IS NULL
       OR (c.received_at, c.id) < (SELECT received_at, id FROM cases WHERE id = %(after)s))
ORDER BY c.received_at DESC, c.id DESC LIMIT %(limit)s
"""


def lines(
    connection: Connection,
    *,
    organisation: str | None = None,
    state: str | None = None,
    service: str | None = None,
    priority: str | None = None,
    only_open: bool = False,
    after: str | None = None,
    limit: int = 50,
) -> list[Listed]:
    """Cases, the newest first, those after the case `after`; of one requesting or scanning organisation, or all."""
    values = {
        "organisation": organisation,
        "state": state,
        "service": service,
        "priority": priority,
        "open": only_open,
        "ended": list(CASE_ENDED),
        "after": after,
        "limit": limit,
    }
    return [_listed(row) for row in connection.execute(_LINES + _FILTER, values).fetchall()]


def line(connection: Connection, case_id: str) -> Listed | None:
    """One case's line."""
    row = connection.execute(_LINES + "WHERE c.id = %s", (case_id,)).fetchone()
    return _listed(row) if row else None


def milestones(connection: Connection, case_id: str) -> list[dict[str, Any]]:
    """The case's log, in the order in which we learned of it."""
    return connection.execute(
        "SELECT name, state, happened_at, recorded_at, clock, actor, note FROM milestone"
        " WHERE case_id = %s ORDER BY id",
        (case_id,),
    ).fetchall()


def log(rows: Sequence[dict[str, Any]]) -> tuple[Milestone, ...]:
    """Rows of `milestones` as the domain reads them."""
    return tuple(Milestone(name=r["name"], state=r["state"], at=r["happened_at"]) for r in rows)


def route_decisions(connection: Connection, case_id: str) -> list[dict[str, Any]]:
    """Every routing decision of the case (`document` is a `cases.documents.Routed`), the newest first."""
    return connection.execute(
        "SELECT partner, document, decided_at FROM route_decision WHERE case_id = %s ORDER BY case_version DESC",
        (case_id,),
    ).fetchall()


def _listed(row: Row) -> Listed:
    return Listed(
        case=Case(**{name: row[name] for name in _FIELDS}),
        accession_number=row["accession_number"],
        patient_name=row["patient_name"],
        situation=row["situation"],
        report_ready=row["report_ready"],
        now=row["now"],
    )
