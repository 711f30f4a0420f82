"""What of the network a signed-in person may see: names of organisations, services and partners."""

from __future__ import annotations

from gateway.routes import Route
from gateway.shapes import NetworkShown, OrganisationName, ServiceShown
from gateway.signin import Signed


def network(asking: Signed) -> NetworkShown:
    """The network in force: who asks, who reads, and what can be ordered (`requestable`: by this organisation)."""
    told, home = asking.network, asking.who.organisation
    services = tuple(
        ServiceShown(
            id=s.id,
            name=s.name,
            name_zh=s.name_zh,
            family=s.family,
            modalities=s.modalities,
            subspecialty=s.subspecialty,
            requestable=told.may_request(home, s.id),
        )
        for s in told.services
    )
    named = {o.id: OrganisationName(id=o.id, name=o.name, name_zh=o.name_zh) for o in told.organisations}
    return NetworkShown(
        name=told.name,
        name_zh=told.name_zh,
        time_zone=told.time_zone,
        services=services,
        clinics=tuple(named[o.id] for o in told.clinics),
        partners=tuple(named[p.id] for p in told.partners),
    )


ROUTES = (Route("GET", "/api/network", network, action="network.see", tag="sign-in"),)
