"""UPS-RS subscriptions and event channels: who is told of what, over a real WebSocket."""

import json
from contextlib import contextmanager

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from cases.ups import FILTERED_WORKLIST, WORKLIST, uid_of
from storage import accounts, readings
from tests.gateway.test_ups import OWN, attribute, post, put, value
from tests.storage.filled import BODY, delivered, open_item

PATIENCE = 20


@pytest.fixture
def lin(at_partner):
    return at_partner("lin")


def workitem_of(region, number=1, partner="yinzhou2"):
    with region.transaction() as connection:
        return uid_of(open_item(connection, delivered(region, number=number, partner=partner)).id)


@contextmanager
def channel(reader, aetitle="VIEWER", address=""):
    where = (
        address or f"ws{str(reader.base_url).rstrip('/').removeprefix('http')}/dicomweb/subscribers/{aetitle}"
    )
    with connect(
        where, additional_headers={"Authorization": reader.headers["authorization"]}, proxy=None
    ) as opened:
        yield opened


def heard(opened):
    """The next event: workitem, kind, and its state."""
    told = json.loads(opened.recv(timeout=PATIENCE))
    return (
        value(told, "00001000"),
        value(told, "00001002"),
        value(told, "00741000") if "00741000" in told else told,
    )


def subscribe(reader, uid, aetitle="VIEWER"):
    answer = post(reader, f"{uid}/subscribers/{aetitle}")
    assert answer.status_code == 201, answer.text
    return answer.headers["content-location"]


def test_a_subscriber_to_the_worklist_is_told_whatever_moves_a_workitem(region, lin):
    present = workitem_of(region, 1)
    with channel(lin, address=subscribe(lin, WORKLIST)) as opened:
        subscribe(lin, WORKLIST)
        assert heard(opened) == (present, 1, "SCHEDULED")
        fresh = workitem_of(region, 2)
        assert heard(opened) == (fresh, 1, "SCHEDULED")
        put(lin, fresh, "IN PROGRESS").raise_for_status()
        assert heard(opened) == (fresh, 1, "IN PROGRESS")
        item = {"00741004": attribute("DS", 40)}
        post(lin, f"{fresh}?{OWN}", {"00741002": attribute("SQ", item)}).raise_for_status()
        uid, kind, told = heard(opened)
        assert (uid, kind, value(value(told, "00741002"), "00741004")) == (fresh, 3, 40.0)
        with region.transaction() as connection:  # as the timers do when a reader falls silent
            connection.execute(
                "UPDATE work_item SET lease_until = clock_timestamp() WHERE state = 'IN PROGRESS'"
            )
            (successor,) = readings.expire_leases(connection)
        assert heard(opened) == (fresh, 1, "CANCELED")
        assert heard(opened) == (uid_of(successor.id), 1, "SCHEDULED")
        (line, *_) = lin.get("/api/worklist").json()["work_items"]
        start = f"/api/work-items/{line['work_item_id']}"
        lin.post(f"{start}/claim").raise_for_status()
        lin.post(f"{start}/sign", json={"body": BODY.model_dump(mode="json")}).raise_for_status()
        assert [heard(opened)[2] for _ in range(2)] == ["IN PROGRESS", "COMPLETED"]


def test_a_holder_that_listens_is_told_of_a_request_to_cancel_and_decides(region, lin, at_partner):
    uid = workitem_of(region)
    put(lin, uid, "IN PROGRESS").raise_for_status()
    with channel(lin, address=subscribe(lin, uid)) as opened:
        subscribe(lin, uid)
        assert heard(opened) == (uid, 1, "IN PROGRESS")
        asked = post(
            at_partner("he"), f"{uid}/cancelrequest", {"00741238": attribute("LT", "urgent case first")}
        )
        assert (asked.status_code, asked.headers.get("warning")) == (202, None)
        subject, kind, told = heard(opened)
        assert (subject, kind, value(told, "00741238")) == (uid, 2, "urgent case first")
        (item,) = lin.get("/api/worklist").json()["work_items"]
        assert item["state"] == "IN PROGRESS"


def test_nobody_is_told_of_what_is_not_subscribed_to(region, lin, at_partner):
    """The last event that is told shows that those before it were not."""
    one, two, theirs = (
        workitem_of(region, 1),
        workitem_of(region, 2),
        workitem_of(region, 3, "beijing-pathology"),
    )
    wang = at_partner("wang")
    subscribe(wang, WORKLIST)
    with channel(lin) as opened, channel(lin, "OTHER") as other:
        subscribe(lin, two)
        assert heard(opened) == (two, 1, "SCHEDULED")
        put(wang, theirs, "IN PROGRESS").raise_for_status()
        put(lin, one, "IN PROGRESS").raise_for_status()
        put(lin, two, "IN PROGRESS").raise_for_status()
        assert heard(opened) == (two, 1, "IN PROGRESS")
        subscribe(lin, one, "OTHER")
        assert heard(other) == (one, 1, "IN PROGRESS")


def test_subscriptions_are_taken_back_one_by_one_or_all_and_suspended(region, lin):
    one, two = workitem_of(region, 1), workitem_of(region, 2)
    with channel(lin) as opened:
        subscribe(lin, WORKLIST)
        assert {heard(opened)[0] for _ in range(2)} == {one, two}
        where = "/dicomweb/workitems/{}/subscribers/VIEWER"
        assert lin.delete(where.format(one)).status_code == 200
        assert lin.delete(where.format(one)).status_code == 404
        assert post(lin, f"{WORKLIST}/subscribers/VIEWER/suspend").status_code == 200
        workitem_of(region, 3)
        put(lin, one, "IN PROGRESS").raise_for_status()
        put(lin, two, "IN PROGRESS").raise_for_status()
        assert heard(opened) == (two, 1, "IN PROGRESS")
        assert lin.delete(where.format(WORKLIST)).status_code == 200
        assert lin.delete(where.format(WORKLIST)).status_code == 404
        assert post(lin, f"{WORKLIST}/subscribers/VIEWER/suspend").status_code == 404
        put(lin, two, "CANCELED").raise_for_status()
        subscribe(lin, one)
        assert heard(opened) == (one, 1, "IN PROGRESS")


def test_filters_are_not_offered_and_say_so(lin):
    answer = post(lin, f"{FILTERED_WORKLIST}/subscribers/VIEWER?filter=PatientID=1")
    assert answer.status_code == 403
    assert answer.headers["warning"] == "299 teledx: Filtered Worklist Subscriptions are not supported."


@pytest.mark.parametrize("aetitle", ["SEVENTEEN-LETTERS", "A%5CB", "%20", "%E5%8C%BB"])
def test_an_ae_title_is_one_of_the_standard(lin, aetitle):
    assert post(lin, f"{WORKLIST}/subscribers/{aetitle}").status_code == 400


def test_a_channel_opens_to_readers_alone_and_over_a_websocket_alone(region, partner_url, at_partner, token):
    where = f"ws{partner_url.removeprefix('http')}/dicomweb/subscribers/VIEWER"
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Bearer {token('chen')}"}, 403),
    ):
        with pytest.raises(InvalidStatus) as refused, connect(where, additional_headers=headers, proxy=None):
            pass
        assert refused.value.response.status_code == status
    assert at_partner("lin").get("/dicomweb/subscribers/VIEWER").status_code == 426


def test_a_channel_ends_with_the_right_to_it(region, lin):
    with channel(lin) as opened:
        subscribe(lin, WORKLIST)
        with region.transaction() as connection:
            accounts.revoke_all(connection, "lin")
        workitem_of(region)
        with pytest.raises(ConnectionClosed):
            opened.recv(timeout=PATIENCE)


def test_a_channel_that_may_have_missed_something_is_ended_and_opens_again(region, database, lin):
    with channel(lin) as opened:
        with psycopg.connect(database.owner_url) as owner:
            ended = owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'teledx_partner'"
            ).fetchall()
        assert ended
        with pytest.raises(ConnectionClosed) as closed:
            opened.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    with channel(lin) as opened:
        subscribe(lin, WORKLIST)
        uid = workitem_of(region)
        assert heard(opened) == (uid, 1, "SCHEDULED")
