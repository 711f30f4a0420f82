"""Report contents of fictional patients, as the tests and the looks of the page need them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from cases.order import Coded, PatientIdentifier
from reports.content import (
    Binding,
    CoSignature,
    Milestone,
    Organisation,
    Person,
    ReportContent,
    Signer,
    SlideRead,
    SpecimenRead,
)

NAME = "㛃小雨"
FINDINGS = (
    "双肺纹理清晰,右肺下叶后基底段见一大小约8 mm×6 mm的实性结节(series 3, image 142),边缘光滑,平均CT值约35 HU;"
    "余肺野内未见明显异常密度影。气管及各叶、段支气管通畅。纵隔居中,未见肿大淋巴结。心影大小正常,双侧胸腔未见积液。"
)
CONCLUSION = "1. 右肺下叶实性小结节,倾向良性,建议随访。\n2. 余胸部CT平扫未见明显异常。"
SIGNED_AT = datetime(2026, 3, 5, 6, 30, 12, tzinfo=UTC)

CLINIC = Organisation(id="zhonghe", name="Zhonghe Health Service Centre", name_zh="中河街道社区卫生服务中心")
PARTNER = Organisation(id="yinzhou-2", name="Yinzhou No.2 Hospital", name_zh="宁波市鄞州第二医院")
LABORATORY = Organisation(id="yinzhou-lab", name="Yinzhou Pathology Laboratory", name_zh="鄞州区病理诊断中心")
BEIJING = Organisation(id="beijing", name="Beijing Pathology Centre", name_zh="北京病理会诊中心")


def milestones() -> tuple[Milestone, ...]:
    names = (("Received", "已接收"), ("Delivered", "已送达"), ("Claimed", "已领取"), ("Signed", "已签署"))
    return tuple(
        Milestone(name=en, name_zh=zh, at=SIGNED_AT - timedelta(minutes=40 - 13 * n))
        for n, (en, zh) in enumerate(names)
    )


def imaging(**changes: Any) -> ReportContent:
    """A chest CT of the clinic Zhonghe, read at Yinzhou No.2."""
    content: dict[str, Any] = {
        "case_id": "C26030500017",
        "report_id": "0198f3a0-6c1d-7b40-9f3e-2b1c5a7d9e01",
        "version": 1,
        "status": "final",
        "accession_number": "ZH2026030500012",
        "signed_at": SIGNED_AT,
        "patient": Person(
            name=NAME,
            identifiers=(
                PatientIdentifier(value="0001"),
                PatientIdentifier(value="33022719680214002X", type="national-id"),
            ),
            sex="female",
            birth_date=date(1968, 2, 14),
            age="058Y",
        ),
        "clinic": CLINIC,
        "requesting_doctor": "周明",
        "service": "ct",
        "service_name": "CT reading",
        "service_name_zh": "CT远程诊断",
        "family": "dicom",
        "modalities": ("CT",),
        "procedure": Coded(text="胸部CT平扫"),
        "body_site": Coded(text="胸部", code="51185008", system="http://snomed.info/sct"),
        "side": "none",
        "clinical_question": "咳嗽两周,低热,排除肺部感染及占位。",
        "received_at": SIGNED_AT - timedelta(minutes=40),
        "examined_on": date(2026, 3, 5),
        "study_uids": ("1.2.840.113619.2.55.3.604688119.971.1268071029.320",),
        "findings": FINDINGS,
        "conclusion": CONCLUSION,
        "recommendation": "6个月后复查低剂量胸部CT。",
        "codes": (("http://hl7.org/fhir/sid/icd-10|R91", "肺部阴影"),),
        "reader": Signer(account="reader-1", name="陈立", licence="110330200012345", organisation=PARTNER),
        "milestones": milestones(),
        "binding": Binding(
            order_sha256="a1" * 32,
            images_manifest_sha256="b2" * 32,
            pseudonym="P-7Q4M2XKD",
            report_sha256="c3" * 32,
        ),
    }
    return ReportContent(**{**content, **changes})


def pathology(**changes: Any) -> ReportContent:
    """A breast biopsy scanned at the laboratory, read in Beijing, with a second signature."""
    slides = tuple(
        SlideRead(pathology_number="B2026-01234", specimen="A", block=f"A{n}", stain=stain, number=n, of=3)
        for n, stain in ((1, "HE"), (2, "ER"), (3, "HER2 (4B5)"))
    )
    content: dict[str, Any] = {
        "family": "slides",
        "service": "pathology",
        "service_name": "Pathology reading",
        "service_name_zh": "病理远程诊断",
        "modalities": ("SM",),
        "laboratory": LABORATORY,
        "procedure": Coded(text="乳腺穿刺活检"),
        "body_site": Coded(text="乳腺"),
        "side": "left",
        "clinical_question": "左乳外上象限肿块,BI-RADS 4B,明确性质。",
        "specimens": (SpecimenRead(id="A", description="左乳外上象限穿刺组织,灰白色条状3条,长1.0-1.5 cm"),),
        "slides": slides,
        "study_uids": (),
        "findings": "纤维组织中见不规则腺管浸润,核异型明显,核分裂象约6/10 HPF;ER(90%,强阳性),HER2(1+)。",
        "conclusion": "(左乳)浸润性导管癌,组织学分级II级。",
        "recommendation": "",
        "codes": (),
        "reader": Signer(account="reader-9", name="Li Hua", licence="110110000098765", organisation=BEIJING),
        "co_signatures": (
            CoSignature(role="secondary", name="王强", licence="110110000011111", signed_at=SIGNED_AT),
        ),
    }
    return imaging(**{**content, **changes})
