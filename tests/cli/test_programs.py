"""The programs as an operator starts them, each a process of its own, and a case that travels by commands alone."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pynetdicom import AE, build_context

from gateway.dimse import VERIFICATION
from teledx.samples import orders, studies
from tests.servers.server import until

ROOT = Path(__file__).parents[2]
PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("worker", "--role", "all")` starts a program; its log is `log_of(process)`. All end with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: object, **env: str) -> subprocess.Popen[str]:
        with (tmp_path / f"{len(started)}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "teledx", *map(str, words)],
                cwd=ROOT,
                env=os.environ | env,
                stderr=log,
                text=True,
            )
        process.args = log.name
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def log_of(process: subprocess.Popen[str]) -> str:
    return Path(str(process.args)).read_text()


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


def test_a_gateway_serves_logs_no_address_and_stops_when_told(start, region, environment, free_port):
    gateway = start("gateway", "--side", "region", "--port", free_port)
    url = f"http://127.0.0.1:{free_port}"
    until(lambda: answers(f"{url}/readyz"), what="readiness", seconds=60)
    httpx.get(f"{url}/api/cases/王秀英?patient=王秀英", trust_env=False)
    assert stop(gateway) in (0, -signal.SIGTERM)
    log = log_of(gateway)
    assert "王秀英" not in log
    assert "%E7" not in log
    routes = [json.loads(line).get("route") for line in log.splitlines() if line.startswith("{")]
    assert "/api/cases/{case_id}" in routes


def test_a_gateway_of_the_partners_side_is_ready_with_what_that_side_has(
    start, region, environment, database, free_port
):
    gateway = start(
        "gateway", "--side", "partner", "--port", free_port, TELEDX_DATABASE_URL=database.partner_url
    )
    url = f"http://127.0.0.1:{free_port}"
    until(lambda: answers(f"{url}/readyz"), what="readiness", seconds=60)
    assert httpx.get(f"{url}/api/cases", trust_env=False).status_code == 404
    assert stop(gateway) in (0, -signal.SIGTERM)


def test_the_door_for_modalities_answers_logs_no_title_and_stops_when_told(
    start, region, environment, free_port, tmp_path
):
    scratch = tmp_path / "in-flight"
    left = scratch / "dimse-999999999"
    left.mkdir(parents=True)
    door = start("dimse", "--port", free_port, TELEDX_SCRATCH=str(scratch))

    until(lambda: "dimse_started" in log_of(door), what="the start", seconds=60)
    assoc = AE(ae_title="SOME_CT").associate(
        "127.0.0.1", free_port, [build_context(VERIFICATION)], ae_title="TELEDX-JIANGSHAN"
    )
    assert assoc.send_c_echo().Status == 0
    assoc.release()
    assert not left.exists(), "what a killed one left behind is deleted"
    assert stop(door) == 0
    assert list(scratch.iterdir()) == []
    log = log_of(door)
    assert '"event": "association"' in log
    assert not [word for word in ("SOME_CT", "TELEDX-JIANGSHAN") if word in log]


def test_a_certificate_without_its_key_is_asked_for(start, environment, tmp_path):
    door = start("dimse", TELEDX_DIMSE_CERTIFICATE=str(tmp_path / "door.pem"))
    assert door.wait(timeout=60) != 0
    assert "TELEDX_DIMSE_KEY" in log_of(door)


@pytest.mark.parametrize(
    ("words", "code"), [(("--side", "both"), 2), (("--side", "region", "--port", "0"), 2)]
)
def test_a_gateway_that_is_started_wrongly_says_so(teledx, words, code):
    assert teledx("gateway", *words).code == code


def test_a_program_without_its_settings_says_which_are_missing(start, monkeypatch, tmp_path):
    monkeypatch.setenv("TELEDX_SECRETS", str(tmp_path / "none"))
    monkeypatch.delenv("TELEDX_DATABASE_URL", raising=False)
    for words in (("worker", "--role", "all"), ("gateway", "--side", "region")):
        process = start(*words)
        assert process.wait(timeout=60) == 2
        log = log_of(process)
        assert "TELEDX_DATABASE_URL" in log or "TELEDX_KEYRING" in log
        assert "Traceback" not in log


def test_settings_are_read_from_files_too(start, region, environment, monkeypatch, tmp_path, free_port):
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in [n for n in environment if n != "TELEDX_SECRETS"]:
        (folder / name.lower()).write_text(environment[name])
        monkeypatch.delenv(name)
    monkeypatch.setenv("TELEDX_SECRETS", str(folder))
    start("gateway", "--side", "region", "--port", free_port)
    until(lambda: answers(f"http://127.0.0.1:{free_port}/readyz"), what="readiness", seconds=60)


@pytest.mark.slow
def test_the_dashboard_is_told_addresses_and_no_key(start, environment, free_port):
    dashboard = start("dashboard", "--port", free_port)
    until(lambda: answers(f"http://127.0.0.1:{free_port}/_stcore/health"), what="the dashboard", seconds=90)
    told = Path(f"/proc/{dashboard.pid}/environ").read_bytes()
    names = {line.partition(b"=")[0].decode() for line in told.split(b"\0") if line.startswith(b"TELEDX_")}
    sides = ("GATEWAY", "PARTNER_GATEWAY")
    assert names == {f"TELEDX_{side}_{which}" for side in sides for which in ("URL", "PUBLIC_URL")}
    assert environment["TELEDX_S3_SECRET_KEY"].encode() not in told
    stop(dashboard)


@pytest.mark.slow
def test_a_case_travels_by_commands_alone(
    start, region, environment, as_person, teledx, monkeypatch, tmp_path
):
    """Drop, receipt, all stages by a real worker, reading, report, acknowledgement; and the region is well after it."""
    monkeypatch.setenv("TELEDX_KEYRING", str(tmp_path / "keys"))
    assert teledx("keys", "new").code == 0
    worker = start("worker", "--role", "all")
    chen, lin = as_person("chen"), as_person("lin")
    folder = a_folder(tmp_path / "drop")
    dropped = chen("submit", folder, "--clinic", "jiangshan", "--wait", 120, "--json")
    assert dropped.code == 0, dropped.err
    case = dropped.json["case_id"]

    until(
        lambda: state_of(chen, case) in ("delivered", "quarantined"), what=f"delivery of {case}", seconds=180
    )
    shown = chen("status", case)
    assert shown.code == 0, shown.out + log_of(worker)
    (item,) = lin("worklist", "--json").json["work_items"]
    assert item["case_id"] == case
    number = item["work_item_id"]
    assert lin("claim", number).code == 0
    assert lin("files", number, "--to", tmp_path / "images").code == 0
    files = [path for path in (tmp_path / "images").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if PATIENT.id.encode() in path.read_bytes()]
    body = json.dumps({"findings": "未见异常。", "conclusion": "正常胸部CT。"})
    assert lin("report", "sign", number, "--file", "-", stdin=body).code == 0

    until(lambda: state_of(chen, case) == "returned", what=f"return of {case}", seconds=120)
    assert chen("report", case, "--pdf", tmp_path / "r.pdf", "--fhir", tmp_path / "r.json").code == 0
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF-")
    assert json.loads((tmp_path / "r.json").read_text())["resourceType"]
    assert chen("acknowledge", case).code == 0
    assert state_of(chen, case) == "acknowledged"
    assert "otherwise" in chen("route", "explain", case).out
    assert teledx("doctor").code == 0
    assert stop(worker) == 0
    assert PATIENT.name not in log_of(worker)


def a_folder(folder: Path) -> Path:
    """A patient's CT, and its order without sizes or digests."""
    folder.mkdir()
    for name, content in studies.ct_series(PATIENT, 3, station="CT1", at=AT, rows=64):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    order = orders.order("ct", PATIENT, [orders.file_line("x", b"")], accession_number="CT-1")
    content_of_order = order.model_dump(mode="json", exclude_unset=True)
    del content_of_order["files"]
    (folder / "order.json").write_text(json.dumps(content_of_order, ensure_ascii=False), "utf-8")
    return folder


def state_of(chen, case: str) -> str:
    return chen("status", case, "--json").json["state"]


@pytest.mark.slow
def test_up_brings_everything_up_once_and_ctrl_c_leaves_nothing(start, teledx, monkeypatch, tmp_path):
    """Doctor, with the environment that it hands to operators, finds it well; a second one on its folder is refused."""
    state = tmp_path / "var"
    monkeypatch.setenv("TELEDX_STATE", os.path.relpath(state, ROOT))  # as the default is: relative
    house = start("up")
    operator = state / "operator.env"
    until(operator.exists, what=f"the house\n{log_of(house)}", seconds=240)
    again = start("up")
    assert again.wait(timeout=90) == 7
    assert "TELEDX_STATE" in log_of(again)
    for line in operator.read_text().splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, shlex.split(value)[0])
    looked = teledx("doctor", "--deep", "--json")
    assert looked.code == 0, looked.out
    assert teledx("token", "issue", "--account", "chen").code == 0
    house.send_signal(signal.SIGINT)
    assert house.wait(timeout=120) == 0
    assert not processes_that_name(state)


def processes_that_name(folder: Path) -> list[str]:
    """Command lines of running processes with the folder in them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes()
        except OSError:  # it ended while we looked
            continue
        if str(folder).encode() in line:
            found.append(line.decode(errors="replace"))
    return found
