"""The slide viewer in a real browser, on the real store."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gateway.slide_words import LANGUAGES, SPOKEN, WORDS
from imaging.slides import tiles
from imaging.slides.levels import read_pyramids
from imaging.slides.source import FileSource
from tests.gateway.slides import MICRONS, slide_case
from tests.gateway.test_slides import looked, viewing

PAGES = Path(__file__).parents[2] / "gateway" / "pages"
PATIENCE = 20_000


@pytest.fixture
def case(region, s3, slide_file):
    return slide_case(region, s3, [slide_file, slide_file])


@pytest.fixture
def asked(browser_page, viewer_installed):
    """(status, address) of everything that the page asks for; another machine, or a broken policy, fails the test."""
    answers, complaints = [], []
    browser_page.on("console", lambda said: complaints.append(said.text) if "Policy" in said.text else None)
    browser_page.on("response", lambda answer: answers.append((answer.status, answer.url)))
    yield answers
    assert not complaints
    assert all(url.startswith(("http://127.0.0.1:", "blob:", "data:")) for _, url in answers)


def arrive(page, url, reader, lang="en", field=""):
    """Open the viewer with a ticket, as the dashboard links to it."""
    ticket = viewing(reader)
    (item,) = reader.get("/api/worklist").json()["work_items"]
    page.goto(f"{url}/slides/{item['work_item_id']}?lang={lang}#ticket={ticket}{field}")
    page.locator(".openseadragon-canvas canvas").first.wait_for(timeout=PATIENCE)
    return ticket


def scale(page, at=0):
    return page.locator(".pane .scale span").nth(at).text_content()


def until(page, pattern, at=0):
    """Wait until a pane's scale says so. (The page forbids the eval that Playwright's own waiting needs.)"""
    page.locator(".pane .scale span", has_text=re.compile(pattern)).nth(at).wait_for(timeout=PATIENCE)


@pytest.mark.browser
def test_a_reader_looks_at_a_slide_by_keys_alone(case, partner_url, at_partner, browser_page, asked, region):
    page = browser_page
    ticket = arrive(page, partner_url, at_partner("lin"))
    assert ticket not in page.url
    assert page.text_content("#case").endswith(case)
    page.keyboard.press("6")  # 40×: 0.25 µm/px
    until(page, r"40× · 0\.25 µm/px")
    page.keyboard.press("5")
    until(page, r"20× · 0\.50? µm/px")
    page.keyboard.press("r")
    page.locator("#angle").wait_for()
    page.wait_for_url(re.compile("turned=90"), timeout=PATIENCE)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("0")
    tiles = [(status, url) for status, url in asked if "_files/" in url]
    assert len(tiles) > 3
    assert {status for status, _ in tiles} == {200}
    assert looked(region) == [("lin", "slide 1")]


@pytest.mark.browser
def test_two_slides_stand_side_by_side_and_move_together(case, partner_url, at_partner, browser_page, asked):
    page = browser_page
    arrive(page, partner_url, at_partner("lin"))
    page.keyboard.press("4")
    until(page, r"10× · 1\.0 µm/px")
    page.keyboard.press("b")
    page.locator(".pane").nth(1).wait_for(timeout=PATIENCE)
    until(page, r"10× · 1\.0 µm/px", at=1)
    page.keyboard.press("5")
    until(page, r"20× · 0\.50? µm/px", at=1)
    page.keyboard.press("s")
    assert page.get_attribute("#together", "aria-pressed") == "false"
    page.keyboard.press("4")
    until(page, r"10× · 1\.0 µm/px")
    assert page.locator(".pane .scale span", has_text="20×").count() == 1


@pytest.mark.browser
def test_a_link_to_a_field_of_view_opens_there_after_signing_in(
    case, partner_url, at_partner, browser_page, token, asked
):
    page = browser_page
    (item,) = at_partner("he").get("/api/worklist").json()["work_items"]
    address = f"{partner_url}/slides/{item['work_item_id']}?lang=zh#slides=2&x=200.0&y=150.0&um=0.5&turned=45"
    page.goto(address)
    page.fill("#token", token("he"))
    page.click("#sign-in button")
    until(page, r"20× · 0\.50? µm/px")
    assert "S-2-A1-HE" in page.text_content(".pane .label")
    page.wait_for_url(re.compile(r"#slides=2&x=200\.0&y=150\.0&um=0\.5(000)?&turned=45$"), timeout=PATIENCE)


@pytest.mark.browser
def test_the_page_goes_on_when_a_grant_has_ended(
    case, partner_url, partner_app, at_partner, browser_page, asked
):
    page = browser_page
    arrive(page, partner_url, at_partner("lin"))
    grants = partner_app.state.viewings.grants
    clock = grants._clock
    grants._clock = lambda: clock() + 540  # tickets of then are still good for a minute, and renewed
    page.keyboard.press("6")
    until(page, "40×")
    assert not [url for status, url in asked if status >= 400]


@pytest.mark.browser
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_browser_shows_the_slides_own_colours_at_the_place_that_the_link_names(
    language, case, partner_url, at_partner, browser_page, asked, slide_file, tmp_path
):
    """`TELEDX_SCREENSHOTS=docs/screenshots` keeps the picture."""
    page, side = browser_page, 300
    arrive(page, partner_url, at_partner("lin"), language, "&slides=1&x=500&y=450&um=0.5&turned=0")
    until(page, r"20× · 0\.50? µm/px")
    page.keyboard.press("b")
    until(page, r"20× · 0\.50? µm/px", at=1)
    page.wait_for_load_state("networkidle")
    box = page.locator(".pane .view").first.bounding_box()
    x, y = round(box["x"] + box["width"] / 2), round(box["y"] + box["height"] / 2)
    whole = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    folder = Path(os.environ.get("TELEDX_SCREENSHOTS") or tmp_path).resolve()
    whole.quantize(64).save(folder / f"slides-{language}.png", optimize=True)
    seen = whole.crop((x - side // 2, y - side // 2, x + side // 2, y + side // 2))

    source = FileSource(slide_file)
    (pyramid,) = read_pyramids(source, "svs")
    half = side / 2 * 0.5
    left, top, wide = (round(um / MICRONS) for um in (500 - half, 450 - half, 2 * half))
    expected = tiles.compose(source, pyramid, tiles.Region(left, top, wide, wide, side, side))
    # fields of ten by ten pixels: a browser rounds where a picture begins
    apart = np.asarray(seen.reduce(10), dtype=int) - np.asarray(expected.reduce(10), dtype=int)
    assert np.abs(apart).mean() < 6


@pytest.mark.browser
def test_two_quick_clicks_show_one_slide_the_last_that_was_asked_for(
    case, partner_url, at_partner, browser_page, asked
):
    page = browser_page
    arrive(page, partner_url, at_partner("lin"))
    first, second = (page.locator("#list .name").nth(at) for at in range(2))
    for clicked in (second, second, first, second):
        clicked.click(no_wait_after=True)
    page.wait_for_url(re.compile("slides=2&"), timeout=PATIENCE)
    page.wait_for_load_state("networkidle", timeout=PATIENCE)
    page.locator(".pane .label", has_text="S-2-A1-HE").wait_for(timeout=PATIENCE)
    assert page.locator(".pane").count() == 1
    beside = page.locator("#list button:not(.name)").first
    beside.dblclick()
    page.locator(".pane").nth(1).wait_for(timeout=PATIENCE)
    page.locator("#said", has_text=re.compile("^$")).wait_for(state="attached", timeout=PATIENCE)
    assert page.locator(".pane").count() == 2


@pytest.mark.browser
def test_where_there_is_no_clipboard_the_link_is_said_in_words(
    case, partner_url, at_partner, browser_page, asked
):
    page = browser_page
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    arrive(page, partner_url, at_partner("lin"))
    page.wait_for_url(re.compile("slides=1"), timeout=PATIENCE)
    page.click("#link")
    said = page.locator("#said", has_text="Copy this link: http://127.0.0.1")
    said.wait_for(timeout=PATIENCE)
    assert said.text_content().removeprefix("Copy this link: ") == page.url


def test_every_word_of_the_page_is_in_the_table():
    markup = (PAGES / "slides.html").read_text("utf-8")
    named = set(re.findall(r"{(\w+)}", markup)) - {"lang", "other", "work_item", "words"}
    script = "".join((PAGES / name).read_text("utf-8") for name in ("slides.js", "panes.js"))
    spoken = set(re.findall(r"(?:WORDS|words)\.(\w+)", script))
    assert spoken == set(SPOKEN)
    for language in LANGUAGES:
        assert named | spoken == set(WORDS[language])
        assert all(WORDS[language].values())


def test_the_page_may_speak_to_its_own_gateway_alone(at_partner):
    answer = at_partner("").get("/slides/00000000-0000-0000-0000-000000000000")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert not re.search(r"(?:src|href)=\"(?!/|\?|data:,)", answer.text)
