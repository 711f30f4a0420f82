"""A clinic hands in files straight to the store, by links that the gateway signs."""

import hashlib
import json
from datetime import timedelta

import httpx
import pytest

from gateway.app import create
from storage import drops, uploads
from storage.s3 import MIB
from tests.gateway.conftest import clients, parts_of, serving
from tests.storage.filled import order

LARGE = bytes(range(256)) * (11 * MIB // 256)  # two whole parts of 5 MiB and a bit
FILES = {"戴诗琪/large.svs": LARGE, "small.dcm": b"abc", "empty.txt": b""}


@pytest.fixture
def small_parts(region, s3, token):
    """The region's gateway, cutting files into parts of 5 MiB, with people signed in at it."""
    with serving(create("region", parts_of(region, s3, part_size=5 * MIB))) as url:
        yield from clients(url, token)


def told(files=FILES, **changes):
    lines = [
        {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    ]
    return {"order": order(files=lines, **changes)}


def put(file, content, numbers=None):
    """PUT the parts of a file, or those of `numbers`; returns them with their ETags."""
    size, done = file["part_size"], []
    for part in file["parts"]:
        if numbers is None or part["number"] in numbers:
            piece = content[(part["number"] - 1) * size : part["number"] * size]
            answer = httpx.put(part["url"], content=piece).raise_for_status()
            done.append({"number": part["number"], "etag": answer.headers["etag"]})
    return done


def finish(client, drop, file, parts):
    body = {"name": file["name"], "upload_id": file["upload_id"], "parts": parts}
    return client.post(f"/api/drops/{drop}/files", json=body)


def test_files_go_straight_to_the_store_and_the_order_comes_last(small_parts, region, s3):
    chen = small_parts("chen")
    new = chen.post("/api/drops", json=told()).raise_for_status().json()
    drop, prefix = new["drop"], new["prefix"]
    assert prefix.startswith("jiangshan/")
    assert [len(f["parts"]) for f in new["files"]] == [3, 1, 1]
    for file in new["files"]:
        parts = put(file, FILES[file["name"]])
        finish(chen, drop, file, parts).raise_for_status()
    assert {f.key.removeprefix(prefix): f.size for f in s3.listing("inbox", prefix)} == {
        name: len(content) for name, content in FILES.items()
    }
    with region.listening("inbox") as heard:
        assert chen.post(f"/api/drops/{drop}/complete").json() == {"drop": drop, "state": "arriving"}
        (note,) = heard.notifies(timeout=5, stop_after=1)
    assert note.payload == "jiangshan/"
    assert json.loads(s3.get("inbox", f"{prefix}order.json")) == told()["order"]
    assert s3.get("inbox", f"{prefix}戴诗琪/large.svs") == LARGE


def test_completing_twice_writes_the_order_once(small_parts, s3):
    chen = small_parts("chen")
    new = chen.post("/api/drops", json=told({"small.dcm": b"abc"})).json()
    put(new["files"][0], b"abc")
    found = []
    for _ in range(2):
        chen.post(f"/api/drops/{new['drop']}/complete").raise_for_status()
        found.append(s3.head("inbox", f"{new['prefix']}order.json"))
    assert found[0] == found[1]


def test_the_row_of_a_drop_through_the_gateway_is_the_one_that_the_inbox_shows(small_parts, region, s3):
    chen = small_parts("chen")
    new = chen.post("/api/drops", json=told({"small.dcm": b"abc"})).json()
    assert chen.get(f"/api/drops/{new['drop']}").json()["state"] == "arriving"
    put(new["files"][0], b"abc")
    chen.post(f"/api/drops/{new['drop']}/complete").raise_for_status()
    written = s3.head("inbox", f"{new['prefix']}order.json")
    with region.transaction() as connection:
        seen = drops.sight(
            connection, clinic="jiangshan", prefix=new["prefix"], order_etag=written.etag,
            order_at=written.modified_at, newest_at=written.modified_at,
        )  # fmt: skip
        (now,) = connection.execute("SELECT clock_timestamp() + interval '1 minute' AS soon").fetchall()
    assert seen.id == new["drop"]
    assert seen.last_seen_at < now["soon"], "the patience of a slow upload must not outlast it"


def test_a_drop_is_not_complete_while_a_file_is_missing(small_parts):
    chen = small_parts("chen")
    new = chen.post("/api/drops", json=told()).json()
    small = next(f for f in new["files"] if f["name"] == "small.dcm")
    put(small, b"abc")
    refused = chen.post(f"/api/drops/{new['drop']}/complete")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "files-missing")
    assert sorted(refused.json()["problems"]) == ["empty.txt", "戴诗琪/large.svs"]


def test_a_broken_upload_goes_on_with_the_parts_that_are_missing(small_parts, s3):
    chen = small_parts("chen")
    new = chen.post("/api/drops", json=told({"large.svs": LARGE})).json()
    (file,) = new["files"]
    put(file, LARGE, numbers={1, 3})
    assert finish(chen, new["drop"], file, []).status_code == 409

    again = chen.get(f"/api/drops/{new['drop']}/upload").raise_for_status().json()
    (file,) = again["files"]
    left = {p["number"] for p in file["parts"] if not p["etag"]}
    assert left == {2}
    put(file, LARGE, numbers=left)
    finish(chen, new["drop"], file, []).raise_for_status()
    finish(chen, new["drop"], file, []).raise_for_status()
    assert s3.get("inbox", f"{new['prefix']}large.svs") == LARGE
    (file,) = chen.get(f"/api/drops/{new['drop']}/upload").json()["files"]
    assert file["done"]


def test_an_upload_that_the_store_gave_up_begins_anew(small_parts, s3):
    chen = small_parts("chen")
    new = chen.post("/api/drops", json=told({"large.svs": LARGE})).json()
    put(new["files"][0], LARGE, numbers={1})
    s3._minio._abort_multipart_upload(
        s3.settings.bucket("inbox"), f"{new['prefix']}large.svs", new["files"][0]["upload_id"]
    )
    (file,) = chen.get(f"/api/drops/{new['drop']}/upload").raise_for_status().json()["files"]
    assert [p["etag"] for p in file["parts"]] == [None, None, None]
    finish(chen, new["drop"], file, put(file, LARGE)).raise_for_status()
    assert s3.get("inbox", f"{new['prefix']}large.svs") == LARGE


def test_an_order_that_does_not_fit_the_network_is_refused_before_the_upload(at_region):
    refused = at_region("chen").post("/api/drops", json=told(service="frozen-section"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "order-incomplete")
    assert refused.json()["problems"][0].startswith("service: this clinic cannot order it")


def test_a_missing_part_of_the_order_is_named_in_words(at_region):
    body = told()
    del body["order"]["patient"]["name"]
    refused = at_region("chen").post("/api/drops", json=body)
    assert refused.json()["problems"] == ["order.patient.name: is missing"]


def test_a_link_opens_one_key_and_no_other(small_parts):
    chen = small_parts("chen")
    new = chen.post("/api/drops", json=told({"small.dcm": b"abc"})).json()
    link = new["files"][0]["parts"][0]["url"]
    assert httpx.put(link.replace("small.dcm", "other.dcm"), content=b"x").status_code == 403
    assert httpx.get(link).status_code == 403


def test_a_drop_shows_what_is_missing_and_why_it_was_rejected(region, at_region):
    with region.transaction() as connection:
        drop = drops.sight(
            connection, clinic="jiangshan", prefix="jiangshan/x/", order_etag="e", order_at=None,
            newest_at=connection.execute("SELECT clock_timestamp() AS now").fetchone()["now"],
        )  # fmt: skip
        drops.reject(connection, drop.id, "files-missing", missing=["戴诗琪.dcm"])
    chen, yu = at_region("chen"), at_region("yu")
    shown = chen.get(f"/api/drops/{drop.id}").json()
    assert (shown["state"], shown["missing"]) == ("rejected", ["戴诗琪.dcm"])
    assert shown["reason"]["todo_zh"] == "请上传所列文件后重新提交。"
    (listed,) = yu.get("/api/drops", params={"clinic": "jiangshan", "state": "rejected"}).json()["drops"]
    assert (listed["missing"], listed["missing_count"]) == ([], 1)


def test_the_schema_of_an_order_is_published(at_region):
    schema = at_region("").get("/api/order.schema.json").json()
    assert {"patient", "files", "consent"} <= set(schema["required"])


def test_an_upload_that_nobody_carries_on_is_rejected_with_what_is_missing(small_parts, region):
    chen = small_parts("chen")
    left, carried_on = (
        chen.post("/api/drops", json=told({"small.dcm": b"abc"})).json()["drop"] for _ in range(2)
    )
    with region.transaction() as connection:
        assert uploads.give_up(connection, timedelta(minutes=30)) == 0, "its links hold for a day"
        connection.execute("UPDATE vault.drops SET last_seen_at = clock_timestamp() - interval '31 minutes'")
    chen.get(f"/api/drops/{carried_on}/upload").raise_for_status()
    with region.transaction() as connection:
        assert uploads.give_up(connection, timedelta(minutes=30)) == 1
    shown = chen.get(f"/api/drops/{left}").json()
    assert (shown["state"], shown["reason"]["code"], shown["missing"]) == (
        "rejected",
        "files-missing",
        ["small.dcm"],
    )
    assert chen.get(f"/api/drops/{carried_on}").json()["state"] == "arriving"
