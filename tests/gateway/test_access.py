"""Who gets through which door: every route by every role, two clinics, two partners, no identity where none may be."""

import json
import re
from uuid import uuid4

import pytest
from pydicom import dcmread

from cases.access import ACTIONS, offered
from cases.ups import uid_of
from gateway.app import DOORS
from gateway.dicomweb import subscribers
from gateway.signin import ROLES_OF_SIDE
from storage import dicom_index
from tests.gateway.conftest import PEOPLE, WEBHOOK_TOKEN
from tests.gateway.instances import at_partner_with, sample
from tests.storage.filled import BODY, CANARIES, delivered, order, received, returned, set_aside, signed

ROLE_OF = {account: told.split()[0] for account, told in PEOPLE.items()}
OPEN = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/api/order.schema.json",
    "/internal/store-events",
    "/upload",
    "/slides/{work_item_id}",  # holds nothing of a case
}

# What both sides read, a partner its own rows alone.
SHARED = ("cases", "work_item", "ups_subscription", "report", "report_version", "partner_object", "milestone")

# Bodies with which a request gets beyond its form; what then comes is 404 for an unknown thing.
BODIES: dict[str, dict[str, object]] = {
    "why": {"why": "because"},
    "body": {"body": BODY.model_dump(mode="json")},
}


def address(route):
    """The route's path with ids of things that do not exist."""
    values = {
        "number": "1",
        "numbers": "1",
        "run_id": "1",
        "work_item_id": str(uuid4()),
        "report_id": str(uuid4()),
    }
    return re.sub(r"{(\w+)}", lambda found: values.get(found[1], "AAAA-BBBB"), route.path)


def ask(client, route):
    if route.method == "GET":
        return client.get(address(route))
    return client.request(route.method, address(route), json={})


@pytest.mark.parametrize("account", ["", "chen", "lin", "fang", "yu"])
@pytest.mark.parametrize("side", ["region", "partner"])
def test_every_door_opens_to_the_roles_that_the_table_names_and_to_no_others(
    side, account, at_region, at_partner
):
    client = (at_region if side == "region" else at_partner)(account)
    role = ROLE_OF.get(account, "")
    opened, granted = set(), set()
    for route, action in ((r, r.action) for r in DOORS[side] if r.action):
        assert offered(action, side)
        answer = ask(client, route)
        assert answer.status_code < 500, route
        assert account or answer.status_code == 401, route
        if answer.status_code not in (401, 403):
            opened.add((route.method, route.path))
        if role in ROLES_OF_SIDE[side] and role in ACTIONS[action].grants:
            granted.add((route.method, route.path))
    assert opened == granted


def test_only_doors_that_show_no_case_are_open_to_anybody():
    for routes in DOORS.values():
        assert {r.path for r in routes if r.action is None and not r.granted} <= OPEN | {
            "/upload/{name}",
            "/viewer/{name}",
        }


def test_a_door_that_a_grant_opens_stays_closed_without_one(at_partner):
    doors = [route for route in DOORS["partner"] if route.granted]
    assert not [route for route in DOORS["region"] if route.granted]
    assert len(doors) >= 6
    for route in doors:
        told = re.sub(
            r"{(\w+)}", lambda found: "AAAA" if found[1] in ("grant", "ticket") else "1", route.path
        )
        for account in ("", "lin"):
            answer = at_partner(account).request(
                route.method, told, json={} if route.method == "POST" else None
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "viewing-over"), route.path


@pytest.mark.parametrize("side", ["region", "partner"])
def test_a_reader_signs_in_on_the_partner_side_alone_and_nobody_else_does(side, at_region, at_partner):
    sign_in = at_region if side == "region" else at_partner
    for account, role in ROLE_OF.items():
        answer = sign_in(account).get("/api/me")
        if role in ROLES_OF_SIDE[side]:
            assert answer.json()["role"] == role
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong-side")


def test_a_token_that_was_revoked_opens_nothing(region, at_region):
    chen = at_region("chen")
    assert chen.get("/api/me").status_code == 200
    with region.transaction() as connection:
        connection.execute("UPDATE access_token SET revoked_at = clock_timestamp()")
    assert chen.get("/api/me").json()["error"]["code"] == "not-signed-in"


@pytest.fixture
def two_clinics(region):
    """A case of jiangshan and one of wuxiang, each with everything that a case can have."""
    ids = {}
    for number, clinic in enumerate(("jiangshan", "wuxiang"), 1):
        ids[clinic] = delivered(region, clinic, number)
        signed(region, ids[clinic])
        returned(region, ids[clinic])
    return ids


def test_a_clinic_gets_404_for_another_clinics_case_at_every_door(two_clinics, at_region):
    chen, others = at_region("chen"), two_clinics["wuxiang"]
    doors = [route for route in DOORS["region"] if "{case_id}" in route.path]
    answers = {}
    for route in doors:
        body = BODIES["why"] if route.path.endswith("cancel") else {}
        path = address(route).replace("AAAA-BBBB", others)
        answers[route] = chen.request(route.method, path, json=body if route.method == "POST" else None)
    assert len(doors) >= 8
    assert {(r.path, a.status_code) for r, a in answers.items()} == {(r.path, 404) for r in doors}
    assert {a.json()["error"]["message"] for a in answers.values()} == {"There is no such case or drop."}


def test_a_clinic_lists_its_own_cases_and_no_others(two_clinics, at_region):
    for account, clinic in (("chen", "jiangshan"), ("zhou", "wuxiang")):
        (line,) = at_region(account).get("/api/cases").json()["cases"]
        assert line["case_id"] == two_clinics[clinic]
        assert line["patient_name"] == "戴诗琪"


def test_the_laboratory_that_scanned_sees_the_case_too(region, at_region):
    case_id = received(region, "jiangshan", scanning_site="yinzhou-people")
    assert at_region("shen").get(f"/api/cases/{case_id}").status_code == 200


@pytest.mark.parametrize("account", ["fang", "yu"])
def test_managers_and_operators_see_every_case_and_no_identity(account, two_clinics, at_region):
    client = at_region(account)
    listed = client.get("/api/cases")
    assert {c["case_id"] for c in listed.json()["cases"]} == set(two_clinics.values())
    shown = [client.get(f"/api/cases/{i}") for i in two_clinics.values()]
    routes = [client.get(f"/api/cases/{i}/route") for i in two_clinics.values()]
    for answer in (listed, *shown, *routes):
        assert answer.status_code == 200
        assert not leaks(answer.text)


def test_drops_of_another_clinic_are_unknown(region, at_region):
    case_id = received(region, "wuxiang")
    chen, zhou = at_region("chen"), at_region("zhou")
    assert zhou.get(f"/api/drops/{case_id}").json()["receipt"]["case"] == case_id
    for path in (f"/api/drops/{case_id}", f"/api/drops/{case_id}/upload"):
        assert chen.get(path).status_code == 404
    assert chen.get("/api/drops").json() == {"drops": []}
    operators = at_region("yu").get(f"/api/drops/{case_id}")
    assert operators.json()["receipt"] is None
    assert not leaks(operators.text)


def test_a_partner_gets_404_for_another_partners_work_at_every_door(region, at_partner, s3):
    ct = dcmread(sample("CT_small.dcm"))
    report = signed(region, at_partner_with(region, s3, [sample("CT_small.dcm")], partner="yinzhou2"))
    assert report.work_item_id is not None
    names: dict[str, object] = {"work_item_id": report.work_item_id, "report_id": report.id, "number": 1}
    names |= {"study": ct.StudyInstanceUID, "series": ct.SeriesInstanceUID, "instance": ct.SOPInstanceUID}
    names |= {"numbers": 1, "path": "7FE00010", "workitem": uid_of(report.work_item_id), "aetitle": "VIEWER"}
    wang = at_partner("wang")
    searches = {route for route in DOORS["partner"] if route.action == "images.search"}
    doors = [route for route in DOORS["partner"] if "{" in route.path and route.action]
    doors = [route for route in doors if route.path != subscribers.CHANNEL]  # names nothing of anybody's
    answers = {}
    for route in doors:
        path = route.path.format(**names)
        body = BODIES["why"] if path.endswith(("release", "decline")) else BODIES["body"]
        body = BODIES["why"] | BODIES["body"] if path.endswith("correction") else body
        answers[route] = wang.request(route.method, path, json=body if route.method != "GET" else None)
    assert len(doors) >= 12
    expected = {(r.path, 204 if r in searches else 404) for r in doors}
    assert {(r.path, a.status_code) for r, a in answers.items()} == expected


def test_each_partner_lists_its_own_work_alone(region, at_partner):
    here, there = (
        delivered(region, number=1, partner="yinzhou2"),
        delivered(region, number=2, partner="beijing-pathology"),
    )
    for account, case_id in (("lin", here), ("wang", there)):
        (item,) = at_partner(account).get("/api/worklist").json()["work_items"]
        assert item["case_id"] == case_id


def leaks(text):
    """The canaries in a text, whatever way JSON or a URL may have written them."""
    forms = [
        text,
        json.dumps(text, ensure_ascii=False),
        text.encode().decode("unicode_escape", errors="ignore"),
    ]
    return [canary for canary in CANARIES if any(canary in form for form in forms)]


def test_no_answer_to_a_reader_holds_identity(region, at_partner, s3):
    delivered(region, partner="yinzhou2")
    lin = at_partner("lin")
    (item,) = lin.get("/api/worklist").json()["work_items"]
    start = f"/api/work-items/{item['work_item_id']}"
    answers = [
        lin.get("/api/worklist"),
        lin.post(f"{start}/claim"),
        lin.get(start),
        lin.get(f"{start}/files"),
        lin.post(f"{start}/sign", json=BODIES["body"]),
        lin.get("/metrics"),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert not leaks(answer.text)


def test_the_partners_role_can_select_no_identity_at_all(region, partner):
    """Every column of every table that the role may select, whatever tenant it names, and the vault not at all."""
    delivered(region, partner="yinzhou2")
    with partner.transaction(tenant="yinzhou2") as connection:
        granted = connection.execute(
            "SELECT table_schema, table_name, string_agg(quote_ident(column_name), ', ') AS columns"
            " FROM information_schema.column_privileges WHERE grantee = 'teledx_partner' AND privilege_type = 'SELECT'"
            " GROUP BY table_schema, table_name"
        ).fetchall()
        assert {g["table_schema"] for g in granted} == {"public"}
        assert {"cases", "work_item", "report", "milestone"} <= {g["table_name"] for g in granted}
        for table in granted:
            rows = connection.execute(f"SELECT {table['columns']} FROM {table['table_name']}").fetchall()
            if table["table_name"] != "network_version":
                assert not leaks(json.dumps(rows, default=str, ensure_ascii=False)), table["table_name"]
    with partner.transaction(tenant="yinzhou2") as connection:
        usage = connection.execute(
            "SELECT has_schema_privilege('teledx_partner', 'vault', 'USAGE') AS may"
        ).fetchone()
        assert usage == {"may": False}


def test_the_partners_role_sees_no_row_of_another_tenant_and_none_without(region, partner, s3):
    at_partner_with(region, s3, [sample("CT_small.dcm")], partner="yinzhou2")
    for tenant in ("beijing-pathology", ""):
        with partner.transaction(tenant=tenant) as connection:
            for table in (*SHARED, *dicom_index.TABLES):
                assert connection.execute(f"SELECT FROM {table}").rowcount == 0, table


def test_no_log_line_of_a_gateway_holds_identity_or_an_address(region, at_region, at_partner, capfd):
    """Whatever is asked: names in queries, in addresses, in bodies that are refused."""
    case_id = delivered(region)
    chen = at_region("chen")
    chen.get("/api/cases", params={"state": "戴诗琪", "after": "MRN-CANARY-7"})
    chen.get("/api/cases/戴诗琪")
    chen.get(f"/api/cases/{case_id}?name=戴诗琪")
    chen.get("/nowhere/330227197003041234")
    chen.post("/api/drops", json={"order": order() | {"priority": "戴诗琪"}})
    chen.post("/api/drops", content=b'{"order": "MRN-CANARY-7')
    at_region("").post(
        "/internal/store-events",
        json={"key": "/buckets/inbox/jiangshan/戴诗琪/order.json"},
        headers={"Authorization": f"Bearer {WEBHOOK_TOKEN}"},
    )
    seen = capfd.readouterr()
    logged = seen.out + seen.err
    assert "/api/cases/{case_id}" in logged, "the gateway logs its requests"
    assert not leaks(logged)
    assert case_id not in logged
    assert "nowhere" not in logged


def test_a_refused_body_is_never_echoed(at_region):
    chen = at_region("chen")
    wrong = order() | {"priority": "戴诗琪", "purpose": "MRN-CANARY-7"}
    wrong["patient"] = wrong["patient"] | {"birth_date": "330227197003041234", "sex": "Dai^Shiqi"}
    wrong["files"] = [{"name": "../戴诗琪", "size": -1, "sha256": "13857412345"}]
    answer = chen.post("/api/drops", json={"order": wrong})
    assert answer.status_code == 422
    assert len(answer.json()["problems"]) >= 6
    assert not leaks(answer.text)


def test_every_look_and_every_deed_of_a_person_is_in_the_audit_log(region, at_region, at_partner, s3):
    case_id = delivered(region)
    chen, lin, yu, fang = at_region("chen"), at_partner("lin"), at_region("yu"), at_region("fang")
    chen.get("/api/cases").raise_for_status()
    chen.get(f"/api/cases/{case_id}").raise_for_status()
    (item,) = lin.get("/api/worklist").raise_for_status().json()["work_items"]
    start = f"/api/work-items/{item['work_item_id']}"
    lin.post(f"{start}/claim").raise_for_status()
    lin.post(f"{start}/sign", json=BODIES["body"]).raise_for_status()
    yu.get("/api/quarantine").raise_for_status()
    rows = fang.get("/api/audit").raise_for_status().json()["rows"]
    seen = {(r["account"], r["action"], r["case_id"]) for r in rows}
    assert seen >= {
        ("chen", "case.see", None),
        ("chen", "case.see", case_id),
        ("lin", "worklist.see", None),
        ("lin", "work-item.claim", case_id),
        ("lin", "report.sign", case_id),
        ("yu", "quarantine.see", None),
    }
    listed = next(r for r in rows if r["account"] == "chen" and r["case_id"] is None)
    assert listed["note"] == case_id


def test_the_partners_role_cannot_write_an_audit_row_in_anothers_name(region, partner):
    import psycopg

    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        partner.transaction(tenant="yinzhou2") as connection,
    ):
        connection.execute(
            "INSERT INTO audit_log (account, organisation, action) VALUES ('wang', 'beijing-pathology', 'case.see')"
        )


def test_the_partners_role_cannot_start_a_stage_of_its_choice(region, partner):
    import psycopg

    case_id = delivered(region)
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        partner.transaction(tenant="yinzhou2") as connection,
    ):
        connection.execute(
            "INSERT INTO stage_run (case_id, stage, case_version, lane, clinic, priority)"
            " VALUES (%s, 'deidentify', 99, 'dicom.stat', 'jiangshan', 0)",
            (case_id,),
        )


def test_a_quarantined_case_is_unknown_at_the_clinics_own_quarantine_door(region, at_region):
    case_id = received(region)
    set_aside(region, case_id)
    assert at_region("chen").get(f"/api/quarantine/{case_id}").status_code == 403
