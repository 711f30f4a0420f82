"""Content items are treated as PS3.15 Table E.3.4-1 says, whole; the second pass notices each that is not."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes

from imaging.deid import content, second_pass
from imaging.deid.dicom import deidentify_file, transform
from imaging.deid.elements import Element, Reader
from imaging.deid.known import KnownIdentity
from imaging.deid.profiles import Action, profile, resolve
from tests.imaging.deid.conftest import EXPLICIT, part10_bytes, sample

NOBODY = KnownIdentity()
OPTIONS = "basic+clean-structured-content"
ROWS = [(*of, kind, row) for of, kinds in content.table().items() for kind, row in kinds.items()]


@pytest.fixture
def ct():
    return pydicom.dcmread(sample("CT_small.dcm"))


def item(kind: str, concept, **values) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType = "CONTAINS", kind
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = (
        concept.value,
        concept.scheme_designator,
        concept.meaning,
    )
    made.ConceptNameCodeSequence = Sequence([name])
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def test_content_items_are_treated_by_value_type_and_concept(ct, key, tmp_path):
    term = codes.DCM
    number = Dataset()
    number.NumericValue = "12.5"
    female = Dataset()
    female.CodeValue, female.CodingSchemeDesignator, female.CodeMeaning = "F", "DCM", "Female"
    inside = Sequence([
        item("TEXT", term.AcquisitionProtocol, TextValue="Chest routine for Maria 2019-06-19"),
        item("TEXT", term.Comment, TextValue="seen with her daughter"),
        item("PNAME", term.PersonObserverName, PersonName="Canaryson^Maria"),
        item("DATE", term.SubjectBirthDate, Date="19510203"),
        item("CODE", term.SubjectSex, ConceptCodeSequence=Sequence([female])),
        item("DATETIME", term.DatetimeStarted, DateTime="20240301101112"),
        item("NUM", codes.SCT.Length, MeasuredValueSequence=Sequence([number])),
        item("SCOORD", term.ImageRegion, GraphicData=[1.0, 2.0], GraphicType="POINT"),
        item("UIDREF", term.IrradiationEventUID, UID="1.2.3.999.8"),
    ])  # fmt: skip
    ct.ContentSequence, ct.PatientName = inside, "Canaryson^Maria"
    source, output = tmp_path / "in.dcm", tmp_path / "out.dcm"
    ct.save_as(source, enforce_file_format=True)

    deidentify_file(source, output, key, NOBODY)

    protocol, comment, person, sex, start, value, place, uid = pydicom.dcmread(output).ContentSequence
    assert (protocol.TextValue, comment.TextValue) == ("Chest routine", "seen with her daughter")
    assert (person.PersonName, start.DateTime) == ("REMOVED", "20231122101112")
    assert sex.ConceptCodeSequence[0].CodeValue == "F"
    assert value.MeasuredValueSequence[0].NumericValue == 12.5
    assert (place.GraphicData, place.GraphicType) == ([1.0, 2.0], "POINT")
    assert uid.UID.startswith("2.25.")
    assert second_pass.findings(source, output, NOBODY, key.shift_days) == ()
    # and a date in the tree that moved by other days is seen
    found = second_pass.findings(source, output, NOBODY, key.shift_days - 1)
    assert "(0040,A120)" in {f.where for f in found}


def test_a_report_is_narrative_if_it_says_what_cleaning_would_not_keep():
    def tree(concept: bytes) -> list[Element]:
        name = [Element(0x00080100, "SH", concept), Element(0x00080102, "SH", b"DCM ")]
        inner = [Element(0x0040A043, "SQ", b"", [name]), Element(0x0040A160, "UT", b"words ")]
        return [Element(0x0040A730, "SQ", b"", [inner])]

    assert content.is_narrative(tree(b"121071"))
    assert not content.is_narrative(tree(b"125203"))


# --- the table, row by row

PLACES = {"content": 0x0040A730, "acquisition": 0x00400555, "preparation": 0x00400612}
VALUES = {
    "TEXT": (0x0040A160, "UT", b"Qzxvalue told so"),
    "UIDREF": (0x0040A124, "UI", b"1.2.3.999.8\0"),
    "PNAME": (0x0040A123, "PN", b"Qzxvalue^Qzx"),
    "DATE": (0x0040A121, "DA", b"20240301"),
    "TIME": (0x0040A122, "TM", b"101112"),
    "DATETIME": (0x0040A120, "DT", b"20240301101112"),
}


def coded(tag: int, scheme: str, code: str) -> Element:
    inside = [
        Element(0x00080100, "SH", code.encode()),
        Element(0x00080102, "SH", scheme.encode()),
        Element(0x00080104, "LO", b"a concept"),
    ]
    return Element(tag, "SQ", b"", [inside])


def told(scheme: str, code: str, kind: str) -> list[Element]:
    """A content item of that concept and value type."""
    made = [Element(0x0040A040, "CS", kind.encode()), coded(0x0040A043, scheme, code)]
    if kind in VALUES:
        made.append(Element(*VALUES[kind]))
    elif kind in ("COMPOSITE", "IMAGE", "WAVEFORM"):
        made.append(Element(0x00081199, "SQ", b"", [[Element(0x00081155, "UI", b"1.2.3.999.9\0")]]))
    elif kind == "CODE":
        made.append(coded(0x0040A168, "DCM", "F"))
    return sorted(made, key=lambda e: e.tag)


def an_image(place: str, *items: list[Element]) -> list[Element]:
    """A CT with these items, and one that stays, in that place."""
    stays = told("SCT", "410668003", "NUM")
    holder = Element(PLACES[place], "SQ", b"", [*items, stays])
    if place == "preparation":
        holder = Element(0x00400560, "SQ", b"", [[Element(0x00400610, "SQ", b"", [[holder]])]])
    return [
        Element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        Element(0x00080018, "UI", b"1.2.3.999.5\0"),
        holder,
    ]


def items_of(elements: list[Element], place: str) -> list[list[Element]]:
    level = elements
    for tag in (0x00400560, 0x00400610) if place == "preparation" else ():
        level = items_in(level, tag)[0]
    return items_in(level, PLACES[place])


def items_in(level: list[Element], tag: int) -> list[list[Element]]:
    items = next(e for e in level if e.tag == tag).items
    assert items is not None
    return items


def read_back(file: bytes) -> list[Element]:
    return Reader(memoryview(file), len(part10_bytes([])), EXPLICIT).read()


def treat(elements, chosen, tmp_path, key):
    """The elements after the first pass, and what the second finds in them."""
    source, output = tmp_path / "in.dcm", tmp_path / "out.dcm"
    source.write_bytes(part10_bytes(elements))
    read = read_back(source.read_bytes())
    transform(read, key, NOBODY, profile(chosen))
    output.write_bytes(part10_bytes(read, "2.25.7"))
    return read, second_pass.findings(source, output, NOBODY, key.shift_days, chosen)


def test_the_table_is_whole():
    assert len(ROWS) == 211
    assert {row.actions["basic"] for *_, row in ROWS} == {"X", "D", "X/D"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "chosen", [OPTIONS, "network", f"{OPTIONS}+retain-uids", f"{OPTIONS}+retain-device-identity"]
)
def test_every_row_of_the_table_is_carried_out_in_every_place(chosen, place, tmp_path, key):
    elements = an_image(place, *(told(scheme, code, kind) for scheme, code, kind, _ in ROWS))
    after, found = treat(elements, chosen, tmp_path, key)
    options = profile(chosen).options
    due = [(s, c, k) for s, c, k, row in ROWS if resolve(row, options) is not Action.REMOVE]
    assert [tuple(content.about(item)) for item in items_of(after, place)[:-1]] == due
    assert found == ()
    for about, item in zip(due, items_of(after, place), strict=False):
        if about[2] not in ("TEXT", "UIDREF"):
            continue
        tag, _, before = VALUES[about[2]]
        same = next(bytes(e.value) for e in item if e.tag == tag) == before
        row = content.table()[about[:2]][about[2]]
        assert same is (resolve(row, options) in (Action.KEEP, Action.CLEAN)), about


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("chosen", [OPTIONS, "network"])
def test_an_item_that_the_first_pass_forgot_is_noticed(chosen, place, tmp_path, key):
    after, _ = treat(an_image(place), chosen, tmp_path, key)
    unnoticed = []
    for scheme, code, kind, row in ROWS:
        if resolve(row, profile(chosen).options) is not Action.REMOVE:
            continue
        elements = read_back(part10_bytes(after))
        items_of(elements, place).insert(0, told(scheme, code, kind))
        (tmp_path / "out.dcm").write_bytes(part10_bytes(elements, "2.25.7"))
        found = second_pass.findings(
            tmp_path / "in.dcm", tmp_path / "out.dcm", NOBODY, key.shift_days, chosen
        )
        if "a content item that the table removes" not in {f.what for f in found}:
            unnoticed.append((code, kind))
    assert unnoticed == []


@pytest.mark.parametrize("scheme", ["SRT", "SNM3", "99SDM"])
def test_an_identifier_that_snomed_gave_up_counts_as_its_present_code(scheme, tmp_path, key):
    elements = an_image("content", told(scheme, "DD-60002", "TEXT"), told(scheme, "R-42B89", "COMPOSITE"))
    after, found = treat(elements, OPTIONS, tmp_path, key)
    assert len(items_of(after, "content")) == 1
    assert found == ()


def test_an_item_of_a_type_that_the_table_does_not_foresee_goes_if_any_of_its_concept_would(tmp_path, key):
    birth = [told("DCM", "121031", kind) for kind in ("DATETIME", "TEXT", "")]
    after, found = treat(an_image("content", *birth), "network", tmp_path, key)
    assert len(items_of(after, "content")) == 1
    assert found == ()


def test_who_the_subject_is_goes_without_the_option_that_retains_it(tmp_path, key):
    subject = [told("DCM", code, "") for code in ("121031", "121032", "121033")]
    for chosen, left in ((OPTIONS, 1), (f"{OPTIONS}+retain-patient-characteristics", 3)):
        after, found = treat(an_image("content", *subject), chosen, tmp_path, key)
        assert len(items_of(after, "content")) == left
        assert found == ()


def test_what_stood_below_an_item_goes_with_it(tmp_path, key):
    parent = told("DCM", "121022", "TEXT")
    parent.append(Element(0x0040A730, "SQ", b"", [told("DCM", "125203", "TEXT")]))
    after, _ = treat(an_image("content", parent), "network", tmp_path, key)
    assert [content.about(item).code for item in items_of(after, "content")] == ["410668003"]


def test_a_sequence_of_content_of_which_nothing_is_left_goes(tmp_path, key):
    elements = an_image("content")
    elements[-1].items = [told("DCM", "121022", "TEXT")]
    after, found = treat(elements, "network", tmp_path, key)
    assert not [e for e in after if e.tag == 0x0040A730]
    assert found == ()


def test_an_identifier_in_a_tree_is_no_narrative():
    assert not content.is_narrative([Element(0x0040A730, "SQ", b"", [told("DCM", "121022", "TEXT")])])
    for concept in ("121106", "999999"):
        assert content.is_narrative([Element(0x0040A730, "SQ", b"", [told("DCM", concept, "TEXT")])])
