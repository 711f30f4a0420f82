"""A reader's doors."""

from datetime import UTC, datetime

from tests.storage.filled import BODY, delivered, signed

BODY_JSON = {"body": BODY.model_dump(mode="json")}


def the_item(reader, state="SCHEDULED"):
    (item,) = reader.get("/api/worklist", params={"state": state}).raise_for_status().json()["work_items"]
    return item


def url(item, step=""):
    return f"/api/work-items/{item['work_item_id']}{step}"


def test_a_reader_reads_a_case_from_the_worklist_to_the_signature(region, at_partner):
    case_id = delivered(region)
    lin = at_partner("lin")
    item = the_item(lin)
    assert item["case_id"] == case_id
    assert (item["brief"]["clinical_question"], item["service_name_zh"]) == ("Fracture?", "X 线影像诊断")
    assert 0 < item["seconds_left"] <= 4 * 3600
    assert not item["overdue"]

    claimed = lin.post(url(item, "/claim")).raise_for_status().json()
    assert (claimed["state"], claimed["claimed_by_me"], claimed["claimed_by"]) == ("IN PROGRESS", True, "lin")
    until = datetime.fromisoformat(lin.post(url(item, "/heartbeat")).raise_for_status().json()["lease_until"])
    assert until > datetime.now(UTC)
    lin.put(url(item, "/draft"), json={"body": {"findings": "No f", "conclusion": ""}}).raise_for_status()
    assert lin.get(url(item)).json()["draft"]["findings"] == "No f"
    first = lin.post(url(item, "/preliminary"), json=BODY_JSON).raise_for_status().json()
    assert (first["status"], first["version"]) == ("preliminary", 1)
    final = lin.post(url(item, "/sign"), json=BODY_JSON).raise_for_status().json()
    assert (final["status"], final["version"], final["report_id"]) == ("final", 2, first["report_id"])
    read = the_item(lin, "COMPLETED")
    assert (read["case_state"], read["seconds_left"], read["overdue"]) == ("reported", None, False)


def test_a_colleague_sees_who_holds_an_item_and_cannot_take_it(region, at_partner):
    delivered(region)
    lin, he = at_partner("lin"), at_partner("he")
    item = the_item(lin)
    lin.post(url(item, "/claim")).raise_for_status()
    refused = he.post(url(item, "/claim"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "held-by-another")
    assert the_item(he, "IN PROGRESS")["claimed_by"] == "lin"
    assert not the_item(he, "IN PROGRESS")["claimed_by_me"]
    assert he.get(url(item)).json()["draft"] is None


def test_release_names_the_successor_that_waits(region, at_partner):
    delivered(region)
    lin = at_partner("lin")
    item = the_item(lin)
    lin.post(url(item, "/claim")).raise_for_status()
    ended = lin.post(url(item, "/release"), json={"why": "end of shift"}).raise_for_status().json()
    assert ended["state"] == "CANCELED"
    assert the_item(lin)["work_item_id"] == ended["successor"]


def test_decline_takes_the_case_off_the_worklist(region, at_partner):
    delivered(region)
    lin = at_partner("lin")
    item = the_item(lin)
    assert lin.post(url(item, "/decline"), json={"why": "no capacity"}).json()["successor"] is None
    assert lin.get("/api/worklist").json() == {"work_items": []}


def test_a_correction_and_an_addendum_are_new_versions_of_the_signed_report(region, at_partner):
    report = signed(region, delivered(region))
    he = at_partner("he")
    more = {"body": {"findings": "No fracture.", "conclusion": "Old rib fracture."}}
    added = he.post(f"/api/reports/{report.id}/addendum", json=more).raise_for_status().json()
    assert (added["status"], added["version"]) == ("appended", 2)
    other = {"body": {"findings": "No fracture.", "conclusion": "New rib fracture."}, "why": "misread"}
    changed = he.post(f"/api/reports/{report.id}/correction", json=other).raise_for_status().json()
    assert (changed["status"], changed["version"]) == ("corrected", 3)


def test_an_empty_report_cannot_be_signed(region, at_partner):
    delivered(region)
    lin = at_partner("lin")
    item = the_item(lin)
    lin.post(url(item, "/claim")).raise_for_status()
    refused = lin.post(url(item, "/sign"), json={"body": {"findings": " ", "conclusion": ""}})
    assert refused.status_code == 422
    assert refused.json()["problems"] == ["findings: is empty", "conclusion: is empty"]


def test_a_report_with_control_characters_is_refused_by_its_part(region, at_partner):
    delivered(region)
    lin = at_partner("lin")
    item = the_item(lin)
    lin.post(url(item, "/claim")).raise_for_status()
    refused = lin.post(url(item, "/sign"), json={"body": {"findings": "a\0b", "conclusion": "c\nd"}})
    assert refused.status_code == 422
    (problem,) = refused.json()["problems"]
    assert problem.startswith("body.findings: a text holds no control characters")


def test_stat_stands_first_and_then_what_is_due_first(region, at_partner):
    late = delivered(region, number=1)
    stat = delivered(region, number=2, priority="stat")
    soon = delivered(region, number=3)
    with region.transaction() as connection:
        connection.execute(
            "UPDATE cases SET due_at = clock_timestamp() - interval '1 minute' WHERE id = %s", (soon,)
        )
    items = at_partner("lin").get("/api/worklist").json()["work_items"]
    assert [i["case_id"] for i in items] == [stat, soon, late]
    assert [i["overdue"] for i in items] == [False, True, False]
    assert "past its time" in items[1]["place_reason"]


def test_previews_and_files_come_from_the_partners_own_bucket(region, at_partner, s3):
    delivered(region)
    lin = at_partner("lin")
    item = the_item(lin)
    with region.transaction() as connection:
        rows = connection.execute("SELECT key, role FROM partner_object").fetchall()
        connection.execute(
            "UPDATE partner_object SET sha256 = %s",
            ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",),
        )
    for row in rows:
        s3.put_new("partner-yinzhou2", row["key"], b"abc", "image/jpeg", "0")
    (picture,) = item["previews"]
    assert lin.get(picture["url"]).content == b"abc"
    (file,) = lin.get(url(item, "/files")).json()["files"]
    assert file["name"] == "files/1.dcm"

    import urllib3

    assert urllib3.request("GET", file["url"]).data == b"abc"
    assert lin.get(url(item, "/previews/2")).status_code == 404


def test_a_picture_that_differs_from_what_was_sent_is_not_shown(region, at_partner, s3):
    delivered(region)
    lin = at_partner("lin")
    with region.transaction() as connection:
        rows = connection.execute("SELECT key FROM partner_object WHERE role = 'preview'").fetchall()
    s3.put_new("partner-yinzhou2", rows[0]["key"], b"swapped", "image/jpeg", "0")
    assert lin.get(the_item(lin)["previews"][0]["url"]).json()["error"]["code"] == "file-differs"


def test_a_declined_cases_files_and_previews_are_closed_at_once(region, at_partner, s3):
    delivered(region)
    lin = at_partner("lin")
    item = the_item(lin)
    assert lin.get(url(item, "/files")).status_code == 200
    lin.post(url(item, "/decline"), json={"why": "no capacity"}).raise_for_status()
    for path in ("/files", "/previews/1"):
        assert lin.get(url(item, path)).status_code == 404
