"""The dashboard as people meet it: Streamlit's own server before real gateways, looked at with Chromium."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

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
    "token",
]

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60


@pytest.fixture(scope="session")
def ports() -> tuple[int, int, int]:
    """Of the region's gateway, the partners' and the dashboard, for the session: starting the dashboard takes long."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        region_port, partner_port, port = (listener.getsockname()[1] for listener in listeners)
        return region_port, partner_port, port


class Door:
    """A gateway on a port of its own, which a test may close and open again."""

    def __init__(self, app: FastAPI, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._app, self._port = app, port
        self.open()

    def open(self) -> None:
        self._server = server(self._app, host="127.0.0.1", port=self._port)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until(lambda: answers(f"{self.url}/healthz"), what="the gateway")

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)


@pytest.fixture
def region_door(region_app: FastAPI, ports: tuple[int, int, int]) -> Iterator[Door]:
    """This test's region, where the dashboard expects it."""
    door = Door(region_app, ports[0])
    yield door
    door.close()


@pytest.fixture
def region_url(region_door: Door) -> str:
    return region_door.url


@pytest.fixture
def partner_url(partner_app: FastAPI, ports: tuple[int, int, int]) -> Iterator[str]:
    """This test's partner side, where the dashboard expects it."""
    door = Door(partner_app, ports[1])
    yield door.url
    door.close()


@pytest.fixture(scope="session")
def dashboard(
    ports: tuple[int, int, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The pages, told the two gateways and nothing else; its address and its log."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("TELEDX_")}
    environment |= {
        "TELEDX_GATEWAY_URL": f"http://127.0.0.1:{ports[0]}",
        "TELEDX_PARTNER_GATEWAY_URL": f"http://127.0.0.1:{ports[1]}",
    }
    log = tmp_path_factory.mktemp("dashboard") / "dashboard.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamlit", "run", "dashboard/app.py"),
                *("--server.address=127.0.0.1", f"--server.port={ports[2]}"),
            ],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{ports[2]}"
    try:
        until(lambda: answers(f"{url}/_stcore/health"), seconds=READY_SECONDS, what="the dashboard")
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
        page.set_default_timeout(60_000)
        page.on("request", asked)
        page.on("pageerror", lambda error: thrown.append(str(error)))
        page.goto(dashboard_url)
        page.locator("input[type=password]").fill(token(account))
        page.get_by_test_id("stBaseButton-primaryFormSubmit").click()
        page.locator(".tdx-person").wait_for()
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert not elsewhere, f"the page asked others: {elsewhere}"
    assert not thrown, f"the page threw: {thrown}"
