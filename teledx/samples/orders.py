"""Orders for demonstration and measurement: fictional patients, and a whole order around any set of files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cases.order import Order


@dataclass(frozen=True, kw_only=True)
class SamplePatient:
    """A person who does not exist. `dicom_name` is PN as a Chinese modality writes it."""

    id: str
    name: str
    name_latin: str
    sex: str
    birth_date: date

    @property
    def dicom_name(self) -> str:
        surname, _, given = self.name_latin.partition(" ")
        return f"{surname}^{given}={self.name[0]}^{self.name[1:]}"


PATIENTS: tuple[SamplePatient, ...] = (
    SamplePatient(
        id="JS20260001", name="王秀英", name_latin="Wang Xiuying", sex="female", birth_date=date(1958, 3, 14)
    ),
    SamplePatient(
        id="JS20260002", name="李建国", name_latin="Li Jianguo", sex="male", birth_date=date(1949, 10, 1)
    ),
    SamplePatient(
        id="HX20260017", name="陈美丽", name_latin="Chen Meili", sex="female", birth_date=date(1983, 7, 22)
    ),
    SamplePatient(
        id="HX20260018", name="周海生", name_latin="Zhou Haisheng", sex="male", birth_date=date(1971, 12, 5)
    ),
    SamplePatient(
        id="WX20260101", name="吴小龙", name_latin="Wu Xiaolong", sex="male", birth_date=date(2019, 5, 30)
    ),
    SamplePatient(
        id="WX20260102", name="郑玉兰", name_latin="Zheng Yulan", sex="female", birth_date=date(1966, 1, 9)
    ),
)

# service -> (procedure, body site, side, question, history)
TEXTS: Mapping[str, tuple[str, str, str, str, str]] = {
    "ct": ("胸部CT平扫", "胸部", "none", "咳嗽两周,请排除肺部占位。", "吸烟史三十年。"),
    "mr": ("头颅MR平扫", "头颅", "none", "头晕一月,请评估缺血灶。", "高血压病史。"),
    "xray": ("胸部正位片", "胸部", "none", "发热三天,请排除肺炎。", ""),
    "ultrasound": ("肝胆超声", "上腹部", "none", "右上腹痛,请评估胆囊。", "进食油腻后加重。"),
    "histology": ("胃黏膜活检病理", "胃窦", "none", "慢性胃炎,请评估肠化与异型增生。", "幽门螺杆菌阳性。"),
    "frozen-section": ("术中冰冻病理", "甲状腺", "left", "左叶结节,良恶性?", ""),
    "cytology": ("宫颈液基细胞学", "宫颈", "none", "筛查。", ""),
    "ihc": ("免疫组化", "乳腺", "right", "请评估 ER、PR、HER2。", "浸润性癌。"),
}


def file_line(name: str, content: bytes | Path) -> dict[str, Any]:
    """One file of an order: name, size in bytes and SHA-256 in hex."""
    if isinstance(content, bytes):
        return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": name, "size": content.stat().st_size, "sha256": digest}


def order(
    service: str,
    patient: SamplePatient,
    files: Sequence[dict[str, Any]],
    *,
    accession_number: str,
    priority: str = "routine",
    slides: Sequence[dict[str, Any]] = (),
    **changes: Any,
) -> Order:
    """A complete order; `changes` replace parts of it."""
    procedure, site, side, question, history = TEXTS[service]
    content: dict[str, Any] = {
        "accession_number": accession_number,
        "service": service,
        "priority": priority,
        "purpose": "diagnosis",
        "procedure": {"text": procedure},
        "body_site": {"text": site},
        "side": side,
        "clinical_question": question,
        "history": history,
        "requesting_doctor": "林卫东",
        "callback": {"name": "林卫东", "phone": "0574-88001234"},
        "patient": _patient(patient),
        "consent": {
            "document_sha256": hashlib.sha256(f"consent {accession_number}".encode()).hexdigest(),
            "signer": patient.name,
            "relation": "self",
        },
        "files": list(files),
    }
    if slides:
        content["specimens"] = [
            {"id": "A", "description": procedure, "body_site": {"text": site}, "side": side}
        ]
        content["slides"] = list(slides)
    return Order.model_validate(content | changes)


def _patient(patient: SamplePatient) -> dict[str, Any]:
    return {
        "identifiers": [{"value": patient.id, "type": "MR"}],
        "name": patient.name,
        "name_latin": patient.name_latin,
        "sex": patient.sex,
        "birth_date": patient.birth_date.isoformat(),
    }


def slide_line(
    file: str, *, pathology_number: str, block: str, stain: str, number: int = 1, of: int = 1
) -> dict[str, Any]:
    """One slide of an order, of specimen A."""
    return {
        "file": file,
        "pathology_number": pathology_number,
        "specimen": "A",
        "block": block,
        "stain": stain,
        "number": number,
        "of": of,
    }


def today_number(prefix: str, number: int) -> str:
    """An accession number of today, as clinics count them: 'CT20261123-007'."""
    return f"{prefix}{datetime.now(UTC):%Y%m%d}-{number:03d}"
