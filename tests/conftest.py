"""The real components that the suite runs on, started when the first test asks and stopped with the session.

Each xdist worker has instances of its own, so a test that takes one away disturbs no other worker's. What a test
leaves stopped is started again before the next one (`_given_back`).
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from storage.database import Database
from teledx.leash import Leash
from tests.servers.object_store import ObjectStore
from tests.servers.postgres import DEBIAN_15, PostgresServer, TestDatabase
from tests.servers.rabbitmq import SERVER as RABBITMQ_SERVER
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.server import Server

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
COMPONENTS = {
    "PostgreSQL 15": DEBIAN_15 / "initdb",
    "RabbitMQ": RABBITMQ_SERVER,
    "Chromium": CHROMIUM,
    "poppler-utils": Path("/usr/bin/pdftotext"),
    "iproute2": Path("/usr/sbin/ip"),
    "dicom3tools": Path("/usr/bin/dciodvfy"),
    "dcmtk": Path("/usr/bin/storescu"),
    "OpenSeadragon": Path(sys.prefix) / "share" / "teledx" / "openseadragon.js",
}


# Files whose tests share what takes long to make: one worker runs all of a file's tests, and these files come first.
TOGETHER = (
    "tests/containers/test_composition.py",
    "tests/faults/test_outages.py",
    "tests/proofs/test_canaries.py",
    "tests/proofs/test_hostile_drops.py",
)


class _Together(LoadScopeScheduling):  # type: ignore[misc] # it carries no types
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """How the tests are dealt to the suite's workers."""
    return _Together(config, log)


def pytest_report_header() -> list[str]:
    """Say first what will be skipped."""
    absent = [name for name, path in COMPONENTS.items() if not path.exists()]
    return [f"MISSING, and the tests that need them are skipped: {', '.join(absent)}"] if absent else []


def require(name: str) -> None:
    """Skip on a laptop, fail where nothing may be missing (CI=true)."""
    if COMPONENTS[name].exists():
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing: {COMPONENTS[name]}")
    pytest.skip(f"{name} is missing: {COMPONENTS[name]}")


@pytest.fixture(scope="session")
def leash() -> Iterator[Leash]:
    """Ends the components even when the test run is killed."""
    leash = Leash()
    leash.start()
    yield leash
    leash.stop()


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Where the components keep their files; PostgreSQL's account must be able to enter.

    Not below pytest's own folder, which every session that starts closes to other accounts.
    """
    folder = Path(tempfile.mkdtemp(prefix="teledx-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _started(leash: Leash, servers_folder: Path) -> Iterator[list[Server]]:
    """Every component that some fixture has started, stopped in reverse order before leash and folder go."""
    servers: list[Server] = []
    yield servers
    for server in reversed(servers):
        server.stop()


@pytest.fixture(autouse=True)
def _given_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test took away is there again for the next one."""
    yield
    if "_started" in request.fixturenames:
        for server in request.getfixturevalue("_started"):
            server.start()


@pytest.fixture(scope="session")
def postgres15(servers_folder: Path, leash: Leash, _started: list[Server]) -> PostgresServer:
    """Debian's PostgreSQL 15."""
    require("PostgreSQL 15")
    return _start(_started, PostgresServer(servers_folder / "pg15", leash, DEBIAN_15))


@pytest.fixture(scope="session")
def postgres18(servers_folder: Path, leash: Leash, _started: list[Server]) -> PostgresServer:
    """The embedded PostgreSQL 18."""
    return _start(_started, PostgresServer(servers_folder / "pg18", leash, None))


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, _started: list[Server]) -> PostgresServer:
    """PostgreSQL 15 where it is installed, else the embedded 18."""
    return request.getfixturevalue("postgres15" if (DEBIAN_15 / "initdb").exists() else "postgres18")


@pytest.fixture(scope="session", params=["postgres15", "postgres18"])
def each_postgres(request: pytest.FixtureRequest, _started: list[Server]) -> PostgresServer:
    """Both, one after the other: for the contract suite."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[TestDatabase]:
    """A fresh database on the newest schema, for this test alone."""
    yield from _fresh(postgres)


@pytest.fixture
def rows(database: TestDatabase) -> Iterator[Database]:
    """That database as the region's programs open it."""
    rows = Database(database.region_url)
    rows.open()
    yield rows
    rows.close()


@pytest.fixture
def database_factory(postgres: PostgresServer) -> Iterator[Callable[[], TestDatabase]]:
    """As many fresh databases as a test asks for."""
    made: list[TestDatabase] = []

    def make() -> TestDatabase:
        made.append(postgres.new_database())
        return made[-1]

    yield make
    postgres.start()
    for database in made:
        postgres.drop(database)


@pytest.fixture
def each_database(each_postgres: PostgresServer) -> Iterator[TestDatabase]:
    """A fresh database on each PostgreSQL."""
    yield from _fresh(each_postgres)


@pytest.fixture(scope="session")
def object_store(servers_folder: Path, leash: Leash, _started: list[Server]) -> ObjectStore:
    """SeaweedFS with an administrator; buckets are the test's own affair."""
    return _start(_started, ObjectStore(servers_folder / "store", leash))


@pytest.fixture(scope="session")
def rabbitmq(servers_folder: Path, leash: Leash, _started: list[Server]) -> RabbitMQ:
    """A RabbitMQ node without its management."""
    require("RabbitMQ")
    return _start(_started, RabbitMQ(servers_folder / "broker", leash))


@pytest.fixture(scope="session")
def rabbitmq_managed(servers_folder: Path, leash: Leash, _started: list[Server]) -> RabbitMQ:
    """A RabbitMQ node with its management API and metrics."""
    require("RabbitMQ")
    return _start(_started, RabbitMQ(servers_folder / "managed", leash, management=True))


@pytest.fixture(scope="session")
def pdftotext() -> Path:
    """The program of poppler that reads a PDF's text."""
    require("poppler-utils")
    return COMPONENTS["poppler-utils"]


@pytest.fixture(scope="session")
def dciodvfy() -> Path:
    """The program of dicom3tools that holds a file against its IOD."""
    require("dicom3tools")
    return COMPONENTS["dicom3tools"]


@pytest.fixture(scope="session")
def viewer_installed() -> None:
    """OpenSeadragon is where `script/environment` puts it."""
    require("OpenSeadragon")


@pytest.fixture(scope="session")
def browser():
    """Chromium, one for the session."""
    require("Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), headless=True, args=CHROMIUM_FLAGS, timeout=60_000
        )
        yield browser
        browser.close()


@pytest.fixture
def browser_page(browser):
    """A page of a fresh profile, 1400 by 900; an error that the page throws fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors, f"the page threw: {errors}"


@pytest.fixture
def component_required() -> Callable[[str], None]:
    """`component_required("iproute2")` skips, or fails in CI, where the component is absent."""
    return require


def _fresh(server: PostgresServer) -> Iterator[TestDatabase]:
    database = server.new_database()
    yield database
    server.start()
    server.drop(database)


def _start(started: list[Server], server):
    server.start()
    started.append(server)
    return server
