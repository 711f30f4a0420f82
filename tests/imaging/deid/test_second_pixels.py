"""The second look at pictures that would leave, whatever the first made of them."""

import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from cases.documents import Area
from cases.errors import Quarantine
from imaging.deid import second_pixels
from imaging.deid.second_reader import take_apart
from imaging.ocr import Engine
from tests.imaging.deid.conftest import sample
from tests.imaging.deid.test_pixels import KNOWN, engine, image_file, picture

__all__ = ["engine"]


class NoEngine(Engine):
    """Nothing is to be read."""

    def read(self, image, *, least_confidence=0.5):
        pytest.fail("a picture from a detector was read")


def looked_at(output, engine, blanked=()):
    body = take_apart(memoryview(output.read_bytes()), frozenset())
    second_pixels.check(output, body, body, engine, KNOWN, blanked)


@pytest.mark.parametrize("text", ["王小明", "HERNANDEZ, MARIA", "ID: MR-00123", "WANG XIAOMING"])
def test_a_name_or_number_of_the_case_in_a_picture_does_not_pass(text, tmp_path, engine):
    output = image_file(tmp_path / "out.dcm", [picture([((60, 150), text)])])
    with pytest.raises(Quarantine, match="identity-left") as stop:
        looked_at(output, engine)
    assert text not in str(stop.value)


def test_what_a_person_left_passes(tmp_path, engine):
    output = image_file(
        tmp_path / "out.dcm", [picture([((60, 150), "2019-06-19"), ((300, 300), "DIST 1.06 cm")])]
    )
    looked_at(output, engine)


def test_an_area_that_was_to_be_blanked_and_is_not_does_not_pass(tmp_path, engine):
    blank, written = picture([]), picture([((10, 5), "1.06 cm")])
    area = Area(left=0, top=0, right=640, bottom=40, last=1)
    output = image_file(tmp_path / "out.dcm", [blank, blank])
    looked_at(output, engine, [area])
    left = image_file(tmp_path / "left.dcm", [blank, written])
    with pytest.raises(Quarantine, match="is not"):
        looked_at(left, engine, [area])


def test_pictures_from_a_detector_are_not_read_and_captures_of_them_are(tmp_path, engine):
    looked_at(sample("CT_small.dcm"), NoEngine())
    capture = image_file(
        tmp_path / "out.dcm", [picture([((60, 150), "MARIA HERNANDEZ")], colour=False)],
        sop_class=SecondaryCaptureImageStorage, modality="CT",
    )  # fmt: skip
    with pytest.raises(Quarantine, match="identity-left"):
        looked_at(capture, engine)
