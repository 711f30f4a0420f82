"""Does an order that is valid by itself fit the network? In sentences that repeat no patient's data."""

from __future__ import annotations

from collections.abc import Iterator

from cases.network import Network
from cases.order import StudyOrder


def unfit(order: StudyOrder, network: Network, clinic: str) -> Iterator[str]:
    """What the network misses in the order of `clinic`, one sentence for each part; nothing if it fits."""
    if not network.may_request(clinic, order.service):
        offered = ", ".join(network.organisation(clinic).services) or "none"
        yield f"service: this clinic cannot order it; it can order: {offered}"
        return
    if network.service(order.service).family == "slides" and not (order.specimens and order.slides):
        yield "slides: a pathology order names its specimens and its slides"
    known = {o.id for o in network.organisations}
    if order.scanning_site is not None and order.scanning_site not in known:
        yield "scanning_site: no such organisation in the network"
    if order.wished_partner is not None and order.wished_partner not in {p.id for p in network.partners}:
        yield "wished_partner: no such partner in the network"
