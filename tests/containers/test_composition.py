"""The whole composition, brought up for real, with cases driven through it and parts of it killed.

One daemon, one image and one composition for all of these tests, in the order in which they stand; the last takes all
of it down.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.composition import Composition
from tests.containers.travel import PATIENT, Traveller
from tests.servers.server import until

pytestmark = [
    pytest.mark.containers,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]

ONCE = ("store-folder", "store-settings", "migrate")
SERVERS = ("postgres", "rabbitmq", "seaweedfs", "store")
OURS = ("gateway-region", "gateway-partner", "worker-express", "worker-bulk", "dashboard")
LOOPBACK_HEX = "0100007F"
# Says which of the addresses given as HOST:PORT accept a connection.
PROBE = """
import concurrent.futures, json, socket, sys
def accepts(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.5).close()
    except OSError:
        return False
    return True
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps([a for a, yes in zip(sys.argv[1:], pool.map(accepts, sys.argv[1:])) if yes]))
"""


@pytest.fixture(scope="module")
def traveller(composition: Composition) -> Iterator[Traveller]:
    """Clinic and reader, by the composition's published doors."""
    traveller = Traveller(composition)
    yield traveller
    traveller.close()


def reached(composition: Composition, service: str, addresses: list[str]) -> list[str]:
    return list(json.loads(composition.within(service, "python", "-c", PROBE, *addresses)))


def addresses_of(composition: Composition, service: str) -> list[str]:
    networks = composition.inspect(composition.containers(service)[0])["NetworkSettings"]["Networks"]
    return [network["IPAddress"] for network in networks.values()]


def test_everything_is_up_and_healthy_and_two_workers_share_the_bulk(composition):
    for service in (*SERVERS, *OURS):
        for container in composition.containers(service):
            assert composition.inspect(container)["State"]["Health"]["Status"] == "healthy", service
    assert len(composition.containers("worker-bulk")) == 2
    for service in ONCE:
        state = composition.inspect(composition.container(service))["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0), service


def test_a_case_travels_from_a_clinics_drop_to_its_acknowledged_report(
    traveller, tmp_path: Path, pdftotext: Path
):
    prefix = traveller.drop(name="Wang_Xiuying_CT", slices=6)
    case_id = traveller.case_of(prefix)
    item = traveller.on_the_worklist(case_id)
    image = traveller.first_image(item)
    assert image.PatientID != PATIENT.id
    assert PATIENT.name_latin.partition(" ")[0] not in str(image.PatientName)

    traveller.sign(item, findings="两肺纹理清晰。", conclusion="未见明显异常。")
    traveller.in_state(case_id, "returned")
    (tmp_path / "report.pdf").write_bytes(traveller.report(case_id))
    text = subprocess.run(
        [pdftotext, tmp_path / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert PATIENT.name in text
    assert "未见明显异常" in text
    assert traveller.acknowledge(case_id) == "acknowledged"


def test_the_store_told_the_region_of_the_drop(composition, traveller):
    told = [
        json.loads(line)
        for line in composition.docker.run(
            "logs", composition.container("gateway-region")
        ).stderr.splitlines()
    ]
    heard = [line["status"] for line in told if line.get("route") == "/internal/store-events"]
    assert heard
    assert set(heard) == {204}


def test_no_log_of_any_container_names_the_patient(composition, traveller):
    logs = composition.compose("logs", "--no-color")
    assert "worker_started" in logs
    for secret in (PATIENT.name, PATIENT.name_latin, PATIENT.id, "Wang_Xiuying", PATIENT.dicom_name):
        assert secret not in logs


def test_a_worker_killed_in_the_middle_loses_nothing_and_doubles_nothing(composition, traveller):
    prefixes = [traveller.drop(name=f"kill-{number}", slices=24, rows=512) for number in range(5)]
    victim = traveller.busy_bulk_worker()
    before = composition.inspect(victim)["RestartCount"]
    os.kill(composition.inspect(victim)["State"]["Pid"], signal.SIGKILL)

    cases = [traveller.case_of(prefix) for prefix in prefixes]
    for case_id in cases:
        traveller.on_the_worklist(case_id)
    assert len(set(cases)) == len(cases)
    assert traveller.lost_runs(victim) >= 1
    assert sorted(traveller.worklist()) == sorted(cases)
    until(
        lambda: composition.inspect(victim)["RestartCount"] > before, what="the restart of the killed worker"
    )


def test_the_broker_killed_and_back_strands_no_case(composition, traveller):
    rabbitmq = composition.container("rabbitmq")
    os.kill(composition.inspect(rabbitmq)["State"]["Pid"], signal.SIGKILL)
    prefix = traveller.drop(name="without-broker", slices=3)
    traveller.on_the_worklist(traveller.case_of(prefix))


def test_of_the_store_only_s3_can_be_reached(composition):
    listening = _listening(composition)
    assert {8888, 18888, 9333, 8333, 18333} <= {port for _, port in listening}
    assert {address for address, _ in listening} == {LOOPBACK_HEX}

    ports = sorted({port for _, port in listening})
    own = [f"{address}:{port}" for address in addresses_of(composition, "seaweedfs") for port in ports]
    door = [f"{address}:{port}" for address in addresses_of(composition, "store") for port in ports]
    for service in OURS:
        assert reached(composition, service, own) == []
        assert {a.rpartition(":")[2] for a in reached(composition, service, door)} <= {"8333"}


def test_what_the_store_answers_is_on_its_disk_first(composition):
    shell = "echo fs.configure | weed shell -master=127.0.0.1:9333 -filer=127.0.0.1:8888"
    said = "".join(composition.within("seaweedfs", "sh", "-c", shell).split())
    assert '"locationPrefix":"/buckets/"' in said
    assert '"fsync":true' in said


def test_the_partners_gateway_reaches_nothing_of_the_region(composition):
    ports = {"rabbitmq": 5672, "gateway-region": 8080, "seaweedfs": 8333, "dashboard": 8501}
    region = [f"{a}:{port}" for service, port in ports.items() for a in addresses_of(composition, service)]
    shared = [f"{a}:8501" for a in addresses_of(composition, "dashboard")]
    assert set(reached(composition, "gateway-partner", region)) <= set(shared)
    for name in ("rabbitmq", "gateway-region", "seaweedfs", "worker-bulk"):
        assert reached(composition, "gateway-partner", [f"{name}:{ports.get(name, 80)}"]) == []
    assert reached(composition, "gateway-partner", ["postgres:5432", "store:8333"]) == [
        "postgres:5432",
        "store:8333",
    ]


def test_the_partners_side_and_the_dashboard_hold_no_credential_of_the_region(composition):
    made = json.loads((composition.secrets / "made.json").read_text())
    partners = {"password of partner", "s3 partner-gateway", "metrics of the partners"}
    foreign = {name: value[6:] for name, value in made.items() if name not in partners}
    for service, expected in (("gateway-partner", 4), ("dashboard", 0)):
        held = json.dumps(composition.inspect(composition.container(service)))
        files = composition.within(
            service, "sh", "-c", "ls /run/secrets 2>/dev/null | wc -l; cat /run/secrets/* 2>/dev/null || true"
        )
        assert int(files.split()[0]) == expected
        assert [name for name, value in foreign.items() if value in held + files] == []
        assert "keyring" not in held


def test_the_partners_role_and_keys_open_nothing_of_the_region(composition, traveller):
    asked = (
        "import psycopg, pathlib\n"
        "url = pathlib.Path('/run/secrets/teledx_database_url').read_text()\n"
        "with psycopg.connect(url) as connection:\n"
        "    print(connection.execute('SELECT count(*) FROM cases').fetchone()[0])\n"
        "    try:\n"
        "        connection.execute('SELECT * FROM vault.patient')\n"
        "    except psycopg.errors.InsufficientPrivilege:\n"
        "        print('refused')\n"
    )
    assert composition.within("gateway-partner", "python", "-c", asked).split() == ["0", "refused"]
    for identity in ("partner-gateway", "partner-yinzhou2", "clinic-wuxiang"):
        for zone in ("identified", "quarantine", "reports"):
            assert traveller.refused(identity, zone)
    assert traveller.refused("clinic-wuxiang", "inbox", prefix="jiangshan/")
    assert traveller.refused("partner-yinzhou2", "partner-beijing-pathology")


def test_nothing_runs_as_root_and_no_root_file_system_can_be_written(composition):
    for service in (*SERVERS, *OURS):
        container = composition.containers(service)[0]
        users = composition.docker.run("top", container, "-eo", "uid,pid,comm").stdout.splitlines()[1:]
        assert users
        assert [line for line in users if line.split()[0] == "0"] == []
        host = composition.inspect(container)["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] > 0


def test_new_keys_of_the_store_work_beside_the_old_ones_until_these_are_retired(composition, traveller):
    seaweedfs = composition.container("seaweedfs")
    old = traveller.keys("clinic-xiaying")
    composition.make_secrets("--rotate", "clinic-xiaying")
    new = traveller.keys("clinic-xiaying")
    assert not traveller.opens(new, "xiaying/")
    composition.docker.run("kill", "--signal=HUP", seaweedfs)
    until(lambda: traveller.opens(new, "xiaying/"), what="the new keys")
    assert traveller.opens(old, "xiaying/")
    composition.make_secrets("--retire", "clinic-xiaying")
    composition.docker.run("kill", "--signal=HUP", seaweedfs)
    until(lambda: not traveller.opens(old, "xiaying/"), what="the end of the old keys")
    assert traveller.opens(new, "xiaying/")


def test_starting_again_changes_nothing(composition, traveller):
    before = traveller.count("SELECT count(*) AS n FROM network_version")
    composition.compose(
        "up", "--detach", "--wait", "--no-build", "--force-recreate", "--no-deps", "migrate", check=False
    )
    until(
        lambda: composition.inspect(composition.container("migrate"))["State"]["Status"] == "exited",
        what="migrate's end",
    )
    assert composition.inspect(composition.container("migrate"))["State"]["ExitCode"] == 0
    assert traveller.count("SELECT count(*) AS n FROM network_version") == before


def test_down_leaves_nothing(composition):
    composition.compose("down", "--volumes", "--timeout=30")
    assert composition.docker.run("ps", "--all", "--quiet").stdout == ""
    assert composition.docker.run("volume", "ls", "--quiet").stdout == ""
    networks = composition.docker.run("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert sorted(networks) == ["host", "none"]


def _listening(composition: Composition) -> list[tuple[str, int]]:
    """(address in hex as the kernel writes it, port) of every listening socket of the store."""
    rows = composition.within("seaweedfs", "cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
    fields = [row.split() for row in rows]
    found = [f[1].rpartition(":") for f in fields if len(f) > 3 and f[3] == "0A"]
    return [(address, int(port, 16)) for address, _, port in found if address != "0B00007F"]
