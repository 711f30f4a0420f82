"""route: choose the partner by the network's rules and what each partner can take; the reasons are kept in words."""

from __future__ import annotations

from datetime import date

from cases.routing import RouteRequest, decide
from storage.transition import Done
from workers.facts import RouteFacts
from workers.parts import Tools, Work


def route(work: Work, tools: Tools) -> Done:
    """Decide for the case as it is now; raises `Quarantine("no-partner")`."""
    facts: RouteFacts = work.facts
    request = request_of(work, facts)
    routed = decide(request, work.network, facts.loads, work.now, is_workday=tools.is_workday)
    return Done(document=routed, note=f"{routed.partner} by rule {routed.rule}")


def request_of(work: Work, facts: RouteFacts) -> RouteRequest:
    """What routing may know: no identity, the age in years alone."""
    order = work.order
    return RouteRequest(
        clinic=work.case.clinic,
        service=work.case.service,
        priority=work.case.priority,
        purpose=work.case.purpose,
        body_site=order.body_site.text,
        age_years=_years(order.patient.birth_date, work.now.date()),
        wished_partner=order.wished_partner,
        declined=facts.declined,
        log=facts.log,
    )


def _years(born: date, on: date) -> float:
    return (on - born).days / 365.2425
