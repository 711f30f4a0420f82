"""What the relay wakes, and in which order: by priority, then fairly across clinics, then by age, within a window."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from cases.stages import LANES
from storage import circuits, runs


def add(
    rows,
    case_id,
    *,
    clinic="a",
    priority="routine",
    stage="preprocess",
    family="dicom",
    partner=None,
    delay=0,
    version=1,
):
    with rows.transaction() as connection:
        runs.add(
            connection, case_id=case_id, stage=stage, case_version=version, family=family, priority=priority,
            clinic=clinic, partner=partner, delay=delay,
        )  # fmt: skip


def pick(rows, window=100, lanes=LANES):
    with rows.transaction() as connection:
        return [w.case_id for w in runs.pick(connection, lanes=lanes, window=window, relay="r")]


def test_a_stat_case_is_woken_before_an_older_backlog(rows):
    for number in range(50):
        add(rows, f"routine-{number}")
    add(rows, "stat", priority="stat")
    assert pick(rows)[0] == "stat"


def test_urgent_is_woken_before_routine_in_the_same_lane(rows):
    add(rows, "routine")
    add(rows, "urgent", priority="urgent")
    assert pick(rows, window=1) == ["urgent"]


def test_two_flooding_clinics_do_not_hold_up_a_third_ones_single_case(rows):
    for number in range(40):
        add(rows, f"a-{number}", clinic="a")
        add(rows, f"b-{number}", clinic="b")
    add(rows, "c-0", clinic="c")
    assert "c-0" in pick(rows, window=3)


def test_runs_in_flight_count_against_their_clinics_turn(rows):
    for number in range(4):
        add(rows, f"a-{number}", clinic="a")
    assert len(pick(rows, window=4)) == 4
    add(rows, "a-late", clinic="a")
    add(rows, "b-0", clinic="b")
    assert pick(rows, window=5) == ["b-0"]


def test_a_clinic_first_gets_its_receipts_and_then_what_has_begun_ends_before_more_begins(rows):
    add(rows, "next")
    add(rows, "begun", stage="deidentify", version=2)
    add(rows, "dropped", stage="receive", version=0)
    assert pick(rows) == ["dropped", "begun", "next"]


def test_at_most_a_window_is_in_flight_in_each_lane(rows):
    for number in range(10):
        add(rows, f"d-{number}", family="dicom")
        add(rows, f"s-{number}", family="slides")
    assert len(pick(rows, window=3)) == 6
    assert pick(rows, window=3) == []


def test_a_run_waits_for_its_time(rows):
    add(rows, "later", delay=3600)
    assert pick(rows) == []


def test_racing_relays_wake_each_run_once(rows):
    for number in range(60):
        add(rows, f"case-{number}")
    with ThreadPoolExecutor(6) as pool:
        woken = [case for found in pool.map(lambda _: pick(rows, window=20), range(12)) for case in found]
    assert len(woken) == len(set(woken)) == 20


def test_a_partner_that_is_down_delays_its_own_deliveries_alone(rows):
    for number in range(5):
        add(rows, f"down-{number}", stage="deliver", partner="beijing")
    add(rows, "well", stage="deliver", partner="shanghai")
    with rows.transaction() as connection:
        circuits.record_failure(connection, "beijing", "no route")
    assert pick(rows) == ["well"]


def test_a_partner_that_may_be_back_is_tried_with_two_deliveries(rows):
    for number in range(5):
        add(rows, f"down-{number}", stage="deliver", partner="beijing")
    with rows.transaction() as connection:
        circuits.record_failure(connection, "beijing", "no route")
        connection.execute("UPDATE partner_circuit SET open_until = clock_timestamp()")
    assert len(pick(rows)) == 2
    assert pick(rows) == []


def test_only_one_worker_claims_a_run(rows):
    add(rows, "case")
    with ThreadPoolExecutor(8) as pool:
        claimed = list(
            pool.map(
                lambda n: runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner=f"w{n}"),
                range(16),
            )
        )
    assert sum(run is not None for run in claimed) == 1


def test_a_lapsed_lease_frees_the_run_and_counts_the_loss(rows):
    add(rows, "case")
    runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner="dead")
    with rows.transaction() as connection:
        assert runs.reclaim(connection, lease=60) == (0, ())
        freed, poisoned = runs.reclaim(connection, lease=-1)
    assert (freed, poisoned) == (1, ())
    again = runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner="alive")
    assert again is not None
    assert (again.attempt, again.lost) == (2, 1)


def test_a_wake_up_that_nobody_heard_is_sent_again(rows):
    add(rows, "case")
    assert pick(rows) == ["case"]
    assert pick(rows) == []
    with rows.transaction() as connection:
        runs.reclaim(connection, lease=-1)
    assert pick(rows) == ["case"]


def test_the_third_lost_worker_poisons_the_run(rows):
    add(rows, "case")
    for number in range(3):
        assert runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner=f"w{number}")
        with rows.transaction() as connection:
            _, poisoned = runs.reclaim(connection, lease=-1)
    assert [run.case_id for run in poisoned] == ["case"]


def lose_the_worker(rows, owner):
    run = runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner=owner)
    assert run is not None
    with rows.transaction() as connection:
        connection.execute("UPDATE stage_run SET heartbeat_at = clock_timestamp() - interval '2 minutes'")
        runs.reclaim(connection, lease=60)
        return connection.execute(
            "SELECT lost, not_before - clock_timestamp() AS waits FROM stage_run"
        ).fetchone()


def test_a_run_goes_apart_from_others_for_its_last_attempt(rows):
    """It may only have stood beside the run that kills its worker."""
    add(rows, "case")
    after = lose_the_worker(rows, "first")
    assert after["lost"] == 1
    assert after["waits"] <= timedelta(0)
    after = lose_the_worker(rows, "second")
    assert after["lost"] == 2
    assert timedelta(0) < after["waits"] <= timedelta(seconds=60)


def test_a_run_that_comes_forward_is_not_taken_for_the_one_that_kills_its_workers(rows):
    add(rows, "case")
    lose_the_worker(rows, "first")
    run = runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner="second")
    assert run is not None
    runs.mark_progress(rows, run, ["file 1"])
    with rows.transaction() as connection:
        assert connection.execute("SELECT lost FROM stage_run").fetchone() == {"lost": 0}


def test_what_another_owner_holds_cannot_be_ended_or_put_back(rows):
    add(rows, "case")
    first = runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner="first")
    with rows.transaction() as connection:
        runs.reclaim(connection, lease=-1)
    second = runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner="second")
    assert first is not None
    assert second is not None
    with rows.transaction() as connection:
        assert not runs.end(connection, first, "done")
        runs.put_back(connection, first, delay=0, error="late", forgive=False)
    assert runs.beat(rows, [(first.id, first.owner)]) == frozenset()
    assert runs.beat(rows, [(second.id, second.owner)]) == {second.id}


def test_a_stale_attempt_does_not_own_what_the_same_process_claimed_again(rows):
    add(rows, "case")
    stale = runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner="one-process")
    with rows.transaction() as connection:
        runs.reclaim(connection, lease=-1)
    fresh = runs.claim(rows, case_id="case", stage="preprocess", case_version=1, owner="one-process")
    assert stale is not None
    assert fresh is not None
    with rows.transaction() as connection:
        assert not runs.end(connection, stale, "done")
        assert runs.end(connection, fresh, "done")
