"""UPS-RS as PS3.18 section 11 has it, by raw HTTP: every action in every state, and what a workitem tells."""

import json
from uuid import uuid4

import pydicom
import pytest

from cases.ups import WORKLIST, uid_of
from storage import cases, readings
from tests.gateway.instances import at_partner_with, sample, written
from tests.storage.filled import BODY, advanced, delivered, open_item, received

OWN, OTHER = "1.2.826.0.1.1", "1.2.826.0.1.2"
DICOM_JSON = {"Content-Type": "application/dicom+json"}
CT = "CT_small.dcm"


def attribute(vr, *values):
    return {"vr": vr, "Value": list(values)}


def value(told, tag):
    return told[tag].get("Value", [None])[0]


def state_of(change, transaction=OWN):
    told = {"00741000": attribute("CS", change)}
    return told | ({"00081195": attribute("UI", transaction)} if transaction else {})


def put(reader, uid, change, transaction=OWN):
    content = json.dumps([state_of(change, transaction)])
    return reader.put(f"/dicomweb/workitems/{uid}/state", content=content, headers=DICOM_JSON)


def post(reader, path, body=None, **params):
    content = json.dumps(body) if body is not None else None
    return reader.post(f"/dicomweb/workitems/{path}", content=content, headers=DICOM_JSON, **params)


def show(reader, uid):
    (told,) = reader.get(f"/dicomweb/workitems/{uid}").raise_for_status().json()
    return told


def search(reader, **params):
    answer = reader.get("/dicomweb/workitems", params=params)
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.status_code == 200 else []


@pytest.fixture
def lin(at_partner):
    return at_partner("lin")


@pytest.fixture
def workitem(region):
    """The UID of a workitem that is SCHEDULED."""
    with region.transaction() as connection:
        return uid_of(open_item(connection, delivered(region)).id)


def brought_to(state, reader, uid):
    """The workitem in this state, claimed with `OWN` on the way if it is not SCHEDULED."""
    if state != "SCHEDULED":
        assert put(reader, uid, "IN PROGRESS").status_code == 200
    if state == "CANCELED":
        assert put(reader, uid, "CANCELED").status_code == 200
    if state == "COMPLETED":
        sign(reader)


def sign(reader):
    (item,) = reader.get("/api/worklist").json()["work_items"]
    body = {"body": BODY.model_dump(mode="json")}
    reader.post(f"/api/work-items/{item['work_item_id']}/sign", json=body).raise_for_status()


INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."
OF_WORKITEM = "The submitted request is inconsistent with the current state of the Workitem."
WRONG, MISSING = "The Transaction UID is incorrect.", "The Transaction UID is missing."
CANCELED, COMPLETED = (
    f"The UPS is already in the requested state of {state}." for state in ("CANCELED", "COMPLETED")
)
# PS3.4 Table CC.1.1-2 as PS3.18 11.6, 11.7 and 11.8 answer it; what is asked, with which transaction UID | in the
# states SCHEDULED, IN PROGRESS, COMPLETED, CANCELED: status and Warning
UNCLAIMED = (409, "The target URI did not reference a claimed Workitem.")
UNHEARD = (409, "The performer cannot be contacted.")
ALL_WRONG, ALL_MISSING, NEVER = [(400, WRONG)] * 3, [(400, MISSING)] * 4, [(409, INCONSISTENT)] * 4
ACTIONS = [
    ("IN PROGRESS", OWN, [(200, ""), *[(409, INCONSISTENT)] * 3]),
    ("IN PROGRESS", OTHER, [(200, ""), *ALL_WRONG]),
    ("IN PROGRESS", "", ALL_MISSING),
    ("SCHEDULED", OWN, NEVER),
    ("SCHEDULED", "", NEVER),
    # completed is a reading by its signature: until then the final state's requirements are not met
    ("COMPLETED", OWN, [(409, INCONSISTENT), (409, INCONSISTENT), (200, COMPLETED), (409, INCONSISTENT)]),
    ("COMPLETED", OTHER, [(409, INCONSISTENT), *ALL_WRONG]),
    ("COMPLETED", "", ALL_MISSING),
    ("CANCELED", OWN, [(409, INCONSISTENT), (200, ""), (409, INCONSISTENT), (200, CANCELED)]),
    ("CANCELED", OTHER, [(409, INCONSISTENT), *ALL_WRONG]),
    ("CANCELED", "", ALL_MISSING),
    ("update", OWN, [UNCLAIMED, (200, ""), *[(400, OF_WORKITEM)] * 2]),
    ("update", OTHER, [UNCLAIMED, (400, WRONG), *[(400, OF_WORKITEM)] * 2]),
    ("update", "", [UNCLAIMED, (400, MISSING), *[(400, OF_WORKITEM)] * 2]),
    ("cancel request", "", [(202, ""), UNHEARD, (409, INCONSISTENT), (202, CANCELED)]),
]  # fmt: skip
STATES = ("SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED")
CELLS = [
    (state, asked, transaction, *answer)
    for asked, transaction, answers in ACTIONS
    for state, answer in zip(STATES, answers, strict=True)
]


@pytest.mark.parametrize(("state", "asked", "transaction", "status", "warning"), CELLS)
def test_every_action_in_every_state_is_answered_as_the_standard_says(
    workitem, lin, state, asked, transaction, status, warning
):
    brought_to(state, lin, workitem)
    if asked == "update":
        query = f"?{transaction}" if transaction else ""
        answer = post(
            lin, f"{workitem}{query}", {"00741002": attribute("SQ", {"00741004": attribute("DS", 50)})}
        )
    elif asked == "cancel request":
        answer = post(lin, f"{workitem}/cancelrequest", {})
    else:
        answer = put(lin, workitem, asked, transaction)
    assert answer.status_code == status, answer.text
    assert answer.headers.get("warning", "") == (f"299 teledx: {warning}" if warning else "")
    became = {("SCHEDULED", "cancel request"): "CANCELED"}.get(
        (state, asked), asked if status == 200 else state
    )
    assert value(show(lin, workitem), "00741000") == (state if asked == "update" else became)


def test_a_claim_is_the_readers_own_lease_and_release_puts_another_workitem_in_its_place(
    region, workitem, lin
):
    assert put(lin, workitem, "IN PROGRESS").status_code == 200
    (item,) = lin.get("/api/worklist").json()["work_items"]
    assert (item["claimed_by"], item["state"]) == ("lin", "IN PROGRESS")
    assert item["lease_until"]
    assert put(lin, workitem, "CANCELED").status_code == 200
    (successor,) = search(lin, ProcedureStepState="SCHEDULED")
    assert value(successor, "00080018") != workitem
    assert value(value(successor, "00741224"), "00081155") == workitem
    assert {value(w, "00080018") for w in search(lin)} == {workitem, value(successor, "00080018")}


def test_who_claimed_at_a_page_is_not_disturbed_through_ups(workitem, lin):
    (item,) = lin.get("/api/worklist").json()["work_items"]
    lin.post(f"/api/work-items/{item['work_item_id']}/claim").raise_for_status()
    for change in ("COMPLETED", "CANCELED"):
        assert put(lin, workitem, change, OTHER).headers["warning"].endswith(WRONG)


def test_a_transaction_uid_is_no_key_for_a_colleague_and_is_told_to_nobody(workitem, lin, at_partner):
    assert put(lin, workitem, "IN PROGRESS").status_code == 200
    colleague = at_partner("he")
    assert put(colleague, workitem, "CANCELED").status_code == 409
    assert post(colleague, f"{workitem}?{OWN}", {}).status_code == 409
    for answer in (
        lin.get(f"/dicomweb/workitems/{workitem}"),
        lin.get("/dicomweb/workitems?includefield=all"),
    ):
        assert "00081195" not in answer.json()[0]
        assert OWN not in answer.text


def test_progress_keeps_the_claim_and_is_told(region, workitem, lin):
    put(lin, workitem, "IN PROGRESS").raise_for_status()
    with region.transaction() as connection:
        connection.execute("UPDATE work_item SET lease_until = clock_timestamp() + interval '1 second'")
    item = {"00741004": attribute("DS", "62.5"), "00741006": attribute("ST", "comparing\nwith 2024")}
    answer = post(lin, f"{workitem}?transaction-uid={OWN}", [{"00741002": attribute("SQ", item)}])
    assert (answer.status_code, answer.headers.get("warning")) == (200, None)
    told = value(show(lin, workitem), "00741002")
    assert (value(told, "00741004"), value(told, "00741006")) == (62.5, "comparing\nwith 2024")
    with region.transaction() as connection:
        assert readings.expire_leases(connection) == ()
        row = connection.execute(
            "SELECT lease_until > clock_timestamp() + interval '1 minute' AS far FROM work_item"
        )
        assert row.fetchone() == {"far": True}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"00741002": attribute("SQ", {"00741004": attribute("DS", 101)})}, 400),
        ({"00741002": attribute("SQ", {"00741004": attribute("DS", "half")})}, 400),
        ({"00741000": attribute("CS", "COMPLETED")}, 400),
        ({"00404005": attribute("DT", "20260101")}, 200),  # not kept, and said so
        ("text", 400),
        ([{}, {}], 400),
    ],
)
def test_an_update_keeps_what_it_may_and_says_what_it_did_not(workitem, lin, body, status):
    put(lin, workitem, "IN PROGRESS").raise_for_status()
    answer = post(lin, f"{workitem}?{OWN}", body)
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["warning"] == "299 teledx: Requested optional Attributes are not supported."


def test_what_cannot_be_read_is_refused(workitem, lin):
    where = f"/dicomweb/workitems/{workitem}"
    assert lin.put(f"{where}/state", content="{", headers=DICOM_JSON).status_code == 400
    assert lin.put(f"{where}/state", content="[" * 100_000, headers=DICOM_JSON).status_code == 400
    xml = {"Content-Type": "application/dicom+xml"}
    assert lin.put(f"{where}/state", content="<a/>", headers=xml).status_code == 415
    assert put(lin, workitem, "IN PROGRESS", "not a uid").status_code == 400
    assert put(lin, workitem, "STARTED").status_code == 400
    assert lin.get(where, headers={"Accept": "application/dicom+xml"}).status_code == 406


def test_a_workitem_that_nobody_holds_and_is_not_wanted_is_declined(region, workitem, lin):
    reason = {"00741238": attribute("LT", "no capacity")}
    assert post(lin, f"{workitem}/cancelrequest", reason).status_code == 202
    with region.transaction() as connection:
        row = connection.execute("SELECT case_id, ended_because, why FROM work_item").fetchone()
        assert (row["ended_because"], row["why"]) == ("declined", "no capacity")
        assert cases.get(connection, row["case_id"]).state == "deidentified"


def test_a_declined_workitem_tells_that_it_is_canceled_and_nothing_of_the_case(region, workitem, lin):
    post(lin, f"{workitem}/cancelrequest", {"00741238": attribute("LT", "no capacity")}).raise_for_status()
    told = show(lin, workitem)
    assert value(told, "00741000") == "CANCELED"
    assert value(value(told, "00741002"), "00741238") == "no capacity"
    for tag in ("00100010", "00100020", "00100040", "0020000D", "0040A370", "00404021", "00741204"):
        assert "Value" not in told[tag], tag
    assert search(lin, PatientID="P-*") == []


def test_a_workitem_tells_what_is_to_be_read_and_where_it_is(region, s3, lin, tmp_path):
    ct = pydicom.dcmread(sample(CT))
    more = written(tmp_path, CT, SOPInstanceUID="1.2.3.4")
    case_id = at_partner_with(region, s3, [sample(CT), more])
    (found,) = search(lin)
    assert "00404021" not in found
    told = show(lin, value(found, "00080018"))
    assert list(told) == sorted(told)
    assert value(told, "00080016") == "1.2.840.10008.5.1.4.34.6.1"
    assert value(told, "00741200") == "LOW"
    assert value(told, "00741204") == "Chest PA"
    assert value(told, "00100020") == value(told, "00100010")["Alphabetic"] == f"P-{case_id}"
    assert value(told, "00100040") == "F"
    assert value(told, "0020000D") == ct.StudyInstanceUID
    assert value(value(told, "00404018"), "00080100") == "110005"
    assert value(value(told, "0040A370"), "00401001") == case_id
    (series,) = told["00404021"]["Value"]
    assert {value(r, "00081155") for r in series["00081199"]["Value"]} == {ct.SOPInstanceUID, "1.2.3.4"}
    where = value(value(series, "0040E025"), "00081190")
    assert lin.get(f"{where}/metadata").status_code == 200
    assert pydicom.Dataset.from_json(told).ProcedureStepState == "SCHEDULED"
    assert search(lin, includefield="InputInformationSequence")[0]["00404021"] == told["00404021"]


@pytest.fixture
def three(region, s3, tmp_path):
    """A stat, an urgent and a routine workitem, the last with a study; their UIDs."""
    ids = [
        advanced(region, received(region, number=at, priority=priority)).id
        for at, priority in ((1, "stat"), (2, "urgent"))
    ]
    ids.append(at_partner_with(region, s3, [sample(CT)], number=3))
    with region.transaction() as connection:
        return [uid_of(open_item(connection, case_id).id) for case_id in ids]


STUDY = pydicom.dcmread(sample(CT)).StudyInstanceUID
# query | which of the three
MATCHED = [
    ({}, (0, 1, 2)),
    ({"ProcedureStepState": "SCHEDULED"}, (0, 1, 2)),
    ({"00741000": "IN PROGRESS"}, ()),
    ({"ScheduledProcedureStepPriority": "HIGH"}, (0,)),
    ({"00741200": "MEDIUM", "ProcedureStepState": "SCHED*"}, (1,)),
    ({"PatientID": "P-*"}, (0, 1, 2)),
    ({"PatientName": "p-*"}, (0, 1, 2)),
    ({"PatientSex": "M"}, ()),
    ({"StudyInstanceUID": f"1.2.3,{STUDY}"}, (2,)),
    ({"WorklistLabel": "radiology-x?ay"}, (0, 1, 2)),
    ({"ProcedureStepLabel": "Chest PA"}, (0, 1, 2)),
    ({"ScheduledProcedureStepStartDateTime": "20200101-"}, (0, 1, 2)),
    ({"ScheduledProcedureStepStartDateTime": "-20200101"}, ()),
    ({"ScheduledProcedureStepStartDateTime": "2020010112-20200102235959.5+0800"}, ()),
    ({"ExpectedCompletionDateTime": "20200101000000.000000-0500-"}, (0, 1, 2)),
    ({"InputReadinessState": "READY"}, (0, 1, 2)),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.34.6.1"}, (0, 1, 2)),
    ({"SOPInstanceUID": "1.2.3"}, ()),
    ({"limit": "1", "offset": "1"}, (1,)),
    ({"ProcedureStepState": ""}, (0, 1, 2)),
]


def test_workitems_are_found_by_what_they_tell_stat_first(three, lin):
    for query, expected in MATCHED:
        assert [value(w, "00080018") for w in search(lin, **query)] == [three[at] for at in expected], query
    assert [value(w, "00080018") for w in search(lin, SOPInstanceUID=f"{three[2]},{three[0]}")] == [
        three[0],
        three[2],
    ]
    cut = lin.get("/dicomweb/workitems", params={"limit": 2})
    assert (len(cut.json()), "more results" in cut.headers["warning"]) == (2, True)
    fuzzy = lin.get("/dicomweb/workitems", params={"PatientName": "p-*", "fuzzymatching": "true"})
    assert (len(fuzzy.json()), "Only literal matching" in fuzzy.headers["warning"]) == (3, True)


@pytest.mark.parametrize(
    "query", ["PatientBirthDate=20200101", "nonsense=1", "limit=-1", "ExpectedCompletionDateTime=2020",
              "ExpectedCompletionDateTime=20201399", "ExpectedCompletionDateTime=-", "00081195=1.2.3"],
)  # fmt: skip
def test_a_search_that_is_not_understood_is_refused(workitem, lin, query):
    answer = lin.get(f"/dicomweb/workitems?{query}")
    assert answer.status_code == 400
    assert answer.json()["problems"]


def test_another_partners_workitems_do_not_exist(region, workitem, at_partner):
    wang = at_partner("wang")
    assert search(wang) == []
    assert wang.get(f"/dicomweb/workitems/{workitem}").status_code == 404
    assert put(wang, workitem, "IN PROGRESS").status_code == 404
    assert put(wang, uid_of(uuid4()), "IN PROGRESS").status_code == 404
    assert put(wang, "1.2.3", "IN PROGRESS").status_code == 404
    assert post(wang, f"{workitem}/subscribers/VIEWER").status_code == 404
    assert post(wang, "", {}).status_code in (404, 405), "nobody but the region makes workitems"
    assert post(wang, f"{WORKLIST}/cancelrequest", {}).status_code == 404


def test_what_is_done_through_ups_is_in_the_audit_log(region, workitem, lin):
    search(lin)
    show(lin, workitem)
    put(lin, workitem, "IN PROGRESS")
    put(lin, workitem, "CANCELED")
    with region.transaction() as connection:
        rows = connection.execute("SELECT action FROM audit_log WHERE account = 'lin' ORDER BY id").fetchall()
    expected = ["worklist.see", "case.see-brief", "work-item.claim", "work-item.release"]
    assert [row["action"] for row in rows] == expected
