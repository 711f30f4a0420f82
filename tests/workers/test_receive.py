"""receive and the inbox: every drop ends as a case, as a quarantine with its reason, or as a rejection with advice."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from storage import cases, drops, network
from storage.s3 import Absent
from teledx.samples import orders, studies
from tests.region import sample_network
from tests.servers.server import until
from workers import intake, stage

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _only_receive(monkeypatch):
    """The stages after receive wait for ever: these tests end where receive ends."""
    monkeypatch.setitem(stage.FUNCTIONS, "preprocess", _never)


def _never(work, tools):
    raise AssertionError("not in this test")


@pytest.fixture
def image() -> bytes:
    return studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT)


def order_for(image: bytes, accession: str = "CT-1", **changes):
    return orders.order(
        "ct", PATIENT, [orders.file_line("王秀英/1.dcm", image)], accession_number=accession, **changes
    )


def receive_only(region) -> None:
    region.settle(most=1)


def test_a_complete_drop_becomes_a_case_with_a_receipt_and_leaves_the_inbox(region, image):
    prefix = region.drop("jiangshan", order_for(image), {"王秀英/1.dcm": image})
    receive_only(region)
    drop = region.one("SELECT * FROM vault.drops")
    assert (drop["state"], drop["case_id"]) == ("received", drop["id"])
    receipt = json.loads(region.s3.get("inbox", f"{prefix}receipt.json"))
    assert receipt["case"] == drop["case_id"]
    assert receipt["files"][0]["sha256"] == orders.file_line("", image)["sha256"]
    assert region.s3.get("identified", f"{drop['id']}/receive/00000") == image
    assert [f.key for f in region.s3.listing("inbox", prefix)] == [f"{prefix}receipt.json"]
    assert region.one("SELECT state, version FROM cases") == {"state": "received", "version": 1}


def test_an_order_may_arrive_before_its_files(region, image):
    prefix = region.drop("jiangshan", order_for(image), {})
    region.settle()
    waiting = region.one("SELECT state, missing FROM vault.drops")
    assert waiting == {"state": "arriving", "missing": ["王秀英/1.dcm"]}
    region.s3.replace("inbox", f"{prefix}王秀英/1.dcm", image, "application/dicom")
    receive_only(region)
    assert region.one("SELECT state, missing FROM vault.drops") == {"state": "received", "missing": []}


def test_a_drop_whose_files_never_come_is_rejected_with_the_list_of_what_is_missing(region, image):
    prefix = region.drop("jiangshan", order_for(image), {})
    region.with_limits(arrival_patience=-1)
    region.settle()
    drop = region.one("SELECT state, reason_code, missing FROM vault.drops")
    assert drop == {"state": "rejected", "reason_code": "files-missing", "missing": ["王秀英/1.dcm"]}
    notice = json.loads(region.s3.get("inbox", f"{prefix}rejected.json"))
    assert notice["missing"] == ["王秀英/1.dcm"]
    assert notice["todo_zh"]


def test_the_same_drop_twice_makes_one_case(region, image):
    for name in ("first", "second"):
        region.drop("jiangshan", order_for(image), {"王秀英/1.dcm": image}, name)
        receive_only(region)
    assert region.one("SELECT count(*) AS n FROM cases")["n"] == 1
    ends = region.fetch("SELECT state, case_id FROM vault.drops")
    assert {d["state"] for d in ends} == {"received"}
    assert len({d["case_id"] for d in ends}) == 1


def test_a_reused_accession_number_with_other_content_waits_for_a_person(region, image):
    region.drop("jiangshan", order_for(image), {"王秀英/1.dcm": image})
    receive_only(region)
    region.drop("jiangshan", order_for(image, history="其他"), {"王秀英/1.dcm": image})
    receive_only(region)
    aside = region.one("SELECT * FROM vault.drops WHERE state = 'quarantined'")
    assert aside["reason_code"] == "accession-reused"
    assert region.s3.get("quarantine", f"{aside['id']}/receive/00000") == image
    with region.rows.transaction() as connection:
        drops.release(connection, aside["id"], "operator")
    receive_only(region)
    assert region.one("SELECT state FROM vault.drops WHERE id = %s", aside["id"])["state"] == "received"
    assert region.one("SELECT count(*) AS n FROM cases")["n"] == 2


def test_another_clinics_same_accession_number_is_another_case(region, image):
    for clinic in ("jiangshan", "xianxiang"):
        region.drop(clinic, order_for(image), {"王秀英/1.dcm": image})
        receive_only(region)
    assert region.one("SELECT count(*) AS n FROM cases")["n"] == 2


def test_a_file_that_differs_from_the_order_is_rejected_and_nothing_is_kept(region, image):
    region.drop("jiangshan", order_for(image), {"王秀英/1.dcm": image[:-1] + b"!"})
    receive_only(region)
    drop = region.one("SELECT state, reason_code, problems FROM vault.drops")
    assert drop["state"] == "rejected"
    assert drop["reason_code"] == "file-differs"
    assert region.one("SELECT count(*) AS n FROM cases")["n"] == 0
    assert region.fetch("SELECT claimed_at FROM object WHERE claimed_at IS NOT NULL") == []


@pytest.mark.parametrize(
    ("order", "code", "says"),
    [
        (b"not json", "order-invalid", "not JSON"),
        (b"{}", "order-invalid", "patient: is missing"),
        (b"[" * 100_000, "order-invalid", "not JSON"),
    ],
)
def test_an_order_that_cannot_be_read_is_rejected_in_words(region, order, code, says):
    region.drop("jiangshan", order, {})
    region.settle()
    drop = region.one("SELECT state, reason_code, problems FROM vault.drops")
    assert (drop["state"], drop["reason_code"]) == ("rejected", code)
    assert any(says in p for p in drop["problems"]), drop["problems"]


def test_a_service_that_the_clinic_may_not_order_is_rejected_naming_those_it_may(region, image):
    order = order_for(image).model_copy(update={"service": "histology"})
    region.drop("hengxi", order, {"王秀英/1.dcm": image})
    region.settle()
    drop = region.one("SELECT reason_code, problems FROM vault.drops")
    assert drop["reason_code"] == "order-incomplete"
    assert "xray" in drop["problems"][0]


def test_a_drop_of_nobody_we_know_is_set_aside_for_an_operator(region, image):
    region.drop("nobody", order_for(image), {"王秀英/1.dcm": image})
    region.settle()
    assert region.one("SELECT state, reason_code FROM vault.drops") == {
        "state": "quarantined",
        "reason_code": "unknown-clinic",
    }


def test_a_file_deleted_by_the_clinic_before_the_receipt_is_missed_in_words(region, image):
    prefix = region.drop("jiangshan", order_for(image), {"王秀英/1.dcm": image})
    intake.scan(region.parts)
    region.s3.delete("inbox", [f"{prefix}王秀英/1.dcm"])
    receive_only(region)
    assert region.one("SELECT state FROM vault.drops")["state"] == "rejected"
    with pytest.raises(Absent):
        region.s3.head("identified", "nothing")


def test_the_same_drop_received_twice_at_once_is_one_case(region, image, monkeypatch):
    """Both runs look before either has committed; the second meets the first's case and joins it."""
    for name in ("first", "second"):
        region.drop("jiangshan", order_for(image), {"王秀英/1.dcm": image}, name)
    intake.scan(region.parts)
    first, second = region.fetch("SELECT case_id FROM stage_run ORDER BY id")
    seen = drops.same_content

    def look_then_lose(connection, clinic, content):
        """The other run commits between this one's look and its own commit."""
        found = seen(connection, clinic, content)
        if found is None and not raced:
            raced.append(True)
            region.runner.run(second["case_id"], "receive", 0)
        return found

    raced: list[bool] = []
    monkeypatch.setattr(drops, "same_content", look_then_lose)
    region.runner.run(first["case_id"], "receive", 0)
    monkeypatch.undo()
    assert region.one("SELECT count(*) AS n FROM cases")["n"] == 1
    assert {d["case_id"] for d in region.fetch("SELECT case_id FROM vault.drops")} == {second["case_id"]}


def test_a_look_at_the_inbox_costs_nothing_for_drops_that_are_known(region, image):
    for number in range(3):
        region.drop("jiangshan", order_for(image, f"CT-{number}"), {"王秀英/1.dcm": image})
    intake.scan(region.parts)
    seen = region.fetch("SELECT xmin::text FROM vault.drops ORDER BY id")
    assert intake.scan(region.parts) == 0
    assert region.fetch("SELECT xmin::text FROM vault.drops ORDER BY id") == seen


def test_a_clinic_that_drops_many_at_once_gets_them_in_turns_and_keeps_nobody_waiting(region, image):
    for number in range(3):
        region.drop("jiangshan", order_for(image, f"CT-{number}"), {"王秀英/1.dcm": image})
    region.drop("xianxiang", order_for(image), {"王秀英/1.dcm": image})
    with region.rows.listening(drops.CHANNEL) as connection:
        assert intake.scan(region.parts, at_most=2) == 3
        told = [n.payload for n in connection.notifies(timeout=5, stop_after=1)]
    assert told == ["jiangshan"]
    assert region.one("SELECT count(*) AS n FROM vault.drops WHERE clinic = 'xianxiang'")["n"] == 1
    assert intake.look(region.parts, told[0], at_most=2) == 1


def test_a_drop_of_a_clinic_that_was_added_since_is_received_when_released(region, image):
    prefix = region.drop("nobody", order_for(image), {"王秀英/1.dcm": image})
    region.settle()
    drop = region.one("SELECT id FROM vault.drops")
    text = sample_network().replace('id = "hengxi"', 'id = "nobody"').replace('"hengxi"', '"nobody"')
    text = text.replace('id = "nobody"\nname = "Hengxi', 'id = "nobody"\nname = "Nobody', 1)
    text = text.replace('services = ["xray", "ultrasound"]', 'services = ["ct", "xray", "ultrasound"]', 1)
    with region.rows.transaction() as connection:
        network.apply(connection, text, "operator")
        drops.release(connection, drop["id"], "operator")
    receive_only(region)
    assert region.one("SELECT state FROM vault.drops")["state"] == "received"
    assert [f.key for f in region.s3.listing("inbox", prefix)] == [f"{prefix}receipt.json"]


def test_what_was_cancelled_by_mistake_may_be_dropped_again_as_it_was(region, image):
    region.drop("jiangshan", order_for(image), {"王秀英/1.dcm": image}, "first")
    receive_only(region)
    with region.rows.transaction() as connection:
        cases.move(connection, region.one("SELECT id FROM cases")["id"], "cancelled", actor="chen")
    region.drop("jiangshan", order_for(image), {"王秀英/1.dcm": image}, "second")
    receive_only(region)
    assert {c["state"] for c in region.fetch("SELECT state FROM cases")} == {"cancelled", "received"}


def a_second_later(region) -> None:
    seen = region.one("SELECT last_seen_at FROM vault.drops")["last_seen_at"]
    until(lambda: datetime.now(UTC) > seen + timedelta(seconds=1), what="a later time of the store's clock")


def test_clearing_leaves_what_the_clinic_dropped_since(region, image):
    """The same prefix is used again at once: files of the next drop bear the names of the last."""
    prefix = region.drop("jiangshan", order_for(image), {"王秀英/1.dcm": image})
    intake.scan(region.parts)
    (waiting,) = region.fetch("SELECT case_id FROM stage_run")
    region.runner.run(waiting["case_id"], "receive", 0)
    a_second_later(region)
    region.s3.replace("inbox", f"{prefix}王秀英/1.dcm", image + b"next", "application/dicom")
    intake.clear(region.parts)
    assert region.s3.get("inbox", f"{prefix}王秀英/1.dcm") == image + b"next"


def received_and_not_cleared(region, image) -> str:
    prefix = region.drop(
        "jiangshan", order_for(image), {"王秀英/1.dcm": image, "Thumbs.db": b"of a file manager"}
    )
    intake.scan(region.parts)
    (waiting,) = region.fetch("SELECT case_id FROM stage_run")
    region.runner.run(waiting["case_id"], "receive", 0)
    return prefix


def test_a_look_in_the_middle_of_the_clearing_makes_no_drop_of_what_is_still_there(region, image):
    prefix = received_and_not_cleared(region, image)
    region.s3.delete("inbox", [f"{prefix}order.json"])  # the store deletes the files of one call one by one
    intake.scan(region.parts)
    intake.clear(region.parts)
    intake.scan(region.parts)
    assert region.one("SELECT count(*) AS n FROM vault.drops") == {"n": 1}
    a_second_later(region)
    region.s3.replace("inbox", f"{prefix}next.dcm", image, "application/dicom")
    intake.scan(region.parts)
    assert [d["state"] for d in region.fetch("SELECT state FROM vault.drops ORDER BY first_seen_at")] == [
        "received",
        "arriving",
    ]


def test_a_look_that_was_held_up_makes_no_drop_of_what_was_received_meanwhile(region, image, monkeypatch):
    """Listed before the order arrived, held up (a stopped process), and carried on after the drop was received."""
    listed = region.drop("jiangshan", b"{}", {"王秀英/1.dcm": image})
    region.s3.delete("inbox", [f"{listed}order.json"])
    (before,) = list(intake._sighted(region.s3, listed))
    region.s3.replace(
        "inbox", f"{listed}order.json", order_for(image).model_dump_json().encode(), "application/json"
    )
    receive_only(region)
    monkeypatch.setattr(drops, "passed", lambda *_: frozenset())
    monkeypatch.setattr(intake, "_sighted", lambda *_: iter([before]))
    assert intake.scan(region.parts) == 0
    assert [d["state"] for d in region.fetch("SELECT state FROM vault.drops")] == ["received"]
