"""A partner keeps nothing of a case that it gave back."""

from datetime import UTC, datetime

from storage import readings
from teledx.samples import orders, studies
from workers import withdrawal

PATIENT = orders.PATIENTS[0]


def test_what_a_partner_declined_is_taken_out_of_its_bucket(region):
    image = studies.single("CT_small.dcm", PATIENT, station="CT1", at=datetime(2026, 11, 20, tzinfo=UTC))
    order = orders.order("ct", PATIENT, [orders.file_line("a.dcm", image)], accession_number="CT-1")
    region.drop("jiangshan", order, {"a.dcm": image})
    region.settle()
    assert list(region.s3.listing("partner-yinzhou2", "")), "delivered"
    assert withdrawal.withdraw(region.parts) == 0, "what is being read stays"
    item = region.one("SELECT id FROM work_item")
    with region.rows.transaction() as connection:
        readings.claim(connection, item["id"], "lin")
        readings.decline(connection, item["id"], "lin", "not our field")
    assert withdrawal.withdraw(region.parts) == 1
    assert list(region.s3.listing("partner-yinzhou2", "")) == []
    assert region.fetch("SELECT FROM partner_object") == []
    assert withdrawal.withdraw(region.parts) == 0
