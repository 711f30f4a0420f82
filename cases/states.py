"""The state machines, each a table of (state, event) -> state; `advance` is the only code.

Case states follow the way through the house; work items use the UPS states (PS3.4 Annex CC); reports use FHIR R4
DiagnosticReport.status. An event absent for a state is not possible there.
"""

from __future__ import annotations

from collections.abc import Mapping

from cases.errors import NotAllowed

Machine = Mapping[tuple[str, str], str]

# The state that the case was in when it was set aside (the row's `held_from`).
BEFORE = "*before*"

CASE_OPEN = (
    "received", "preprocessed", "deidentified", "routed", "delivered", "in_reading", "reported", "returned",
)  # fmt: skip
CASE_STATES = (*CASE_OPEN, "acknowledged", "awaiting_clinic", "quarantined", "rejected", "cancelled")
CASE_ENDED = ("acknowledged", "rejected", "cancelled")

CASE: Machine = {
    # the way through the house
    ("received", "preprocessed"): "preprocessed",
    ("preprocessed", "deidentified"): "deidentified",
    ("deidentified", "routed"): "routed",
    ("routed", "delivered"): "delivered",
    ("delivered", "claimed"): "in_reading",
    ("in_reading", "preliminary"): "in_reading",
    ("in_reading", "discrepancy"): "in_reading",
    ("in_reading", "reported"): "reported",
    ("reported", "returned"): "returned",
    ("returned", "acknowledged"): "acknowledged",
    # the reader gives it back
    ("in_reading", "released"): "delivered",
    ("in_reading", "lease_expired"): "delivered",
    ("in_reading", "declined"): "deidentified",
    ("delivered", "declined"): "deidentified",
    # the report changes after it was signed
    ("reported", "addendum"): "reported",
    ("reported", "correction"): "reported",
    ("returned", "addendum"): "reported",
    ("returned", "correction"): "reported",
    ("acknowledged", "addendum"): "reported",
    ("acknowledged", "correction"): "reported",
    # the clinic is asked
    ("received", "asked"): "awaiting_clinic",
    ("preprocessed", "asked"): "awaiting_clinic",
    ("delivered", "asked"): "awaiting_clinic",
    ("in_reading", "asked"): "awaiting_clinic",
    ("awaiting_clinic", "answered"): "received",
    # inadequate: advice to the clinic
    ("received", "rejected"): "rejected",
    ("preprocessed", "rejected"): "rejected",
    ("awaiting_clinic", "rejected"): "rejected",
    ("quarantined", "rejected"): "rejected",
    # a person must look, and then says what becomes of it
    ("received", "quarantined"): "quarantined",
    ("preprocessed", "quarantined"): "quarantined",
    ("deidentified", "quarantined"): "quarantined",
    ("routed", "quarantined"): "quarantined",
    ("delivered", "quarantined"): "quarantined",
    ("in_reading", "quarantined"): "quarantined",
    ("reported", "quarantined"): "quarantined",
    ("quarantined", "replayed"): BEFORE,
    # withdrawn by the clinic
    ("received", "cancelled"): "cancelled",
    ("preprocessed", "cancelled"): "cancelled",
    ("deidentified", "cancelled"): "cancelled",
    ("routed", "cancelled"): "cancelled",
    ("delivered", "cancelled"): "cancelled",
    ("in_reading", "cancelled"): "cancelled",
    ("awaiting_clinic", "cancelled"): "cancelled",
    ("quarantined", "cancelled"): "cancelled",
}

WORK_ITEM_STATES = ("SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED")
WORK_ITEM: Machine = {
    ("SCHEDULED", "claim"): "IN PROGRESS",
    ("SCHEDULED", "cancel"): "CANCELED",
    ("IN PROGRESS", "complete"): "COMPLETED",
    # release, decline and an expired lease: the item ends and a successor is created
    ("IN PROGRESS", "cancel"): "CANCELED",
}

REPORT_STATES = (
    "registered", "preliminary", "final", "amended", "corrected", "appended", "cancelled", "entered-in-error",
)  # fmt: skip
REPORT: Machine = {
    ("registered", "preliminary"): "preliminary",
    ("registered", "sign"): "final",
    ("registered", "cancel"): "cancelled",
    ("preliminary", "preliminary"): "preliminary",
    ("preliminary", "sign"): "final",
    ("preliminary", "cancel"): "cancelled",
    ("final", "amend"): "amended",
    ("final", "correct"): "corrected",
    ("final", "append"): "appended",
    ("final", "retract"): "entered-in-error",
    ("amended", "amend"): "amended",
    ("amended", "correct"): "corrected",
    ("amended", "append"): "appended",
    ("amended", "retract"): "entered-in-error",
    ("corrected", "amend"): "amended",
    ("corrected", "correct"): "corrected",
    ("corrected", "append"): "appended",
    ("corrected", "retract"): "entered-in-error",
    ("appended", "amend"): "amended",
    ("appended", "correct"): "corrected",
    ("appended", "append"): "appended",
    ("appended", "retract"): "entered-in-error",
}

CRITICAL_FINDING_STATES = ("raised", "notified", "read_back", "closed")
CRITICAL_FINDING: Machine = {
    ("raised", "notify"): "notified",
    ("notified", "notify"): "notified",
    ("notified", "read_back"): "read_back",
    ("read_back", "close"): "closed",
}

DROP_STATES = ("arriving", "complete", "received", "rejected", "quarantined")
DROP: Machine = {
    ("arriving", "completed"): "complete",
    ("arriving", "rejected"): "rejected",
    ("arriving", "quarantined"): "quarantined",
    ("complete", "received"): "received",
    ("complete", "rejected"): "rejected",
    ("complete", "quarantined"): "quarantined",
    ("quarantined", "replayed"): "complete",
    ("quarantined", "reopened"): "arriving",
    ("quarantined", "rejected"): "rejected",
}

MACHINES: Mapping[str, tuple[tuple[str, ...], Machine]] = {
    "case": (CASE_STATES, CASE),
    "work item": (WORK_ITEM_STATES, WORK_ITEM),
    "report": (REPORT_STATES, REPORT),
    "critical finding": (CRITICAL_FINDING_STATES, CRITICAL_FINDING),
    "drop": (DROP_STATES, DROP),
}


def advance(machine: str, state: str, event: str, *, before: str | None = None) -> str:
    """The state after `event`; `before` is what a set-aside case returns to. Raises `NotAllowed`."""
    states, table = MACHINES[machine]
    target = table.get((state, event))
    if target == BEFORE:
        target = before if before in states else None
    if target is None:
        possible = ", ".join(sorted(e for s, e in table if s == state)) or "nothing"
        raise NotAllowed(f"a {machine} that is {state} cannot be {event}; possible: {possible}")
    return target
