"""What clinics, readers and operators type, against both gateways."""

import hashlib
import json

import pytest

from cases.documents import StoredObject
from storage import runs
from teledx.commands.exits import Exit
from tests.storage import filled


@pytest.fixture
def chen(as_person):
    """Of a clinic."""
    return as_person("chen")


@pytest.fixture
def lin(as_person):
    """A reader."""
    return as_person("lin")


@pytest.fixture
def yu(as_person):
    """An operator."""
    return as_person("yu")


def item_of(lin) -> str:
    (item,) = lin("worklist", "--json").json["work_items"]
    return item["work_item_id"]


def report_of(region, case: str) -> tuple[bytes, bytes]:
    """Sign and return a case, its report's two forms in the store."""
    pdf, fhir = b"%PDF-1.7 report", b'{"resourceType": "DiagnosticReport"}'
    filled.signed(region.rows, case)
    filled.returned(region.rows, case, pdf=pdf, fhir=fhir)
    for document in ("pdf", "fhir"):
        row = region.one(f"SELECT body->'{document}' AS stored FROM vault.document WHERE stage = 'return'")
        content = pdf if document == "pdf" else fhir
        stored = row["stored"]
        region.s3.put_new(
            stored["zone"], stored["key"], content, stored["media_type"], hashlib.sha256(content).hexdigest()
        )
    return pdf, fhir


def test_a_clinic_lists_its_cases_and_follows_one(region, chen):
    case = filled.delivered(region.rows)
    listed = chen("status", "--json").json["cases"]
    assert [c["case_id"] for c in listed] == [case]
    shown = chen("status", case)
    assert shown.code == 0
    assert "戴诗琪" in shown.out
    assert "waits for a reader" in shown.out
    assert chen("status", case, "--json").json["state"] == "delivered"
    assert chen("status", case.lower().replace("-", ""), "--json").json["state"] == "delivered"


def test_a_list_is_narrowed_by_state_service_priority_and_whether_it_is_at_an_end(region, chen):
    case = filled.delivered(region.rows)
    assert chen("status", "--state", "delivered", "--json").json["cases"][0]["case_id"] == case
    for other in (("--state", "returned"), ("--service", "ct"), ("--priority", "stat")):
        assert chen("status", *other, "--json").json["cases"] == []
    chen("cancel", case, "--why", "ordered twice")
    assert chen("status", "--json").json["cases"] == []
    assert len(chen("status", "--all", "--json").json["cases"]) == 1


def test_another_clinics_case_is_not_found(region, chen, as_person):
    case = filled.delivered(region.rows)
    answer = as_person("zhou")("status", case, "--json")
    assert (answer.code, answer.error["code"]) == (Exit.NOT_FOUND, "not-found")


def test_what_is_set_aside_says_why_and_what_to_do_with_a_code_of_its_own(region, chen):
    case = filled.received(region.rows)
    filled.set_aside(region.rows, case)
    answer = chen("status", case)
    assert answer.code == Exit.SET_ASIDE
    assert "reason" in answer.out
    assert "to do" in answer.out


def test_what_others_typed_cannot_steer_the_terminal(region, chen):
    wild = "Wang\x1b[2J\x1b]0;x\x07 [bold]x[/bold]"
    case = filled.received(region.rows)
    region.fetch("UPDATE vault.case_order SET patient_name = %s WHERE case_id = %s RETURNING 1", wild, case)
    for words in (("status",), ("status", case)):
        shown = chen(*words).out
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "[bold]x[/bold]" in shown


def test_a_chinese_terminal_is_told_in_chinese(region, chen, monkeypatch):
    case = filled.delivered(region.rows)
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert "等待医生领取" in chen("status", case).out
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    assert "等待医生领取" not in chen("status", case).out


def test_a_report_is_fetched_in_both_forms_and_acknowledged(region, chen, tmp_path):
    case = filled.delivered(region.rows)
    early = chen("report", case, "--json")
    assert (early.code, early.error["message"]) == (Exit.NOT_FOUND, "There is no report yet.")
    pdf, fhir = report_of(region, case)
    answer = chen("report", case, "--pdf", tmp_path / "r.pdf", "--fhir", tmp_path / "r.json")
    assert answer.code == 0
    assert (tmp_path / "r.pdf").read_bytes() == pdf
    assert (tmp_path / "r.json").read_bytes() == fhir
    assert "final" in chen("report", case).out
    assert chen("acknowledge", case, "--json").json["state"] == "acknowledged"
    assert region.one("SELECT actor FROM milestone WHERE name = 'acknowledged'")["actor"] == "chen"


def test_a_report_that_cannot_be_fetched_leaves_no_file(region, chen, tmp_path):
    case = filled.delivered(region.rows)
    filled.signed(region.rows, case)
    filled.returned(region.rows, case)  # its objects were never written
    assert chen("report", case, "--pdf", tmp_path / "r.pdf").code == Exit.NOT_FOUND
    assert list(tmp_path.glob("*.p*")) == []


def test_a_withdrawal_is_kept_with_its_reason(region, chen):
    case = filled.delivered(region.rows)
    assert chen("cancel", case, "--why", "ordered twice").code == 0
    assert chen("cancel", case, "--why", "ordered twice").code == Exit.CONFLICT
    assert region.one("SELECT words FROM vault.remark")["words"] == "ordered twice"


def test_a_reader_reads_from_the_worklist_to_the_signature(region, lin, body_file):
    case = filled.delivered(region.rows)
    item = item_of(lin)
    assert "Fracture?" in lin("show", item).out
    claimed = lin("claim", item, "--json").json
    assert (claimed["case_id"], claimed["claimed_by_me"]) == (case, True)
    assert "yours" in lin("worklist").out
    assert lin("keep", item).code == 0
    assert lin("report", "draft", item, "--file", body_file).code == 0
    assert lin("report", "preliminary", item, "--file", body_file).code == 0
    signed = lin("report", "sign", item, "--file", "-", "--json", stdin=body_file.read_text())
    assert (signed.code, signed.json["status"]) == (0, "final")
    longer = json.dumps(json.loads(body_file.read_text()) | {"recommendation": "Control in a week."})
    body_file.write_text(longer)
    added = lin("report", "addendum", signed.json["report_id"], "--file", body_file, "--json")
    assert (added.json["status"], added.json["version"]) == ("appended", signed.json["version"] + 1)
    body_file.write_text(longer.replace("week", "month"))
    corrected = lin(
        "report", "correction", signed.json["report_id"], "--file", body_file, "--why", "side", "--json"
    )
    assert corrected.json["status"] == "corrected"
    assert lin("worklist", "--json").json["work_items"] == []


def test_nothing_that_a_reader_sees_holds_an_identity(region, lin):
    filled.delivered(region.rows)
    item = item_of(lin)
    shown = "".join(lin(*words).out for words in (("worklist",), ("show", item), ("claim", item, "--json")))
    assert not [canary for canary in filled.CANARIES if canary in shown]


def test_what_a_colleague_holds_is_a_conflict(region, lin, as_person):
    filled.delivered(region.rows)
    item = item_of(lin)
    lin("claim", item)
    answer = as_person("he")("claim", item, "--json")
    assert (answer.code, answer.error["code"]) == (Exit.CONFLICT, "held-by-another")


def test_releasing_puts_a_successor_on_the_worklist_and_declining_sends_the_case_elsewhere(region, lin):
    filled.delivered(region.rows)
    item = item_of(lin)
    lin("claim", item)
    assert lin("release", item, "--why", "called away").code == 0
    successor = item_of(lin)
    assert successor != item
    lin("claim", successor)
    assert lin("decline", successor, "--why", "no neuroradiologist").code == 0
    assert lin("worklist", "--json").json["work_items"] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON"),
        ("[]", "report"),
        ('{"findings": "x"}', "conclusion"),
        ('{"conclusions": "x"}', "conclusions"),
    ],
)
def test_a_body_that_is_not_whole_is_told_before_anything_is_sent(lin, tmp_path, text, words):
    file = tmp_path / "body.json"
    file.write_text(text)
    answer = lin("report", "sign", "5b0f0c5e-6a0e-4a3b-9d6f-0d7c5f7a1e21", "--file", file)
    assert answer.code == Exit.USAGE
    assert words in answer.err


def test_the_files_of_a_work_item_are_fetched_and_verified(region, lin, tmp_path):
    content = b"pixels"
    case = filled.delivered(region.rows)
    row = region.one("SELECT key FROM partner_object WHERE role = 'file'")
    digest = hashlib.sha256(content).hexdigest()
    region.s3.put_new("partner-yinzhou2", row["key"], content, "application/dicom", digest)
    with region.rows.transaction() as connection:
        connection.execute(
            "UPDATE partner_object SET size = %s, sha256 = %s WHERE role = 'file'", (len(content), digest)
        )
    item = item_of(lin)
    assert lin("files", item, "--to", tmp_path / "got").code == 0
    (got,) = [p for p in (tmp_path / "got").rglob("*") if p.is_file()]
    assert got.read_bytes() == content
    assert case


def test_a_file_that_is_not_what_was_delivered_is_not_kept(region, lin, tmp_path, monkeypatch):
    from teledx.commands import uploads

    monkeypatch.setattr(uploads, "ATTEMPTS", 2)
    monkeypatch.setattr(uploads, "FIRST_PAUSE", 0.01)
    filled.delivered(region.rows)
    row = region.one("SELECT key FROM partner_object WHERE role = 'file'")
    region.s3.put_new("partner-yinzhou2", row["key"], b"bad", "application/dicom", "0" * 64)
    answer = lin("files", item_of(lin), "--to", tmp_path / "got")
    assert answer.code == Exit.AWAY
    assert "damaged" in answer.err
    assert [p for p in (tmp_path / "got").rglob("*") if p.is_file()] == []


def test_an_operator_looks_at_the_quarantine_and_decides(region, yu):
    kept, refused = filled.received(region.rows, number=1), filled.received(region.rows, number=2)
    for case in (kept, refused):
        filled.set_aside(region.rows, case)
    listed = yu("quarantine", "list", "--json")
    assert listed.code == Exit.SET_ASIDE
    assert {c["case_id"] for c in listed.json["cases"]} == {kept, refused}
    assert "identity-mismatch" in yu("quarantine", "list").out
    assert "1 of 1 files" in yu("quarantine", "show", kept).out
    assert yu("quarantine", "release", kept, "--why", "confirmed by telephone").code == 0
    assert yu("quarantine", "reject", refused, "--why", "another patient's").code == 0
    assert yu("quarantine", "list").code == 0
    states = {row["id"]: row["state"] for row in region.fetch("SELECT id, state FROM cases")}
    assert states == {kept: "received", refused: "rejected"}


def test_an_operator_looks_at_a_doubtful_picture_and_has_it_blanked(region, yu, tmp_path):
    case = filled.received(region.rows)
    key = f"{case}/deidentify/002/doubt/001.png"
    region.s3.replace("identified", key, b"PNG", "image/png")
    picture = StoredObject(
        zone="identified", key=key, size=3, sha256=hashlib.sha256(b"PNG").hexdigest(), media_type="image/png"
    )
    filled.doubtful(region.rows, case, picture, known=True)
    assert yu("quarantine", "release", case, "--why", "unseen", "--blank").code == Exit.CONFLICT
    shown = yu("quarantine", "show", case, "--picture", tmp_path / "found.png")
    assert "a name or number of this case" in shown.out
    assert (tmp_path / "found.png").read_bytes() == b"PNG"
    both = yu("quarantine", "release", case, "--why", "x", "--blank", "--leave")
    assert both.code == Exit.USAGE
    assert yu("quarantine", "release", case, "--why", "the name", "--blank").code == 0
    assert region.one("SELECT verdict, account FROM vault.pixel_decision") == {
        "verdict": "blank", "account": "yu",
    }  # fmt: skip


def test_a_case_without_doubtful_pictures_has_none_to_write(region, yu, tmp_path):
    case = filled.received(region.rows)
    filled.set_aside(region.rows, case)
    answer = yu("quarantine", "show", case, "--picture", tmp_path / "found.png")
    assert answer.code == Exit.FAILED
    assert list(tmp_path.glob("*.png")) == []


def test_failed_runs_are_listed_and_run_again(region, yu):
    case = filled.received(region.rows)
    run = runs.claim(region.rows, case_id=case, stage="preprocess", case_version=1, owner="tests")
    assert run is not None
    with region.rows.transaction() as connection:
        assert runs.end(connection, run, "failed", "ZeroDivisionError at stage.run:1")
    listed = yu("failed", "list", "--json")
    assert listed.code == Exit.FAILED
    assert [r["case_id"] for r in listed.json["runs"]] == [case]
    assert yu("failed", "replay").code == Exit.USAGE
    assert yu("failed", "replay", "--all", "--json").json == {"replayed": [{"run_id": run.id}]}
    assert yu("failed", "list").code == 0
    assert yu("failed", "replay", run.id).code == Exit.NOT_FOUND


def test_who_looked_at_a_case_can_be_asked(region, chen, yu):
    case = filled.delivered(region.rows)
    chen("status", case)
    rows = yu("audit", case, "--account", "chen", "--json").json["rows"]
    assert [(r["account"], r["action"]) for r in rows] == [("chen", "case.see")]
    assert "case.see" in yu("audit", case).out
    assert chen("audit", case).code == Exit.NOT_ALLOWED


def test_the_route_of_a_case_is_explained(region, chen):
    case = filled.delivered(region.rows)
    shown = chen("route", "explain", case)
    assert "because" in shown.out
    assert chen("route", "explain", case, "--json").json["decision"]["partner"] == "yinzhou2"


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("chen", ("quarantine", "list")),
        ("chen", ("worklist",)),
        ("lin", ("status",)),
        ("yu", ("acknowledge", "X")),
    ],
)
def test_what_ones_role_may_not_do_is_refused_with_its_own_code(gateways, as_person, account, words):
    answer = as_person(account)(*words, "--json")
    assert answer.code == Exit.NOT_ALLOWED
    assert answer.error["todo"]


def test_without_a_gateway_it_says_where_it_looked(teledx, monkeypatch, free_port):
    monkeypatch.setenv("TELEDX_GATEWAY_URL", f"http://127.0.0.1:{free_port}")
    answer = teledx("status", token="tdx_x")
    assert answer.code == Exit.AWAY
    assert str(free_port) in answer.err
    assert len(answer.err.splitlines()) == 2


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://x", "http://"])
def test_an_address_that_is_none_is_said_so(teledx, url):
    answer = teledx("status", "--gateway", url or " ", token="tdx_x")
    assert answer.code == Exit.AWAY
    assert "no address" in answer.err


@pytest.mark.parametrize("token", ["two words", "王", "line\nbreak"])
def test_a_token_that_is_none_is_not_sent(teledx, token):
    assert teledx("status", token=token).code == Exit.NOT_ALLOWED


def test_a_web_page_in_place_of_a_gateway_is_no_answer(teledx, object_store):
    answer = teledx("status", "--gateway", object_store.url, token="tdx_x")
    assert answer.code in (Exit.AWAY, Exit.NOT_ALLOWED, Exit.NOT_FOUND)
    assert "Traceback" not in answer.err


def test_labels_are_listed_as_what_the_clinic_must_still_answer(region, chen):
    case = filled.delivered(region.rows)
    answer = chen("labels", case)
    assert (answer.code, answer.out.strip()) == (0, "No label of this case has to be confirmed.")
    refused = chen("labels", case, "--confirm", 1, "--json")
    assert refused.code == Exit.CONFLICT
    assert json.loads(refused.err)["error"]["message"]
