"""Who may do what."""

import pytest

from cases.access import ACTIONS, RELATIONS, ROLES, allowed, offered, reach, relations_to_case


@pytest.mark.parametrize("role", ROLES)
def test_a_grant_reaches_exactly_as_far_as_the_table_says(role: str) -> None:
    for action in ACTIONS:
        permitted = {relation for relation in RELATIONS if allowed(role, action, relation)}
        far: dict[str | None, set[str]] = {
            None: set(),
            "any": set(RELATIONS),
            "own": {"own"},
            "assigned": {"assigned"},
        }
        assert permitted == far[reach(role, action)], action


@pytest.mark.parametrize("action", [a for a in ACTIONS.values() if a.identity], ids=lambda a: a.id)
def test_identity_is_never_shown_to_a_reader_nor_on_the_partner_side(action) -> None:
    assert "reader" not in action.grants
    assert not offered(action.id, "partner")


def test_a_clinic_reaches_its_own_cases_and_nothing_else() -> None:
    assert allowed("clinic", "case.see", "own")
    assert {reach("clinic", action) for action in ACTIONS if action != "network.see"} == {"own", None}


def test_a_reader_reaches_what_was_assigned_to_its_organisation_and_nothing_else() -> None:
    assert allowed("reader", "case.see", "assigned")
    assert {reach("reader", action) for action in ACTIONS if action != "network.see"} == {"assigned", None}


def test_only_a_reader_signs_and_only_a_clinic_acknowledges() -> None:
    assert set(ACTIONS["report.sign"].grants) == {"reader"}
    assert set(ACTIONS["report.acknowledge"].grants) == {"clinic"}


def test_whatever_a_reader_may_do_is_offered_on_the_partner_side() -> None:
    assert all(offered(a.id, "partner") for a in ACTIONS.values() if "reader" in a.grants)


def test_an_unknown_action_is_a_mistake_and_an_unknown_role_may_do_nothing() -> None:
    with pytest.raises(KeyError):
        allowed("clinic", "case.sea", "own")
    assert not allowed("visitor", "case.see", "own")


def test_the_requester_and_the_laboratory_own_a_case_and_the_partner_is_assigned_it() -> None:
    case = {"clinic": "gulin", "scanning_site": "haishu2", "partner": "beijing-pathology"}
    assert relations_to_case("gulin", **case) == {"own", "any"}
    assert relations_to_case("haishu2", **case) == {"own", "any"}
    assert relations_to_case("beijing-pathology", **case) == {"assigned", "any"}
    assert relations_to_case("shanghai-pathology", **case) == {"any"}
