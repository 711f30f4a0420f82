"""Who reads a case: the first routing rule that fits, then what each partner can take and how soon.

Pure and deterministic: the same request, network, loads and time give the same decision, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from cases.calendar import Calendar, IsWorkday, NeverOpen
from cases.documents import Alternative, Routed
from cases.errors import Quarantine
from cases.milestones import Milestone
from cases.network import Network, Partner, Rule
from cases.routing_words import Said, said
from cases.turnaround import expected_due


@dataclass(frozen=True, kw_only=True)
class RouteRequest:
    """What routing may know of a case: no identity. `age_years` is None if unknown.

    `declined` are the partners that gave this case back; `log` is its milestones so far, for the time that is left.
    """

    clinic: str
    service: str
    priority: str
    purpose: str
    body_site: str = ""
    age_years: float | None = None
    wished_partner: str | None = None
    declined: tuple[str, ...] = ()
    log: tuple[Milestone, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a partner has before it: open work items, those of them that are stat, and cases sent to it today.

    `down`: deliveries to it fail at present (its circuit is open).
    """

    open_items: int = 0
    open_stat: int = 0
    today: int = 0
    down: bool = False


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """A partner as it stands to one request. `barred` says why it cannot read the case at all."""

    partner: Partner
    place: tuple[float, int]
    wished: bool
    listed: bool
    load: Load
    open_now: bool
    finish: datetime | None
    late: bool
    full: bool
    barred: tuple[Said, ...] = field(default=())

    @property
    def rank(self) -> tuple[object, ...]:
        """Smaller is better: reachable, in time, with room, wished, listed by the rule, then in the rule's order.

        Where everybody is late the soonest comes first. A wish outweighs a full worklist, not a missed service level.
        """
        soonest = self.finish.timestamp() if self.late and self.finish is not None else 0.0
        return (
            self.load.down, self.late, self.finish is None, soonest, self.full and not self.wished,
            not self.wished, not self.listed, self.place, self.partner.id,
        )  # fmt: skip


def decide(
    request: RouteRequest,
    network: Network,
    loads: Mapping[str, Load],
    now: datetime,
    *,
    is_workday: IsWorkday,
) -> Routed:
    """The partner for this case, with the reasons and what would have happened otherwise.

    A partner without an entry in `loads` has nothing before it. If all are late or full the case still goes to the best
    of them: waiting in the region would help nobody. Raises `Quarantine("no-partner")` if none may read it.
    """
    rule = next(r for r in network.rules if applies(r, request))
    level = network.service_level(request.service, request.priority)
    due_at = expected_due(level, request.log, now, network.working_calendar(is_workday))
    standings = [
        _standing(partner, rule, request, network, loads.get(partner.id, Load()), now, due_at, is_workday)
        for partner in network.partners
    ]
    able = sorted((s for s in standings if not s.barred), key=lambda s: s.rank)
    barred = [s for s in standings if s.barred]
    if not able:
        why = "; ".join(f"{s.partner.id}: {', '.join(w.en for w in s.barred)}" for s in barred)
        raise Quarantine("no-partner", f"rule {rule.id}; {why}")
    zone = ZoneInfo(network.time_zone)
    words = _reasons(able, rule, request, network, due_at, zone)
    others = [_alternative(s, able[0], zone) for s in (*able[1:], *barred)]
    return Routed(
        partner=able[0].partner.id,
        rule=rule.id,
        reasons=tuple(w.en for w in words),
        reasons_zh=tuple(w.zh for w in words),
        alternatives=tuple(others),
        due_at=due_at,
    )


def applies(rule: Rule, request: RouteRequest) -> bool:
    """Whether all conditions of the rule hold. A condition on the age does not hold if the age is unknown."""
    asked = (
        (rule.clinics, request.clinic),
        (rule.services, request.service),
        (rule.priorities, request.priority),
        (rule.purposes, request.purpose),
        (rule.wished, request.wished_partner),
    )
    if any(allowed and value not in allowed for allowed, value in asked):
        return False
    site = request.body_site.casefold()
    if rule.body_sites and not any(word.casefold() in site for word in rule.body_sites):
        return False
    if rule.age_from is None and rule.age_below is None:
        return True
    age = request.age_years
    return (
        age is not None and (rule.age_from or 0) <= age and (rule.age_below is None or age < rule.age_below)
    )


def _standing(
    partner: Partner,
    rule: Rule,
    request: RouteRequest,
    network: Network,
    load: Load,
    now: datetime,
    due_at: datetime,
    is_workday: IsWorkday,
) -> _Standing:
    stat = request.priority == "stat"
    calendars = [network.partner_calendar(partner.id, is_workday)]
    on_call = network.on_call_calendar(partner.id, is_workday) if stat else None
    if on_call is not None:
        calendars.append(on_call)
    ahead = load.open_stat if stat else load.open_items
    finish = _finish(calendars, partner, ahead, now)
    full = load.open_items >= partner.capacity.at_once or load.today >= partner.capacity.per_day
    wished = rule.honour_wish and request.wished_partner == partner.id
    return _Standing(
        partner=partner,
        place=_place(rule, partner.id, load),
        wished=wished,
        listed=partner.id in rule.prefer,
        load=load,
        open_now=any(calendar.is_open(now) for calendar in calendars),
        finish=finish,
        late=finish is None or finish > due_at,
        full=full and not stat,
        barred=_barred(partner, rule, request, wished=wished),
    )


def _barred(partner: Partner, rule: Rule, request: RouteRequest, *, wished: bool) -> tuple[Said, ...]:
    checks = (
        (request.service not in partner.services, "does-not-read"),
        (not partner.accepting, "not-accepting"),
        (partner.id in request.declined, "declined"),
        (partner.id == request.clinic, "requests-itself"),
        (not rule.others and not wished and partner.id not in rule.prefer, "not-in-rule"),
    )
    return tuple(said(code, service=request.service, rule=rule.id) for fails, code in checks if fails)


def _place(rule: Rule, partner: str, load: Load) -> tuple[float, int]:
    """Where the rule puts a partner: by its share of today's cases if the rule has weights, else by its order.

    Shares follow the highest-averages method: whoever would have the fewest cases per weight after this one is next.
    """
    if partner not in rule.prefer:
        return 0.0, len(rule.prefer)
    index = rule.prefer.index(partner)
    return ((load.today + 1) / rule.weights[index] if rule.weights else 0.0), index


def _finish(calendars: list[Calendar], partner: Partner, ahead: int, now: datetime) -> datetime | None:
    """When the case would be read at the pace of the partner's capacity; None if it never opens."""
    ends = []
    for calendar in calendars:
        pace = calendars[0].day_length / partner.capacity.per_day
        try:
            ends.append(calendar.add_working_time(now, (ahead + 1) * pace))
        except NeverOpen:
            continue
    return min(ends, default=None)


def _reasons(
    able: list[_Standing],
    rule: Rule,
    request: RouteRequest,
    network: Network,
    due_at: datetime,
    zone: ZoneInfo,
) -> tuple[Said, ...]:
    best = able[0]
    words = [said("rule", rule=rule.id)]
    if request.wished_partner is not None:
        words.append(_about_the_wish(best, rule, request, network))
    if not best.wished:
        words.append(_about_the_place(able, rule))
    level = network.service_level(request.service, request.priority)
    words.append(said("due", level=level.id, due=_local(due_at, zone)))
    words += _about_capacity(best, zone)
    if len(able) > 1 and all(s.late for s in able):
        words.append(said("all-late"))
    if len(able) > 1 and all(s.full for s in able):
        words.append(said("all-full"))
    return tuple(words)


def _about_the_wish(best: _Standing, rule: Rule, request: RouteRequest, network: Network) -> Said:
    if best.wished:
        return said("wish-kept")
    if request.wished_partner not in {p.id for p in network.partners}:
        return said("wish-unknown")
    return said("wish-not-kept" if rule.honour_wish else "wish-overruled", rule=rule.id)


def _about_the_place(able: list[_Standing], rule: Rule) -> Said:
    best = able[0]
    if len(able) == 1:
        return said("only-one")
    if not best.listed:
        return said("stands-in" if rule.prefer else "soonest-free", rule=rule.id)
    if rule.weights:
        weight = rule.weights[rule.prefer.index(best.partner.id)]
        return said("share", weight=weight, total=sum(rule.weights), today=best.load.today)
    return said("preferred", place=rule.prefer.index(best.partner.id) + 1, rule=rule.id)


def _about_capacity(standing: _Standing, zone: ZoneInfo) -> list[Said]:
    """The partner's hours, queue and expected time, and what speaks against it."""
    load, capacity = standing.load, standing.partner.capacity
    words = [said("open-now" if standing.open_now else "closed-now")]
    words.append(said("queue", items=load.open_items, stat=load.open_stat, at_once=capacity.at_once))
    if standing.finish is None:
        words.append(said("never-open"))
    else:
        words.append(said("late" if standing.late else "in-time", finish=_local(standing.finish, zone)))
    if standing.full:
        words.append(said("full", at_once=capacity.at_once, today=load.today, per_day=capacity.per_day))
    if load.down:
        words.append(said("down"))
    return words


def _alternative(standing: _Standing, best: _Standing, zone: ZoneInfo) -> Alternative:
    words = list(standing.barred) or [_why_behind(standing, best), *_about_capacity(standing, zone)]
    return Alternative(
        partner=standing.partner.id,
        eligible=not standing.barred,
        reasons=tuple(w.en for w in words),
        reasons_zh=tuple(w.zh for w in words),
    )


def _why_behind(standing: _Standing, best: _Standing) -> Said:
    """The first point in which it ranks behind the chosen partner."""
    codes = (
        "behind-down", "behind-late", "behind-never", "behind-later", "behind-full", "behind-wish", "behind-listed",
        "behind-place", "behind-name",
    )  # fmt: skip
    pairs = zip(codes, standing.rank, best.rank, strict=True)
    return said(next(code for code, mine, theirs in pairs if mine != theirs))


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(" ", "minutes")
