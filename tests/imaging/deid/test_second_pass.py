"""The second pass notices each rule that the first forgets, and is silent where nothing is wrong."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from PIL import ImageCms

from imaging.deid import second_pass
from imaging.deid.dicom import transform
from imaging.deid.elements import Element, Reader
from imaging.deid.known import KnownIdentity
from imaging.deid.profiles import profile
from imaging.deid.second_reader import Unreadable, take_apart
from tests.imaging.deid.conftest import CANARY_TEXT, EXPLICIT, TAGS, identified, nested, part10_bytes

SOURCE = identified()
# nobody knows this text or number, so what is kept is kept whole
UNKNOWN = identified("Qzxvalue 13987654321 2019-06-19")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("second") / "source.dcm"
    path.write_bytes(part10_bytes(SOURCE))
    return path


def treated(source, key, known, chosen):
    raw = memoryview(source.read_bytes())
    elements = Reader(raw, len(part10_bytes([])), EXPLICIT).read()
    transform(elements, key, known, chosen)
    return elements


def out(tmp_path, elements, sop="2.25.7"):
    path = tmp_path / "out.dcm"
    path.write_bytes(part10_bytes(elements, sop))
    return path


def test_a_colour_profile_left_as_it_was_is_caught(tmp_path, key, known):
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = tmp_path / "in.dcm"
    source.write_bytes(part10_bytes([Element(0x00282000, "OB", content + b"\0" * (len(content) % 2))]))
    for chosen, caught in ((profile("network"), False), (profile("network").without(0x00282000), True)):
        result = out(tmp_path, treated(source, key, known, chosen))
        found = second_pass.findings(source, result, known, key.shift_days)
        assert bool([f for f in found if "colour profile" in str(f)]) is caught, found


def test_it_is_silent_about_what_the_first_pass_did(source, tmp_path, key, known):
    elements = treated(source, key, known, profile("network"))
    assert second_pass.findings(source, out(tmp_path, elements), known, key.shift_days) == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["network", "basic"])
def test_each_rule_switched_off_is_noticed(name, tmp_path, key, known):
    source, path, chosen = tmp_path / "source.dcm", tmp_path / "out.dcm", profile(name)
    source.write_bytes(part10_bytes(UNKNOWN))
    normal = part10_bytes(treated(source, key, known, chosen), "2.25.7")
    path.write_bytes(normal)
    assert second_pass.findings(source, path, known, key.shift_days, name) == ()
    unnoticed, without_effect = [], []
    for tag in {e.tag for e in UNKNOWN} & set(TAGS):
        path.write_bytes(part10_bytes(treated(source, key, known, chosen.without(tag)), "2.25.7"))
        if path.read_bytes() == normal:
            without_effect.append(tag)
        elif not second_pass.findings(source, path, known, key.shift_days, name):
            unnoticed.append(f"{tag:08X}")
    assert unnoticed == []
    # basic changes all but two sequences, whose own attributes it treats; the network keeps times of day, what the
    # patient characteristics option keeps, and more sequences
    assert len(without_effect) == {"network": 74, "basic": 2}[name]


@pytest.mark.parametrize(
    ("element", "what"),
    [
        (Element(0x00091001, "LO", b"x"), "private"),
        (Element(0x60003000, "OW", b"\0\0"), "overlay"),
        (Element(0x50001001, "US", b"\0\0"), "group"),
        (
            Element(0x00400275, "SQ", b"", [nested(1, [Element(0x00081050, "PN", b"Somebody^Else")])]),
            "removes",
        ),
        (Element(0x00204000, "LT", "复诊 mary@example.org".encode()), "mail"),
        (Element(0x00180015, "CS", b"CANARYSON MARIA"), "known"),
    ],
)
def test_a_single_thing_left_is_found(element, what, source, tmp_path, key, known):
    elements = treated(source, key, known, profile("network"))
    kept = sorted([e for e in elements if e.tag != element.tag] + [element], key=lambda e: e.tag)
    found = second_pass.findings(source, out(tmp_path, kept), known, key.shift_days)
    assert any(what in f.what for f in found), found


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "form", ["金丝雀", "金^丝雀", "Maria Canaryson", "CANARYSON^MARIA", "jin sique", "13812345678"]
)
def test_identity_is_found_in_every_form_and_encoding(form, codec, source, tmp_path, key, known):
    elements = treated(source, key, known, profile("network"))
    hidden = b"\x01\x02" + form.encode(codec) + b"\x03\x04"
    elements.append(Element(0x7FE10000 - 0x1, "OB", hidden))
    found = second_pass.findings(
        source, out(tmp_path, sorted(elements, key=lambda e: e.tag)), known, key.shift_days
    )
    assert [f for f in found if f.what == "known identity"]


@pytest.mark.parametrize("form", ["Maria Canaryson", "金丝雀"])
@pytest.mark.parametrize("lead", range(4))
def test_identity_is_found_behind_percent_signs_and_base64(form, lead, source, tmp_path, key, known):
    elements = treated(source, key, known, profile("network"))
    wrapped = [quote(form, safe="").encode(), base64.b64encode(b"z" * lead + form.encode("utf-8") + b"zz")]
    for hidden in wrapped:
        kept = [*elements, Element(0x7FE10000 - 0x1, "OB", b"_" + hidden + b"_")]
        found = second_pass.findings(
            source, out(tmp_path, sorted(kept, key=lambda e: e.tag)), known, key.shift_days
        )
        assert [f for f in found if f.what == "known identity"], hidden


@pytest.mark.parametrize("vr", ["FL", "FD", "US", "SL", "DS", "IS", "TM", "DA", "UI", "AS"])
def test_a_name_is_found_behind_any_value_representation(vr, tmp_path, key, known):
    source = tmp_path / "in.dcm"
    source.write_bytes(part10_bytes(_plain()))
    kept = [*treated(source, key, known, profile("network")), Element(0x00189999, vr, b"Canaryson^Maria ")]
    found = second_pass.findings(
        source, out(tmp_path, sorted(kept, key=lambda e: e.tag)), known, key.shift_days
    )
    assert ("(0018,9999)", "known identity") in {(f.where, f.what) for f in found}


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("form", ["金丝雀", "Maria Canaryson", "13812345678"])
@pytest.mark.parametrize("at", [0, 4001, 8000])
def test_identity_is_found_among_the_pixels_and_in_what_pads_them(at, form, codec, tmp_path, key, known):
    pixels = b"\x10\0\x31\0" * 2000 + bytes(64)
    hidden = form.encode(codec)
    raw = pixels[:at] + hidden + pixels[at + len(hidden) :]
    source = tmp_path / "in.dcm"
    source.write_bytes(part10_bytes([*_plain(), Element(0x7FE00010, "OW", raw)]))
    elements = treated(source, key, known, profile("network"))
    found = second_pass.findings(source, out(tmp_path, elements), known, key.shift_days)
    assert {(f.where, f.what) for f in found} == {("(7FE0,0010)", "known identity")}


def test_short_numbers_do_not_stand_in_pixels_by_chance(tmp_path, key):
    pixels = b"0042 AB12 " * 1000
    source = tmp_path / "in.dcm"
    source.write_bytes(part10_bytes([*_plain(), Element(0x7FE00010, "OW", pixels)]))
    elements = treated(source, key, KnownIdentity(), profile("network"))
    known = KnownIdentity(identifiers=("0042", "AB12"))
    assert second_pass.findings(source, out(tmp_path, elements), known, key.shift_days) == ()


def _plain():
    return [
        Element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2"),
        Element(0x00080018, "UI", b"1.2.3.999.5"),
        Element(0x00080020, "DA", b"20240301"),
        Element(0x00100010, "PN", b"Canaryson^Maria"),
    ]


@pytest.mark.parametrize("days", [0, -99, -101])
def test_a_date_that_did_not_move_by_the_patients_days_is_found(days, tmp_path, key, known):
    source = tmp_path / "in.dcm"
    source.write_bytes(part10_bytes(_plain()))
    elements = treated(source, key, known, profile("network"))
    found = second_pass.findings(source, out(tmp_path, elements), known, days)
    assert [f.where for f in found] == ["(0008,0020)"]


def test_findings_never_hold_a_value(source, tmp_path, known):
    found = second_pass.findings(source, source, known, -100)
    assert len(found) > 400
    assert not any(word in f"{f.where} {f.what}" for f in found for word in CANARY_TEXT.split())


@pytest.mark.parametrize("cut", [10, 140, 900, 3000])
def test_what_cannot_be_read_does_not_pass(cut, source, tmp_path, known):
    path = tmp_path / "out.dcm"
    path.write_bytes(source.read_bytes()[:-cut])
    assert second_pass.findings(source, path, known, -100)


def test_bytes_after_the_data_set_do_not_pass(source, tmp_path, key, known):
    path = out(tmp_path, treated(source, key, known, profile("network")))
    path.write_bytes(path.read_bytes() + b"Maria")
    assert second_pass.findings(source, path, known, key.shift_days)


def test_its_reader_needs_no_recursion():
    raw = part10_bytes(nested(5000, [Element(0x00081010, "SH", b"bottom")]))
    body = take_apart(memoryview(raw), frozenset())
    assert len(body.elements[-1].path) == 10000


def test_its_reader_refuses_what_would_fill_the_memory():
    raw = part10_bytes(nested(50_000, [Element(0x00081010, "SH", b"bottom")]))
    with pytest.raises(Unreadable, match="nested deeper"):
        take_apart(memoryview(raw), frozenset())


def test_its_reader_refuses_what_is_no_dicom():
    with pytest.raises(Unreadable):
        take_apart(memoryview(b"x" * 500), frozenset())
