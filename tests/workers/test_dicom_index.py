"""What partners are told of instances: made with the case, theirs with the delivery, gone with the right."""

import io
import json
import zlib
from datetime import UTC, datetime

import pydicom
import pytest

from storage import dicom_instances, dicom_search, readings
from storage.dicom_instances import UnknownInstance
from storage.dicom_search import Wanted
from teledx.samples import orders, studies
from tests.storage.filled import opened
from workers import withdrawal

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def drop(region, *, accession="CT-1", slices=3):
    files = dict(studies.ct_series(PATIENT, slices, station="CT1", at=AT, rows=128))
    lines = [orders.file_line(name, content) for name, content in files.items()]
    region.drop("jiangshan", orders.order("ct", PATIENT, lines, accession_number=accession), files)
    region.settle()


@pytest.fixture
def yinzhou2(region):
    """The database as the partners' gateway sees it for this partner."""
    with opened(region.database.partner_url) as partner:
        yield lambda: partner.transaction(tenant="yinzhou2")


def shown(partner):
    """The instances of the one study that the partner is shown."""
    with partner() as connection:
        (study,) = dicom_search.search(connection, Wanted(level="study"))
        return dicom_instances.instances(connection, study["study_uid"])


def test_what_is_told_of_an_instance_is_what_its_object_at_the_partner_says(region, yinzhou2):
    drop(region)
    instances = shown(yinzhou2)
    assert len(instances) == 3
    for listed in instances:
        with yinzhou2() as connection:
            uids = (listed.study_uid, listed.series_uid, listed.sop_uid)
            (told,) = dicom_instances.instances(connection, *uids)
            ((_, folded),) = dicom_instances.metadata(connection, [told])
        content = region.s3.get("partner-yinzhou2", told.key)
        stored = pydicom.dcmread(io.BytesIO(content))
        assert (told.size, told.sop_uid) == (len(content), stored.SOPInstanceUID)
        assert told.pixels is not None
        frame = region.s3.get("partner-yinzhou2", told.key, told.pixels.value, told.pixels.bits // 8)
        assert frame == stored.PixelData
        metadata = json.loads(zlib.decompress(folded))
        read = pydicom.Dataset.from_json(
            {
                tag: v
                for tag, v in metadata.items()
                if tag not in ("7FE00010", "00083002") and "BulkDataURI" not in v
            }
        )
        assert all(stored[element.tag] == element for element in read)
        assert PATIENT.dicom_name.split("=")[0] not in str(metadata)
        assert metadata["00280303"]["Value"] == ["MODIFIED"]


def test_a_partner_that_declined_is_told_nothing_from_then_on(region, yinzhou2):
    drop(region)
    (study,) = {i.study_uid for i in shown(yinzhou2)}
    item = region.one("SELECT id FROM work_item")
    with region.rows.transaction() as connection:
        readings.claim(connection, item["id"], "lin")
        readings.decline(connection, item["id"], "lin", "not our field")
    with yinzhou2() as connection:
        assert dicom_search.search(connection, Wanted(level="study")) == []
        with pytest.raises(UnknownInstance):
            dicom_instances.instances(connection, study)
    withdrawal.withdraw(region.parts)
    for table in ("dicom_study", "dicom_series", "dicom_instance"):
        assert region.fetch(f"SELECT FROM {table} WHERE partner = 'yinzhou2'") == []


def test_a_released_and_a_signed_reading_leave_the_partner_its_images(region, yinzhou2):
    drop(region)
    item = region.one("SELECT id FROM work_item")
    with region.rows.transaction() as connection:
        readings.claim(connection, item["id"], "lin")
        readings.release(connection, item["id"], "lin", "end of shift")
    assert len(shown(yinzhou2)) == 3
    item = region.one("SELECT id FROM work_item WHERE state = 'SCHEDULED'")
    with region.rows.transaction() as connection:
        readings.complete(connection, readings.claim(connection, item["id"], "lin"))
    assert len(shown(yinzhou2)) == 3
