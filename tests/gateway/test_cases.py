"""A clinic follows its cases; operators decide about those that were set aside."""

import hashlib
from datetime import datetime

import pytest

from cases.documents import Preprocessed, Preview, SlideFound, StoredObject
from cases.reasons import HELD, REASONS
from storage import cases, readings
from tests.storage.filled import (
    advanced,
    delivered,
    doubtful,
    open_item,
    received,
    returned,
    set_aside,
    signed,
)

PDF, FHIR = b"%PDF-1.7 report", b'{"resourceType": "DiagnosticReport"}'


def line_of(client, case_id):
    return client.get(f"/api/cases/{case_id}").raise_for_status().json()


def test_a_list_pages_from_the_newest_to_the_oldest_without_gap_or_repetition(region, at_region):
    ids = [received(region, number=n) for n in range(1, 6)]
    chen, seen, after = at_region("chen"), [], None
    while True:
        page = chen.get("/api/cases", params={"limit": 2} | ({"after": after} if after else {})).json()
        seen += [c["case_id"] for c in page["cases"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ids[::-1]


def test_a_list_is_narrowed_by_state_priority_and_whether_it_is_open(region, at_region):
    stat = received(region, number=1, priority="stat")
    ended = received(region, number=2)
    with region.transaction() as connection:
        cases.move(connection, ended, "cancelled", actor="chen")
    chen = at_region("chen")

    def ids(**params):
        return [c["case_id"] for c in chen.get("/api/cases", params=params).json()["cases"]]

    assert ids(priority="stat") == [stat]
    assert ids(state="cancelled") == [ended]
    assert ids(open="true") == [stat]
    assert ids(service="ct") == []
    unknown = chen.get("/api/cases", params={"state": "nonsense"})
    assert unknown.status_code == 422
    assert unknown.json()["problems"][0].startswith(
        "state: no case state is called that; there are received, "
    )


def test_a_case_shows_its_way_in_words_and_its_time_in_each_leg(region, at_region):
    case_id = delivered(region)
    signed(region, case_id)
    returned(region, case_id)
    shown = line_of(at_region("chen"), case_id)
    assert [entry["milestone"] for entry in shown["timeline"]] == [
        "dropped", "received", "preprocessed", "deidentified", "routed", "delivered", "claimed", "reported", "returned",
    ]  # fmt: skip
    assert shown["timeline"][5]["what_zh"] == "阅片机构已收到并核验全部文件"
    legs = {leg["leg"]: leg["seconds"] for leg in shown["legs"]}
    assert 55 < legs["receipt"] < 120
    assert list(legs)[:3] == ["receipt", "preprocess", "deidentify"]
    begun, ended = (datetime.fromisoformat(shown["timeline"][n]["happened_at"]) for n in (0, -1))
    assert sum(legs.values()) - legs["acknowledgement"] == pytest.approx(
        (ended - begun).total_seconds(), abs=0.01
    )
    report = shown["report"]
    assert (report["status"], report["reader_name_zh"], report["reader_organisation"]["id"]) == (
        "final",
        "林浩",
        "yinzhou2",
    )
    assert shown["report_ready"]


def test_a_case_says_in_words_what_it_waits_for(region, at_region):
    chen = at_region("chen")
    case_id = received(region)
    assert line_of(chen, case_id)["waits_for"] == "It waits its turn to be checked."
    advanced(region, case_id)
    waiting = line_of(chen, case_id)
    assert waiting["waits_for"] == "It is on the worklist of Yinzhou No. 2 Hospital and waits for a reader."
    assert waiting["waits_for_zh"].endswith("等待医生领取。")
    aside = received(region, number=2)
    set_aside(region, aside, "rejected", "no-images")
    told = line_of(chen, aside)
    assert told["reason"]["code"] == "no-images"
    assert "The drop holds no image that can be read." in told["waits_for"]


def test_a_case_whose_partner_cannot_be_reached_says_so(region, at_region):
    case_id = advanced(region, received(region), to="route").id
    with region.transaction() as connection:
        connection.execute(
            "INSERT INTO partner_circuit (partner, failures, open_until)"
            " VALUES ('yinzhou2', 3, clock_timestamp() + interval '1 minute')"
        )
    assert "cannot be reached" in line_of(at_region("chen"), case_id)["waits_for"]


def test_an_open_case_past_its_service_level_is_overdue_and_a_returned_one_is_not(region, at_region):
    late, back = delivered(region, number=1), delivered(region, number=2)
    signed(region, back)
    returned(region, back)
    with region.transaction() as connection:
        connection.execute("UPDATE cases SET due_at = clock_timestamp() - interval '1 minute'")
    chen = at_region("chen")
    assert line_of(chen, late)["overdue"]
    assert not line_of(chen, back)["overdue"]


@pytest.fixture
def with_report(region, s3):
    """A returned case whose report is in the store."""
    case_id = delivered(region)
    signed(region, case_id)
    returned(region, case_id, pdf=PDF, fhir=FHIR)
    with region.transaction() as connection:
        document = cases.documents(connection, case_id)["return"]
    s3.put_new("reports", document["pdf"]["key"], PDF, "application/pdf", "0")
    s3.put_new("reports", document["fhir"]["key"], FHIR, "application/fhir+json", "0")
    return case_id


def test_the_clinic_fetches_the_report_in_both_forms(with_report, at_region):
    chen = at_region("chen")
    pdf, fhir = (chen.get(f"/api/cases/{with_report}/report.{form}") for form in ("pdf", "json"))
    assert (pdf.content, pdf.headers["content-type"]) == (PDF, "application/pdf")
    assert (fhir.content, fhir.headers["content-type"]) == (FHIR, "application/fhir+json")
    assert pdf.headers["cache-control"] == "no-store"
    milestones = [e["milestone"] for e in line_of(chen, with_report)["timeline"]]
    assert milestones.count("report_fetched") == 1


def test_a_report_that_was_changed_in_the_store_is_not_given_out(with_report, region, at_region, s3):
    with region.transaction() as connection:
        key = cases.documents(connection, with_report)["return"]["pdf"]["key"]
    s3.replace("reports", key, b"%PDF-1.7 forged", "application/pdf")
    refused = at_region("chen").get(f"/api/cases/{with_report}/report.pdf")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "report-differs")


def test_before_the_report_is_there_the_answer_says_so(region, at_region):
    refused = at_region("chen").get(f"/api/cases/{delivered(region)}/report.pdf")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no-report")


def test_a_named_person_acknowledges_once(with_report, region, at_region):
    chen = at_region("chen")
    for _ in range(2):
        assert chen.post(f"/api/cases/{with_report}/acknowledge", json={}).json()["state"] == "acknowledged"
    entries = [e for e in line_of(chen, with_report)["timeline"] if e["milestone"] == "acknowledged"]
    assert [e["by"] for e in entries] == ["chen"]


def test_only_the_version_that_was_read_is_acknowledged(with_report, region, at_region):
    chen = at_region("chen")
    here = f"/api/cases/{with_report}/acknowledge"
    refused = chen.post(here, json={"report_version": 2})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "report-changed")
    assert line_of(chen, with_report)["state"] == "returned"
    assert chen.post(here, json={"report_version": 1}).json()["state"] == "acknowledged"


def test_a_report_that_is_not_there_cannot_be_acknowledged(region, at_region):
    refused = at_region("chen").post(f"/api/cases/{delivered(region)}/acknowledge", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not-possible")


@pytest.mark.parametrize("address", ["/api/cases?service=%00", "/api/cases/%00", "/api/audit?account=%00"])
def test_an_address_with_a_character_that_cannot_be_kept_is_refused(region, at_region, address):
    refused = at_region("yu" if "audit" in address else "chen").get(address)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid")


def test_withdrawing_a_case_takes_it_from_its_reader_and_keeps_the_words_in_the_vault(region, at_region):
    case_id = delivered(region)
    with region.transaction() as connection:
        item = open_item(connection, case_id)
        readings.claim(connection, item.id, "lin")
    chen = at_region("chen")
    assert (
        chen.post(f"/api/cases/{case_id}/cancel", json={"why": "戴诗琪 went elsewhere"}).json()["state"]
        == "cancelled"
    )
    with region.transaction() as connection:
        assert readings.get(connection, item.id).ended_because == "cancelled"
        rows = connection.execute(
            "SELECT note FROM milestone UNION ALL SELECT note FROM audit_log"
        ).fetchall()
    assert not any("戴诗琪" in row["note"] for row in rows)
    (said,) = line_of(chen, case_id)["remarks"]
    assert (said["by"], said["words"]) == ("chen", "戴诗琪 went elsewhere")


def test_a_routing_decision_is_shown_with_its_reasons(region, at_region):
    shown = at_region("chen").get(f"/api/cases/{delivered(region)}/route").raise_for_status().json()
    assert (shown["decision"]["partner"], shown["decision"]["reasons"]) == ("yinzhou2", ["because"])
    assert shown["decision"]["partner_name_zh"]
    assert len(shown["history"]) == 1


def test_an_operator_sees_what_is_in_quarantine_and_lets_it_go_on(region, at_region):
    case_id = received(region)
    set_aside(region, case_id)
    yu = at_region("yu")
    (held,) = yu.get("/api/quarantine").json()["cases"]
    assert (held["case_id"], held["stage"], held["held_from"]) == (case_id, "preprocess", "received")
    assert (held["reason"]["code"], held["reason"]["detail"]) == ("identity-mismatch", "1 of 1 files")
    detail = yu.get(f"/api/quarantine/{case_id}").json()
    assert detail["accession_number"] == "ACC-CANARY-jiangshan-1"
    assert detail["clinic_phone"]
    answer = yu.post(f"/api/quarantine/{case_id}/release", json={"why": "compared by telephone"})
    assert answer.json() == {"case_id": case_id, "state": "received"}
    with region.transaction() as connection:
        rows = connection.execute(
            "SELECT stage, case_version FROM stage_run WHERE case_id = %s AND outcome IS NULL", (case_id,)
        ).fetchall()
        version = cases.get(connection, case_id).version
    assert rows == [{"stage": "preprocess", "case_version": version}]
    assert yu.get(f"/api/quarantine/{case_id}").status_code == 404


def test_a_rejected_case_keeps_its_reason_and_the_operators_words_for_the_clinic(region, at_region):
    case_id = received(region)
    set_aside(region, case_id)
    yu, chen = at_region("yu"), at_region("chen")
    assert line_of(chen, case_id)["reason"]["todo"] == HELD[0]
    yu.post(f"/api/quarantine/{case_id}/reject", json={"why": "files of somebody else"}).raise_for_status()
    told = line_of(chen, case_id)
    assert told["reason"]["todo"] == REASONS["identity-mismatch"].back != REASONS["identity-mismatch"].todo
    assert (told["state"], told["reason"]["code"]) == ("rejected", "identity-mismatch")
    assert told["remarks"][0]["words"] == "files of somebody else"
    again = yu.post(f"/api/quarantine/{case_id}/release", json={"why": "a second thought"})
    assert again.status_code == 409
    assert again.json()["error"]["message"] == f"{case_id} is no longer in quarantine, it is rejected"
    unknown = yu.post("/api/quarantine/AAAA-BBBB/release", json={"why": "nobody knows it"})
    assert unknown.status_code == 404


def test_a_quarantined_drop_is_released_and_rejected_through_the_same_doors(region, at_region):
    yu = at_region("yu")
    for number, (deed, state) in enumerate((("release", "complete"), ("reject", "rejected")), 1):
        drop = quarantined_drop(region, number)
        held = yu.get(f"/api/quarantine/{drop}").json()
        assert (held["drop"], held["case_id"], held["reason"]["code"]) == (drop, None, "accession-reused")
        answer = yu.post(f"/api/quarantine/{drop}/{deed}", json={"why": "the clinic says so"})
        assert answer.json()["state"] == state


PICTURE = b"\x89PNG what was found, marked"


def doubtful_case(region, s3, *, known, number=1):
    case_id = received(region, number=number)
    key = f"{case_id}/deidentify/002/doubt/001.png"
    s3.replace("identified", key, PICTURE, "image/png")
    digest = hashlib.sha256(PICTURE).hexdigest()
    stored = StoredObject(
        zone="identified", key=key, size=len(PICTURE), sha256=digest, media_type="image/png"
    )
    return doubtful(region, case_id, stored, known=known).id


def test_an_operator_looks_at_a_doubtful_picture_before_deciding_about_it(region, at_region, s3):
    case_id = doubtful_case(region, s3, known=False)
    yu = at_region("yu")
    door = f"/api/quarantine/{case_id}/release"
    (found,) = yu.get(f"/api/quarantine/{case_id}").json()["pictures"]
    assert found == {
        "number": 1,
        "url": f"/api/quarantine/{case_id}/pictures/1.png",
        "found": [{"what": "date", "what_zh": "日期", "first_frame": 1, "last_frame": 1}],
        "may_be_left": True,
    }
    unseen = yu.post(door, json={"why": "surely nothing", "pictures": "leave"})
    assert (unseen.status_code, unseen.json()["error"]["message"]) == (
        409, "look at every picture first; then decide",
    )  # fmt: skip

    picture = yu.get(found["url"])

    assert (picture.content, picture.headers["content-type"]) == (PICTURE, "image/png")
    assert yu.get(f"/api/quarantine/{case_id}/pictures/2.png").status_code == 404
    answer = yu.post(door, json={"why": "a date of the device's software", "pictures": "leave"})
    assert answer.json() == {"case_id": case_id, "state": "preprocessed"}
    told = line_of(at_region("chen"), case_id)["timeline"]
    assert [(m["milestone"], m["by"]) for m in told[-2:]] == [("pixels_left", "yu"), ("replayed", "yu")]


def test_a_name_of_the_case_in_a_picture_is_blanked_and_never_left(region, at_region, s3):
    case_id = doubtful_case(region, s3, known=True)
    yu = at_region("yu")
    (found,) = yu.get(f"/api/quarantine/{case_id}").json()["pictures"]
    assert found["may_be_left"] is False
    yu.get(found["url"]).raise_for_status()
    door = f"/api/quarantine/{case_id}/release"
    refused = yu.post(door, json={"why": "it is a street", "pictures": "leave"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not-possible")
    assert yu.post(door, json={"why": "the name", "pictures": "blank"}).status_code == 200


def test_a_doubtful_picture_that_is_not_the_one_that_was_made_is_not_shown(region, at_region, s3):
    case_id = doubtful_case(region, s3, known=False)
    s3.replace("identified", f"{case_id}/deidentify/002/doubt/001.png", b"another", "image/png")
    answer = at_region("yu").get(f"/api/quarantine/{case_id}/pictures/1.png")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "file-differs")


def test_pictures_are_decided_about_only_where_there_are_any(region, at_region):
    case_id = received(region)
    set_aside(region, case_id)
    yu = at_region("yu")
    for held in (case_id, quarantined_drop(region, 1)):
        answer = yu.post(f"/api/quarantine/{held}/release", json={"why": "because", "pictures": "leave"})
        assert answer.json()["error"]["message"] == "there is no picture to decide about"


def quarantined_drop(region, number):
    from storage import drops, runs

    with region.transaction() as connection:
        drop = drops.sight(
            connection, clinic="jiangshan", prefix=f"jiangshan/q{number}/", order_etag="e", order_at=None,
            newest_at=datetime.now().astimezone(),
        )  # fmt: skip
        drops.complete(connection, drop, family="dicom", priority="routine")
    run = runs.claim(region, case_id=drop.id, stage="receive", case_version=0, owner="tests")
    assert run is not None
    drops.quarantine_run(region, run, "accession-reused", "", None)
    return drop.id


def test_a_failed_run_is_listed_and_replayed_once(region, at_region):
    case_id = received(region)
    with region.transaction() as connection:
        connection.execute(
            "UPDATE stage_run SET outcome = 'failed', error = 'KeyError at x.y:1', ended_at = clock_timestamp(),"
            " attempt = 1 WHERE case_id = %s AND stage = 'preprocess'",
            (case_id,),
        )
    yu, chen = at_region("yu"), at_region("chen")
    assert "software failed" in line_of(chen, case_id)["waits_for"]
    (run,) = yu.get("/api/failed").json()["runs"]
    assert (run["case_id"], run["stage"], run["error"]) == (case_id, "preprocess", "KeyError at x.y:1")
    assert yu.post(f"/api/failed/{run['run_id']}/replay").json() == {"run_id": run["run_id"]}
    assert yu.post(f"/api/failed/{run['run_id']}/replay").status_code == 404
    assert line_of(chen, case_id)["waits_for"] == "It waits its turn to be checked."


@pytest.fixture
def asked(region, s3):
    """A slides case that asks about both its labels, with a picture of the first."""
    slides = [
        {
            "file": f"s{n}.svs",
            "pathology_number": "B26-1",
            "specimen": "A",
            "block": "A1",
            "stain": "HE",
            "number": n,
            "of": 2,
        }
        for n in (1, 2)
    ]
    case_id = received(
        region, service="histology", slides=slides, specimens=[{"id": "A", "description": "stomach"}],
        files=[{"name": f"s{n}.svs", "size": 3, "sha256": "1" * 64} for n in (1, 2)],
    )  # fmt: skip
    s3.put_new("identified", f"{case_id}/label-1.png", b"label picture", "image/png", "0")
    seen = {"format": "aperio", "mpp": (0.5, 0.5), "levels": ((10, 10),), "tissue_share": 0.5, "focus": 0.9}
    labels = {"s1.svs": "unreadable", "s2.svs": "absent"}
    found = [
        SlideFound.model_validate(seen | {"file": file, "label": label}) for file, label in labels.items()
    ]
    picture = StoredObject(
        zone="identified", key=f"{case_id}/label-1.png", size=13, sha256="0" * 64, media_type="image/png"
    )
    document = Preprocessed(
        slides=tuple(found), previews=(Preview(of="s1.svs", stored=picture, identified=True),)
    )
    with region.transaction() as connection:
        cases.keep_document(connection, case_id, "preprocess", 1, document)
    set_aside(region, case_id, "asked", "label-unreadable")
    return case_id


def test_the_clinic_confirms_each_slide_beside_its_label_and_the_case_goes_on(region, at_region, asked):
    chen = at_region("chen")
    first, second = chen.get(f"/api/cases/{asked}/labels").json()["slides"]
    assert (first["number"], first["file_number"], first["stain"], first["state"]) == (1, 1, "HE", "asked")
    assert chen.get(first["picture"]).content == b"label picture"
    assert second["picture"] is None
    url = f"/api/cases/{asked}/labels"
    assert chen.post(url, json={"confirmed": [1]}).json()["state"] == "awaiting_clinic"
    assert chen.post(url, json={"wrong": [2]}).json()["state"] == "received"
    with region.transaction() as connection:
        rows = connection.execute(
            "SELECT stage FROM stage_run WHERE case_id = %s AND outcome IS NULL", (asked,)
        ).fetchall()
    assert rows == [{"stage": "preprocess"}]
    assert [s["state"] for s in chen.get(url).json()["slides"]] == ["confirmed", "wrong"]
    assert chen.post(url, json={"confirmed": [1]}).status_code == 409


@pytest.mark.parametrize("body", [{"confirmed": [7]}, {"confirmed": [1], "wrong": [1]}])
def test_an_answer_about_a_slide_that_nobody_asked_about_is_refused(at_region, asked, body):
    assert at_region("chen").post(f"/api/cases/{asked}/labels", json=body).status_code == 422


def test_a_laboratory_neither_withdraws_nor_acknowledges_for_the_requester(region, at_region):
    case_id = received(region, "jiangshan", scanning_site="yinzhou-people")
    shen = at_region("shen")
    for deed, body in (("cancel", {"why": "mistake"}), ("acknowledge", {})):
        refused = shen.post(f"/api/cases/{case_id}/{deed}", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "requester-only")
