"""Figures on real PostgreSQL: the SQL says what `cases.turnaround` says, and counts what a manager means."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cases.milestones import Milestone
from cases.states import CASE, CASE_ENDED
from cases.turnaround import legs, percentile
from storage import cases, figures
from storage.database import Database
from tests.servers.postgres import TestDatabase
from tests.storage.filled import opened, received, with_network

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)


@pytest.fixture
def region(database: TestDatabase) -> Iterator[Database]:
    with opened(database.region_url) as pool:
        with_network(pool)
        yield pool


def walk(rng: random.Random) -> list[Milestone]:
    """A random way through the table of states, by clocks that may run behind each other."""
    state, at = "received", NOW - timedelta(days=2)
    log = [Milestone(name="dropped", state=state, at=at), Milestone(name="received", state=state, at=at)]
    before = "received"
    for _ in range(rng.randint(0, 14)):
        ways = [(event, to) for (where, event), to in CASE.items() if where == state]
        if not ways:
            break
        event, to = rng.choice(ways)
        to = before if to.startswith("*") else to
        before = state if to in ("quarantined", "awaiting_clinic") else before
        state = to
        at += timedelta(seconds=rng.randint(-300, 7000))
        log.append(Milestone(name=event, state=state, at=at))
    return log


def keep(region: Database, number: int, log: list[Milestone]) -> None:
    case_id = received(region, number=number)
    with region.transaction() as connection:
        connection.execute("DELETE FROM milestone WHERE case_id = %s", (case_id,))
    with region.transaction() as connection:
        for version, entry in enumerate(log):
            cases.add_milestone(
                connection,
                case_id,
                entry.name,
                entry.state,
                version,
                actor="tests",
                happened_at=entry.at,
                clock="tests",
            )
        connection.execute("UPDATE cases SET state = %s WHERE id = %s", (log[-1].state, case_id))


def test_the_legs_of_the_sql_are_the_legs_of_the_domain(database, region):
    rng = random.Random(7)
    logs = [walk(rng) for _ in range(40)]
    with opened(database.owner_url) as owner:
        for number, log in enumerate(logs):
            keep(owner, number, log)
    with region.transaction() as connection:
        found, _ = figures.turnaround(connection, days=30)
        now = figures.now(connection)
    measured = [legs(log, now) for log in logs]
    assert {row["leg"]: row["cases"] for row in found} == {
        leg: n for leg in {k for m in measured for k in m} if (n := sum(leg in m for m in measured))
    }
    for row in found:
        durations = [m[row["leg"]] for m in measured if row["leg"] in m]
        for column, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95)):
            expected = percentile(durations, share)
            assert expected is not None
            assert row[column] == pytest.approx(expected.total_seconds(), abs=2.0), (row["leg"], column)


def test_the_total_is_receipt_to_the_first_returned_report(database, region):
    def at(minutes: int, name: str, state: str) -> Milestone:
        return Milestone(name=name, state=state, at=NOW + timedelta(minutes=minutes))

    way = [at(0, "dropped", "received"), at(1, "received", "received"), at(31, "returned", "returned")]
    again = [at(60, "correction", "reported"), at(90, "returned", "returned")]
    with opened(database.owner_url) as owner:
        keep(owner, 1, way + again)
        keep(owner, 2, way[:2])
    with region.transaction() as connection:
        _, total = figures.turnaround(connection, days=30)
    assert (total["cases"], total["p50"], total["p95"]) == (1, 1800.0, 1800.0)


def use(connection, case_id, station, first, last, images=1):
    connection.execute(
        "INSERT INTO station_use (case_id, clinic, station, modality, first_acquired_at, last_acquired_at, images)"
        " VALUES (%s, 'jiangshan', %s, 'DX', %s, %s, %s)",
        (case_id, station, first, last, images),
    )


def test_time_in_which_two_cases_overlap_on_a_station_counts_once(region):
    ids = [received(region, number=n) for n in range(4)]
    spans = [("09:00", "09:30"), ("09:10", "09:20"), ("09:20", "09:50"), ("11:00", "11:00")]
    with region.transaction() as connection:
        for case_id, (first, last) in zip(ids, spans, strict=True):
            use(connection, case_id, "DX1", f"2026-09-01 {first}", f"2026-09-01 {last}", images=2)
        (row,) = figures.station_use(connection, days=30)
    assert (row["studies"], row["images"], row["seconds"]) == (4, 8, 50 * 60.0)


def test_a_station_without_times_counts_its_images_and_no_hours(region):
    case_id = received(region)
    with region.transaction() as connection:
        use(connection, case_id, "DX1", None, None, images=3)
        (row,) = figures.station_use(connection, days=30)
    assert (row["images"], row["seconds"], row["first"]) == (3, 0.0, None)


def test_states_count_open_cases_alone(region):
    ended, open_ = received(region, number=1), received(region, number=2)
    with region.transaction() as connection:
        cases.move(connection, ended, "cancelled", actor="chen")
        assert figures.states(connection) == [{"state": "received", "cases": 1}]
        assert figures.states(connection, "wuxiang") == []
    assert open_
    assert "cancelled" in CASE_ENDED
