"""Whether a network hangs together: every name refers to something, and every order can be read in time by someone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cases.network_errors import Problem, key_of, unknown
from cases.stages import PRIORITIES

if TYPE_CHECKING:
    from cases.network import Network, Rule

Place = tuple[int | str, ...]

# Lists in which an id stands once.
_LISTS = ("organisations", "services", "stations", "partners", "rules", "service_levels", "accounts")

# The roles of an organisation that a person of each role may belong to.
HOME_OF_ROLE: dict[str, tuple[str, ...]] = {
    "clinic": ("requesting", "scanning"),
    "reader": ("reading",),
    "manager": ("centre",),
    "operator": ("centre",),
}

# (list, key) -> the list that it names
_REFERENCES: tuple[tuple[str, str, str], ...] = (
    ("organisations", "services", "service"),
    ("organisations", "laboratory", "organisation"),
    ("stations", "clinic", "organisation"),
    ("partners", "id", "organisation"),
    ("partners", "services", "service"),
    ("rules", "clinics", "organisation"),
    ("rules", "services", "service"),
    ("rules", "wished", "partner"),
    ("rules", "prefer", "partner"),
    ("reading_policies", "services", "service"),
    ("service_levels", "services", "service"),
    ("accounts", "organisation", "organisation"),
)


def check(network: Network) -> tuple[Problem, ...]:
    """Everything that does not hang together. The checks of the second line need names that refer to something."""
    problems = (*_twice(network), *_dangling(network))
    return problems or (
        *_organisations(network), *_stations(network), *_partners(network), *_rules(network), *_levels(network),
        *_accounts(network), *_unread(network),
    )  # fmt: skip


def notices(network: Network) -> tuple[Problem, ...]:
    """What hangs together, but does less than it says: not wrong, yet nobody should rely on it."""
    return tuple(
        Problem(
            key=f"reading_policies[{i}].mode",
            value="'double'",
            wrong="such a case is read once: this release makes one work item for each case",
            remedy="where two readings are needed, order the second one with the purpose second-opinion",
        )
        for i, policy in enumerate(network.reading_policies)
        if policy.mode == "double"
    )


def _twice(network: Network) -> Iterator[Problem]:
    for name in _LISTS:
        seen: dict[str, int] = {}
        for i, row in enumerate(getattr(network, name)):
            if row.id in seen:
                wrong = f"the id is taken by {name}[{seen[row.id]}]"
                yield Problem(
                    key=key_of((name, i, "id")), value=repr(row.id), wrong=wrong, remedy="choose another"
                )
            seen.setdefault(row.id, i)


def _dangling(network: Network) -> Iterator[Problem]:
    known = {
        "service": [s.id for s in network.services],
        "organisation": [o.id for o in network.organisations],
        "partner": [p.id for p in network.partners],
    }
    for name, key, kind in _REFERENCES:
        for i, row in enumerate(getattr(network, name)):
            value = getattr(row, key)
            if isinstance(value, str) and value not in known[kind]:
                yield unknown((name, i, key), value, kind, known[kind])
            elif isinstance(value, tuple):
                for j, one in enumerate(value):
                    if one not in known[kind]:
                        yield unknown((name, i, key, j), one, kind, known[kind])


def _lacks_role(network: Network, loc: Place, organisation: str, wanted: Sequence[str]) -> Iterator[Problem]:
    if not set(wanted) & set(network.organisation(organisation).roles):
        place = next(i for i, o in enumerate(network.organisations) if o.id == organisation)
        wrong = f"this organisation has not the role {' or '.join(wanted)}"
        remedy = f"add it to organisations[{place}].roles or name another organisation"
        yield Problem(key=key_of(loc), value=repr(organisation), wrong=wrong, remedy=remedy)


def _organisations(network: Network) -> Iterator[Problem]:
    partners = {p.id for p in network.partners}
    titles: dict[str, int] = {}
    for i, row in enumerate(network.organisations):
        here, roles = f"organisations[{i}]", repr(list(row.roles))
        if "requesting" in row.roles and not row.services:
            remedy = "list what it may request"
            yield Problem(key=f"{here}.services", value="[]", wrong="it requests nothing", remedy=remedy)
        if "requesting" not in row.roles and row.services:
            remedy = f"add the role or remove {here}.services"
            yield Problem(key=f"{here}.roles", value=roles, wrong="lacks the role requesting", remedy=remedy)
        if row.ae_title and titles.setdefault(row.ae_title, i) != i:
            wrong = f"organisations[{titles[row.ae_title]}] is called by it, too"
            yield Problem(
                key=f"{here}.ae_title", value=repr(row.ae_title), wrong=wrong, remedy="give each its own"
            )
        if row.laboratory is not None:
            yield from _lacks_role(network, ("organisations", i, "laboratory"), row.laboratory, ["scanning"])
        if "reading" in row.roles and row.id not in partners:
            remedy = f"add [[partners]] with id = '{row.id}', or remove the role"
            yield Problem(key=f"{here}.roles", value=roles, wrong="reads, but is no partner", remedy=remedy)
    if not network.with_role("centre"):
        remedy = "give one of them the role centre"
        yield Problem(key="organisations", value=None, wrong="none of them runs the network", remedy=remedy)


def _stations(network: Network) -> Iterator[Problem]:
    seen: dict[tuple[str, str], int] = {}
    for i, row in enumerate(network.stations):
        yield from _lacks_role(network, ("stations", i, "clinic"), row.clinic, ["requesting", "scanning"])
        first = seen.setdefault((row.clinic, row.station_name), i)
        if first != i:
            wrong = f"stations[{first}] of the same clinic has this name"
            key = f"stations[{i}].station_name"
            yield Problem(key=key, value=repr(row.station_name), wrong=wrong, remedy="give each its own")


def _partners(network: Network) -> Iterator[Problem]:
    buckets: dict[str, int] = {}
    for i, row in enumerate(network.partners):
        here = f"partners[{i}]"
        yield from _lacks_role(network, ("partners", i, "id"), row.id, ["reading"])
        first = buckets.setdefault(row.bucket, i)
        if first != i:
            wrong = f"partners[{first}] has this bucket, and would read the other's cases"
            yield Problem(
                key=f"{here}.bucket", value=repr(row.bucket), wrong=wrong, remedy="give each its own"
            )
        if row.hours.is_empty:
            yield Problem(
                key=f"{here}.hours",
                value=None,
                wrong="it never reads",
                remedy="give weekdays = ['08:00-17:00']",
            )
        for j, service in enumerate(row.services):
            needed = network.service(service).subspecialty
            if needed not in row.subspecialties:
                wrong = f"reading it needs the subspecialty '{needed}'"
                remedy = f"add it to {here}.subspecialties or remove the service"
                yield Problem(key=f"{here}.services[{j}]", value=repr(service), wrong=wrong, remedy=remedy)


def _rules(network: Network) -> Iterator[Problem]:
    for i, row in enumerate(network.rules):
        here = f"rules[{i}]"
        if row.weights and len(row.weights) != len(row.prefer):
            wrong = f"there are {len(row.prefer)} preferred partners"
            remedy = "give one weight for each, or none"
            yield Problem(key=f"{here}.weights", value=repr(list(row.weights)), wrong=wrong, remedy=remedy)
        if any(weight < 1 for weight in row.weights):
            remedy = "give whole numbers from 1 on"
            yield Problem(
                key=f"{here}.weights", value=repr(list(row.weights)), wrong="a share below 1", remedy=remedy
            )
        if not row.prefer and not row.others:
            remedy = "list partners, or let others stand in"
            yield Problem(key=f"{here}.prefer", value="[]", wrong="the rule leaves no partner", remedy=remedy)
        if row.age_from is not None and row.age_below is not None and row.age_from >= row.age_below:
            wrong = f"nobody is younger than {row.age_below:g} and from {row.age_from:g} on"
            yield Problem(
                key=f"{here}.age_below", value=f"{row.age_below:g}", wrong=wrong, remedy="exchange the two"
            )
    if not any(_matches_all(row) for row in network.rules):
        remedy = "add a last rule without conditions"
        yield Problem(key="rules", value=None, wrong="a case may match none of them", remedy=remedy)


def _matches_all(rule: Rule) -> bool:
    lists = (rule.clinics, rule.services, rule.priorities, rule.purposes, rule.wished, rule.body_sites)
    return not any(lists) and rule.age_from is None and rule.age_below is None


def _levels(network: Network) -> Iterator[Problem]:
    for service in network.services:
        for priority in PRIORITIES:
            fits = (
                (not level.services or service.id in level.services)
                and (not level.priorities or priority in level.priorities)
                for level in network.service_levels
            )
            if not any(fits):
                wrong = f"none for service '{service.id}' with priority '{priority}'"
                remedy = "add one, or a last row that names neither services nor priorities"
                yield Problem(key="service_levels", value=None, wrong=wrong, remedy=remedy)
    if network.working_hours.is_empty:
        remedy = "give weekdays = ['08:00-12:00', '13:30-17:00']"
        yield Problem(key="working_hours", value=None, wrong="there is no working time", remedy=remedy)


def _accounts(network: Network) -> Iterator[Problem]:
    for i, row in enumerate(network.accounts):
        yield from _lacks_role(
            network, ("accounts", i, "organisation"), row.organisation, HOME_OF_ROLE[row.role]
        )
        if row.role == "reader" and row.licence is None:
            wrong = "a reader signs reports under a licence"
            yield Problem(key=f"accounts[{i}].licence", value=None, wrong=wrong, remedy="add its number")


def _unread(network: Network) -> Iterator[Problem]:
    for i, row in enumerate(network.organisations):
        for j, service in enumerate(row.services):
            if not any(service in p.services for p in network.partners if p.id != row.id):
                wrong = "no other organisation reads it"
                remedy = "add it to the services of a partner, or remove it here"
                yield Problem(
                    key=f"organisations[{i}].services[{j}]", value=repr(service), wrong=wrong, remedy=remedy
                )
