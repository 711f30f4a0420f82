"""A region with both gateways, as `teledx gateway` wires them, and the command line beside it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from typer.testing import CliRunner

from gateway.serve import server
from storage import accounts
from teledx import bootstrap, settings
from teledx.cli import build
from tests.servers.object_store import ObjectStore
from tests.servers.postgres import TestDatabase

if TYPE_CHECKING:
    from tests.region import Region

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    """What a command did: its exit code, what it printed, and that as JSON if it was asked to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


Teledx = Callable[..., Answer]


@pytest.fixture(autouse=True)
def _gateways_log_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The gateways run in this process, and what they log is no answer of a command; nor may a command take over
    their log."""
    monkeypatch.setattr(bootstrap, "logging_to_stderr", lambda _settings: None)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    yield
    structlog.reset_defaults()


@pytest.fixture
def teledx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Teledx:
    """`teledx("status", "--json")` runs the command line in this process; a bug raises."""
    monkeypatch.setenv("TELEDX_SECRETS", str(tmp_path / "no-secrets"))
    return run


def run(*words: object, stdin: str | None = None, token: str | None = None) -> Answer:
    env = {} if token is None else {"TELEDX_TOKEN": token}
    result = CliRunner().invoke(build(), [str(w) for w in words], input=stdin, env=env, prog_name="teledx")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def region(database: TestDatabase, object_store: ObjectStore, tmp_path: Path) -> Iterator[Region]:
    """A region on real servers, worked by the test itself."""
    from tests.region import Region

    region = Region(database, object_store, tmp_path / "scratch")
    yield region
    region.close()


@pytest.fixture
def environment(
    region: Region,
    database: TestDatabase,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> dict[str, str]:
    """The region's settings in the environment, as a worker or a gateway has them."""
    told = {
        "TELEDX_SECRETS": str(tmp_path / "no-secrets"),
        "TELEDX_DATABASE_URL": database.region_url,
        "TELEDX_S3_URL": object_store.url,
        "TELEDX_S3_ACCESS_KEY": object_store.access_key,
        "TELEDX_S3_SECRET_KEY": object_store.secret_key,
        "TELEDX_S3_BUCKET_PREFIX": region.prefix,
        "TELEDX_SCRATCH": str(tmp_path / "scratch"),
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return told


@pytest.fixture
def region_gateway(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The region's gateway, served as in production, and named in the environment."""
    with serving(settings.read(), "region") as url:
        monkeypatch.setenv("TELEDX_GATEWAY_URL", url)
        yield url


@pytest.fixture
def partner_gateway(
    environment: dict[str, str], database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The partners' gateway, likewise, with the partners' role."""
    with monkeypatch.context() as other:
        other.setenv("TELEDX_DATABASE_URL", database.partner_url)
        told = settings.read()
    with serving(told, "partner") as url:
        monkeypatch.setenv("TELEDX_PARTNER_GATEWAY_URL", url)
        yield url


@pytest.fixture
def gateways(region_gateway: str, partner_gateway: str) -> None:
    """Both."""


@contextmanager
def serving(told: settings.Settings, side: Any) -> Iterator[str]:
    """A gateway on a port of loopback that the kernel chose."""
    app = bootstrap.gateway_app(told, side)
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    http = server(app, host=host, port=port)
    thread = threading.Thread(target=http.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{port}"
    finally:
        http.should_exit = True
        thread.join(timeout=20)
        listener.close()
        app.state.parts.child.close()
        app.state.parts.database.close()


@pytest.fixture
def as_person(region: Region, request: pytest.FixtureRequest) -> Callable[[str], Teledx]:
    """`as_person("chen")("status")` runs the command line with a token of that account, its gateway being there."""

    def of(account: str) -> Teledx:
        role = region.parts.network.current()[1].account(account).role
        request.getfixturevalue("partner_gateway" if role == "reader" else "region_gateway")
        with region.rows.transaction() as connection:
            token = accounts.issue(connection, account, lifetime=timedelta(hours=1))
        return lambda *words, **options: run(*words, token=token, **options)

    return of


@pytest.fixture
def receiving(region: Region) -> Iterator[None]:
    """Somebody who receives what is dropped, and works on nothing else."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.1):
            region.settle(most=1)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join(timeout=30)


@pytest.fixture
def body_file(tmp_path: Path) -> Path:
    """What a reader wrote."""
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"findings": "No fracture.", "conclusion": "Normal chest."}))
    return file


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
