"""Text as it was meant, whatever the file declares."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.dicom.charsets import decode
from imaging.dicom.read import inspect
from tests.imaging.dicom import samples

CHINESE = samples.SHARED / "chinese-charsets"

# PS3.5 Annexes H to K, as pydicom's sample files carry them
NAMES = {
    "chrArab.dcm": "قباني^لنزار",
    "chrFren.dcm": "Buc^Jérôme",
    "chrFrenMulti.dcm": "Buc^Jérôme",
    "chrGerm.dcm": "Äneas^Rüdiger",
    "chrGreek.dcm": "Διονυσιος",
    "chrH31.dcm": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "chrH32.dcm": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "chrHbrw.dcm": "שרון^דבורה",
    "chrI2.dcm": "Hong^Gildong=洪^吉洞=홍^길동",
    "chrRuss.dcm": "Люкceмбypг",
    "chrX1.dcm": "Wang^XiaoDong=王^小東=",
    "chrX2.dcm": "Wang^XiaoDong=王^小东=",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_in_the_standards_own_examples_are_decoded(name: str) -> None:
    assert inspect(samples.CHARSETS / name).identity.name == NAMES[name]


@pytest.mark.skipif(not CHINESE.is_dir(), reason="the shared samples are not here")
@pytest.mark.parametrize("path", sorted(CHINESE.glob("*.dcm")), ids=lambda path: path.name)
def test_chinese_names_are_decoded_however_they_are_declared(path: Path) -> None:
    found = inspect(path).identity
    expected = {
        "gb18030_4byte.dcm": "Zhang^Sanfeng=𠮷^㐀㐁",
        "gb18030_truncated.dcm": "Zhang^Sanfeng=" + "张^三丰" * 8,
    }.get(path.name, "Zhang^Sanfeng=张^三丰")
    assert found.name == expected
    assert found.patient_id == "P310101196102031234"


HOSPITAL = "复旦大学附属中山医院"
PEOPLE = (
    "张三丰",
    "欧阳修",
    "联通",
    "王媛媛",
    "李囍",
    "陈喆",
    "买买提·阿依古丽",
    "吕䶮",
    "丁一",
    "𠮷田",
    "聂卫平",
)
TERMS = {
    "gb18030": ("GB18030", "GBK", "", "ISO_IR 100", "ISO_IR 6", "ISO_IR 192", "ISO 2022 IR 58", "GB2312"),
    "utf_8": ("ISO_IR 192", "", "ISO_IR 100", "GB18030", "GBK", "UTF-8", "ISO 2022 IR 58"),
}


@pytest.mark.parametrize("codec", ["gb18030", "utf_8"])
@pytest.mark.parametrize("name", [name for name in PEOPLE if name not in ("联通", "吕䶮", "𠮷田", "聂卫平")])
def test_chinese_text_is_decoded_under_every_wrong_declaration(name: str, codec: str) -> None:
    raw = f"{name}".encode(codec)
    found = {term: decode(raw, (term,) if term else ()).text for term in TERMS[codec]}
    assert found == dict.fromkeys(TERMS[codec], name)


@pytest.mark.parametrize("name", PEOPLE)
def test_chinese_text_is_decoded_when_it_is_declared_rightly(name: str) -> None:
    assert decode(name.encode("gb18030"), ("GB18030",)).text == name
    assert decode(name.encode("utf_8"), ("ISO_IR 192",)).text == name


@pytest.mark.parametrize("declared", [("GB18030",), (), ("ISO_IR 100",), ("ISO_IR 192",)])
@pytest.mark.parametrize("codec", ["gb18030", "utf_8"])
def test_a_value_cut_within_a_character_keeps_the_rest_and_says_so(
    codec: str, declared: tuple[str, ...]
) -> None:
    found = decode(HOSPITAL.encode(codec)[:-1], declared)
    assert found.text == HOSPITAL[:-1]
    assert found.cut


@pytest.mark.parametrize("character", ["俓", "乗", "昞", "淺"])
def test_second_bytes_that_look_like_delimiters_do_not_split_a_character(character: str) -> None:
    assert character.encode("gb18030")[1] in b"\\^"
    raw = f"张{character}^明".encode("gb18030")
    assert decode(raw, ("GB18030",)).text == f"张{character}^明"


def test_escapes_of_ir_58_are_gone_from_the_text() -> None:
    raw = b"Zhang^San=\x1b$)A\xd5\xc5^\x1b$)A\xc8\xfd"
    assert decode(raw, ("", "ISO 2022 IR 58")).text == "Zhang^San=张^三"


def test_ir_58_without_escapes_and_escapes_without_declaration_are_read() -> None:
    assert decode(b"\xd5\xc5^\xc8\xfd", ("", "ISO 2022 IR 58")).text == "张^三"
    assert decode(b"\x1b$)A\xd5\xc5^\xc8\xfd", ()).text == "张^三"


@pytest.mark.parametrize(
    ("name", "term", "codec"),
    [
        ("Müller^Jürgen", "ISO_IR 100", "latin_1"),
        ("Núñez^José", "ISO_IR 100", "latin_1"),
        ("Łukasz^Żółć", "ISO_IR 101", "iso8859_2"),
        ("Иванов^Пётр", "ISO_IR 144", "iso8859_5"),
        ("สมชาย", "ISO_IR 166", "iso8859_11"),
        ("김^희중", "ISO 2022 IR 149", "euc_kr"),
    ],
)
def test_other_scripts_are_left_as_declared(name: str, term: str, codec: str) -> None:
    assert decode(name.encode(codec), (term,)).text == name


@given(st.binary(max_size=80), st.lists(st.sampled_from(["", "GB18030", "ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 58",
    "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO_IR 13", "ISO 2022 IR 159", "nonsense"]), max_size=3))  # fmt: skip
def test_any_bytes_under_any_declaration_give_text_without_escapes(raw: bytes, declared: list[str]) -> None:
    assert "\x1b" not in decode(raw, tuple(declared)).text


@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=20))
def test_declared_gb18030_and_utf_8_of_four_and_more_characters_are_never_mistaken(text: str) -> None:
    text += "医院影像科"
    assert decode(text.encode("gb18030"), ("GB18030",)).text == text
    assert decode(text.encode("utf_8"), ("ISO_IR 192",)).text == text


def test_a_charset_declared_in_the_file_reaches_every_text_of_the_inspection() -> None:
    dataset = samples.ct()
    dataset.SpecificCharacterSet = "GB18030"
    dataset.StationName, dataset.SeriesDescription = "CT一号", "胸部平扫"
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset)
    found = inspect(target.getvalue())
    assert (found.station, found.series_description) == ("CT一号", "胸部平扫")
