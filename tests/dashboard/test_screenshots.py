"""Every page is drawn whole in both languages. `TELEDX_SCREENSHOTS=docs/screenshots` keeps the pictures."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.dashboard.scenes import fill

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def pictured(page, name, folder, height=860):
    """Take the page's picture; it must show something and not run out at its side."""
    page.set_viewport_size({"width": 1280, "height": height})
    page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')")
    content = page.screenshot(animations="disabled")
    (folder / f"{name}.png").write_bytes(content)
    assert len(Image.open(io.BytesIO(content)).convert("L").getcolors() or range(256)) > 20
    fits = "() => { const m = document.querySelector('.stMain'); return m.scrollWidth <= m.clientWidth; }"
    page.wait_for_function(
        fits, timeout=15_000
    )  # it runs out at its side for good, or is still being laid out


@pytest.fixture
def folder(tmp_path):
    kept = os.environ.get("TELEDX_SCREENSHOTS")
    return Path(kept).resolve() if kept else tmp_path


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_drawn_whole(region, s3, enter, folder, language):
    ids = fill(region, s3)
    folder.mkdir(exist_ok=True)

    page = enter("chen", language)
    page.locator(f".st-key-open-{ids['waiting']}").wait_for()
    pictured(page, f"cases-{language}", folder)
    page.locator(f".st-key-open-{ids['report']} button").click()
    page.locator(".tdx-bar").first.wait_for()
    pictured(page, f"case-{language}", folder, 1000)
    page.close()

    page = enter("lin", language)
    page.locator(".tdx-row").nth(2).wait_for()
    pictured(page, f"worklist-{language}", folder, 620)
    page.get_by_test_id("stBaseButton-primary").first.click()
    page.locator(".tdx-picture").nth(1).wait_for()
    page.locator("textarea").nth(2).wait_for()
    pictured(page, f"reading-{language}", folder, 1000)
    page.close()

    page = enter("fang", language)
    page.locator(".tdx-bar").first.wait_for()
    pictured(page, f"figures-{language}", folder)
    page.close()

    page = enter("yu", language)
    page.locator(".tdx-row").first.wait_for()
    pictured(page, f"quarantine-{language}", folder, 620)
