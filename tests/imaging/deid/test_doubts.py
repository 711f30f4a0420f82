"""What a person decides about a doubtful picture: for these bytes and these findings, and for nothing else."""

import hashlib
import io
import pickle

import numpy as np
import pydicom
import pytest
from PIL import Image

from cases.documents import Area, PixelDecision
from cases.errors import Quarantine
from imaging.deid import second_pass
from imaging.deid.dicom import deidentify_file
from imaging.deid.doubts import PixelsDoubtful
from tests.imaging.deid.test_pixels import HEADER, KNOWN, engine, image_file, picture

__all__ = ["engine"]
DATE = [((60, 150), "2019-06-19 10:20")]
NAME = [((60, 150), "MARIA HERNANDEZ")]


@pytest.fixture
def treated(tmp_path, key, engine):
    """`treated(source, decisions)`: the de-identified data set, looked through by the second pass."""

    def treat(source, decisions=()):
        target = tmp_path / "out.dcm"
        target.unlink(missing_ok=True)
        instance = hashlib.sha256(source.read_bytes()).hexdigest()
        decided = {d.instance: tuple(decisions) for d in decisions} or {instance: ()}
        deidentify_file(source, target, key, KNOWN, engine=engine, decided=decided)
        assert second_pass.findings(source, target, KNOWN, key.shift_days) == ()
        return pydicom.dcmread(target)

    return treat


def doubt_about(treated, source, decisions=()):
    with pytest.raises(PixelsDoubtful) as stop:
        treated(source, decisions)
    return stop.value


def decision(doubt, verdict):
    findings = tuple(f for m in doubt.marked for f in m.findings)
    return PixelDecision(instance=doubt.instance, verdict=verdict, findings=findings)


def test_a_doubtful_picture_is_shown_with_what_was_found_marked(tmp_path, treated):
    doubt = doubt_about(treated, image_file(tmp_path / "in.dcm", [picture(NAME)]))
    ((finding,),) = [m.findings for m in doubt.marked]
    assert finding.known
    shown = np.asarray(Image.open(io.BytesIO(doubt.marked[0].png)))
    red = np.argwhere((shown == (255, 40, 40)).all(axis=2))
    area = finding.area
    assert red.min(axis=0).tolist() == [area.top, area.left]
    assert red.max(axis=0).tolist() == [area.bottom - 1, area.right - 1]
    assert (area.left < 60, area.top < 160, area.bottom > 170) == (True, True, True)
    assert "HERNANDEZ" not in str(doubt)


def test_a_doubt_crosses_a_process_border_whole(tmp_path, treated):
    doubt = doubt_about(treated, image_file(tmp_path / "in.dcm", [picture(NAME)]))
    copied = pickle.loads(pickle.dumps(doubt))
    assert (copied.code, copied.detail, copied.instance, copied.marked) == (
        doubt.code, doubt.detail, doubt.instance, doubt.marked,
    )  # fmt: skip


def test_text_that_stands_in_many_frames_is_shown_once(tmp_path, treated):
    doubt = doubt_about(treated, image_file(tmp_path / "in.dcm", [picture(DATE)] * 40))
    ((finding,),) = [m.findings for m in doubt.marked]
    assert (finding.area.first, finding.area.last) == (0, 39)


def test_what_a_person_had_blanked_is_blanked_and_nothing_else(tmp_path, treated):
    scan = picture([*NAME, ((500, 300), "1.06 cm")])
    source = image_file(tmp_path / "in.dcm", [scan])
    doubt = doubt_about(treated, source)
    (area,) = [f.area for m in doubt.marked for f in m.findings]

    after = treated(source, [decision(doubt, "blank")])

    pixels = after.pixel_array.copy()
    held = pixels[area.top : area.bottom, area.left : area.right]
    assert not held.any()
    held[...] = scan[area.top : area.bottom, area.left : area.right]
    assert (pixels == scan).all()
    assert after.BurnedInAnnotation == "NO"


def test_what_a_person_left_stays(tmp_path, treated):
    source = image_file(tmp_path / "in.dcm", [picture(DATE)])
    after = treated(source, [decision(doubt_about(treated, source), "leave")])
    assert after.PixelData == pydicom.dcmread(source).PixelData


def test_a_name_of_this_case_is_never_left(tmp_path, treated):
    source = image_file(tmp_path / "in.dcm", [picture(NAME)])
    leave = decision(doubt_about(treated, source), "leave")
    assert (
        doubt_about(treated, source, [leave]).detail == "text in the picture: a name or number of this case"
    )


def test_a_decision_holds_for_no_other_bytes(tmp_path, treated):
    source = image_file(tmp_path / "in.dcm", [picture(DATE)])
    leave = decision(doubt_about(treated, source), "leave")
    changed = pydicom.dcmread(source)
    changed.SeriesNumber = 2
    changed.save_as(tmp_path / "changed.dcm")
    doubt_about(treated, tmp_path / "changed.dcm", [leave])


def test_a_decision_holds_for_no_other_finding(tmp_path, treated):
    first = image_file(tmp_path / "first.dcm", [picture(DATE)])
    source = image_file(tmp_path / "in.dcm", [picture([*DATE, ((60, 250), "13812345678")])])
    leave = decision(doubt_about(treated, first), "leave")
    instance = hashlib.sha256(source.read_bytes()).hexdigest()
    doubt_about(treated, source, [leave.model_copy(update={"instance": instance})])


def test_a_decision_about_one_frame_holds_for_no_other(tmp_path, treated):
    source = image_file(tmp_path / "in.dcm", [picture([]), picture(DATE), picture(DATE)])
    leave = decision(doubt_about(treated, source), "leave")
    (both,) = leave.findings
    assert (both.area.first, both.area.last) == (1, 2)
    one = both.model_copy(update={"area": both.area.model_copy(update={"last": 1})})
    doubt_about(treated, source, [leave.model_copy(update={"findings": (one,)})])


def test_the_last_decision_about_a_finding_counts(tmp_path, treated):
    source = image_file(tmp_path / "in.dcm", [picture(DATE)])
    doubt = doubt_about(treated, source)
    after = treated(source, [decision(doubt, "leave"), decision(doubt, "blank")])
    assert (after.pixel_array != pydicom.dcmread(source).pixel_array).any()


def test_a_file_that_says_that_it_identifies_passes_once_a_person_found_that_nothing_does(tmp_path, treated):
    source = image_file(tmp_path / "in.dcm", [picture([((500, 300), "1.06 cm")])], BurnedInAnnotation="YES")
    doubt = doubt_about(treated, source)
    assert [f.what for m in doubt.marked for f in m.findings] == ["text that does not identify by itself"]
    after = treated(source, [decision(doubt, "leave")])
    assert (after.BurnedInAnnotation, after.PixelData) == ("NO", pydicom.dcmread(source).PixelData)


def test_a_file_that_says_that_it_identifies_is_shown_with_all_its_text_marked(tmp_path, treated):
    """A name that no list knows may stand beside the date that was recognised."""
    scan = picture([*DATE, ((60, 250), "Ward Seven")])
    said = image_file(tmp_path / "said.dcm", [scan], BurnedInAnnotation="YES")
    doubt = doubt_about(treated, said)
    found = [f.what for m in doubt.marked for f in m.findings]
    assert sorted(found) == ["date", "text that does not identify by itself"]
    assert doubt.detail == "text in the picture: date"
    after = treated(said, [decision(doubt, "blank")])
    assert after.pixel_array.max() <= 90

    silent = doubt_about(treated, image_file(tmp_path / "silent.dcm", [scan]))
    assert [f.what for m in silent.marked for f in m.findings] == ["date"]


def test_where_nothing_was_read_a_person_looks_at_the_whole_picture(tmp_path, treated):
    source = image_file(tmp_path / "in.dcm", [picture([])], BurnedInAnnotation="YES")
    doubt = doubt_about(treated, source)
    assert [f.area for m in doubt.marked for f in m.findings] == [Area(left=0, top=0, right=640, bottom=360)]
    assert treated(source, [decision(doubt, "leave")]).BurnedInAnnotation == "NO"


def test_areas_that_cannot_be_blanked_are_withheld_whoever_decided(tmp_path, treated):
    source = image_file(tmp_path / "in.dcm", [picture(HEADER)])
    odd = pydicom.dcmread(source)
    odd.PhotometricInterpretation = "HSV"
    odd.save_as(source)
    blank = decision(doubt_about(treated, source), "blank")
    with pytest.raises(Quarantine, match="cannot be blanked"):
        treated(source, [blank])


def test_another_text_in_the_same_place_is_shown_and_decided_by_itself(tmp_path, treated):
    """A date on the first pages, another one on the last: each is another text, though both are dates."""
    pages = [picture([((60, 150), date)]) for date in ("2026-01-02", "1958-03-04")]
    source = image_file(tmp_path / "in.dcm", [pages[0]] * 3 + [pages[1]] * 3)
    doubt = doubt_about(treated, source)
    assert len(doubt.marked) == 2
    first = PixelDecision(instance=doubt.instance, verdict="leave", findings=doubt.marked[0].findings)
    assert len(doubt_about(treated, source, [first]).marked) == 2


def test_where_nothing_was_read_a_person_looks_at_every_sheet(tmp_path, treated):
    source = image_file(tmp_path / "in.dcm", [picture([])] * 40, BurnedInAnnotation="YES")
    doubt = doubt_about(treated, source)
    lasting = [(f.area.first, f.area.last) for m in doubt.marked for f in m.findings]
    assert lasting[0][0] == 0
    assert lasting[-1][1] == 39
    assert all(last - first < 16 for first, last in lasting)
