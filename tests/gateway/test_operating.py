"""Health, metrics, the store's events, and what every answer carries."""

import json
from datetime import UTC, datetime

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import metric_names
from gateway.app import create
from storage import drops
from tests.gateway.conftest import WEBHOOK_TOKEN, parts_of, serving
from tests.servers.object_store import ObjectStore
from tests.storage.filled import delivered, opened, received, set_aside

EVENT = {"event_type": "create", "message": {"new_entry": {"is_directory": False}}}


def metrics(client):
    told = client.get("/metrics").raise_for_status().text
    return {
        (s.name, *sorted(s.labels.items())): s.value
        for f in text_string_to_metric_families(told)
        for s in f.samples
    }


@pytest.mark.parametrize("side", ["region", "partner"])
def test_a_gateway_is_alive_and_ready(side, at_region, at_partner):
    client = (at_region if side == "region" else at_partner)("")
    assert client.get("/healthz").json() == {"status": "alive"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


def test_a_gateway_whose_store_is_away_is_alive_but_not_ready(at_region, object_store: ObjectStore):
    client = at_region("")
    object_store.stop()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert (answer.json()["database"], answer.json()["store"] != "ready") == ("ready", True)


def test_a_gateway_whose_database_is_away_answers_503_with_what_to_do(database, region, at_region, postgres):
    chen = at_region("chen")
    postgres.stop()
    answer = chen.get("/api/cases")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "away")
    assert answer.headers["retry-after"] == "5"


def test_requests_are_counted_by_route_template_and_status(at_region):
    chen = at_region("chen")
    for _ in range(3):
        chen.get("/api/cases/AAAA-BBBB")
    chen.get("/nowhere/at/all")
    found = metrics(chen)
    labels = (("method", "GET"), ("route", "/api/cases/{case_id}"), ("status", "404"))
    assert found["teledx_requests_total", *labels] == 3
    assert found["teledx_request_seconds_count", ("route", "/api/cases/{case_id}")] == 3
    assert found["teledx_requests_total", ("method", "GET"), ("route", "(unknown)"), ("status", "404")] == 1


def test_the_region_shows_its_backlog_its_cases_and_what_waits_for_people(region, at_region):
    waiting, aside, reading = (received(region, number=n) for n in (1, 2, 3))
    set_aside(region, aside)
    delivered(region, number=4)
    with region.transaction() as connection:
        connection.execute(
            "INSERT INTO partner_circuit (partner, failures, open_until)"
            " VALUES ('yinzhou2', 3, clock_timestamp() + interval '1 minute')"
        )
        connection.execute(
            "UPDATE stage_run SET outcome = 'failed' WHERE case_id = %s AND outcome IS NULL", (reading,)
        )
        connection.execute(
            "UPDATE cases SET due_at = clock_timestamp() - interval '1 s' WHERE partner IS NOT NULL"
        )
    found = metrics(at_region(""))
    assert found["teledx_backlog_runs", ("lane", "dicom.standard"), ("standing", "waiting")] == 1
    assert found["teledx_backlog_oldest_seconds", ("lane", "dicom.standard")] >= 0
    assert found["teledx_cases", ("state", "received")] == 2
    assert found["teledx_quarantined", ("kind", "case")] == 1
    assert found["teledx_failed_runs",] == 1
    assert found["teledx_cases_overdue",] == 1
    assert found["teledx_partner_circuit_open", ("partner", "yinzhou2")] == 1
    assert found["teledx_worklist_items", ("partner", "yinzhou2"), ("state", "SCHEDULED")] == 1
    assert waiting


def test_every_metric_is_in_the_table_and_the_table_holds_no_other(region, at_region, at_partner):
    delivered(region)
    at_region("").get("/healthz")
    told = at_region("").get("/metrics").text
    shown = {f.name.removesuffix("_created") for f in text_string_to_metric_families(told)}
    assert shown == {name.removesuffix("_total") for name in metric_names.HELP}
    assert {"teledx_backlog_runs", "teledx_cases"}.isdisjoint({key[0] for key in metrics(at_partner(""))})


def test_metrics_are_closed_where_a_token_is_set(region, s3):
    with serving(create("region", parts_of(region, s3, metrics_token="only-for-prometheus"))) as url:
        assert httpx.get(f"{url}/metrics").status_code == 401
        right = {"Authorization": "Bearer only-for-prometheus"}
        assert httpx.get(f"{url}/metrics", headers=right).status_code == 200


def tell(client, key, token=WEBHOOK_TOKEN):
    return client.post(
        "/internal/store-events", json=EVENT | {"key": key}, headers={"Authorization": f"Bearer {token}"}
    )


def test_a_store_event_wakes_the_watch_for_that_clinic_and_says_no_more(region, at_region, s3):
    inbox = s3.settings.bucket("inbox")
    client = at_region("")
    with region.listening("inbox") as heard:
        for key in (
            f"/buckets/{inbox}/nobody/drop/戴诗琪.dcm",
            f"/buckets/{s3.settings.bucket('identified')}/jiangshan/x",
            "/etc/jiangshan/x",
            f"/buckets/{inbox}/jiangshan/drop/戴诗琪.dcm",  # no drop yet: it begins with its order
        ):
            assert tell(client, key).status_code == 204
        assert tell(client, f"/buckets/{inbox}/wuxiang/戴诗琪/order.json").status_code == 204
        notes = list(heard.notifies(timeout=5, stop_after=1))
    assert [n.payload for n in notes] == ["wuxiang/"]


def test_a_store_event_of_a_file_wakes_the_watch_where_a_drop_waits_for_files(region, at_region, s3):
    with region.transaction() as connection:
        drops.sight(
            connection,
            clinic="wuxiang",
            prefix="wuxiang/x/",
            order_etag="e",
            order_at=datetime.now(UTC),
            newest_at=datetime.now(UTC),
        )
    with region.listening("inbox") as heard:
        assert (
            tell(at_region(""), f"/buckets/{s3.settings.bucket('inbox')}/wuxiang/x/1.dcm").status_code == 204
        )
        notes = list(heard.notifies(timeout=5, stop_after=1))
    assert [n.payload for n in notes] == ["wuxiang/"]


@pytest.mark.parametrize("token", ["wrong", "tdx_anything"])
def test_a_store_event_without_the_stores_token_is_refused(at_region, s3, token):
    assert (
        tell(at_region(""), f"/buckets/{s3.settings.bucket('inbox')}/jiangshan/x", token).status_code == 401
    )


def test_a_gateway_without_a_webhook_token_takes_no_events(region, s3):
    from dataclasses import replace

    with serving(create("region", replace(parts_of(region, s3), webhook_token=""))) as url:
        answer = httpx.post(f"{url}/internal/store-events", json=EVENT, headers={"Authorization": "Bearer"})
    assert answer.status_code == 401


def test_every_answer_forbids_sniffing_caching_and_framing(at_region):
    for path in ("/healthz", "/api/me", "/docs", "/nowhere"):
        headers = at_region("").get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


def test_a_body_that_is_too_large_is_refused_before_it_is_read_to_the_end(region, s3, token):
    with serving(create("region", parts_of(region, s3, body_max=100_000))) as url:
        headers = {"Authorization": f"Bearer {token('chen')}"}
        answer = httpx.post(f"{url}/api/drops", content=b" " * 200_000, headers=headers)
        chunks = (b" " * 50_000 for _ in range(20))
        slow = httpx.post(f"{url}/api/drops", content=chunks, headers=headers)
    assert {answer.status_code, slow.status_code} == {413}
    assert answer.json()["error"]["code"] == "too-large"


def test_a_defect_is_answered_in_the_one_shape_and_its_text_is_not_logged(region, at_region, capfd):
    case_id = received(region)
    with region.transaction() as connection:
        connection.execute(
            "INSERT INTO vault.document (case_id, stage, case_version, body) VALUES (%s, 'preprocess', 9, %s)",
            (case_id, json.dumps({"slides": "戴诗琪"})),
        )
    answer = at_region("chen").get(f"/api/cases/{case_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "defect")
    logged = "".join(capfd.readouterr())
    assert "ValidationError at" in logged
    assert "戴诗琪" not in logged


def test_both_sides_publish_their_schema_and_a_page_that_loads_nothing_from_elsewhere(at_region, at_partner):
    for client in (at_region(""), at_partner("")):
        assert client.get("/openapi.json").json()["openapi"].startswith("3.")
        page = client.get("/docs")
        assert "http" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_gateway_without_a_network_says_what_to_do(database, s3):
    with opened(database.region_url) as empty, serving(create("region", parts_of(empty, s3))) as url:
        answer = httpx.get(f"{url}/readyz")
    assert answer.status_code == 503
    assert "teledx network apply" in answer.json()["network"]


def test_metrics_are_readable_while_the_database_is_away_and_say_so(region, at_region, postgres):
    client = at_region("")
    assert metrics(client)["teledx_house_readable",] == 1
    postgres.stop()
    away = metrics(client)
    assert away["teledx_house_readable",] == 0
    assert "teledx_cases_overdue" not in {key[0] for key in away}
