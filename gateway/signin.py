"""Who asks: a bearer token becomes a caller, bound to one organisation and one role, and to what those may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import State

from cases.access import Relation, allowed, offered, reach, relations_to_case
from cases.network import Account, Network
from gateway.parts import Parts, Side
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.shapes import Me, OrganisationName
from storage import accounts, audit, cases
from storage.accounts import Principal
from storage.cases import Case, UnknownCase
from storage.database import Connection

# Whom each side serves: a reader never signs in where identity is, and nobody else where it must not be.
ROLES_OF_SIDE: dict[Side, tuple[str, ...]] = {
    "region": ("clinic", "manager", "operator"),
    "partner": ("reader",),
}

_bearer = HTTPBearer(auto_error=False, description="An access token that an operator issued.")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A person who is signed in, with the network in force and the parts of this gateway."""

    who: Principal
    person: Account
    network: Network
    parts: Parts
    side: Side

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction; on the partner side row-level security shows this organisation's rows alone."""
        tenant = self.who.organisation if self.side == "partner" else ""
        with self.parts.database.transaction(tenant=tenant) as connection:
            yield connection

    def reach(self, action: str) -> Relation | None:
        """How far this role's grant for `action` goes on this side; None: not at all."""
        return reach(self.who.role, action) if offered(action, self.side) else None

    def scope(self, action: str) -> str | None:
        """The organisation that a list is limited to, None for the whole network."""
        return None if self.reach(action) == "any" else self.who.organisation

    def may(self, action: str, case: Case) -> bool:
        """Whether this caller may do `action` to the case."""
        relations = relations_to_case(
            self.who.organisation, clinic=case.clinic, scanning_site=case.scanning_site, partner=case.partner
        )
        return offered(action, self.side) and any(allowed(self.who.role, action, r) for r in relations)

    def case(self, connection: Connection, case_id: str, action: str, *, lock: bool = False) -> Case:
        """The case, if the caller may do `action` to it. Raises `UnknownCase` for another organisation's, too."""
        case = cases.get(connection, case_id, lock=lock)
        if not self.may(action, case):
            raise UnknownCase(f"no case {case_id}")
        return case

    def audit(self, connection: Connection, action: str, case_id: str | None = None, note: str = "") -> None:
        audit.record(connection, self.who, action, case_id, note)


def caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """The signed-in caller. Raises `UnknownToken`, or `Refusal` if the role signs in on the other side."""
    found = signed_in(request.app.state, credentials.credentials if credentials else "")
    request.state.account = found.who.account
    return found


def signed_in(gateway: State, token: str) -> Caller:
    """Who a token speaks for at this gateway. Raises `UnknownToken` or `Refusal`."""
    parts: Parts = gateway.parts
    side: Side = gateway.side
    if not token:
        raise Refusal(
            401, "not-signed-in", "This needs an access token.", "Send it as 'Authorization: Bearer …'."
        )
    _, network = parts.network.current()
    with parts.database.transaction() as connection:
        who = accounts.principal_of(connection, network, token)
    if who.role not in ROLES_OF_SIDE[side]:
        raise Refusal(
            403,
            "wrong-side",
            "This account signs in at another gateway.",
            "Readers: the partners'; all others: the region's.",
        )
    return Caller(who=who, person=network.account(who.account), network=network, parts=parts, side=side)


Signed = Annotated[Caller, Depends(caller)]


def permits(action: str) -> Callable[[Caller], None]:
    """A dependency that lets through whose role may do `action` to anything at all; the deed looks at the thing."""

    def check(asking: Signed) -> None:
        if asking.reach(action) is None:
            raise Refusal(403, "not-permitted", "Your role may not do this.", "Ask somebody whose role may.")

    return check


def me(asking: Signed) -> Me:
    """Who I am here, and for which organisation I act."""
    home = asking.network.organisation(asking.person.organisation)
    return Me(
        account=asking.person.id,
        name=asking.person.name,
        name_zh=asking.person.name_zh,
        role=asking.person.role,
        organisation=OrganisationName(id=home.id, name=home.name, name_zh=home.name_zh),
        side=asking.side,
        languages=asking.person.languages,
        licence=asking.person.licence,
    )


ROUTES = (Route("GET", "/api/me", me, action="network.see", tag="sign-in"),)
