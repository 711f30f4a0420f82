"""What happens in the demonstration, as a table: who drops what, how it should end, and who reads it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cases.order import Order
from teledx.samples import orders, studies
from teledx.samples.orders import PATIENTS, SamplePatient
from teledx.samples.slide import make_slide

ZONE = ZoneInfo("Asia/Shanghai")
SLIDE_BYTES = 200_000_000

# Writes the case's files below a folder and returns its order.
Maker = Callable[["Scene", Path], Order]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One case: `ends` is the state in which it should come to rest, `reason` why, if it does not pass.

    `signed` tells a demonstration reader to read it; `acknowledged` the clinic to confirm the report.
    """

    name: str
    clinic: str
    service: str
    patient: SamplePatient
    priority: str
    make: Maker
    ends: str
    reason: str = ""
    signed: bool = True
    acknowledged: bool = False
    findings: str = ""
    conclusion: str = ""
    order: Mapping[str, Any] = field(default_factory=dict)

    @property
    def accession_number(self) -> str:
        return _accession_numbers()[self.name]


@functools.cache
def _accession_numbers() -> Mapping[str, str]:
    """By scene, as clinics count them; of one day, should it end meanwhile."""
    return {s.name: orders.today_number(s.service.upper()[:2], n) for n, s in enumerate(SCENES, 1)}


def _text(text: str) -> dict[str, str]:
    return {"text": text}


def _write(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return orders.file_line(name, content)


def _order(scene: Scene, files: list[dict[str, Any]], **changes: Any) -> Order:
    return orders.order(
        scene.service,
        scene.patient,
        files,
        accession_number=scene.accession_number,
        priority=scene.priority,
        **changes,
        **scene.order,
    )


def _this_morning(minutes: int) -> datetime:
    return datetime.now(ZONE) - timedelta(hours=2) + timedelta(minutes=minutes)


def _station(scene: Scene, machine: str) -> str:
    """The clinic's machine as the sample network calls it, so that the equipment figures know whose it was."""
    return f"{scene.clinic.upper()}_{machine}"


def ct(slices: int, station: str) -> Maker:
    def make(scene: Scene, folder: Path) -> Order:
        series = studies.ct_series(
            scene.patient, slices, station=_station(scene, station), at=_this_morning(0)
        )
        return _order(scene, [_write(folder, name, content) for name, content in series])

    return make


def single(source: str, station: str, **attributes: Any) -> Maker:
    def make(scene: Scene, folder: Path) -> Order:
        content = studies.single(
            source, scene.patient, station=_station(scene, station), at=_this_morning(20), **attributes
        )
        return _order(scene, [_write(folder, "image.dcm", content)])

    return make


def broken(scene: Scene, folder: Path) -> Order:
    content = studies.single(
        "CT_small.dcm", scene.patient, station=_station(scene, "CT1"), at=_this_morning(30)
    )
    return _order(scene, [_write(folder, "image.dcm", content[: len(content) * 2 // 3])])


def swapped(other: SamplePatient) -> Maker:
    """The order is for one patient, the image shows another: a mistake at the console."""

    def make(scene: Scene, folder: Path) -> Order:
        content = studies.single("CT_small.dcm", other, station=_station(scene, "CT1"), at=_this_morning(40))
        return _order(scene, [_write(folder, "image.dcm", content)])

    return make


def slide(size: int, number: str) -> Maker:
    def make(scene: Scene, folder: Path) -> Order:
        path = folder / "slide.svs"
        folder.mkdir(parents=True, exist_ok=True)
        make_slide(
            path,
            size=size,
            pathology_number=number,
            block="A1",
            stain="HE",
            patient_name=scene.patient.name_latin,
        )
        line = orders.slide_line("slide.svs", pathology_number=number, block="A1", stain="HE")
        return _order(scene, [orders.file_line("slide.svs", path)], slides=[line])

    return make


CLEAR_LUNGS = "两肺纹理清晰,未见实变影。纵隔居中,心影不大。"
NOTHING_FOUND = "胸部未见明显异常。"

SCENES: tuple[Scene, ...] = (
    Scene(name="stat head CT", clinic="wuxiang", service="ct", patient=PATIENTS[4], priority="stat",
          make=ct(24, "CT1"), ends="acknowledged", acknowledged=True,
          findings="脑实质密度均匀,未见出血灶。中线结构居中。", conclusion="颅内未见出血。",
          order={"procedure": _text("头颅CT平扫"), "body_site": _text("头颅"), "history": "一小时前从床上跌落。",
                 "clinical_question": "跌落后呕吐两次,请排除颅内出血。"}),
    Scene(name="chest CT", clinic="jiangshan", service="ct", patient=PATIENTS[0], priority="routine",
          make=ct(120, "CT1"), ends="returned", findings=CLEAR_LUNGS, conclusion=NOTHING_FOUND),
    Scene(name="brain MR", clinic="jiangshan", service="mr", patient=PATIENTS[1], priority="routine",
          make=single("MR2_UNCR.dcm", "MR1"), ends="acknowledged", acknowledged=True,
          findings="双侧脑室旁散在点状 T2 高信号。", conclusion="轻度缺血性白质改变。"),
    Scene(name="chest X-ray", clinic="wuxiang", service="xray", patient=PATIENTS[5], priority="urgent",
          make=single("RG1_UNCR.dcm", "DX1"), ends="returned", findings=CLEAR_LUNGS, conclusion=NOTHING_FOUND),
    Scene(name="gastric biopsy", clinic="jiangshan", service="histology", patient=PATIENTS[0], priority="routine",
          make=slide(SLIDE_BYTES, "S26-01234"), ends="returned",
          findings="胃窦黏膜,固有层淋巴细胞、浆细胞浸润,局灶肠上皮化生。", conclusion="慢性萎缩性胃炎,伴肠化(轻度)。"),
    Scene(name="gallbladder ultrasound", clinic="wuxiang", service="ultrasound", patient=PATIENTS[5],
          priority="routine", make=single("gdcm-US-ALOKA-16.dcm", "US1"), ends="delivered", signed=False),
    Scene(name="ultrasound with a name burned in", clinic="wuxiang", service="ultrasound", patient=PATIENTS[5],
          priority="routine", make=single("US1_UNCR.dcm", "US1"), ends="quarantined", reason="pixels-doubtful",
          signed=False),
    Scene(name="hand X-ray", clinic="jiangshan", service="xray", patient=PATIENTS[1], priority="routine",
          make=single("RG3_UNCR.dcm", "DX1"), ends="delivered", signed=False,
          order={"procedure": _text("手正斜位片"), "body_site": _text("手"),
                 "clinical_question": "跌倒后手部肿痛,有无骨折?"}),
    Scene(name="colon biopsy", clinic="yinzhou-people", service="histology", patient=PATIENTS[2], priority="routine",
          make=slide(24_000_000, "S26-01240"), ends="delivered", signed=False,
          order={"procedure": _text("结肠黏膜活检病理"), "body_site": _text("乙状结肠"), "history": "便血一月。",
                 "clinical_question": "乙状结肠息肉样隆起,请评估病变性质。"}),
    Scene(name="damaged file", clinic="jiangshan", service="ct", patient=PATIENTS[1], priority="routine",
          make=broken, ends="quarantined", reason="file-damaged", signed=False),
    Scene(name="another patient", clinic="wuxiang", service="ct", patient=PATIENTS[4], priority="routine",
          make=swapped(PATIENTS[3]), ends="quarantined", reason="identity-mismatch", signed=False,
          order={"clinical_question": "发热咳嗽五天,请排除肺炎。", "history": ""}),
)  # fmt: skip
