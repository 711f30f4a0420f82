"""Whether a file's patient is the order's: four identifiers, names in every written form, no values in any result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pydicom
import pytest

from cases.errors import Quarantine
from cases.order import Patient, PatientIdentifier
from imaging import identity, names
from imaging.dicom.read import inspect
from imaging.identity import Identity
from tests.imaging.dicom import samples

PATIENT = Patient(
    identifiers=(
        PatientIdentifier(value="P0001", type="MR"),
        PatientIdentifier(value="33020319610203123X", type="national-id"),
    ),
    name="张三丰",
    sex="male",
    birth_date=date(1961, 2, 3),
)
SAME = Identity(patient_id="P0001", name="Zhang^Sanfeng=张^三丰", sex="M", birth_date="19610203")


@dataclass(frozen=True)
class File:
    identity: Identity


# written in the file | the order's name | the order's Latin name
SAME_PERSON = [
    ("Zhang^Sanfeng=张^三丰", "张三丰", None),
    ("Zhang^Sanfeng=张^三丰=zhang^san feng", "张三丰", None),
    ("张三丰", "张三丰", None),
    ("张^三丰", "张三丰", None),
    ("张 三 丰", "张三丰", None),
    ("三丰^张", "张三丰", None),
    ("=张^三丰", "张三丰", None),
    ("ZHANG^SANFENG", "张三丰", None),
    ("ZHANG^SAN FENG", "张三丰", None),
    ("ZHANG^SAN^FENG", "张三丰", None),
    ("ZHANG SANFENG", "张三丰", None),
    ("Sanfeng Zhang", "张三丰", None),
    ("SANFENG^ZHANG", "张三丰", None),
    ("zhangsanfeng", "张三丰", None),
    ("Zhang, San-feng", "张三丰", None),
    ("Zhāng Sānfēng", "张三丰", None),
    ("zhang1 san1 feng1", "张三丰", None),
    ("zhang1san1feng1", "张三丰", None),
    ("ＺＨＡＮＧ　ＳＡＮＦＥＮＧ", "张三丰", None),
    ("张三丰(ZHANG SANFENG)", "张三丰", None),
    ("ZHANG^SANFENG^^MR^", "张三丰", None),
    ("SHAN^XIONGXIN", "单雄信", None),
    ("DAN^XIONGXIN", "单雄信", None),
    ("QIU^YING", "仇英", None),
    ("ZENG^GUOFAN", "曾国藩", None),
    ("XIE^JIN", "解缙", None),
    ("YUE^YI", "乐毅", None),
    ("OU^YEZI", "区冶子", None),
    ("ZHA^LIANGYONG", "查良镛", None),
    ("OUYANG^XIU", "欧阳修", None),
    ("Xiu Ouyang", "欧阳修", None),
    ("YUCHI^GONG", "尉迟恭", None),
    ("MOQI^XIE", "万俟卨", None),
    ("ZHUGE^LIANG", "诸葛亮", None),
    ("SIMA^QIAN", "司马迁", None),
    ("ZHANGSUN^WUJI", "长孙无忌", None),
    ("LV^BU", "吕布", None),
    ("LU^BU", "吕布", None),
    ("LYU^BU", "吕布", None),
    ("LUE^BU", "吕布", None),
    ("Lü^Bu", "吕布", None),
    ("Lǚ Bù", "吕布", None),
    ("lv3 bu4", "吕布", None),
    ("NYU^WA", "女娃", None),
    ("Ayguli^Memet", "阿依古丽·买买提", "Ayguli Memet"),
    ("阿依古丽买买提", "阿依古丽·买买提", None),
    ("阿依古丽•买买提", "阿依古丽·买买提", None),
    ("张^三丰", "Zhang Sanfeng", None),
    ("SIMPSON^HOMER^J^", "Homer Simpson", None),
    ("Homer Simpson", "Homer J Simpson", None),
    ("Müller^Jürgen", "Jurgen Muller", None),
    ("O'Brien^Pat", "Pat OBrien", None),
    ("van der Berg^Jan", "Jan van der Berg", None),
]
ANOTHER_PERSON = [
    ("ZHANG^SAN", "张三丰", None),
    ("张^三", "张三丰", None),
    ("张^四", "张三", None),
    ("LI^SI", "张三", None),
    ("Zhang^San=李^四", "张三", None),
    ("Li^Si=张^三", "张三", None),
    ("ZHANG^S", "张三", None),
    ("ZHANG^SAN2", "张三", None),
    ("张三2", "张三", None),
    ("ANONYMOUS", "张三", None),
    ("王五", "Zhang San", None),
    ("ZHANG^BABY1", "Zhang Baby2", None),
    ("SIMPSON^HOMER^K", "Homer J Simpson", None),
    ("SIMPSON^MARGE", "Homer Simpson", None),
    ("J SIMPSON", "Homer Simpson", None),
]
NO_NAME = ["", "^^^^", "==", "???", "   ", "-", "^=^"]


@pytest.mark.parametrize(("written", "name", "latin"), SAME_PERSON)
def test_one_person_is_recognised_in_every_written_form(written: str, name: str, latin: str | None) -> None:
    assert names.compare(written, name, latin) == "matches"


@pytest.mark.parametrize(("written", "name", "latin"), ANOTHER_PERSON)
def test_another_person_is_not_taken_for_the_orders(written: str, name: str, latin: str | None) -> None:
    assert names.compare(written, name, latin) == "differs"


@pytest.mark.parametrize("written", NO_NAME)
def test_a_name_without_letters_is_absent(written: str) -> None:
    assert names.compare(written, "张三", None) == "absent"


@pytest.mark.parametrize("written", ["张^三丰", "Zhang^Sanfeng", "张^三", "Zhang^Sanf"])
def test_a_name_that_was_cut_off_is_no_evidence_but_can_differ(written: str) -> None:
    assert names.compare(written, "张三丰", None, cut=True) == "absent"
    assert names.compare(written, "李四光", None, cut=True) == "differs"


def test_a_long_name_of_many_polyphones_is_compared_at_once() -> None:
    name = "单曾解乐仇查区万尉长" * 4
    assert names.compare("x" * 2000, name, None) == "differs"


def test_the_same_patient_is_trusted() -> None:
    found = identity.check(PATIENT, [File(SAME)] * 3)
    assert found.trusted
    assert found.matches == {"ID": 3, "name": 3, "sex": 3, "birth date": 3}


TOO_FEW = "too few identifiers to compare in 1 of 3 files"
CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "another ID": ({"patient_id": "P0002"}, "ID differs in 1 of 3 files"),
    "an ID with a zero less": ({"patient_id": "P001"}, "ID differs in 1 of 3 files"),
    "another name": ({"name": "李四"}, "name differs in 1 of 3 files"),
    "another sex": ({"sex": "F"}, "sex differs in 1 of 3 files"),
    "a sex that says nothing known": ({"sex": "X"}, "sex differs in 1 of 3 files"),
    "another birth date": ({"birth_date": "19610204"}, "birth date differs in 1 of 3 files"),
    "another year of birth": ({"birth_date": "1962"}, "birth date differs in 1 of 3 files"),
    "a birth date that is none": ({"birth_date": "AB"}, "birth date differs in 1 of 3 files"),
    "name and birth date": ({"name": "李四", "birth_date": "19700101"}, "birth date and name differ in 1 of 3 files"),
    "other IDs only, another's": ({"patient_id": "", "other_ids": ("Q9",)}, "ID differs in 1 of 3 files"),
    "sex and birth date alone": ({"patient_id": "", "name": ""}, TOO_FEW),
    "ID alone": ({"name": "", "sex": "", "birth_date": ""}, TOO_FEW),
    "nothing": (dict.fromkeys(("patient_id", "name", "sex", "birth_date"), ""), TOO_FEW),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_one_file_of_another_patient_quarantines_the_case_and_the_detail_holds_no_value(case: str) -> None:
    changes, detail = CHANGES[case]
    other = dataclasses.replace(SAME, **changes)  # type: ignore[arg-type]
    with pytest.raises(Quarantine) as refused:
        identity.check(PATIENT, [File(SAME), File(other), File(SAME)])
    assert refused.value.code == "identity-mismatch"
    assert refused.value.detail == detail


STILL_THE_SAME: dict[str, dict[str, object]] = {
    "the national ID": {"patient_id": "33020319610203123x"},
    "blanks around and within": {"patient_id": " P 0001 "},
    "full-width digits": {"patient_id": "Ｐ０００１"},
    "other IDs": {"patient_id": "", "other_ids": ("Q9", "P0001")},
    "a sex in Chinese": {"sex": "男"},
    "a sex in words": {"sex": "male"},
    "no sex": {"sex": ""},
    "a date with dots": {"birth_date": "1961.02.03"},
    "a year alone": {"birth_date": "1961"},
    "no birth date": {"birth_date": "00000000"},
    "no name": {"name": "^^^^"},
}


@pytest.mark.parametrize("case", STILL_THE_SAME)
def test_what_is_written_otherwise_or_absent_is_still_the_same_patient(case: str) -> None:
    assert identity.check(PATIENT, [File(dataclasses.replace(SAME, **STILL_THE_SAME[case]))]).trusted  # type: ignore[arg-type]


def test_twins_never_meet() -> None:
    twin = PATIENT.model_copy(update={"identifiers": (PatientIdentifier(value="P0002"),), "name": "张三峰"})
    file = File(dataclasses.replace(SAME, name="ZHANG^SANFENG"))
    assert identity.compare(PATIENT, [file]).trusted
    assert not identity.compare(twin, [file]).trusted


def test_files_that_name_nobody_pass_only_where_the_caller_allows_it() -> None:
    nobody = File(Identity())
    assert identity.compare(PATIENT, [nobody], at_least=0).trusted
    assert not identity.compare(PATIENT, [nobody]).trusted
    assert not identity.compare(PATIENT, [File(Identity(sex="F"))], at_least=0).trusted


def test_no_result_shows_a_value() -> None:
    comparison = identity.compare(PATIENT, [File(dataclasses.replace(SAME, name="李四", patient_id="Q77"))])
    shown = repr(comparison) + comparison.detail() + repr(SAME)
    assert not any(value in shown for value in ("Q77", "李", "P0001", "张", "1961"))


def test_the_identity_of_a_real_file_is_compared() -> None:
    file = inspect(samples.TEST_FILES / "CT_small.dcm")
    dataset = pydicom.dcmread(samples.TEST_FILES / "CT_small.dcm")
    own = Patient(
        identifiers=(PatientIdentifier(value=dataset.PatientID),), name="CT1 CompressedSamples", sex="other",
        birth_date=date(1960, 1, 1),
    )  # fmt: skip
    assert identity.check(own, [file]).trusted
    assert not identity.compare(PATIENT, [file]).trusted


@pytest.mark.skipif(
    not (samples.SHARED / "chinese-charsets").is_dir(), reason="the shared samples are not here"
)
@pytest.mark.parametrize(
    "path", sorted((samples.SHARED / "chinese-charsets").glob("*.dcm")), ids=lambda path: path.name
)
def test_the_patient_is_recognised_in_every_charset(path: Path) -> None:
    patient = PATIENT.model_copy(
        update={"identifiers": (PatientIdentifier(value="P310101196102031234"),), "sex": "other"}
    )
    found = identity.compare(patient, [inspect(path)])
    another = path.name in ("gb18030_4byte.dcm", "gb18030_truncated.dcm")  # whose names really are others
    assert found.differs["name"] == another
    assert found.matches["ID"] == 1
