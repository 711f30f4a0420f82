"""`teledx doctor` finds what is wrong, and says what to do."""

import os
import socket
from pathlib import Path

import pytest

from queues.timers import LOCKS, NEVER, Duty, Timers
from storage.vault import PatientVault
from teledx import bootstrap
from teledx.commands.checks.database import skew
from teledx.commands.exits import Exit
from tests.servers.server import until


def findings(answer) -> dict[str, dict[str, str]]:
    found = {f["what"]: f for f in answer.json["findings"]}
    assert len(found) == len(answer.json["findings"]), "two findings of one name"
    return found


def wrong(answer) -> set[str]:
    return {what for what, f in findings(answer).items() if f["standing"] == "wrong"}


@pytest.fixture
def keyring(environment, monkeypatch, tmp_path) -> Path:
    folder = tmp_path / "keys"
    bootstrap.new_keyring(folder)
    monkeypatch.setenv("TELEDX_KEYRING", str(folder))
    return folder


def test_a_region_that_is_well_is_found_well(teledx, region, gateways, keyring):
    answer = teledx("doctor", "--deep", "--json")
    assert (answer.code, wrong(answer)) == (0, set())
    seen = findings(answer)
    right = {what for what, f in seen.items() if f["standing"] == "right"}
    assert {
        "database",
        "rights",
        "schema",
        "clock",
        "network",
        "workers",
        "keyring",
        "store",
        "bucket inbox",
    } <= right
    assert {"rights in identified", "gateway", "partner gateway", "native parts"} <= right
    assert list(region.s3.listing("identified", "")) == []


def test_looking_deep_leaves_no_drop_behind(teledx, region, environment, monkeypatch):
    from workers import intake

    monkeypatch.setattr(
        type(region.s3), "delete", lambda *_: intake.scan(region.parts)
    )  # look in the worst moment
    teledx("doctor", "--deep")
    assert region.fetch("SELECT id FROM vault.drops") == []


def test_every_finding_that_is_not_right_says_what_to_do(teledx, keyring):
    for finding in teledx("doctor", "--json").json["findings"]:
        assert finding["said"]
        assert finding["todo"] or finding["standing"] in ("right", "skipped")


def test_nothing_set_up_is_nothing_wrong(teledx, monkeypatch, tmp_path):
    for name in [n for n in os.environ if n.startswith("TELEDX_") and n != "TELEDX_SECRETS"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TELEDX_SCRATCH", str(tmp_path))
    answer = teledx("doctor", "--json")
    assert wrong(answer) == set()
    assert findings(answer)["database"]["standing"] == "skipped"


def test_a_database_that_does_not_answer_is_wrong_and_its_password_is_not_shown(
    teledx, environment, monkeypatch, free_port
):
    monkeypatch.setenv("TELEDX_DATABASE_URL", f"postgresql://teledx_region:hush@127.0.0.1:{free_port}/x")
    answer = teledx("doctor", "--json")
    assert answer.code == Exit.FAILED
    assert "database" in wrong(answer)
    assert "hush" not in answer.out + answer.err


def test_a_powerful_role_is_wrong(teledx, environment, database, monkeypatch):
    monkeypatch.setenv("TELEDX_DATABASE_URL", database.owner_url)
    assert {"role", "rights"} <= wrong(teledx("doctor", "--json"))


def test_the_partners_side_must_hold_neither_the_keys_nor_the_regions_store(
    teledx, database, keyring, monkeypatch
):
    monkeypatch.setenv("TELEDX_DATABASE_URL", database.partner_url)
    found = wrong(teledx("doctor", "--json"))
    assert {"keyring", "bucket identified", "bucket inbox"} <= found
    assert "rights" not in found


def test_a_vault_that_the_partner_can_open_is_wrong(teledx, database, environment, monkeypatch):
    import psycopg

    with psycopg.connect(database.owner_url) as connection:
        connection.execute("GRANT USAGE ON SCHEMA vault TO teledx_partner")
    monkeypatch.setenv("TELEDX_DATABASE_URL", database.partner_url)
    assert "rights" in wrong(teledx("doctor", "--json"))


def test_a_schema_that_lacks_a_file_is_wrong(teledx, database, environment):
    import psycopg

    with psycopg.connect(database.owner_url) as connection:
        connection.execute("DELETE FROM schema_version")
    assert findings(teledx("doctor", "--json"))["schema"]["todo"] == "Run: teledx migrate"


def test_a_key_that_patients_were_given_and_that_is_lost_is_wrong(teledx, region, keyring):
    from storage.vault import Keyring

    PatientVault(region.rows, Keyring.read(keyring), bootstrap.derive).patient_key("jiangshan", "1")
    (keyring / "k1.key").rename(keyring / "k2.key")
    (keyring / "current").write_text("k2\n")
    found = findings(teledx("doctor", "--json"))["keyring"]
    assert (found["standing"], "'k1' of 1 patients" in found["said"]) == ("wrong", True)


def test_keys_that_others_can_read_are_wrong(teledx, keyring):
    (keyring / "k1.key").chmod(0o644)
    assert "k1.key" in findings(teledx("doctor", "--json"))["keyring's files"]["said"]


def test_a_bucket_that_is_not_there_is_wrong(teledx, environment, monkeypatch, region):
    monkeypatch.setenv("TELEDX_S3_BUCKET_PREFIX", f"{region.prefix}x-")
    found = findings(teledx("doctor", "--json"))["bucket inbox"]
    assert (found["standing"], found["todo"]) == ("wrong", "Run: teledx migrate --buckets")


def test_a_broker_that_does_not_let_us_in_is_wrong(teledx, environment, monkeypatch, free_port):
    monkeypatch.setenv("TELEDX_BROKER_URLS", f"amqp://teledx:hush@127.0.0.1:{free_port}/")
    answer = teledx("doctor", "--json")
    assert "broker 127.0.0.1" in wrong(answer)
    assert "hush" not in answer.out


def test_a_broker_is_well_once_its_queues_are_declared(teledx, environment, monkeypatch, rabbitmq):
    from cases.stages import LANES
    from queues import broker

    monkeypatch.setenv("TELEDX_BROKER_URLS", rabbitmq.url)
    there = broker.LaneBroker([rabbitmq.url], quorum=False)
    broker.declare(there, LANES)
    there.close()
    found = [f for f in teledx("doctor", "--json").json["findings"] if f["what"].startswith("broker")]
    assert [f["standing"] for f in found] == ["right"]


def test_a_region_in_which_nobody_leads_is_warned_of(teledx, region, environment):
    assert findings(teledx("doctor", "--json"))["duties"]["standing"] == "warning"
    leading = [
        Timers(region.rows, (Duty("none", NEVER, lambda _: None, first=NEVER),), lock=lock) for lock in LOCKS
    ]
    for timers in leading:
        timers.start()
    try:
        until(
            lambda: findings(teledx("doctor", "--json"))["duties"]["standing"] == "right",
            what="somebody who leads",
        )
    finally:
        for timers in leading:
            timers.stop()


def test_work_that_nobody_does_is_wrong(teledx, region, environment):
    from tests.storage import filled

    filled.received(region.rows)
    with region.rows.transaction() as connection:
        connection.execute(
            "UPDATE stage_run SET created_at = now() - interval '1 hour', not_before = now() - interval '1 hour'"
        )
    assert findings(teledx("doctor", "--json"))["workers"]["todo"].startswith("Start workers")


@pytest.mark.parametrize(
    ("seconds", "standing"), [(0.4, "right"), (-0.4, "right"), (5, "warning"), (-600, "wrong")]
)
def test_a_clock_is_judged_by_how_far_it_is_off(seconds, standing):
    found = skew("clock", seconds, "the database's")
    assert found.standing == standing
    assert ("ahead" in found.said) is (seconds > 0)


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_server_that_is_silent_does_not_hold_it_up(teledx, environment, monkeypatch):
    """It accepts connections and says nothing: every look ends by its own time limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("TELEDX_DATABASE_URL", f"postgresql://u:p@127.0.0.1:{port}/x")
        monkeypatch.setenv("TELEDX_GATEWAY_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("TELEDX_BROKER_URLS", f"amqp://u:p@127.0.0.1:{port}/")
        answer = teledx("doctor", "--json")
    assert {"database", "gateway"} <= wrong(answer)
