"""People do their work on the pages, in a real browser before real gateways."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from pypdf import PdfReader

from storage import signing
from tests.dashboard.scenes import (
    PATIENTS,
    asking_about_a_label,
    fill,
    order_of,
    picture,
    stored,
    to_be_read,
    with_report,
)
from tests.storage.filled import delivered, doubtful, received, set_aside

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def opened(page, key):
    """Press the button of that line of a list."""
    page.locator(f".st-key-{key} button").click()


def drawn(page):
    """Wait until the page is whole: a click on what is being drawn anew is lost."""
    page.locator('[data-test-script-state="notRunning"]').wait_for()


def state_of(database, case_id):
    with database.transaction() as connection:
        return connection.execute("SELECT state FROM cases WHERE id = %s", (case_id,)).fetchone()["state"]


def test_a_clinic_sees_why_each_of_its_cases_waits_and_none_of_anothers(region, s3, enter):
    ids = fill(region, s3)

    page = enter("chen", "zh")

    page.locator(f".st-key-open-{ids['waiting']}").wait_for()  # the oldest, so the last to be drawn
    said = page.locator(".stMain").inner_text()
    assert "等待贵机构答复" in said
    assert "报告已送达,请确认收到" in said
    assert "需由运营人员核查" in said
    assert ids["other"] not in page.content()
    page.get_by_test_id("stButtonGroup").get_by_text("待您处理").click()
    page.locator(f".st-key-open-{ids['quarantined']}").wait_for(state="detached")
    expect(page.locator(".tdx-row")).to_have_count(2)


def test_a_clinic_fetches_a_report_as_pdf_and_acknowledges_it_by_name(region, s3, enter, tmp_path):
    case_id = with_report(region, s3)
    page = enter("chen")
    opened(page, f"open-{case_id}")
    page.get_by_role("button", name="Fetch the report").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PDF").click()
    download.value.save_as(tmp_path / "report.pdf")

    assert PdfReader(tmp_path / "report.pdf").pages
    page.get_by_text("you, Chen Li, have read the report").wait_for()
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_text("The report was acknowledged.", exact=True).wait_for()
    assert state_of(region, case_id) == "acknowledged"


def test_a_clinic_confirms_a_slide_beside_the_picture_of_its_label(region, s3, enter):
    case_id = asking_about_a_label(region, s3)
    page = enter("chen")
    opened(page, f"open-{case_id}")
    picture = page.locator(".tdx-picture")
    picture.wait_for()
    assert picture.get_attribute("src").startswith("data:image/png;base64,")
    page.get_by_text("Slide 2: B2026-01234, block A2, HE").wait_for()

    page.get_by_text("It is this slide").click()
    page.get_by_role("button", name="Send the answer").click()

    page.get_by_text("Done.").wait_for()
    assert state_of(region, case_id) == "received"


def test_the_entry_beside_a_case_and_the_browsers_way_back_lead_to_the_list(region, s3, enter):
    ids = fill(region, s3)
    page = enter("chen")
    for way_back in (page.get_by_role("link", name="Cases").click, page.go_back):
        opened(page, f"open-{ids['waiting']}")
        page.get_by_role("button", name="Back").wait_for()
        assert page.url.endswith(f"/case?id={ids['waiting']}")
        drawn(page)
        way_back()
        page.locator(f".st-key-open-{ids['waiting']}").wait_for()


def test_a_clinic_is_led_to_the_upload_page_in_its_language(region, region_url, enter):
    page = enter("chen", "zh")
    page.get_by_role("link", name="提交病例").click()

    link = page.get_by_role("link", name="打开上传页面")

    assert link.get_attribute("href") == f"{region_url}/upload?lang=zh"


def test_a_reader_reads_writes_and_signs_and_never_sees_who_it_is(region, s3, enter):
    case_id = to_be_read(region, s3, 1)
    page = enter("lin")
    page.get_by_role("button", name="Claim").click()
    page.get_by_text("183 days earlier").wait_for()
    page.get_by_text("Yours until").wait_for()
    expect(page.locator(".tdx-picture")).to_have_count(2)
    page.get_by_text("blanked before the images left the region, in 2 of them").wait_for()
    expect(page.locator(".tdx-picture").first).to_have_js_property("naturalWidth", 640)
    whole = page.content()
    assert [name for name in (*PATIENTS, "JS20261123") if name in whole] == []

    page.get_by_label("Findings").fill("双肺纹理清晰。")
    page.get_by_label("Conclusion").fill("未见明显异常。")
    page.get_by_role("button", name="Save draft").click()
    page.get_by_text("Draft saved").wait_for()
    page.get_by_text("I have read it through and sign it.").click()
    drawn(page)
    page.get_by_role("button", name="Sign the report").click()

    page.get_by_text("Signed. The report is on its way").wait_for()
    with region.transaction() as connection:
        report = signing.current(connection, case_id)
    assert report is not None
    assert report.status == "final"
    assert (report.body["findings"], report.body["conclusion"]) == ("双肺纹理清晰。", "未见明显异常。")


def test_a_report_without_a_conclusion_is_not_signed_and_says_why(region, s3, enter):
    case_id = to_be_read(region, s3, 1)
    page = enter("lin", "zh")
    page.get_by_role("button", name="领取").click()
    page.get_by_label("所见").fill("双肺纹理清晰。")
    page.get_by_text("我已通读全文并签署。").click()
    drawn(page)
    page.get_by_role("button", name="签署报告").click()

    page.get_by_text("报告须填写所见和诊断意见。").wait_for()

    assert page.get_by_label("所见").input_value() == "双肺纹理清晰。"
    assert state_of(region, case_id) == "in_reading"


def test_a_reader_declines_with_a_reason_and_not_without(region, s3, enter):
    case_id = to_be_read(region, s3, 1)
    page = enter("lin")
    page.get_by_role("button", name="Claim").click()
    page.get_by_role("button", name="Decline").click()
    form = page.get_by_role("dialog")
    form.get_by_text("For your whole organisation").wait_for()
    form.get_by_role("button", name="Decline").click()
    form.locator(".tdx-warn").wait_for()
    assert state_of(region, case_id) == "in_reading"

    form.get_by_label("Reason").fill("no capacity today")
    form.get_by_role("button", name="Decline").click()

    page.get_by_text("The case was declined.").wait_for()
    assert state_of(region, case_id) == "deidentified"


def test_a_manager_sees_the_figures_that_the_gateway_counts(region, s3, enter, at_region):
    fill(region, s3)
    page = enter("fang")
    legs = at_region("fang").get("/api/figures/turnaround").json()["legs"]

    for name in (leg["name"] for leg in legs if leg["cases"]):
        page.get_by_text(name, exact=True).first.wait_for()
    page.get_by_role("tab", name="Backlog").click()
    states = {s["state"]: s["cases"] for s in at_region("fang").get("/api/figures/backlog").json()["states"]}
    row = page.locator("tr", has_text="On the worklist")
    expect(row).to_have_text(re.compile(rf"^\D*{states['delivered']}\D*$"))
    page.get_by_role("tab", name="Equipment").click()
    page.get_by_text("DX1").first.wait_for()
    assert [name for name in PATIENTS if name in page.content()] == []


def test_an_operator_lets_a_quarantined_case_go_on_with_a_reason(region, enter):
    case_id = set_aside(region, received(region, number=6, **order_of(6))).id
    page = enter("yu")
    opened(page, f"held-{case_id}")
    page.get_by_text("Compare the files with the order").wait_for()
    page.get_by_text("0574-88001001").wait_for()
    page.get_by_role("button", name="Let it go on").click()
    asked = page.get_by_role("dialog")
    asked.get_by_label("Reason").fill("the clinic confirmed the patient")
    asked.get_by_role("button", name="Let it go on").click()

    page.get_by_text("Done.").wait_for()

    assert state_of(region, case_id) == "received"
    page.get_by_text("Nothing is set aside.").wait_for()


def test_an_operator_looks_at_what_was_found_in_a_picture_and_has_it_blanked(region, s3, enter):
    case_id = received(region, number=6, **order_of(6))
    found = stored(s3, "identified", f"{case_id}/doubt/001.png", picture("WANG"), "image/png")
    doubtful(region, case_id, found, known=True)
    page = enter("yu")
    opened(page, f"held-{case_id}")
    page.locator(".tdx-picture").wait_for()
    page.get_by_text("a name or number of this case (frames 1 to 1)").wait_for()
    expect(page.get_by_role("button", name="Nothing marked identifies anybody")).to_have_count(0)
    page.get_by_role("button", name="Blank what is marked").click()
    asked = page.get_by_role("dialog")
    asked.get_by_label("Reason").fill("the name stands beside the echo")
    asked.get_by_role("button", name="Blank what is marked").click()

    page.get_by_text("Done.").wait_for()

    assert state_of(region, case_id) == "preprocessed"


def test_a_page_switches_its_language_and_keeps_its_place(region, enter):
    case_id = delivered(region, number=1, **order_of(1))
    page = enter("chen")
    opened(page, f"open-{case_id}")
    page.get_by_text("Why it waits").wait_for()

    page.get_by_role("button", name="简体中文").click()

    page.get_by_text("等待原因").wait_for()
    expect(page.locator(".stMain")).to_contain_text(case_id)
    page.get_by_role("button", name="退出登录").click()
    page.locator("input[type=password]").wait_for()
    # the old page's last lines go when the new page is whole
    expect(page.get_by_text(PATIENTS[1])).to_have_count(0)
    assert PATIENTS[1] not in page.content()


def test_a_list_says_that_the_network_is_away_and_comes_back_by_itself(
    region, region_app, region_door, enter
):
    delivered(region, number=1, **order_of(1))
    page = enter("chen")
    page.locator(".tdx-row").first.wait_for()

    region_door.close()
    page.get_by_text("The network does not answer right now.").wait_for()
    expect(page.locator(".tdx-row")).to_have_count(0)
    region_door.open(region_app)

    page.locator(".tdx-row").first.wait_for()
    expect(page.get_by_text("The network does not answer right now.")).to_have_count(0)
