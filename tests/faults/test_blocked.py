"""A stage that never returns: its worker ends itself, says so, and the case goes on with the next worker."""

from datetime import UTC, datetime

import pytest

from teledx.samples import orders, studies
from teledx.worker import STUCK
from tests.faults.fleet import Fleet, members
from tests.faults.way import MILESTONES
from tests.region import Region
from tests.servers.server import until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def test_a_stage_that_never_returns_ends_its_worker_and_the_case_goes_on(
    database, object_store, leash, tmp_path
):
    region = Region(database, object_store, tmp_path / "scratch")
    fleet = Fleet(region, tmp_path / "fleet", leash)
    try:
        image = studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT)
        order = orders.order("ct", PATIENT, [orders.file_line("a.dcm", image)], accession_number="CT-1")
        region.drop("jiangshan", order, {"a.dcm": image})
        blocked = fleet.worker("blocked", program=("-m", "tests.faults.blocked"))
        group = blocked.pid
        until(lambda: not blocked.running(), seconds=90, what="the end of the blocked worker")
        assert blocked.exit_code() == STUCK
        until(lambda: not members(group), what="the end of its children")
        for said in ("stage_over_time", "worker_stuck"):
            assert said in blocked.log.read_text()
        assert region.one("SELECT state FROM cases")["state"] == "deidentified"
        fleet.worker("good")
        fleet.settle(count=1)
        names = region.fetch("SELECT name FROM milestone ORDER BY id")
        assert tuple(n["name"] for n in names) == MILESTONES
        run = region.one("SELECT attempt, lost FROM stage_run WHERE stage = 'route'")
        assert run == {"attempt": 2, "lost": 1}
    finally:
        fleet.close()
        region.close()
