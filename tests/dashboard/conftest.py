"""The dashboard as people meet it: Streamlit's own server before real gateways, looked at with Chromium."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.conftest import (
    _buckets,
    at_partner,
    at_region,
    partner,
    partner_app,
    partner_url,
    region,
    region_app,
    region_url,
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
    "partner_url",
    "region",
    "region_app",
    "region_url",
    "s3",
    "token",
]

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60


@pytest.fixture
def dashboard_url(region_url: str, partner_url: str, tmp_path: Path) -> Iterator[str]:
    """The pages, told the two gateways and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("TELEDX_")}
    environment |= {"TELEDX_GATEWAY_URL": region_url, "TELEDX_PARTNER_GATEWAY_URL": partner_url}
    log = tmp_path / "dashboard.log"
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
        until(lambda: answers(f"{url}/_stcore/health"), seconds=READY_SECONDS, what=f"the dashboard ({log})")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)
    written = log.read_text()
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
