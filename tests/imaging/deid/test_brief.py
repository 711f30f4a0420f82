"""The brief: what a reader may know of an order, and nothing that identifies."""

from datetime import date

import pytest

from cases.documents import Preprocessed
from cases.errors import Quarantine
from cases.order import Order
from imaging.deid import brief, keys
from imaging.deid.known import from_order

ORDER = {
    "accession_number": "YZ-20230901-007",
    "service": "pathology",
    "priority": "routine",
    "purpose": "diagnosis",
    "procedure": {"text": "肺穿刺活检 王小明"},
    "body_site": {"text": "左肺上叶"},
    "side": "left",
    "clinical_question": "患者王小明，2023年3月5日发现左肺上叶结节，良性或恶性？",
    "history": "Wang Xiaoming, MRN: 00123, smoker 20 years; 电话13812345678",
    "requesting_doctor": "李强",
    "callback": {"name": "赵敏", "phone": "0574-88123456"},
    "patient": {
        "identifiers": [{"value": "MR-00123"}, {"value": "11010519491231002X", "type": "national-id"}],
        "name": "王小明",
        "sex": "male",
        "birth_date": "1949-12-31",
    },
    "consent": {"document_sha256": "0" * 64, "signer": "王小明", "relation": "self"},
    "specimens": [{"id": "B23-0042-A", "description": "左肺上叶穿刺组织"}],
    "slides": [
        {
            "file": "a.svs", "pathology_number": "B23-0042", "specimen": "B23-0042-A", "block": "A1", "stain": "HE",
            "number": 1, "of": 1,
        }
    ],
    "first_diagnosis": {"text": "考虑腺癌，李强医师", "doctor": "李强", "made_at": "2023-09-01T08:00:00+08:00"},
    "files": [{"name": "a.svs", "size": 1, "sha256": "0" * 64}],
}  # fmt: skip


@pytest.fixture
def order():
    return Order.model_validate(ORDER)


def made(order, key):
    return brief.make(
        order, key, from_order(order), Preprocessed(), priority="routine", received_on=date(2023, 9, 1)
    )


def test_a_brief_keeps_the_question_and_no_identity(order, key):
    found = made(order, key)
    text = found.model_dump_json()
    for identity in (
        "王小明",
        "Wang",
        "00123",
        "110105",
        "0574",
        "138123",
        "李强",
        "赵敏",
        "B23-0042",
        "1949",
        "YZ-2023",
    ):
        assert identity not in text
    assert found.clinical_question == "患者，180天前发现左肺上叶结节，良性或恶性？"
    assert found.procedure == "肺穿刺活检"
    assert "smoker 20 years" in found.history
    assert (found.age, found.sex, found.side, found.body_site) == ("073Y", "male", "left", "左肺上叶")
    assert found.first_diagnosis == "考虑腺癌"


def test_slides_still_belong_to_their_specimen_and_block(order, key):
    found = made(order, key)
    assert (
        found.specimens[0][0] == found.slides[0].specimen == keys.token(key.secret, "specimen", "B23-0042-A")
    )
    assert found.slides[0].stain == "HE"


def test_a_question_that_is_only_a_name_is_a_loss(order, key):
    emptied = order.model_copy(update={"clinical_question": "王小明"})
    with pytest.raises(Quarantine, match="reading-loss"):
        made(emptied, key)
