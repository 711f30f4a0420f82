"""Readings on real PostgreSQL, in the role that the partner side has."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from cases.documents import ReportBody
from cases.errors import NotAllowed
from storage import cases, readings, signing
from storage.database import Database
from storage.readings import HeldByAnother, UnknownWorkItem
from tests.servers.postgres import TestDatabase
from tests.storage.filled import BODY, delivered, open_item, opened, returned, with_network

HERE, ELSEWHERE = "yinzhou2", "beijing-pathology"


@pytest.fixture
def region(database: TestDatabase) -> Iterator[Database]:
    with opened(database.region_url) as pool:
        with_network(pool)
        yield pool


@pytest.fixture
def partner(database: TestDatabase) -> Iterator[Database]:
    with opened(database.partner_url) as pool:
        yield pool


@pytest.fixture
def case_id(region: Database) -> str:
    return delivered(region, partner=HERE)


def item_of(database: Database, case_id: str) -> readings.WorkItem:
    with database.transaction() as connection:
        return open_item(connection, case_id)


def state_of(database: Database, case_id: str) -> str:
    with database.transaction() as connection:
        return cases.get(connection, case_id).state


def waiting_stages(database: Database, case_id: str) -> list[str]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT stage FROM stage_run WHERE case_id = %s AND outcome IS NULL", (case_id,)
        ).fetchall()
    return [row["stage"] for row in rows]


def claim(partner: Database, item: UUID, reader: str = "lin", **lease: timedelta) -> readings.WorkItem:
    with partner.transaction(tenant=HERE) as connection:
        return readings.claim(connection, item, reader, **lease)


def test_of_sixteen_readers_who_claim_at_once_exactly_one_wins(region, partner, case_id):
    item = item_of(region, case_id)

    def attempt(number: int) -> str | None:
        try:
            return claim(partner, item.id, f"reader-{number}").reader
        except HeldByAnother:
            return None

    with ThreadPoolExecutor(16) as pool:
        winners = [reader for reader in pool.map(attempt, range(16)) if reader]

    assert len(winners) == 1
    assert item_of(region, case_id).reader == winners[0]
    assert state_of(region, case_id) == "in_reading"


def test_claiming_what_one_holds_renews_the_lease_and_moves_nothing(region, partner, case_id):
    first = claim(partner, item_of(region, case_id).id, lease=timedelta(minutes=1))
    again = claim(partner, first.id, lease=timedelta(minutes=30))
    assert first.lease_until
    assert again.lease_until
    assert again.lease_until > first.lease_until
    with region.transaction() as connection:
        rows = connection.execute("SELECT FROM milestone WHERE case_id = %s AND name = 'claimed'", (case_id,))
        assert rows.rowcount == 1


def test_another_partner_does_not_know_the_work_item(region, partner, case_id):
    item = item_of(region, case_id)
    with partner.transaction(tenant=ELSEWHERE) as connection, pytest.raises(UnknownWorkItem):
        readings.claim(connection, item.id, "wang")
    with partner.transaction() as connection, pytest.raises(UnknownWorkItem):
        readings.claim(connection, item.id, "wang")


def test_a_heartbeat_renews_the_holders_lease_and_nobody_elses(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id, lease=timedelta(seconds=5))
    assert item.lease_until
    with partner.transaction(tenant=HERE) as connection:
        assert readings.heartbeat(connection, item.id, "lin") > item.lease_until
    with partner.transaction(tenant=HERE) as connection, pytest.raises(HeldByAnother):
        readings.heartbeat(connection, item.id, "he")


def test_release_ends_the_item_and_a_successor_waits(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id)
    with partner.transaction(tenant=HERE) as connection:
        successor = readings.release(connection, item.id, "lin", "not my field")
    with region.transaction() as connection:
        ended = readings.get(connection, item.id)
    assert (ended.state, ended.ended_because, ended.why) == ("CANCELED", "released", "not my field")
    assert (successor.state, successor.successor_of, successor.purpose) == ("SCHEDULED", item.id, "primary")
    assert state_of(region, case_id) == "delivered"


def test_decline_ends_the_item_without_successor_and_routes_the_case_anew(region, partner, case_id):
    item = item_of(region, case_id)
    with partner.transaction(tenant=HERE) as connection:
        assert readings.decline(connection, item.id, "lin", "no capacity").state == "CANCELED"
    assert state_of(region, case_id) == "deidentified"
    assert waiting_stages(region, case_id) == ["route"]
    with region.transaction() as connection:
        assert readings.declined_by(connection, case_id) == (HERE,)
        open_items = connection.execute("SELECT FROM work_item WHERE state IN ('SCHEDULED', 'IN PROGRESS')")
        assert open_items.rowcount == 0


def test_the_route_run_after_a_decline_waits_in_the_lane_of_the_case(region, partner):
    stat = delivered(region, number=2, priority="stat")
    with partner.transaction(tenant=HERE) as connection:
        readings.decline(connection, item_of(region, stat).id, "lin", "no capacity")
    with region.transaction() as connection:
        row = connection.execute(
            "SELECT lane, priority FROM stage_run WHERE case_id = %s AND outcome IS NULL", (stat,)
        ).fetchone()
    assert (row["lane"], row["priority"]) == ("dicom.stat", 0)


def test_a_preliminary_report_of_a_partner_that_declines_stands_for_nothing(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id)
    with partner.transaction(tenant=HERE) as connection:
        signing.preliminary(connection, item.id, "lin", BODY)
    with partner.transaction(tenant=HERE) as connection:
        readings.decline(connection, item.id, "lin", "beyond us")
    with region.transaction() as connection:
        assert signing.current(connection, case_id) is None


def test_another_reader_cannot_decline_what_somebody_holds(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id)
    with partner.transaction(tenant=HERE) as connection, pytest.raises(HeldByAnother):
        readings.decline(connection, item.id, "he", "no")


def test_a_lease_that_runs_out_puts_a_successor_on_the_worklist_once(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id, lease=timedelta(0))
    with region.transaction() as connection:
        (successor,) = readings.expire_leases(connection)
    with region.transaction() as connection:
        assert readings.expire_leases(connection) == ()
    assert successor.successor_of == item.id
    assert state_of(region, case_id) == "delivered"
    with partner.transaction(tenant=HERE) as connection, pytest.raises(NotAllowed):
        signing.sign(connection, item.id, "lin", BODY)


def test_a_lease_in_force_is_not_taken_back(region, partner, case_id):
    claim(partner, item_of(region, case_id).id)
    with region.transaction() as connection:
        assert readings.expire_leases(connection) == ()


def test_sixteen_timers_that_run_at_once_make_one_successor(region, partner, case_id):
    claim(partner, item_of(region, case_id).id, lease=timedelta(0))

    def expire(_: int) -> int:
        with region.transaction() as connection:
            return len(readings.expire_leases(connection))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(expire, range(16))) == 1


def test_what_a_reader_typed_is_there_again_after_the_lease_ran_out_and_for_nobody_else(
    region, partner, case_id
):
    item = claim(partner, item_of(region, case_id).id)
    with partner.transaction(tenant=HERE) as connection:
        readings.keep_draft(connection, item.id, "lin", BODY, lease=timedelta(0))
    with region.transaction() as connection:
        (second,) = readings.expire_leases(connection)
    assert claim(partner, second.id, "he", lease=timedelta(0)).draft is None
    with region.transaction() as connection:
        (third,) = readings.expire_leases(connection)
    assert claim(partner, third.id, "lin").draft == BODY.model_dump(mode="json")


def test_signing_completes_the_reading_and_writes_the_run_of_return(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id)
    with partner.transaction(tenant=HERE) as connection:
        report = signing.sign(connection, item.id, "lin", BODY)
    assert (report.status, report.version, report.signed_by) == ("final", 1, "lin")
    assert state_of(region, case_id) == "reported"
    assert waiting_stages(region, case_id) == ["return"]
    with region.transaction() as connection:
        assert readings.get(connection, item.id).state == "COMPLETED"


def test_signing_the_same_words_twice_is_signing_once(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id)
    for _ in range(2):
        with partner.transaction(tenant=HERE) as connection:
            assert signing.sign(connection, item.id, "lin", BODY).version == 1
    with partner.transaction(tenant=HERE) as connection, pytest.raises(NotAllowed):
        signing.sign(connection, item.id, "lin", ReportBody(findings="Other.", conclusion="Other."))


def test_only_the_holder_signs(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id)
    with partner.transaction(tenant=HERE) as connection, pytest.raises(HeldByAnother):
        signing.sign(connection, item.id, "he", BODY)


def test_a_preliminary_report_becomes_the_final_one_and_both_versions_are_kept(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id)
    with partner.transaction(tenant=HERE) as connection:
        first = signing.preliminary(connection, item.id, "lin", BODY)
    assert (first.status, state_of(region, case_id)) == ("preliminary", "in_reading")
    with partner.transaction(tenant=HERE) as connection:
        signing.sign(connection, item.id, "lin", BODY)
    with region.transaction() as connection:
        kept = signing.versions(connection, first.id)
    assert [(v["version"], v["status"]) for v in kept] == [(1, "preliminary"), (2, "final")]


@pytest.mark.parametrize("after", ["signed", "returned", "acknowledged"])
@pytest.mark.parametrize(("change", "status"), [("addendum", "appended"), ("correction", "corrected")])
def test_a_signed_report_changes_by_a_new_version_that_returns_once_more(
    region, partner, case_id, after, change, status
):
    item = claim(partner, item_of(region, case_id).id)
    with partner.transaction(tenant=HERE) as connection:
        report = signing.sign(connection, item.id, "lin", BODY)
    if after != "signed":
        returned(region, case_id)
    if after == "acknowledged":
        with region.transaction() as connection:
            cases.move(connection, case_id, "acknowledged", actor="chen")
    more = ReportBody(findings="No fracture.", conclusion="Old rib fracture.")
    with partner.transaction(tenant=HERE) as connection:
        if change == "addendum":
            changed = signing.addendum(connection, report.id, "he", more)
        else:
            changed = signing.correction(connection, report.id, "he", more, "rib was overlooked")
    assert (changed.status, changed.version, changed.body["conclusion"]) == (status, 2, "Old rib fracture.")
    assert state_of(region, case_id) == "reported"
    assert "return" in waiting_stages(region, case_id)


def test_a_report_that_nobody_signed_cannot_be_corrected(region, partner, case_id):
    item = claim(partner, item_of(region, case_id).id)
    with partner.transaction(tenant=HERE) as connection:
        report = signing.preliminary(connection, item.id, "lin", BODY)
    with partner.transaction(tenant=HERE) as connection, pytest.raises(NotAllowed):
        signing.correction(connection, report.id, "lin", ReportBody(findings="a", conclusion="b"), "why")


def test_withdrawing_a_case_ends_its_open_items(region, partner, case_id):
    claim(partner, item_of(region, case_id).id)
    with region.transaction() as connection:
        cases.get(connection, case_id, lock=True)
        assert readings.cancel_open(connection, case_id) == 1
        cases.move(connection, case_id, "cancelled", actor="chen")
    with region.transaction() as connection:
        rows = connection.execute("SELECT state, ended_because FROM work_item").fetchall()
    assert rows == [{"state": "CANCELED", "ended_because": "cancelled"}]
