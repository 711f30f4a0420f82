"""Who reads a case, and why."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases.documents import Alternative, Routed
from cases.errors import Quarantine
from cases.milestones import Milestone
from cases.network import Network, Rule
from cases.order import Purpose
from cases.routing import Load, RouteRequest, applies, decide
from cases.routing_words import WORDS
from cases.stages import PRIORITIES
from teledx.workdays import is_chinese_workday

ZONE = ZoneInfo("Asia/Shanghai")
MONDAY = datetime(2026, 10, 12, 10, 0, tzinfo=ZONE)
NIGHT = MONDAY.replace(hour=23)
BEIJING, SHANGHAI = "beijing-pathology", "shanghai-pathology"


def a_request(**changes: object) -> RouteRequest:
    plain: dict[str, object] = {
        "clinic": "gulin",
        "service": "histology",
        "priority": "routine",
        "purpose": "diagnosis",
        "body_site": "stomach",
        "age_years": 60.0,
    }
    return RouteRequest(**(plain | changes))  # type: ignore[arg-type]


IDLE = Load()


def route(
    network: Network,
    request: RouteRequest,
    at: datetime = MONDAY,
    *,
    beijing: Load = IDLE,
    shanghai: Load = IDLE,
) -> Routed:
    return decide(request, network, {BEIJING: beijing, SHANGHAI: shanghai}, at, is_workday=is_chinese_workday)


@pytest.mark.parametrize(
    ("changes", "rule", "partner"),
    [
        ({"service": "ct"}, "imaging", "yinzhou2"),
        ({"service": "frozen-section", "priority": "stat"}, "frozen-section", SHANGHAI),
        ({"service": "ihc"}, "immunohistochemistry", BEIJING),
        ({"age_years": 13.9}, "children", BEIJING),
        ({"purpose": "second-opinion"}, "second-opinion", BEIJING),
        ({"body_site": "left BREAST, upper"}, "breast-histology", SHANGHAI),
        ({"body_site": "左侧乳腺"}, "breast-histology", SHANGHAI),
        ({"age_years": 14.0}, "pathology", BEIJING),
        ({"age_years": None}, "pathology", BEIJING),
    ],
)
def test_the_first_rule_that_fits_decides(network: Network, changes: dict, rule: str, partner: str) -> None:
    routed = route(network, a_request(**changes))
    assert (routed.rule, routed.partner) == (rule, partner)
    assert f"rule '{rule}' is the first that fits" in routed.reasons


CONDITIONS: list[tuple[dict, dict]] = [
    ({"clinics": ("gulin",)}, {"clinic": "hengjie"}),
    ({"services": ("histology",)}, {"service": "cytology"}),
    ({"priorities": ("routine",)}, {"priority": "stat"}),
    ({"purposes": ("diagnosis",)}, {"purpose": "check"}),
    ({"wished": (BEIJING,)}, {"wished_partner": SHANGHAI}),
    ({"body_sites": ("Stomach",)}, {"body_site": "colon"}),
    ({"age_from": 60.0}, {"age_years": 59.9}),
    ({"age_below": 60.1}, {"age_years": 60.1}),
]


@pytest.mark.parametrize(("condition", "otherwise"), CONDITIONS, ids=lambda c: next(iter(c)))
def test_each_condition_of_a_rule_holds_and_fails_by_itself(condition: dict, otherwise: dict) -> None:
    rule = Rule(id="a-rule", **condition)
    fitting = a_request(wished_partner=BEIJING)
    assert applies(rule, fitting)
    assert not applies(rule, a_request(**({"wished_partner": BEIJING} | otherwise)))


def test_shares_are_kept_over_a_day_and_evenly_within_it(network: Network) -> None:
    sent, order = {BEIJING: 0, SHANGHAI: 0}, []
    for _ in range(50):
        loads = {partner: Load(today=count) for partner, count in sent.items()}
        routed = decide(a_request(), network, loads, MONDAY, is_workday=is_chinese_workday)
        sent[routed.partner] += 1
        order.append(routed.partner)
    assert sent == {BEIJING: 30, SHANGHAI: 20}
    assert order[:5] == [BEIJING, SHANGHAI, BEIJING, BEIJING, SHANGHAI]


def test_a_wish_is_kept_before_the_rules_order_and_before_a_full_worklist(network: Network) -> None:
    wished = a_request(purpose="second-opinion", wished_partner=SHANGHAI)
    assert route(network, wished).partner == SHANGHAI
    full = route(network, wished, shanghai=Load(open_items=40))
    assert full.partner == SHANGHAI
    assert "the order wishes it" in full.reasons


@pytest.mark.parametrize("load", [Load(down=True), Load(open_items=500)], ids=["down", "late"])
def test_a_wish_is_not_kept_where_the_case_would_be_late(network: Network, load: Load) -> None:
    routed = route(network, a_request(wished_partner=SHANGHAI), shanghai=load)
    assert routed.partner == BEIJING
    assert "the wished partner cannot read it, or not in time" in routed.reasons


def test_a_wish_reaches_a_partner_that_the_rule_does_not_list(changed: Callable[..., Network]) -> None:
    weights = 'prefer = ["beijing-pathology", "shanghai-pathology"]\nweights = [3, 2]'
    for others in ("true", "false"):
        one_listed = changed((weights, f'prefer = ["beijing-pathology"]\nothers = {others}'))
        assert route(one_listed, a_request()).partner == BEIJING
        assert route(one_listed, a_request(wished_partner=SHANGHAI)).partner == SHANGHAI


def test_a_wish_that_is_no_partner_is_never_repeated_in_the_reasons(network: Network) -> None:
    routed = route(network, a_request(wished_partner="Zhang San, phone 13800000000"))
    assert "the wished partner is not in the network" in routed.reasons
    assert "Zhang" not in routed.model_dump_json()


def test_a_rule_may_overrule_wishes(changed: Callable[..., Network]) -> None:
    strict = changed(("weights = [3, 2]", "honour_wish = false"))
    routed = route(strict, a_request(wished_partner=SHANGHAI))
    assert routed.partner == BEIJING
    assert "rule 'pathology' does not follow wishes" in routed.reasons


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (Load(down=True), "next because its line is down"),
        (Load(open_items=400), "next because it would be late"),
        (Load(open_items=60), "next because it is full"),
        (Load(today=90), "next because it is full"),
    ],
)
def test_the_preferred_partner_yields_when_it_cannot_take_the_case(
    network: Network, load: Load, reason: str
) -> None:
    routed = route(network, a_request(purpose="second-opinion"), beijing=load)
    assert routed.partner == SHANGHAI
    assert routed.alternatives[0].partner == BEIJING
    assert routed.alternatives[0].eligible
    assert routed.alternatives[0].reasons[0] == reason


def test_stat_at_night_goes_to_whoever_is_on_call(network: Network) -> None:
    frozen = a_request(service="frozen-section", priority="stat")
    assert route(network, frozen, NIGHT).partner == SHANGHAI
    evening = route(network, frozen, MONDAY.replace(hour=19), shanghai=Load(down=True))
    assert evening.partner == BEIJING
    assert "open now" in evening.reasons


@pytest.mark.parametrize(
    ("at", "priority", "ahead", "expected"),
    [
        (MONDAY, "routine", 0, "2026-10-12 10:09"),  # 60 in nine hours: nine minutes each
        (MONDAY, "routine", 10, "2026-10-12 11:39"),
        (NIGHT, "routine", 0, "2026-10-13 08:39"),
        (NIGHT, "stat", 10, "2026-10-12 23:09"),  # at the same pace on call, and ahead of what is not stat
    ],
)
def test_the_expected_time_is_that_of_the_partners_pace_and_queue(
    network: Network, at: datetime, priority: str, ahead: int, expected: str
) -> None:
    request = a_request(body_site="breast", priority=priority, declined=(BEIJING,))
    routed = route(network, request, at, shanghai=Load(open_items=ahead))
    assert any(f"expected by {expected}" in reason for reason in routed.reasons)


def test_the_hours_on_call_are_for_stat_alone(network: Network) -> None:
    routed = route(network, a_request(service="ct"), NIGHT)
    assert "closed now" in routed.reasons
    assert "open now" in route(network, a_request(service="ct", priority="stat"), NIGHT).reasons


def test_a_stat_case_waits_behind_stat_cases_only_and_is_not_held_up_by_a_full_worklist(
    network: Network,
) -> None:
    busy = Load(open_items=5000, open_stat=1, today=5000)
    routed = route(network, a_request(service="frozen-section", priority="stat"), shanghai=busy)
    assert routed.partner == SHANGHAI
    held = Load(open_items=12, open_stat=12)
    assert (
        route(network, a_request(service="frozen-section", priority="stat"), shanghai=held).partner == BEIJING
    )


def test_time_already_used_counts(network: Network) -> None:
    """Two stat cases ahead are fine at the beginning, and too many when half the time is gone."""
    request = a_request(service="frozen-section", priority="stat")
    ahead = Load(open_items=2, open_stat=2)
    assert route(network, request, shanghai=ahead).partner == SHANGHAI
    log = (Milestone(name="received", state="received", at=MONDAY - timedelta(minutes=15)),)
    later = route(network, a_request(service="frozen-section", priority="stat", log=log), shanghai=ahead)
    assert later.partner == BEIJING
    assert later.due_at == MONDAY + timedelta(minutes=15)


def test_where_everybody_is_late_the_soonest_is_chosen_and_it_is_said(network: Network) -> None:
    routed = route(network, a_request(), beijing=Load(open_items=900), shanghai=Load(open_items=500))
    assert routed.partner == SHANGHAI
    assert "nobody can be in time; this is the soonest" in routed.reasons


def test_where_everybody_is_full_the_case_still_goes_to_somebody(network: Network) -> None:
    routed = route(network, a_request(), beijing=Load(today=90), shanghai=Load(today=60))
    assert routed.partner in (BEIJING, SHANGHAI)
    assert "everybody is full; the case waits in the best queue" in routed.reasons


def test_who_declined_is_not_asked_again(network: Network) -> None:
    routed = route(network, a_request(declined=(BEIJING,)))
    assert routed.partner == SHANGHAI
    beijing = next(a for a in routed.alternatives if a.partner == BEIJING)
    assert (beijing.eligible, beijing.reasons) == (False, ("gave this case back",))


def test_without_any_partner_the_case_is_quarantined_with_the_reason_for_each(network: Network) -> None:
    with pytest.raises(Quarantine) as caught:
        route(network, a_request(service="ct", declined=("yinzhou2",)))
    assert caught.value.code == "no-partner"
    assert caught.value.detail == (
        "rule imaging; yinzhou2: gave this case back; beijing-pathology: does not read ct; "
        "shanghai-pathology: does not read ct"
    )


def test_a_partner_that_takes_no_new_cases_gets_none(changed: Callable[..., Network]) -> None:
    closed = changed(('bucket = "partner-beijing-pathology"', 'bucket = "b-p"\naccepting = false'))
    assert route(closed, a_request()).partner == SHANGHAI
    with pytest.raises(Quarantine, match="beijing-pathology: takes no new cases"):
        route(closed, a_request(service="ihc"))


def test_a_rule_may_let_nobody_stand_in(changed: Callable[..., Network]) -> None:
    only = changed(('prefer = ["beijing-pathology"]', f'prefer = ["{SHANGHAI}"]\nothers = false'))
    with pytest.raises(Quarantine, match="is not in rule 'immunohistochemistry', which lets nobody stand in"):
        route(only, a_request(service="ihc"))
    stands_in = changed(('prefer = ["beijing-pathology"]', f'prefer = ["{SHANGHAI}"]'))
    routed = route(stands_in, a_request(service="ihc"))
    assert routed.partner == BEIJING
    assert any("no other partner may read it" in reason for reason in routed.reasons)


def test_nobody_reads_its_own_case(changed: Callable[..., Network]) -> None:
    asks = changed(
        (
            'phone = "021-88005001"\nroles = ["reading"]',
            'phone = "021-88005001"\nroles = ["reading", "requesting"]\nservices = ["histology"]',
        )
    )
    routed = route(asks, a_request(clinic=SHANGHAI, body_site="breast"))
    assert routed.partner == BEIJING
    shanghai = next(a for a in routed.alternatives if a.partner == SHANGHAI)
    assert shanghai.reasons == ("is the requester itself",)


def test_the_due_time_is_that_of_the_service_level(network: Network) -> None:
    assert route(network, a_request()).due_at == MONDAY + timedelta(days=1)
    assert route(network, a_request(service="ct", priority="stat")).due_at == MONDAY + timedelta(minutes=60)
    friday = datetime(2026, 9, 30, 16, 0, tzinfo=ZONE)  # before a week of holidays
    assert route(network, a_request(service="ct"), friday).due_at == datetime(2026, 10, 8, 11, 0, tzinfo=ZONE)


def test_every_reason_is_told_in_both_languages(network: Network) -> None:
    routed = route(network, a_request(wished_partner=SHANGHAI), beijing=Load(down=True))
    tellings: list[Routed | Alternative] = [routed, *routed.alternatives]
    for told in tellings:
        assert len(told.reasons) == len(told.reasons_zh) > 0
        assert all(not zh.isascii() for zh in told.reasons_zh)
    assert all(en.isascii() and not zh.isascii() for en, zh in WORDS.values())


loads = st.builds(
    Load,
    open_items=st.integers(0, 400),
    open_stat=st.integers(0, 30),
    today=st.integers(0, 500),
    down=st.booleans(),
)


@given(
    service=st.sampled_from(["ct", "xray", "histology", "frozen-section", "cytology", "ihc"]),
    priority=st.sampled_from(sorted(PRIORITIES)),
    purpose=st.sampled_from(Purpose.__args__),  # type: ignore[attr-defined]
    wished=st.sampled_from([None, BEIJING, SHANGHAI, "yinzhou2", "nobody"]),
    hour=st.integers(0, 24 * 14),
    by_partner=st.dictionaries(st.sampled_from(["yinzhou2", BEIJING, SHANGHAI]), loads),
)
def test_any_case_goes_to_a_partner_that_reads_it_and_the_same_question_has_the_same_answer(
    network: Network,
    service: str,
    priority: str,
    purpose: str,
    wished: str | None,
    hour: int,
    by_partner: Mapping[str, Load],
) -> None:
    request = a_request(service=service, priority=priority, purpose=purpose, wished_partner=wished)
    at = MONDAY + timedelta(hours=hour)
    routed = decide(request, network, by_partner, at, is_workday=is_chinese_workday)
    assert service in network.partner(routed.partner).services
    assert {routed.partner, *(a.partner for a in routed.alternatives)} == {p.id for p in network.partners}
    assert routed.due_at > at
    again = decide(
        request, network, dict(reversed(list(by_partner.items()))), at, is_workday=is_chinese_workday
    )
    assert again == routed
