"""docs/api.md says what the gateways serve: no route without a line, no line without a route."""

import re
from pathlib import Path

import pytest

from gateway import reference
from gateway.app import BOTH, DOORS

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
ROUTES = sorted({(r.method, r.path) for routes in DOORS.values() for r in routes})


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_is_documented(method, path):
    assert f"`{method} {path}`" in PAGE


def test_every_documented_route_is_served():
    assert set(re.findall(r"^\| `(\w+) ([^`\s]+)`", PAGE, re.MULTILINE)) == set(ROUTES)


def test_the_page_is_what_the_tables_make():
    assert reference.api() in PAGE, "run script/generate-docs"


@pytest.mark.parametrize("side", ["region", "partner"])
def test_the_published_schema_holds_every_route_of_its_side_and_no_other(side, at_region, at_partner):
    paths = (at_region if side == "region" else at_partner)("").get("/openapi.json").json()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert served == {(r.method, r.path) for r in DOORS[side]}


def test_every_door_says_what_it_does():
    for routes in (*DOORS.values(), BOTH):
        for route in routes:
            assert (route.endpoint.__doc__ or "").strip().endswith("."), route.path


def test_no_two_shapes_have_one_name():
    names = re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)
    assert len(names) == len(set(names))
