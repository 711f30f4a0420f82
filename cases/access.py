"""Who may do what: role by action by the relation of the person's organisation to the thing.

Relations: `own` (the organisation requested the case, or its laboratory made the slides), `assigned` (the case was
routed to it), `any` (neither, or a thing of the whole network). A role granted `any` may do it whatever the relation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Relation = Literal["own", "assigned", "any"]
SideOfAccess = Literal["region", "partner", "both"]

ROLES = ("clinic", "reader", "manager", "operator")
RELATIONS: tuple[Relation, ...] = ("own", "assigned", "any")


@dataclass(frozen=True, kw_only=True)
class Action:
    """`side`: which gateway offers it at all; what shows identity is never offered on the partner side."""

    id: str
    what: str
    side: SideOfAccess
    identity: bool
    grants: dict[str, Relation]


# action | meaning | side | shows identity? | clinic | reader | manager | operator   ("-": never)
_ROWS: tuple[tuple[str, str, SideOfAccess, bool, str, str, str, str], ...] = (
    ("network.see", "see organisations, services and partners", "both", False, "any", "any", "any", "any"),
    ("network.apply", "put a changed network file into force", "region", False, "-", "-", "-", "any"),
    # --- drops and cases
    ("drop.create", "hand in an order with its files", "region", True, "own", "-", "-", "-"),
    ("drop.see", "see what became of a drop, and its receipt", "region", False, "own", "-", "-", "any"),
    ("case.see", "see a case's state, milestones and reasons", "both", False, "own", "assigned", "any", "any"),
    ("case.see-brief", "see the de-identified order", "both", False, "own", "assigned", "-", "any"),
    ("case.see-identity", "see the order and the patient", "region", True, "own", "-", "-", "-"),
    ("case.see-route", "see a routing decision with its reasons", "region", False, "own", "-", "any", "any"),
    ("case.answer", "answer a question, confirm a slide's label", "region", True, "own", "-", "-", "-"),
    ("case.cancel", "withdraw a case", "region", False, "own", "-", "-", "-"),
    ("images.search", "search the de-identified images", "partner", False, "-", "assigned", "-", "-"),
    ("images.see", "see the de-identified images", "both", False, "own", "assigned", "-", "-"),
    # --- reading
    ("worklist.see", "see what waits for a reader", "both", False, "-", "assigned", "any", "any"),
    ("work-item.claim", "claim a work item and keep its lease", "both", False, "-", "assigned", "-", "-"),
    ("work-item.release", "put a work item back on the worklist", "both", False, "-", "assigned", "-", "-"),
    ("work-item.decline", "decline a case for one's organisation", "both", False, "-", "assigned", "-", "-"),
    ("work-item.ask", "ask the clinic", "both", False, "-", "assigned", "-", "-"),
    ("report.write", "write a preliminary report", "both", False, "-", "assigned", "-", "-"),
    ("report.sign", "sign a report, add to it, correct it", "both", False, "-", "assigned", "-", "-"),
    ("report.see", "see a report without identity", "both", False, "own", "assigned", "-", "-"),
    # --- return
    ("report.fetch", "fetch the report under the real name", "region", True, "own", "-", "-", "-"),
    ("report.acknowledge", "acknowledge a report by name", "region", True, "own", "-", "-", "-"),
    # --- critical findings
    ("critical.raise", "raise a critical finding", "both", False, "-", "assigned", "-", "-"),
    ("critical.notify", "tell the clinic of a critical finding", "both", False, "-", "assigned", "-", "any"),
    ("critical.read-back", "read a critical finding back", "region", False, "own", "-", "-", "-"),
    ("critical.close", "close a critical finding that was read back", "both", False, "-", "assigned", "-", "any"),
    # --- figures
    ("figures.see", "see turnaround, backlog and breaches", "region", False, "own", "-", "any", "any"),
    ("stations.see", "see the use of equipment", "region", False, "own", "-", "any", "any"),
    # --- operating
    ("quarantine.see", "look at a quarantined case, with what was found", "region", True, "-", "-", "-", "any"),
    ("quarantine.release", "let a quarantined case go on", "region", False, "-", "-", "-", "any"),
    ("quarantine.reject", "send a quarantined case back with advice", "region", False, "-", "-", "-", "any"),
    ("failed.see", "see stage runs that failed", "region", False, "-", "-", "-", "any"),
    ("failed.replay", "run a failed stage again", "region", False, "-", "-", "-", "any"),
    ("token.issue", "issue and revoke access tokens", "region", False, "-", "-", "-", "any"),
    ("audit.see", "see who did what", "region", False, "-", "-", "any", "any"),
)  # fmt: skip

_RELATION: dict[str, Relation] = {relation: relation for relation in RELATIONS}

ACTIONS: dict[str, Action] = {
    name: Action(
        id=name,
        what=what,
        side=side,
        identity=identity,
        grants={role: _RELATION[to] for role, to in zip(ROLES, granted, strict=True) if to != "-"},
    )
    for name, what, side, identity, *granted in _ROWS
}


def allowed(role: str, action: str, relation: Relation) -> bool:
    """Whether somebody of `role` whose organisation has this relation to the thing may do it.

    Raises KeyError for an action that is not in the table; a role that is not in it may do nothing.
    """
    granted = ACTIONS[action].grants.get(role)
    return granted is not None and granted in ("any", relation)


def offered(action: str, side: Literal["region", "partner"]) -> bool:
    """Whether the gateway of that side offers the action at all. Raises KeyError for an unknown action."""
    return ACTIONS[action].side in ("both", side)


def reach(role: str, action: str) -> Relation | None:
    """How far a role's grant goes, for lists: `own`, `assigned`, `any` (the whole network), or None (not at all)."""
    return ACTIONS[action].grants.get(role)


def relations_to_case(
    organisation: str, *, clinic: str, scanning_site: str | None = None, partner: str | None = None
) -> frozenset[Relation]:
    """All relations of an organisation to a case; `any` is always among them."""
    found: set[Relation] = {"any"}
    if organisation in (clinic, scanning_site):
        found.add("own")
    if organisation == partner:
        found.add("assigned")
    return frozenset(found)
