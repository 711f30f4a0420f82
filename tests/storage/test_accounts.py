"""Access tokens on real PostgreSQL."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cases.network import load
from storage import accounts
from storage.accounts import Principal, UnknownToken
from storage.database import Database
from tests.servers.postgres import TestDatabase
from tests.storage.filled import SAMPLE_NETWORK, opened

NETWORK = load(SAMPLE_NETWORK.read_text())


@pytest.fixture
def region(database: TestDatabase) -> Iterator[Database]:
    with opened(database.region_url) as pool:
        yield pool


def test_a_token_speaks_for_one_account_one_organisation_and_one_role(region):
    with region.transaction() as connection:
        token = accounts.issue(connection, "chen")
        found = accounts.principal_of(connection, NETWORK, token)
    assert found == Principal(account="chen", organisation="jiangshan", role="clinic")


def test_nobody_can_read_a_token_back_from_the_database(region):
    with region.transaction() as connection:
        token = accounts.issue(connection, "chen")
        rows = connection.execute("SELECT * FROM access_token").fetchall()
    assert token not in str(rows)
    assert token.removeprefix("tdx_").encode() not in bytes(rows[0]["digest"])


@pytest.mark.parametrize(
    "ended",
    ["expired", "revoked", "account revoked", "never issued", "account left the network"],
)
def test_a_token_that_is_not_in_force_speaks_for_nobody(region, ended):
    with region.transaction() as connection:
        account = "nobody" if ended == "account left the network" else "chen"
        token = accounts.issue(connection, account, lifetime=timedelta(hours=-1 if ended == "expired" else 1))
        if ended == "revoked":
            assert accounts.revoke(connection, token)
            assert not accounts.revoke(connection, token)
        if ended == "account revoked":
            assert accounts.revoke_all(connection, "chen") == 1
        if ended == "never issued":
            token += "x"
        with pytest.raises(UnknownToken):
            accounts.principal_of(connection, NETWORK, token)


def test_the_partners_role_can_look_a_token_up_and_issue_none(database):
    import psycopg

    with opened(database.region_url) as region, region.transaction() as connection:
        token = accounts.issue(connection, "lin")
    with opened(database.partner_url) as partner:
        with partner.transaction() as connection:
            assert accounts.account_of(connection, token) == "lin"
        with pytest.raises(psycopg.errors.InsufficientPrivilege), partner.transaction() as connection:
            accounts.issue(connection, "lin")


def test_tokens_are_listed_without_what_opens_a_door(region):
    with region.transaction() as connection:
        token = accounts.issue(connection, "chen")
        (kept,) = accounts.of_account(connection, "chen")
    assert len(kept.fingerprint) == 12
    assert kept.fingerprint not in token
