"""A picture that may identify: kept in the region with what was found marked, and what a person decides about it."""

import io
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest
import skimage.data
import tifffile
from PIL import Image, ImageDraw

from cases.documents import Deidentified
from cases.errors import NotAllowed
from storage import audit, cases, listing, pictures, quarantine, transition
from storage.accounts import Principal
from teledx.samples import orders, studies
from tests.imaging.deid.test_pixels import picture
from tests.imaging.slides.conftest import NUMBER
from workers import deidentify

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
DATE = [((60, 150), "2019-06-19 10:20")]
NAME = [((60, 150), PATIENT.name), ((60, 250), "1.06 cm")]
YU = Principal(account="yu", role="operator", organisation="yinzhou2")
FANG = Principal(account="fang", role="operator", organisation="yinzhou2")


def ultrasound(scan):
    return studies.single(
        "US1_UNCR.dcm", PATIENT, station="US1", at=AT, Rows=scan.shape[0], Columns=scan.shape[1],
        PixelData=scan.tobytes(), PlanarConfiguration=0, SamplesPerPixel=3, PhotometricInterpretation="RGB",
    )  # fmt: skip


def dropped(region, *scans):
    """An ultrasound case of these pictures, worked until it comes to rest; its id."""
    files = {f"{number}.dcm": ultrasound(scan) for number, scan in enumerate(scans, 1)}
    lines = [orders.file_line(name, content) for name, content in files.items()]
    region.drop("jiangshan", orders.order("ultrasound", PATIENT, lines, accession_number="US-1"), files)
    region.settle()
    return region.one("SELECT id FROM cases")["id"]


def dropped_slide(region, folder, text):
    """A case of one slide on whose glass `text` is written, worked until it comes to rest; its id."""
    tissue = Image.fromarray(np.tile(skimage.data.immunohistochemistry(), (4, 4, 1)))
    ImageDraw.Draw(tissue).text((200, 120), text, fill=(20, 20, 40), font_size=180)
    with tifffile.TiffWriter(folder / "a.tiff") as writer:
        for reduced in (1, 2, 4):
            level = np.asarray(tissue.resize((tissue.width // reduced, tissue.height // reduced)))
            writer.write(
                level, tile=(256, 256), compression="jpeg", photometric="rgb", metadata=None,
                subfiletype=reduced > 1, resolution=(20_000 / reduced,) * 2, resolutionunit=3,
            )  # fmt: skip
    files = {"a.tiff": (folder / "a.tiff").read_bytes()}
    line = orders.slide_line("a.tiff", pathology_number=NUMBER, block="A1", stain="HE")
    lines = [orders.file_line(name, content) for name, content in files.items()]
    order = orders.order("histology", PATIENT, lines, accession_number="S-1", slides=[line])
    region.drop("jiangshan", order, files)
    region.settle()
    case_id = region.one("SELECT id FROM cases")["id"]
    with region.rows.transaction() as connection:
        connection.execute(
            "INSERT INTO vault.label_answer (case_id, number, confirmed, account) VALUES (%s, 1, true, 'chen')",
            (case_id,),
        )
        case = cases.move(connection, case_id, "answered", actor="chen")
        transition.next_run(connection, case, "preprocess")
    region.settle()
    return case_id


def held(region, case_id):
    """The marked pictures, after it is certain that the case waits for somebody to look at them."""
    with region.rows.transaction() as connection:
        case = cases.get(connection, case_id)
        assert (case.state, case.reason_code) == ("quarantined", "pixels-doubtful"), case
        return pictures.to_look_at(connection, case)


def look(region, case_id, who=YU):
    """What the gateway keeps when it shows each picture."""
    for each in held(region, case_id):
        with region.rows.transaction() as connection:
            audit.record(connection, who, "quarantine.see", case_id, note=pictures.looked_at(each))


def released(region, case_id, verdict, who=YU):
    with region.rows.transaction() as connection:
        quarantine.release(connection, case_id, who, "I looked at it", verdict)
    region.settle()
    return region.one("SELECT state FROM cases WHERE id = %s", case_id)["state"]


def outside(region):
    """The pixels of what arrived at the partner."""
    arrived = [f for f in region.s3.listing("partner-yinzhou2", "") if f.key.endswith(".dcm")]
    return [
        pydicom.dcmread(io.BytesIO(region.s3.get("partner-yinzhou2", f.key))).pixel_array for f in arrived
    ]


def test_the_marked_picture_is_kept_in_the_region_alone_and_nothing_of_the_case_leaves(region):
    case_id = dropped(region, picture([]), picture(NAME))
    (found,) = held(region, case_id)
    assert found.stored.zone == "identified"
    content = region.s3.get("identified", found.stored.key)
    assert Image.open(io.BytesIO(content)).size == (640, 360)
    assert [f.known for f in found.findings] == [True]
    detail = region.one("SELECT reason_detail FROM cases")["reason_detail"]
    assert detail == "1 of 2 images: text in the picture: a name or number of this case; name"
    assert outside(region) == []


def test_what_a_person_had_blanked_reaches_the_reader_blanked_and_hatched_on_the_preview(region):
    scan = picture(NAME)
    case_id = dropped(region, scan)
    look(region, case_id)
    ((area,),) = [[f.area for f in p.findings] for p in held(region, case_id)]

    assert released(region, case_id, "blank") == "delivered"

    (arrived,) = outside(region)
    changed = np.argwhere((arrived != scan).any(axis=2))
    assert not arrived[area.top : area.bottom, area.left : area.right].any()
    assert changed.min(axis=0).tolist() >= [area.top, area.left]
    assert changed.max(axis=0).tolist() < [area.bottom, area.right]
    with region.rows.transaction() as connection:
        document = Deidentified.model_validate(cases.documents(connection, case_id)["deidentify"])
        told = [row["name"] for row in listing.milestones(connection, case_id)]
    assert [b.areas for b in document.blanked] == [(area,)]
    assert document.brief.blanked_instances == 1
    assert told[told.index("quarantined") :][:3] == ["quarantined", "pixels_blanked", "replayed"]
    (preview,) = [region.s3.get(p.zone, p.key) for p in document.previews]
    scale = 512 / 640
    shown = np.asarray(Image.open(io.BytesIO(preview)).convert("L"))
    hatched = shown[
        int(area.top * scale) + 2 : int(area.bottom * scale) - 2,
        int(area.left * scale) + 2 : int(area.right * scale) - 2,
    ]
    assert (hatched.min() < 90, hatched.max() > 140) == (True, True)


def test_what_a_person_left_reaches_the_reader_as_it_is(region):
    scan = picture(DATE)
    case_id = dropped(region, scan)
    look(region, case_id)
    assert released(region, case_id, "leave") == "delivered"
    (arrived,) = outside(region)
    assert (arrived == scan).all()
    row = region.one("SELECT case_id, verdict, account, why FROM vault.pixel_decision")
    assert row == {"case_id": case_id, "verdict": "leave", "account": "yu", "why": "I looked at it"}
    noted = region.one("SELECT note FROM audit_log WHERE action = 'quarantine.release'")
    assert noted["note"] == "leave pictures: 1"


def test_more_pictures_than_a_person_can_look_at_are_withheld_without_them(region, monkeypatch):
    monkeypatch.setattr(deidentify, "LOOKED_AT_MAX", 1)
    case_id = dropped(region, picture(DATE), picture(NAME))
    assert held(region, case_id) == ()


def test_what_is_written_on_a_slide_reaches_the_reader_once_a_person_left_it(region, tmp_path):
    case_id = dropped_slide(region, tmp_path, "WARD SEVEN")
    (found,) = held(region, case_id)
    (finding,) = found.findings
    assert (found.stored.zone, finding.known) == ("identified", False)
    shown = np.asarray(Image.open(io.BytesIO(region.s3.get("identified", found.stored.key))))
    red = np.argwhere((shown == (255, 40, 40)).all(axis=2))
    area, scale = finding.area, 4 * 512 / 1024
    assert red.min(axis=0).tolist() == [area.top, area.left]
    assert (area.left * scale < 220, area.top * scale < 200, area.bottom * scale > 250) == (True, True, True)
    detail = region.one("SELECT reason_detail FROM cases")["reason_detail"]
    assert detail == "1 of 1 images: 9 characters are written on the slide"
    assert list(region.s3.listing("deidentified", case_id)) == []
    look(region, case_id)

    assert released(region, case_id, "leave") == "delivered"


def test_what_is_written_on_a_slide_cannot_be_blanked(region, tmp_path):
    case_id = dropped_slide(region, tmp_path, "WARD SEVEN")
    look(region, case_id)
    assert released(region, case_id, "blank") == "quarantined"
    detail = region.one("SELECT reason_detail FROM cases")["reason_detail"]
    assert detail.endswith("; writing on a slide cannot be blanked")
    assert len(held(region, case_id)) == 1


def test_a_number_of_the_case_on_a_slide_is_never_left(region, tmp_path):
    case_id = dropped_slide(region, tmp_path, NUMBER)
    look(region, case_id)
    with pytest.raises(NotAllowed, match="never left"):
        released(region, case_id, "leave")


def test_a_release_without_a_decision_looks_again_and_sets_aside_again(region):
    case_id = dropped(region, picture(DATE))
    assert released(region, case_id, None) == "quarantined"
    assert len(held(region, case_id)) == 1


@pytest.mark.parametrize(
    ("text", "verdict", "looks", "said"),
    [
        (DATE, "leave", None, "look at every picture first"),
        (DATE, "blank", FANG, "look at every picture first"),
        (NAME, "leave", YU, "it can be blanked, never left"),
    ],
)
def test_a_decision_that_may_not_be_is_refused(text, verdict, looks, said, region):
    case_id = dropped(region, picture(text))
    if looks:
        look(region, case_id, looks)
    with pytest.raises(NotAllowed, match=said):
        released(region, case_id, verdict)
    assert region.fetch("SELECT * FROM vault.pixel_decision") == []
    assert len(held(region, case_id)) == 1
