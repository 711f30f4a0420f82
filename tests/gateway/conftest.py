"""Both gateways on real PostgreSQL and SeaweedFS, and people signed in at them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from cases.calendar import monday_to_friday
from gateway.app import create
from gateway.parts import Parts
from gateway.serve import server
from imaging.slides.deid import plan_slide
from imaging.slides.plan import write
from storage import accounts
from storage.database import Database
from storage.network import NetworkRows
from storage.s3 import S3, S3Settings
from teledx.samples.slide import make_slide
from tests.servers.object_store import ObjectStore
from tests.servers.postgres import TestDatabase
from tests.storage.filled import opened, with_network

ZONES = ("inbox", "identified", "reports", "partner-yinzhou2", "partner-beijing-pathology")
WEBHOOK_TOKEN = "webhook-token-of-the-tests"

# account of the sample network -> its role and organisation
PEOPLE = {
    "chen": "clinic of jiangshan",
    "zhou": "clinic of wuxiang",
    "lin": "reader of yinzhou2",
    "wang": "reader of beijing-pathology",
    "fang": "manager of yinzhou2",
    "yu": "operator of yinzhou2",
}


@pytest.fixture
def region(database: TestDatabase) -> Iterator[Database]:
    with opened(database.region_url) as pool:
        with_network(pool)
        yield pool


@pytest.fixture
def partner(database: TestDatabase) -> Iterator[Database]:
    with opened(database.partner_url) as pool:
        yield pool


@pytest.fixture(scope="session")
def _buckets(object_store: ObjectStore) -> S3:
    """One set of buckets for the session: making one takes longer than most tests."""
    store = S3(
        S3Settings(
            url=object_store.url,
            access_key=object_store.access_key,
            secret_key=object_store.secret_key,
            bucket_prefix="gateway-",
        )
    )
    for zone in ZONES:
        store.ensure_bucket(zone)
    return store


@pytest.fixture
def s3(_buckets: S3) -> S3:
    """The store with an empty inbox. Other keys carry the id of a case, which no other test knows."""
    _buckets.delete("inbox", [found.key for found in _buckets.listing("inbox", "")])
    return _buckets


def parts_of(database: Database, s3: S3, **changes: object) -> Parts:
    return Parts(
        database=database,
        s3=s3,
        network=NetworkRows(database),
        is_workday=monday_to_friday,
        webhook_token=WEBHOOK_TOKEN,
        **changes,  # type: ignore[arg-type]
    )


@pytest.fixture
def region_app(region: Database, s3: S3) -> FastAPI:
    return create("region", parts_of(region, s3))


@pytest.fixture
def partner_app(region: Database, partner: Database, s3: S3) -> Iterator[FastAPI]:
    app = create("partner", parts_of(partner, s3, ready_zone="partner-yinzhou2"))
    yield app
    app.state.parts.child.close()


@pytest.fixture
def region_url(region_app: FastAPI) -> Iterator[str]:
    """The region's gateway, served as in production."""
    with serving(region_app) as url:
        yield url


@pytest.fixture
def partner_url(partner_app: FastAPI) -> Iterator[str]:
    """The partners' gateway, served as in production."""
    with serving(partner_app) as url:
        yield url


@pytest.fixture(scope="session")
def slide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made slide as it leaves the region."""
    folder = tmp_path_factory.mktemp("slides")
    made = make_slide(
        folder / "made.svs", size=3_000_000, pathology_number="S2026-1", block="A1", stain="HE", patient_name="戴诗琪"
    )  # fmt: skip
    target = folder / "slide.svs"
    write(plan_slide(made), made, target)
    return target


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The application on a port of loopback that the kernel chose, until the end of the block."""
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


@pytest.fixture
def token(region: Database) -> Callable[[str], str]:
    """`token("chen")`: an access token of that person."""

    def issue(account: str) -> str:
        with region.transaction() as connection:
            return accounts.issue(connection, account, lifetime=timedelta(hours=1))

    return issue


SignIn = Callable[[str], httpx.Client]


@pytest.fixture
def at_region(region_url: str, token: Callable[[str], str]) -> Iterator[SignIn]:
    """`at_region("chen")`: an HTTP client signed in as that person; "" is nobody."""
    yield from clients(region_url, token)


@pytest.fixture
def at_partner(partner_url: str, token: Callable[[str], str]) -> Iterator[SignIn]:
    """`at_partner("lin")`: the same at the partners' gateway."""
    yield from clients(partner_url, token)


def clients(url: str, token: Callable[[str], str]) -> Iterator[SignIn]:
    with ExitStack() as stack:

        def sign_in(account: str) -> httpx.Client:
            headers = {"Authorization": f"Bearer {token(account)}"} if account else {}
            return stack.enter_context(httpx.Client(base_url=url, headers=headers, timeout=30))

        yield sign_in
