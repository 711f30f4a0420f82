"""Cleaned text keeps its clinical meaning and nothing that identifies."""

from datetime import date

import pytest

from imaging.deid.known import KnownIdentity
from imaging.deid.text import clean, is_national_id

KNOWN = KnownIdentity(
    names=("Maria Hernandez", "左丽", "王小明", "Zhang^Sanfeng=张^三丰", "欧阳娜娜", "White^Lung"),
    people=("李强", "Smith^John"),
    identifiers=("MR-00123", "330283199001011234", "7"),
    phones=("0574-88123456",),
    addresses=("宁波市鄞州区中兴路100号",),
    places=("鄞州第二医院",),
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("CT CHEST for Maria Hernandez 2019-06-19", "CT CHEST"),
        ("HERNANDEZ^MARIA brain", "brain"),
        ("MR Brain (Maria Hernandez)", "MR Brain"),
        ("hernandez, maria: abdomen", "abdomen"),
        ("Dr. Smith: knee left", "knee left"),
        ("左丽，左肺上叶结节3月", "左肺上叶结节3月"),
        ("左 丽 左肺下叶", "左肺下叶"),
        ("左肺上叶，白细胞高，高血压", "左肺上叶，白细胞高，高血压"),
        ("患者王小明，男，45岁，2023年3月5日在我院行左肺切除，电话13812345678", "患者，男，45岁，在我院行左肺切除"),
        ("小明 头颅CT", "头颅CT"),
        ("Wang Xiaoming abdomen", "abdomen"),
        ("XIAOMING^WANG liver", "liver"),
        ("zhang1 san1feng1 胸部", "胸部"),
        ("OUYANG NANA T1WI", "T1WI"),
        ("住院号: 12345 胸部CT平扫 张三丰", "胸部CT平扫"),
        ("MRN: 00123 head", "head"),
        ("ID MR 00123 chest w/o", "chest w/o"),
        ("身份证３３０２８３１９９００１０１１２３４", ""),
        ("左肺上叶 李强医师", "左肺上叶"),
        ("王医生建议复查", "建议复查"),
        ("联系电话 0574-88123456 膝关节", "膝关节"),
        ("鄞州第二医院 胸片", "胸片"),
        ("家住中兴路100弄5号301室 腹痛", "腹痛"),
        ("住址:宁波市鄞州区中兴路100号 腹痛", "腹痛"),
        ("mail maria@example.org knee", "mail knee"),
        ("19 June 2019 follow-up nodule", "follow-up nodule"),
    ],
)  # fmt: skip
def test_what_identifies_goes_and_the_meaning_stays(text, cleaned):
    assert clean(text, KNOWN) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "DR CHEST PA", "MR HEAD W/O CONTRAST", "T2 FLAIR 1.2.840.113619.2", "双肺结节，T1WI 2.5mm，2019年发现",
        "white matter lesions, lung window", "L4-5 disc, C5/6", "BP 120/80, 3.5-4.0 cm", "Hb 7 g/dL", "VA20A_SP05 B31f",
        "冠脉旁路移植2支术后", "住院3天，尿路感染", "ACC 3.0 mm", "COVID-19 pneumonia", "CMR 2019, ECG 12 lead",
        "第2次住院", "Case 3 of 5",
        "左侧乳腺癌术后3年，右侧腋窝淋巴结肿大", "高年资阅片", "1.25mm 512x512 120kV 200mAs", "ROI 12345678",
    ],
)  # fmt: skip
def test_clinical_text_stays_as_it_is(text):
    assert clean(text, KNOWN) == text


def test_an_unknown_person_in_a_written_form_that_says_so_goes():
    nobody = KnownIdentity()
    assert clean("姓名：赵敏 胸痛", nobody) == "胸痛"
    assert clean("Patient name: Jane Doe chest", nobody) == "chest"


@pytest.mark.parametrize(("number", "valid"), [
    ("11010519491231002X", True), ("110105194912310021", False), ("110105194913310029", False), ("12345", False),
])  # fmt: skip
def test_a_citizens_number_is_known_by_its_check_digit(number, valid):
    assert is_national_id(number) is valid


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("2023年3月5日行左肺上叶切除", "180天前行左肺上叶切除"),
        ("2023年3月术后", "6个月前术后"),
        ("nodule on 2023-03-05, growing", "nodule 180 days earlier, growing"),
        ("2023-09-01 fall, Maria Hernandez", "the same day fall"),
        ("seen 05/03/2023 elsewhere", "seen elsewhere"),
        ("复诊：2023/9/11", "复诊：10天后"),
    ],
)
def test_dates_become_intervals_to_the_examination(text, cleaned):
    assert clean(text, KNOWN, reference=date(2023, 9, 1)) == cleaned
