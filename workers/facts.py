"""What only one stage needs to know beside its case, read in the same transaction that loads the case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from cases.documents import PixelDecision
from cases.milestones import Milestone
from cases.network import Account, Network, load
from cases.routing import Load
from storage import pictures
from storage.cases import Case
from storage.database import Connection


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier case of the same patient of the same clinic, and the day of its examination (or of its receipt)."""

    case_id: str
    service: str
    examined_on: date


@dataclass(frozen=True, kw_only=True)
class SignedReport:
    """The newest version of the case's report, as signed on the partner's side; its signer as known on that day."""

    report_id: str
    version: int
    status: str
    body: dict[str, Any]
    body_sha256: str
    signer: Account
    signed_at: datetime
    partner: str
    why: str
    received_at: datetime
    order_sha256: str
    milestones: tuple[tuple[str, datetime], ...]


def answered_labels(connection: Connection, case: Case, network: Network) -> dict[int, bool]:
    """The clinic's answers about slide labels, by the slide's number in the order."""
    rows = connection.execute(
        "SELECT number, confirmed FROM vault.label_answer WHERE case_id = %s", (case.id,)
    )
    return {row["number"]: row["confirmed"] for row in rows.fetchall()}


@dataclass(frozen=True, kw_only=True)
class DeidentifyFacts:
    """What de-identification must know beside the case: earlier cases, and what people decided about its pictures."""

    earlier: tuple[Earlier, ...]
    decisions: Mapping[str, tuple[PixelDecision, ...]]


def deidentify_facts(connection: Connection, case: Case, network: Network) -> DeidentifyFacts:
    """The patient's earlier cases, and the decisions about this case's pictures by the instance's SHA-256."""
    return DeidentifyFacts(
        earlier=_earlier_cases(connection, case), decisions=pictures.decisions(connection, case.id)
    )


def _earlier_cases(connection: Connection, case: Case) -> tuple[Earlier, ...]:
    """Earlier cases of the same (clinic, patient ID) that a partner has received, the newest first."""
    rows = connection.execute(
        "SELECT c.id, c.service, c.received_at, d.body FROM vault.case_order me"
        " JOIN vault.case_order o ON o.clinic = me.clinic AND o.patient_id = me.patient_id AND o.case_id <> me.case_id"
        " JOIN cases c ON c.id = o.case_id"
        " LEFT JOIN LATERAL (SELECT body FROM vault.document d WHERE d.case_id = c.id AND d.stage = 'preprocess'"
        "   ORDER BY case_version DESC LIMIT 1) d ON true"
        " WHERE me.case_id = %s AND c.partner IS NOT NULL ORDER BY c.received_at DESC LIMIT 20",
        (case.id,),
    ).fetchall()
    return tuple(
        Earlier(case_id=r["id"], service=r["service"], examined_on=_examined_on(r["body"], r["received_at"]))
        for r in rows
    )


def _examined_on(body: dict[str, Any] | None, received_at: datetime) -> date:
    days = [s["study_date"] for s in (body or {}).get("studies", []) if s.get("study_date")]
    return min((date.fromisoformat(d) for d in days), default=received_at.date())


@dataclass(frozen=True, kw_only=True)
class RouteFacts:
    """What routing must know beside the case: each partner's load, who declined the case, and its log so far."""

    loads: Mapping[str, Load]
    declined: tuple[str, ...]
    log: tuple[Milestone, ...]


_LOADS = """
SELECT p.partner, coalesce(w.open, 0) + coalesce(c.coming, 0) AS open_items,
    coalesce(w.stat, 0) + coalesce(c.coming_stat, 0) AS open_stat, coalesce(d.today, 0) AS today,
    coalesce(k.open_until > clock_timestamp(), false) AS down
FROM unnest(%(partners)s::text[]) AS p(partner)
LEFT JOIN (SELECT w.partner, count(*) AS open, count(*) FILTER (WHERE c.priority = 'stat') AS stat
    FROM work_item w JOIN cases c ON c.id = w.case_id WHERE w.state IN ('SCHEDULED', 'IN PROGRESS')
    GROUP BY w.partner) w USING (partner)
LEFT JOIN (SELECT partner, count(*) AS coming, count(*) FILTER (WHERE priority = 'stat') AS coming_stat
    FROM cases WHERE state = 'routed' GROUP BY partner) c USING (partner)
LEFT JOIN (SELECT partner, count(*) AS today FROM route_decision
    WHERE decided_at >= date_trunc('day', clock_timestamp(), %(zone)s) GROUP BY partner) d USING (partner)
LEFT JOIN partner_circuit k USING (partner)
"""


def route_facts(connection: Connection, case: Case, network: Network) -> RouteFacts:
    """The loads of all partners of the network, who declined this case, and the case's milestones."""
    values = {"partners": [p.id for p in network.partners], "zone": network.time_zone}
    loads = {
        r["partner"]: Load(
            open_items=r["open_items"], open_stat=r["open_stat"], today=r["today"], down=r["down"]
        )
        for r in connection.execute(_LOADS, values).fetchall()
    }
    declined = connection.execute(
        "SELECT DISTINCT partner FROM work_item WHERE case_id = %s AND ended_because = 'declined'", (case.id,)
    ).fetchall()
    log = connection.execute(
        "SELECT name, state, happened_at FROM milestone WHERE case_id = %s ORDER BY id", (case.id,)
    ).fetchall()
    return RouteFacts(
        loads=loads,
        declined=tuple(r["partner"] for r in declined),
        log=tuple(Milestone(name=r["name"], state=r["state"], at=r["happened_at"]) for r in log),
    )


def signed_report(connection: Connection, case: Case, network: Network) -> SignedReport | None:
    """The newest signed version of the report, None if there is none."""
    row = connection.execute(
        "SELECT v.*, r.id AS the_report, o.content_sha256, n.document AS older_network FROM report r"
        " JOIN report_version v ON v.report_id = r.id AND v.version = r.version"
        " LEFT JOIN network_version n ON n.version = v.network_version"
        "   AND n.version < (SELECT max(version) FROM network_version)"
        " JOIN vault.case_order o ON o.case_id = r.case_id"
        " WHERE r.case_id = %s AND r.status <> 'cancelled'",
        (case.id,),
    ).fetchone()
    if row is None:
        return None
    log = connection.execute(
        "SELECT name, happened_at FROM milestone WHERE case_id = %s ORDER BY id", (case.id,)
    )
    return SignedReport(
        report_id=str(row["the_report"]),
        version=row["version"],
        status=row["status"],
        body=row["body"],
        body_sha256=row["body_sha256"],
        signer=(load(row["older_network"]) if row["older_network"] else network).account(row["signed_by"]),
        signed_at=row["signed_at"],
        partner=row["partner"],
        why=row["why"],
        received_at=case.received_at,
        order_sha256=row["content_sha256"],
        milestones=tuple((m["name"], m["happened_at"]) for m in log.fetchall()),
    )


FACTS: Mapping[str, Callable[[Connection, Case, Network], Any]] = {
    "preprocess": answered_labels,
    "deidentify": deidentify_facts,
    "route": route_facts,
    "return": signed_report,
}
