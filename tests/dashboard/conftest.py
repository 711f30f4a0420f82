"""The dashboard as people meet it: Streamlit's own server before real gateways, looked at with Chromium."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from playwright import sync_api as playwright

from gateway.serve import server
from tests.gateway.conftest import (
    _buckets,
    at_partner,
    at_region,
    partner,
    partner_app,
    region,
    region_app,
    s3,
    slide_file,
    token,
)
from tests.servers.server import until

__all__ = [
    "_buckets",
    "at_partner",
    "at_region",
    "partner",
    "partner_app",
    "region",
    "region_app",
    "s3",
    "slide_file",
    "token",
]

ROOT = Path(__file__).parents[2]
READY_SECONDS = 180  # a machine that does much else
PATIENCE_MS = 120_000
playwright.expect.set_options(timeout=PATIENCE_MS)


class Door:
    """A gateway on a port that is kept for it, closed or open."""

    def __init__(self) -> None:
        self._held = _bound(0)
        self.port = self._held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def open(self, app: FastAPI) -> None:
        listener = _bound(self.port)
        listener.listen(100)
        self._server = server(app, host="127.0.0.1", port=self.port)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        until(lambda: answers(f"{self.url}/healthz"), what="the gateway")

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)

    def give_up(self) -> None:
        self._held.close()


def _bound(port: int) -> socket.socket:
    """Bound and not listening: nobody else gets the port, and who calls is refused."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(("127.0.0.1", port))
    return found


@pytest.fixture(scope="session")
def doors() -> Iterator[tuple[Door, Door]]:
    """The region's and the partners', where the session's dashboard expects them."""
    both = Door(), Door()
    yield both
    for door in both:
        door.give_up()


@pytest.fixture
def region_door(region_app: FastAPI, doors: tuple[Door, Door]) -> Iterator[Door]:
    """This test's region, where the dashboard expects it."""
    doors[0].open(region_app)
    yield doors[0]
    doors[0].close()


@pytest.fixture
def region_url(region_door: Door) -> str:
    return region_door.url


@pytest.fixture
def partner_url(partner_app: FastAPI, doors: tuple[Door, Door]) -> Iterator[str]:
    """This test's partner side, where the dashboard expects it."""
    doors[1].open(partner_app)
    yield doors[1].url
    doors[1].close()


@pytest.fixture(scope="session")
def dashboard(
    doors: tuple[Door, Door], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The pages, told the two gateways and nothing else; its address and its log."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("TELEDX_")}
    environment |= {
        "TELEDX_GATEWAY_URL": doors[0].url,
        "TELEDX_PARTNER_GATEWAY_URL": doors[1].url,
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = tmp_path_factory.mktemp("dashboard") / "dashboard.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamlit", "run", "dashboard/app.py"),
                *("--server.address=127.0.0.1", f"--server.port={port}"),
            ],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(
            lambda: process.poll() is not None or answers(f"{url}/_stcore/health"),
            seconds=READY_SECONDS,
            what="the dashboard",
        )
        assert process.poll() is None, log.read_text()
        yield url, log
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def dashboard_url(region_url: str, partner_url: str, dashboard: tuple[str, Path]) -> Iterator[str]:
    """The pages before this test's gateways; what they log of an error fails the test."""
    url, log = dashboard
    before = log.stat().st_size
    yield url
    written = log.read_text()[before:]
    assert "Traceback" not in written, written


def arrive(page, url: str) -> None:
    """Open the sign-in, once more where Chromium dropped the page's scripts half way.

    It does so (ERR_NETWORK_CHANGED) whenever an interface comes or goes on this machine, as containers make them.
    """
    dropped = []
    page.on("requestfailed", lambda request: dropped.append(request.failure))
    field = page.locator("input[type=password]")
    for _ in range(5):
        dropped.clear()
        page.goto(url)
        try:
            field.wait_for(timeout=30_000)
        except playwright.TimeoutError:
            if "net::ERR_NETWORK_CHANGED" not in dropped:
                field.wait_for()
                return
        else:
            return
    raise AssertionError("the machine's network changed five times")


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def enter(browser, dashboard_url: str, token: Callable[[str], str]) -> Iterator[Callable]:
    """`enter("chen", "zh")`: a browser's page, signed in as that person through the form.

    A page that asks anybody but this machine, or throws, fails the test.
    """
    contexts, elsewhere, thrown = [], [], []

    def asked(request):
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            elsewhere.append(request.url)

    def sign_in(account: str, language: str = "en"):
        context = browser.new_context(
            viewport={"width": 1400, "height": 950}, locale={"en": "en-GB", "zh": "zh-CN"}[language]
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", asked)
        page.on("pageerror", lambda error: thrown.append(str(error)))
        arrive(page, dashboard_url)
        page.locator("input[type=password]").fill(token(account))
        page.get_by_test_id("stBaseButton-primaryFormSubmit").click()
        page.locator(".tdx-person").wait_for()
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert not elsewhere, f"the page asked others: {elsewhere}"
    assert not thrown, f"the page threw: {thrown}"
