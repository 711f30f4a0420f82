"""Every option of PS3.15 E.3 does what its column says, is named in the output, and passes the second look."""

from __future__ import annotations

import copy
import struct

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes

from imaging.deid import graphics, private, second_pass
from imaging.deid.dicom import deidentify_dataset, deidentify_file, transform
from imaging.deid.elements import Element, Reader, Writer
from imaging.deid.known import KnownIdentity
from imaging.deid.profiles import OPTIONS, profile, table
from imaging.ocr import Engine
from tests.imaging.deid.conftest import (
    CANARIES,
    CANARY_TEXT,
    EXPLICIT,
    identified,
    nested,
    part10_bytes,
    sample,
)

NOBODY = KnownIdentity()
EACH = ["basic", "network", *(f"basic+{o.column}" for o in OPTIONS)]


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture
def ct():
    return pydicom.dcmread(sample("CT_small.dcm"))


def both_passes(elements, chosen, tmp_path, key, known=NOBODY, **more):
    """The elements as they come out, and what the second pass finds in them."""
    source, output = tmp_path / "in.dcm", tmp_path / "out.dcm"
    source.write_bytes(part10_bytes(elements))
    elements = Reader(memoryview(source.read_bytes()), len(part10_bytes([])), EXPLICIT).read()
    transform(elements, key, known, profile(chosen), **more)
    output.write_bytes(
        part10_bytes(
            elements, next((bytes(e.value).decode() for e in elements if e.tag == 0x80018), "2.25.7")
        )
    )
    return elements, second_pass.findings(source, output, known, key.shift_days, chosen)


def test_every_column_of_the_table_is_an_option_but_the_one_that_is_refused():
    columns = {c for row in table() for c in row.actions} - {"basic"}
    assert columns <= {o.column for o in OPTIONS}
    assert {o.column for o in OPTIONS} - columns == {"clean-pixel-data"}
    with pytest.raises(ValueError, match="refused"):
        profile("basic+clean-recognizable-visual-features")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("full", "no profile"),
        ("basic+retain", "no option"),
        ("basic+retain-longitudinal-full-dates+retain-longitudinal-modified-dates", "either"),
        ("network+retain-longitudinal-full-dates", "either"),
        ("", "no profile"),
        ("basic+", "no option"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused_by_name(name, why):
    with pytest.raises(ValueError, match=why):
        profile(name)


def test_the_codes_are_those_of_the_standard():
    known = {c.value: c.meaning for name in codes.cid7050.dir() if (c := getattr(codes.cid7050, name))}
    for option in OPTIONS:
        assert known[option.code] == option.meaning


@pytest.mark.parametrize("name", EACH)
def test_no_canary_comes_out_under_any_profile_and_the_second_pass_is_silent(name, tmp_path, key, known):
    elements = [*identified(), *nested(3, identified())]
    elements.append(Element(0x00111001, "SQ", b"", [identified()]))
    elements.sort(key=lambda e: e.tag)

    after, found = both_passes(elements, name, tmp_path, key, known)

    raw = b"".join(Writer(EXPLICIT).chunks(after))
    kept = {
        "retain-uids": (b"1.2.3.999.",),
        "retain-device-identity": (b"1.2.3.999.", b"CANARYSON", b"19510203"),
    }
    allowed = kept.get(name.partition("+")[2], ())
    if "full-dates" in name:
        allowed = (b"19510203",)
    assert [c for c in CANARIES if c in raw and c not in allowed] == []
    assert found == ()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: o.column)
def test_each_column_is_carried_out_where_it_says_keep(option, key):
    tags = {int(r.tag, 16) for r in table() if r.actions.get(option.column) == "K" and len(r.tag) == 8}
    rules = profile(f"basic+{option.column}").rules
    assert {rules[t].value for t in tags} <= {"K"}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("", "REMOVED"),
        ("+retain-longitudinal-full-dates", "UNMODIFIED"),
        ("+retain-longitudinal-modified-dates", "MODIFIED"),
    ],
)
def test_the_output_says_what_became_of_dates(option, said, ct, key):
    ct.StudyDate = "20240301"
    after = deidentify_dataset(ct, key, NOBODY, f"basic{option}")
    assert after.LongitudinalTemporalInformationModified == said
    assert after.StudyDate == {"REMOVED": "", "UNMODIFIED": "20240301", "MODIFIED": "20231122"}[said]


def test_what_an_option_retains_is_there_and_nothing_beside_it(ct, key, tmp_path):
    ct.InstitutionName, ct.InstitutionAddress = "Saint Elsewhere Hospital", "1 Harbour Road"
    ct.StationName, ct.DeviceSerialNumber = "CT-ROOM-4", "SN-778899"
    chosen = "basic+retain-institution-identity+retain-device-identity+retain-uids"
    source = tmp_path / "in.dcm"
    ct.save_as(source, enforce_file_format=True)

    deidentify_file(source, tmp_path / "out.dcm", key, NOBODY, chosen)

    after = pydicom.dcmread(tmp_path / "out.dcm")
    assert (after.InstitutionName, after.InstitutionAddress) == ("Saint Elsewhere Hospital", "1 Harbour Road")
    assert (after.StationName, after.DeviceSerialNumber) == ("CT-ROOM-4", "SN-778899")
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID == ct.SOPInstanceUID
    assert after.PatientName == after.PatientID == "" or after.PatientID == "REMOVED"
    assert "StudyDescription" not in after
    assert second_pass.findings(source, tmp_path / "out.dcm", NOBODY, key.shift_days, chosen) == ()
    assert second_pass.findings(source, tmp_path / "out.dcm", NOBODY, key.shift_days, "basic") != ()


# --- Retain Safe Private


def block(creator: bytes, *inside: Element, group: int = 0x0019) -> list[Element]:
    return [Element(group << 16 | 0x0010, "LO", creator), *inside]


SIEMENS = block(
    b"SIEMENS MR HEADER ",
    Element(0x00191008, "CS", b"IMAGE NUM 4 "),
    Element(0x0019100C, "IS", b"1000"),
    Element(0x0019100D, "CS", b"DIRECTIONAL "),
    Element(0x0019100E, "FD", struct.pack("<3d", 1, 0, 0)),
)


# a value of each form that a row may have; text otherwise
SAFE_VALUES = {
    "AT": bytes(4), "DS": b"1.5 ", "IS": b"12", "UI": b"1.2.3.999.5\0", "FD": bytes(8), "FL": bytes(4), "SL": bytes(4),
    "UL": bytes(4), "SS": bytes(2), "US": bytes(2),
}  # fmt: skip


def image(*more: Element) -> list[Element]:
    elements = [
        Element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.4"),
        Element(0x00080018, "UI", b"1.2.3.999.5"),
        Element(0x00100010, "PN", b"Canaryson^Maria"),
        *more,
    ]
    return sorted(elements, key=lambda e: e.tag)


def private_of(elements):
    return {e.tag: bytes(e.value) for e in elements if e.private}


@pytest.mark.parametrize("depth", [0, 2])
def test_safe_private_attributes_stay_with_their_creator_and_no_others(depth, tmp_path, key):
    after, found = both_passes(image(*nested(depth, SIEMENS)), "network", tmp_path, key)
    level = after
    for _ in range(depth):
        level = next(e for e in level if e.tag == 0x00081115).items[0]
    assert sorted(private_of(level)) == [0x00190010, 0x0019100C, 0x0019100D, 0x0019100E]
    assert found == ()


@pytest.mark.parametrize(
    "elements",
    [
        block(b"SOMEBODY ELSE ", Element(0x0019100C, "IS", b"1000")),
        block(b"SIEMENS MR HEADER ", Element(0x00191008, "CS", b"IMAGE NUM 4 ")),
        block(b"SIEMENS MR HEADER ", Element(0x0019100C, "LO", b"Canaryson")),
        block(b"SIEMENS MR HEADER ", Element(0x0019100C, "IS", b"Canaryson ")),
        block(b"SIEMENS MR HEADER ", Element(0x0019100D, "CS", b"Maria Canaryson ")),
        block(b"SIEMENS MR HEADER ", Element(0x0019100E, "FD", b"Canaryson ")),
        [Element(0x0019100C, "IS", b"1000")],
    ],
    ids=["creator", "element", "vr", "number", "term", "length", "no-creator"],
)
def test_what_is_not_exactly_in_the_list_of_safe_ones_goes(elements, tmp_path, key):
    after, found = both_passes(image(*elements), "network", tmp_path, key)
    assert private_of(after) == {}
    assert found == ()


def test_without_the_option_all_private_attributes_go(tmp_path, key):
    after, found = both_passes(image(*SIEMENS), "basic", tmp_path, key)
    assert private_of(after) == {}
    assert found == ()


def test_the_second_pass_catches_a_private_attribute_beside_safe_ones(tmp_path, key):
    elements = image(*SIEMENS)
    source, output = tmp_path / "in.dcm", tmp_path / "out.dcm"
    source.write_bytes(part10_bytes(elements))
    treated = Reader(memoryview(source.read_bytes()), len(part10_bytes([])), EXPLICIT).read()
    transform(treated, key, NOBODY, profile("network"))
    for extra in (
        SIEMENS[1],
        Element(0x00190011, "LO", b"SIEMENS MR HEADER "),
        Element(0x0019110C, "IS", b"1"),
    ):
        left = sorted([*treated, extra], key=lambda e: e.tag)
        output.write_bytes(part10_bytes(left, "2.25.7"))
        found = second_pass.findings(source, output, NOBODY, key.shift_days)
        assert [f.what for f in found] == ["a private attribute"], extra.tag


def test_a_private_uid_is_replaced_as_all_others_are(tmp_path, key):
    elements = block(b"NQHeader", Element(0x00991002, "UI", b"1.2.3.999.5"), group=0x0099)
    after, found = both_passes(image(*elements), "network", tmp_path, key)
    assert private_of(after)[0x00991002] == next(bytes(e.value) for e in after if e.tag == 0x00080018)
    assert found == ()


def test_the_list_of_safe_private_attributes_holds_nothing_opaque():
    assert len(private.table()) == 399
    assert set(private.table().values()) <= {
        "AT", "CS", "DS", "FD", "FL", "IS", "LO", "LT", "SH", "SL", "SS", "ST", "UI", "UL", "US",
    }  # fmt: skip


@pytest.mark.parametrize("creator", sorted({creator for creator, _, _ in private.table()}))
def test_every_row_of_the_list_stays_under_its_creator_and_under_no_other(creator, tmp_path, key):
    rows = {(group, number): vr for (owner, group, number), vr in private.table().items() if owner == creator}
    inside = [
        Element(group << 16 | 0x1000 | number, vr, SAFE_VALUES.get(vr, b"PLAIN "))
        for (group, number), vr in rows.items()
    ]
    for owner, left in ((creator, len(rows)), ("Maria Canaryson", 0)):
        raw = owner.encode() + b" " * (len(owner) & 1)
        owners = [Element(group << 16 | 0x0010, "LO", raw) for group in {g for g, _ in rows}]
        after, found = both_passes(image(*owners, *map(copy.copy, inside)), "network", tmp_path, key)
        assert len([t for t in private_of(after) if t & 0xFF00]) == left
        assert found == ()


@pytest.mark.parametrize("creator", sorted({creator for creator, _, _ in private.table()}))
def test_no_canary_comes_out_of_a_safe_private_attribute(creator, tmp_path, key, known):
    said = {"CS": b"CANARYSON MARIA ", "UI": b"1.2.3.999.5\0", "DS": b"Canaryson ", "IS": b"Canaryson "}
    texts = dict.fromkeys(("LO", "LT", "SH", "ST"), CANARY_TEXT.encode())
    values = {**SAFE_VALUES, **texts, **said}
    inside = [
        Element(group << 16 | 0x1000 | number, vr, values[vr])
        for (owner, group, number), vr in private.table().items()
        if owner == creator
    ]
    raw = creator.encode() + b" " * (len(creator) & 1)
    owners = [Element(group << 16 | 0x0010, "LO", raw) for group in {e.tag >> 16 for e in inside}]
    after, found = both_passes(image(*owners, *inside), "network", tmp_path, key, known)
    left = b"".join(Writer(EXPLICIT).chunks(after))
    assert [c for c in CANARIES if c in left] == []
    assert found == ()


# --- Clean Graphics


def overlay(draw, *, columns: int = 256, rows: int = 256, group: int = 0x6000) -> list[Element]:
    """An overlay on which `draw` drew."""
    picture = Image.new("1", (columns, rows))
    draw(ImageDraw.Draw(picture))
    bits = np.packbits(np.array(picture, np.uint8).ravel(), bitorder="little").tobytes()
    base = group << 16
    return [
        Element(base | 0x0010, "US", struct.pack("<H", rows)),
        Element(base | 0x0011, "US", struct.pack("<H", columns)),
        Element(base | 0x0022, "LO", b"drawn by Maria"),
        Element(base | 0x0040, "CS", b"G "),
        Element(base | 0x0050, "SS", struct.pack("<2h", 1, 1)),
        Element(base | 0x0100, "US", b"\1\0"),
        Element(base | 0x0102, "US", b"\0\0"),
        Element(base | 0x3000, "OW", bits),
    ]


def shapes(pen):
    pen.ellipse((40, 40, 120, 130), outline=1)
    pen.line((10, 200, 240, 220), fill=1, width=2)


def words(pen):
    pen.text((20, 60), "CANARYSON MARIA", fill=1, font=ImageFont.load_default(18))
    pen.text((20, 100), "1951-02-03", fill=1, font=ImageFont.load_default(18))


def test_an_overlay_of_shapes_stays_and_one_with_text_goes(engine, tmp_path, key):
    elements = image(*overlay(shapes), *overlay(words, group=0x6002))
    stay = graphics.overlays_without_text(elements, engine, big=False)
    assert stay == {0x6000}

    after, found = both_passes(elements, "network", tmp_path, key, overlays=stay)

    kept = {e.tag: bytes(e.value) for e in after if e.tag >> 24 == 0x60}
    assert {t >> 16 for t in kept} == {0x6000}
    assert 0x60000022 not in kept
    assert kept[0x60003000] == next(bytes(e.value) for e in elements if e.tag == 0x60003000)
    assert found == ()


def test_the_second_pass_sees_text_in_an_overlay_on_its_own(tmp_path, key):
    _, found = both_passes(image(*overlay(words)), "network", tmp_path, key, overlays=frozenset({0x6000}))
    assert [f.what for f in found] == ["marks like text in an overlay"]


def test_an_overlay_that_nobody_reads_goes(tmp_path, key):
    assert graphics.overlays_without_text(image(*overlay(shapes)), None, big=False) == frozenset()
    after, found = both_passes(image(*overlay(shapes)), "network", tmp_path, key)
    assert not any(e.tag >> 24 == 0x60 for e in after)
    assert found == ()


@pytest.mark.parametrize("change", [("rows", 300), ("short", 0), ("frames", 99)])
def test_an_overlay_that_is_not_what_it_says_goes(change, engine):
    elements = overlay(shapes)
    what, value = change
    if what == "rows":
        elements[0].value = struct.pack("<H", value)
    elif what == "short":
        elements[-1].value = elements[-1].value[:100]
    else:
        elements.append(Element(0x60000015, "IS", str(value).encode()))
    assert graphics.overlays_without_text(elements, engine, big=False) == frozenset()


def drawing(*, shape: bool, text: bool) -> Dataset:
    item = Dataset()
    item.GraphicLayer = "LAYER1"
    if shape:
        line = Dataset()
        line.GraphicAnnotationUnits, line.GraphicDimensions, line.NumberOfGraphicPoints = "PIXEL", 2, 2
        line.GraphicData, line.GraphicType, line.GraphicFilled = [1, 1, 9, 9], "POLYLINE", "N"
        item.GraphicObjectSequence = Sequence([line])
    if text:
        label = Dataset()
        label.UnformattedTextValue = "Maria Canaryson"
        item.TextObjectSequence = Sequence([label])
    return item


def test_drawn_shapes_stay_and_text_among_them_goes(ct, key):
    ct.GraphicAnnotationSequence = Sequence([drawing(shape=True, text=True), drawing(shape=False, text=True)])
    (kept,) = deidentify_dataset(ct, key, NOBODY).GraphicAnnotationSequence
    assert kept.GraphicObjectSequence[0].GraphicData == [1, 1, 9, 9]
    assert "TextObjectSequence" not in kept

    ct.GraphicAnnotationSequence = Sequence([drawing(shape=False, text=True)])
    assert "GraphicAnnotationSequence" not in deidentify_dataset(ct, key, NOBODY)
