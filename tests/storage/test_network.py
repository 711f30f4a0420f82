"""Which network may come into force while cases are under way."""

import re

import pytest

from cases.network_errors import NetworkInvalid
from storage import cases, network
from storage.network import NetworkRows
from tests.storage.filled import SAMPLE_NETWORK, delivered, opened, with_network

SAMPLE = SAMPLE_NETWORK.read_text("utf-8")


@pytest.fixture
def region(database):
    with opened(database.region_url) as region:
        with_network(region)
        yield region


def without_partner(partner: str | None) -> str:
    """The sample with another id in place of this partner's, everywhere."""
    return SAMPLE.replace(f'"{partner}"', '"somebody-else"')


def test_a_partner_that_an_open_case_needs_is_not_left_out(region):
    case_id = delivered(region)
    with region.transaction() as connection:
        partner = cases.get(connection, case_id).partner
    with region.transaction() as connection, pytest.raises(NetworkInvalid) as refused:
        network.apply(connection, without_partner(partner), "lin")
    said = str(refused.value)
    assert re.search(rf"partners: '{partner}' is left out, and 1 open cases name it", said)
    assert NetworkRows(region).current()[0] == 1


def test_it_is_left_out_once_its_cases_have_ended(region):
    case_id = delivered(region)
    with region.transaction() as connection:
        partner = cases.get(connection, case_id).partner
        cases.move(connection, case_id, "cancelled", actor="chen")
    with region.transaction() as connection:
        assert network.apply(connection, without_partner(partner), "lin") == (2, True)
