"""`migrate` and `token`: what is done before there is a gateway to ask."""

from pathlib import Path

import psycopg
import pytest

from storage import accounts, migrations
from tests.servers.postgres import PostgresServer


@pytest.fixture
def empty_database(postgres: PostgresServer):
    name = "teledx_to_migrate"
    postgres.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    yield postgres.url(name)
    postgres.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


def test_migrate_brings_an_empty_database_to_the_newest_schema_and_may_be_repeated(
    teledx, monkeypatch, empty_database
):
    monkeypatch.setenv("TELEDX_OWNER_DATABASE_URL", empty_database)
    first, again = teledx("migrate", "--json"), teledx("migrate", "--json")
    assert (first.code, again.code) == (0, 0)
    assert first.json == {"applied": list(migrations.available()), "buckets": []}
    assert again.json == {"applied": [], "buckets": []}


def test_migrate_makes_the_buckets_of_the_region_and_of_each_partner(
    teledx, monkeypatch, environment, region, database, object_store
):
    monkeypatch.setenv("TELEDX_OWNER_DATABASE_URL", database.owner_url)
    monkeypatch.setenv("TELEDX_S3_BUCKET_PREFIX", f"x{region.prefix}")
    answer = teledx("migrate", "--buckets", "--json")
    assert answer.code == 0
    there = {b.name for b in object_store.client().list_buckets()}
    expected = {f"x{region.prefix}{zone}" for zone in ("inbox", "identified", "quarantine", "reports")}
    expected |= {f"x{region.prefix}{p.bucket}" for p in region.parts.network.current()[1].partners}
    assert expected <= set(answer.json["buckets"]) <= there


def test_a_database_that_does_not_let_us_in_is_away_and_its_password_is_not_shown(
    teledx, monkeypatch, free_port
):
    monkeypatch.setenv("TELEDX_OWNER_DATABASE_URL", f"postgresql://owner:hush@127.0.0.1:{free_port}/x")
    answer = teledx("migrate")
    assert answer.code == 6
    assert "TELEDX_OWNER_DATABASE_URL" in answer.err
    assert "hush" not in answer.out + answer.err


def test_an_issued_token_signs_its_account_in_until_it_is_revoked(teledx, region, environment, gateways):
    issued = teledx("token", "issue", "--account", "chen")
    token = issued.out.strip()
    assert issued.code == 0
    assert token.startswith(accounts.PREFIX)
    assert teledx("status", "--json", token=token).json == {"cases": [], "next": None}
    listed = teledx("token", "list", "--account", "chen", "--json").json["tokens"]
    assert [t["revoked_at"] for t in listed] == [None]
    assert token not in str(listed)
    assert teledx("token", "revoke", "--token", "-", "--json", stdin=f"{token}\n").json == {"revoked": 1}
    refused = teledx("status", "--json", token=token)
    assert (refused.code, refused.error["code"]) == (5, "not-signed-in")


def test_all_tokens_of_somebody_who_left_end_at_once(teledx, environment):
    for _ in range(3):
        teledx("token", "issue", "--account", "chen")
    assert teledx("token", "revoke", "--account", "chen", "--json").json == {"revoked": 3}
    assert teledx("token", "revoke", "--account", "chen").code == 4


def test_a_token_is_issued_to_accounts_of_the_network_alone(teledx, environment):
    answer = teledx("token", "issue", "--account", "nobody")
    assert answer.code == 4
    assert "chen" in answer.err


def test_a_token_is_read_from_a_file_too(teledx, environment, gateways, tmp_path: Path):
    file = tmp_path / "token"
    file.write_text(teledx("token", "issue", "--account", "chen").out)
    assert teledx("status", "--token-file", file).code == 0
    assert teledx("status", "--token-file", tmp_path / "absent").code == 2
    assert teledx("token", "revoke", "--token", "tdx_on_the_command_line").code == 2
