"""The upload page in a real browser, against the real store."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from gateway.app import create
from gateway.upload_words import LANGUAGES, SPOKEN, WORDS
from storage import drops
from storage.s3 import MIB
from tests.gateway.conftest import parts_of, serving

PAGES = Path(__file__).parents[2] / "gateway" / "pages"
FIELDS = {
    "accession_number": "A-1", "procedure": "Chest PA", "body_site": "Chest", "clinical_question": "Fracture?",
    "requesting_doctor": "陈丽", "callback_name": "陈丽", "callback_phone": "0574-1", "mr": "M1", "name": "戴诗琪",
    "birth_date": "1970-03-04", "signer": "戴诗琪",
}  # fmt: skip


@pytest.fixture
def gateway(region, s3):
    """The region's gateway, cutting files into parts of 5 MiB."""
    with serving(create("region", parts_of(region, s3, part_size=5 * MIB))) as url:
        yield url


@pytest.fixture
def files(tmp_path):
    """A file of three parts, a small one and an empty one, with the signed consent."""
    contents = {"large.dcm": bytes(range(256)) * (11 * MIB // 256), "small.dcm": b"abc", "empty.dcm": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "consent.pdf").write_bytes(b"signed")
    return contents


def sign_in(page, url, token, lang="en"):
    page.goto(f"{url}/upload?lang={lang}")
    page.fill("#token", token)
    page.click("#sign-in button")
    page.wait_for_selector("#order", state="visible")


def fill(page, folder, names):
    for name, text in FIELDS.items():
        page.fill(f"#{name}", text)
    page.select_option("#service", "xray")
    page.set_input_files("#files", [folder / name for name in names])
    page.set_input_files("#consent", folder / "consent.pdf")


def until_said(page, words):
    """Wait for the page to say so. (Playwright's own waiting for functions needs eval, which the page forbids.)"""
    page.locator("#said", has_text=words).wait_for(timeout=20_000)


def sent(s3):
    """{name: content} of the one drop in the inbox."""
    found = list(s3.listing("inbox", "jiangshan/"))
    return {f.key.split("/", 2)[2]: s3.get("inbox", f.key) for f in found}


def reject_what_arrived(region):
    """What the region's watch would do: give the drop an end, so that the page has something to tell."""
    with region.transaction() as connection:
        (drop,) = drops.of_clinic(connection, "jiangshan")
        drops.reject(connection, drop.id, "no-images")


@pytest.mark.browser
def test_files_go_from_the_browser_into_the_store_with_their_digests(
    gateway, token, browser_page, files, tmp_path, s3, region
):
    sign_in(browser_page, gateway, token("chen"))
    assert browser_page.text_content("#who") == "Chen Li, Jiangshan Health Service Centre"
    fill(browser_page, tmp_path, files)
    browser_page.click("#order button:not([type=button])")
    until_said(browser_page, "All is sent")
    stored = sent(s3)
    order = json.loads(stored.pop("order.json"))
    assert stored == files
    assert {f["name"]: f["sha256"] for f in order["files"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    assert order["consent"]["document_sha256"] == hashlib.sha256(b"signed").hexdigest()
    assert order["patient"]["name"] == "戴诗琪"
    reject_what_arrived(region)
    until_said(browser_page, "no image")


@pytest.mark.browser
def test_a_part_that_breaks_is_sent_again(gateway, token, browser_page, files, tmp_path, s3):
    broken: list[str] = []

    def break_once(route):
        if route.request.method == "PUT" and "partNumber=2" in route.request.url and not broken:
            broken.append(route.request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    browser_page.route(re.compile("partNumber"), break_once)
    sign_in(browser_page, gateway, token("chen"))
    fill(browser_page, tmp_path, ["large.dcm"])
    browser_page.click("#order button:not([type=button])")
    until_said(browser_page, "All is sent")
    assert broken
    assert sent(s3)["large.dcm"] == files["large.dcm"]


@pytest.mark.browser
def test_an_upload_goes_on_after_the_page_was_closed(gateway, token, browser_page, files, tmp_path, s3):
    wire = {"cut": True}

    def cut_after_the_first(route):
        if wire["cut"] and "partNumber=1" not in route.request.url:
            return
        route.continue_()

    browser_page.route(re.compile("partNumber"), cut_after_the_first)
    sign_in(browser_page, gateway, token("chen"))
    fill(browser_page, tmp_path, ["large.dcm"])
    with browser_page.expect_request_finished(lambda r: "partNumber=1" in r.url and r.method == "PUT"):
        browser_page.click("#order button:not([type=button])")
    browser_page.unroute(re.compile("partNumber"))
    wire["cut"] = False

    seen = []
    browser_page.on("request", lambda r: seen.append(r.url) if r.method == "PUT" else None)
    sign_in(browser_page, gateway, token("chen"))
    browser_page.set_input_files("#files", tmp_path / "large.dcm")
    browser_page.click("#again")
    until_said(browser_page, "All is sent")
    assert sent(s3)["large.dcm"] == files["large.dcm"]
    assert not [url for url in seen if "partNumber=1&" in url]


@pytest.mark.browser
def test_the_page_says_what_is_wrong_with_an_order_in_the_chosen_language(
    gateway, token, browser_page, files, tmp_path
):
    sign_in(browser_page, gateway, token("chen"), lang="zh")
    assert browser_page.text_content("#who") == "陈丽, 姜山中心卫生院"
    fill(browser_page, tmp_path, ["small.dcm"])
    browser_page.select_option("#service", "histology")
    browser_page.click("#order button:not([type=button])")
    browser_page.wait_for_selector("#problems li")
    assert "slides" in browser_page.text_content("#problems")


@pytest.mark.browser
def test_a_digest_of_the_page_is_sha_256_whatever_the_length(gateway, browser_page):
    """Lengths around the ends of blocks and slices, against hashlib."""
    browser_page.goto(f"{gateway}/upload")
    lengths = [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 4 * MIB, 4 * MIB + 57]
    found = browser_page.evaluate(
        "async (lengths) => { const out = []; for (const n of lengths) {"
        " const bytes = new Uint8Array(n).map((_, i) => (i * 7 + 3) & 255);"
        " out.push(await digest(new File([bytes], 'x'), () => {})); } return out; }",
        lengths,
    )
    block = bytes((i * 7 + 3) & 255 for i in range(256))
    assert found == [hashlib.sha256((block * (n // 256 + 1))[:n]).hexdigest() for n in lengths]


def test_the_page_may_speak_to_this_gateway_and_the_store_alone(at_region, object_store):
    answer = at_region("").get("/upload", params={"lang": "en"})
    policy = answer.headers["content-security-policy"]
    assert f"connect-src 'self' {object_store.url};" in policy
    assert "unsafe" not in policy
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", answer.text)
    assert not re.search(r"<script(?! src)|<style|\son\w+=", answer.text)


@pytest.mark.parametrize("path", ["/upload/../app.py", "/upload/upload.html", "/upload/__init__.py"])
def test_nothing_but_the_pages_own_parts_is_served(at_region, path):
    assert at_region("").get(path).status_code == 404


def test_every_word_of_the_page_is_there_in_both_languages():
    markup = (PAGES / "upload.html").read_text()
    script = (PAGES / "upload.js").read_text()
    asked = set(re.findall(r"{(\w+)}", markup)) - {"lang", "other", "other_sex", "words"}
    for language in LANGUAGES:
        assert asked | set(SPOKEN) <= set(WORDS[language])
        assert all(WORDS[language].values())
    assert set(re.findall(r"WORDS\.(\w+)", script)) == set(SPOKEN)


def test_a_language_that_the_page_does_not_speak_is_refused(at_region):
    assert at_region("").get("/upload", params={"lang": "xx"}).status_code == 422
