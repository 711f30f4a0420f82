"""The pages' client against the real gateways."""

from __future__ import annotations

import ast
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dashboard import client
from dashboard.app import PAGES, PAGES_OF, addresses, public_addresses
from dashboard.client import Away, Gateway, Refused, sign_in
from dashboard.texts import TEXTS
from gateway.app import DOORS
from storage.database import Database
from tests.storage.filled import delivered


@pytest.mark.parametrize(("account", "side"), [("chen", "region"), ("lin", "partner"), ("yu", "region")])
def test_a_token_signs_in_where_it_is_somebody(
    account: str, side: str, region_url: str, partner_url: str, token: Callable[[str], str]
) -> None:
    gateway, me = sign_in({"region": region_url, "partner": partner_url}, token(account))

    assert (me["account"], me["side"]) == (account, side)
    assert gateway.url == {"region": region_url, "partner": partner_url}[side]
    gateway.close()


def test_a_wrong_token_is_refused_by_both(region_url: str, partner_url: str) -> None:
    with pytest.raises(Refused) as refused:
        sign_in({"region": region_url, "partner": partner_url}, "no such token")

    assert refused.value.status == 401


def test_a_silent_gateway_is_away(token: Callable[[str], str], partner_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(Away):
        sign_in({"region": f"http://127.0.0.1:{port}", "partner": partner_url}, "whatever")


def test_a_reader_signs_in_while_the_region_is_down(partner_url: str, token: Callable[[str], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    gateway, me = sign_in({"region": f"http://127.0.0.1:{port}", "partner": partner_url}, token("lin"))

    assert me["account"] == "lin"
    gateway.close()


def test_what_is_no_gateway_is_away_and_not_a_crash(region_url: str) -> None:
    gateway = Gateway(region_url, "t")

    with pytest.raises(Away):
        gateway._json("GET", "/docs")
    gateway.close()


def test_a_list_of_cases_is_followed_by_the_case(
    region: Database, region_url: str, token: Callable[[str], str]
) -> None:
    case_id = delivered(region)
    gateway = Gateway(region_url, token("chen"))

    (line,) = gateway.cases(open="true")["cases"]

    assert line["case_id"] == case_id
    assert gateway.case(case_id)["waits_for"] == line["waits_for"]
    assert gateway.route(case_id)["decision"]["reasons"] == ["because"]
    gateway.close()


def asked_addresses() -> set[str]:
    """Every address that the client's code asks, its variable parts as `{}`."""
    found = set()
    for node in ast.walk(ast.parse(Path(client.__file__).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_at":
            parts = (str(a.value) if isinstance(a, ast.Constant) else "{}" for a in node.args)
            found.add("/".join(("/api", *parts)))
        if isinstance(node, ast.Constant) and str(node.value).startswith("/api/"):
            found.add(str(node.value))
    return found


def test_every_address_that_the_client_asks_is_a_door_of_the_gateways() -> None:
    doors = {re.sub(r"{\w+}", "{}", route.path) for routes in DOORS.values() for route in routes}

    asked = asked_addresses()

    assert len(asked) > 25
    assert asked - doors == set()


def test_every_role_has_pages_and_every_page_its_title() -> None:
    assert set(PAGES_OF) == {"clinic", "reader", "manager", "operator"}
    assert {name for names in PAGES_OF.values() for name in names} == set(PAGES)
    assert {f"page.{name}" for name in PAGES} <= set(TEXTS)


def test_the_pages_are_told_two_addresses() -> None:
    told = {"TELEDX_GATEWAY_URL": "http://a", "TELEDX_PARTNER_GATEWAY_URL": "http://b", "HOME": "/"}

    assert addresses(told) == {"region": "http://a", "partner": "http://b"}
    assert public_addresses(told) == addresses(told)
    outside = told | {"TELEDX_PARTNER_GATEWAY_PUBLIC_URL": "https://readers.example/"}
    assert public_addresses(outside) == {"region": "http://a", "partner": "https://readers.example"}
