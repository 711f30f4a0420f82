"""Figures as managers and clinics see them over HTTP."""

import pytest

from tests.storage.filled import delivered, received, returned, set_aside, signed


@pytest.fixture
def busy(region):
    """Two clinics: one case returned in time, one open and overdue, one quarantined, one just received."""
    back = delivered(region, "jiangshan", 1)
    signed(region, back)
    returned(region, back)
    late = delivered(region, "jiangshan", 2, priority="stat")
    set_aside(region, received(region, "wuxiang", 3))
    received(region, "wuxiang", 4)
    return {"back": back, "late": late}


def test_turnaround_names_each_leg_in_both_languages_and_counts_its_cases(busy, at_region):
    told = at_region("fang").get("/api/figures/turnaround").raise_for_status().json()
    found = {leg["leg"]: leg for leg in told["legs"]}
    assert found["preprocess"]["cases"] == 4
    assert (found["reading"]["cases"], found["reading"]["name_zh"], found["reading"]["whose"]) == (
        1,
        "阅片",
        "partner",
    )
    assert told["total"]["cases"] == 1
    assert 0 < told["total"]["p50"] <= told["total"]["p95"]
    narrowed = at_region("fang").get("/api/figures/turnaround", params={"service": "ct"}).json()
    assert (narrowed["legs"], narrowed["total"]["cases"]) == ([], 0)


def test_backlog_counts_lanes_partners_and_states(busy, at_region):
    told = at_region("fang").get("/api/figures/backlog").json()
    assert [(x["lane"], x["waiting"], x["running"]) for x in told["lanes"]] == [("dicom.standard", 1, 0)]
    (partner,) = told["partners"]
    assert (partner["partner"], partner["waiting"], partner["in_reading"]) == ("yinzhou2", 1, 0)
    assert partner["name_zh"]
    assert {x["state"]: x["cases"] for x in told["states"]} == {
        "delivered": 1, "quarantined": 1, "received": 1, "returned": 1,
    }  # fmt: skip


def test_an_open_case_whose_time_is_up_is_a_breach_before_it_ends(busy, at_region, database):
    """The stat X-ray has 30 minutes from its receipt; it was received an hour ago."""
    from tests.storage.filled import opened

    with opened(database.owner_url) as owner, owner.transaction() as connection:
        connection.execute(
            "UPDATE milestone SET happened_at = happened_at - interval '1 hour' WHERE case_id = %s",
            (busy["late"],),
        )
    told = at_region("fang").get("/api/figures/breaches").json()["services"]
    stat = next(x for x in told if x["priority"] == "stat")
    assert (stat["service"], stat["target_seconds"], stat["working"]) == ("xray", 1800.0, False)
    assert (stat["cases"], stat["in_time"], stat["breached"], stat["open_overdue"]) == (1, 0, 1, 1)
    routine = next(x for x in told if x["priority"] == "routine")
    assert (routine["cases"], routine["breached"], routine["working"]) == (3, 0, True)
    assert routine["in_time"] == 1, "the one that came back; two are open and have time left"


def test_equipment_shows_every_station_with_its_use_against_its_staffed_hours(busy, at_region):
    told = at_region("fang").get("/api/figures/equipment").json()["stations"]
    used = [s for s in told if s["images"]]
    assert sum(s["studies"] for s in used) == 2
    assert sum(s["images"] for s in used) == 4
    idle = [s for s in told if not s["images"]]
    assert idle
    assert all(s["staffed_hours"] > 0 and s["utilisation"] == 0 for s in idle)
    (station,) = used
    assert station["hours_used"] == pytest.approx(1 / 6, abs=0.001)


def test_a_clinic_sees_its_own_figures_and_nothing_of_others(busy, at_region):
    zhou = at_region("zhou")
    backlog = zhou.get("/api/figures/backlog").json()
    assert (backlog["lanes"], backlog["partners"]) == ([], [])
    assert {x["state"]: x["cases"] for x in backlog["states"]} == {"quarantined": 1, "received": 1}
    legs = {x["leg"]: x["cases"] for x in zhou.get("/api/figures/turnaround").json()["legs"]}
    assert legs["preprocess"] == 2
    assert "reading" not in legs
    assert sum(x["cases"] for x in zhou.get("/api/figures/breaches").json()["services"]) == 2
    assert {s["clinic"] for s in zhou.get("/api/figures/equipment").json()["stations"]} <= {"wuxiang"}


@pytest.mark.parametrize("days", ["0", "367", "x"])
def test_days_out_of_range_are_refused(at_region, days):
    assert at_region("fang").get("/api/figures/turnaround", params={"days": days}).status_code == 422
