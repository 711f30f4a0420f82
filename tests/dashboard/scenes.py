"""A network at work, as the pages have to show it: cases in every state, a report, pictures, figures."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from pydicom import dcmread
from pydicom.data import get_testdata_file

from cases.documents import (
    Brief,
    Deidentified,
    Delivered,
    EarlierExamination,
    Preprocessed,
    Preview,
    SlideFound,
    StoredObject,
)
from reports.fhir import document as fhir_document
from reports.pdf import render
from storage import cases, runs, transition
from storage.cases import Case
from storage.database import Database
from storage.s3 import S3
from tests.reports.samples import imaging
from tests.storage import filled
from tests.storage.filled import advanced, delivered, received, returned, set_aside, signed

PATIENTS = ("王建国", "李秀英", "张伟", "㛃小雨", "陈思远", "刘洋", "赵敏华", "孙丽萍")


def order_of(number: int, **changes: Any) -> dict[str, Any]:
    """An order's differing parts, for `tests.storage.filled`."""
    patient = {
        "identifiers": [{"value": f"000{number}", "type": "MR"}],
        "name": PATIENTS[number % len(PATIENTS)],
        "sex": ("male", "female")[number % 2],
        "birth_date": f"19{50 + number}-03-0{number % 8 + 1}",
    }
    return {
        "accession_number": f"JS20261123{number:04}",
        "patient": patient,
        "procedure": {"text": "胸部正位 X 线"},
        "body_site": {"text": "胸部"},
        "clinical_question": "咳嗽两周,低热,排除肺部感染。",
    } | changes


def picture(words: str, size: tuple[int, int] = (640, 480)) -> bytes:
    """A small grey picture with words on it."""
    image = Image.new("RGB", size, (28, 32, 36))
    draw = ImageDraw.Draw(image)
    draw.ellipse((size[0] * 0.2, size[1] * 0.1, size[0] * 0.8, size[1] * 0.95), fill=(120, 124, 128))
    draw.text((20, 20), words, fill=(240, 240, 240))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def slice_picture() -> bytes:
    """A real CT slice (pydicom's CT_small), windowed and enlarged to 640 by 640."""
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    values = dcmread(path).pixel_array.astype("float32")
    low, high = np.percentile(values, (1, 99.5))
    grey = (np.clip((values - low) / (high - low), 0, 1) * 255).astype("uint8")
    content = io.BytesIO()
    Image.fromarray(grey).resize((640, 640), Image.Resampling.BICUBIC).save(content, "PNG")
    return content.getvalue()


def stored(s3: S3, zone: str, key: str, content: bytes, media_type: str) -> StoredObject:
    """The bytes in the store, under their digest."""
    s3.replace(zone, key, content, media_type)
    return StoredObject(
        zone=zone,
        key=key,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        media_type=media_type,
    )


def with_report(database: Database, s3: S3, number: int = 3) -> str:
    """A case whose report is at its clinic, fetchable."""
    case_id = delivered(database, number=number, **order_of(number))
    signed(database, case_id)
    pdf, fhir = render(imaging(case_id=case_id)), fhir_document(imaging(case_id=case_id))
    case = returned(database, case_id, pdf=pdf, fhir=fhir)
    s3.replace("reports", f"{case_id}/{case.version - 1}/report.pdf", pdf, "application/pdf")
    s3.replace("reports", f"{case_id}/{case.version - 1}/report.json", fhir, "application/fhir+json")
    return case_id


def asking_about_a_label(database: Database, s3: S3, number: int = 5) -> str:
    """A pathology case that waits for its clinic: slide 2's label cannot be read."""
    slides = [
        {"file": f"{n}.svs", "pathology_number": "B2026-01234", "specimen": "A", "block": f"A{n}", "stain": "HE",
         "number": n, "of": 2}
        for n in (1, 2)
    ]  # fmt: skip
    case_id = received(
        database,
        number=number,
        **order_of(
            number,
            service="histology",
            procedure={"text": "乳腺穿刺活检"},
            body_site={"text": "左乳"},
            specimens=[{"id": "A", "description": "穿刺组织"}],
            slides=slides,
            files=[{"name": f"{n}.svs", "size": 3, "sha256": "1" * 64} for n in (1, 2)],
        ),
    )
    label = stored(
        s3, "identified", f"{case_id}/label-2.png", picture("B2026-01234 A2 HE", (420, 300)), "image/png"
    )
    found = Preprocessed(
        slides=tuple(
            SlideFound(
                file=f"{n}.svs", format="svs", mpp=(0.25, 0.25), levels=((46_000, 32_914),), tissue_share=0.4,
                focus=0.9, label="matches" if n == 1 else "unreadable",
            )
            for n in (1, 2)
        ),
        previews=(Preview(of="2.svs", stored=label, identified=True),),
    )  # fmt: skip
    with database.transaction() as connection:
        case = cases.get(connection, case_id)
    run = runs.claim(database, case_id=case_id, stage="preprocess", case_version=case.version, owner="tests")
    assert run is not None
    with database.transaction() as connection:
        cases.keep_document(connection, case_id, "preprocess", run.case_version, found)
        transition.set_aside(connection, run, "asked", "label-unreadable", "slide 2 of 2")
    return case_id


def rich_brief(case: Case) -> Brief:
    """An order with everything that a reader may be told."""
    return Brief(
        pseudonym="P-7Q4M2XKD",
        age="058Y",
        sex="female",
        service=case.service,
        priority=case.priority,
        purpose="check",
        procedure="胸部 CT 平扫",
        body_site="胸部",
        side="right",
        clinical_question="咳嗽两周,低热,右下肺湿啰音,排除肺部感染及占位。",
        history="高血压十年,规律服药;否认结核病史。",
        allergies=("青霉素",),
        contrast="无",
        first_diagnosis="右下肺斑片影,考虑炎症。",
        earlier=(
            EarlierExamination(case_id="K8TQ-CGNB", service="xray", days_before=183),
            EarlierExamination(case_id="2CTA-V2P3", service="ct", days_before=411),
        ),
        modalities=("CT",),
        instances=300,
        blanked_instances=2,
    )


def to_be_read(database: Database, s3: S3, number: int, partner: str = "yinzhou2", **changes: Any) -> str:
    """A case on the worklist with a whole brief and pictures that the store really holds."""
    case = advanced(
        database,
        received(database, number=number, **order_of(number, service="ct", **changes)),
        to="preprocess",
    )
    brief = Deidentified(brief=rich_brief(case), files=(), profile="basic", key_id="k1", total_bytes=0)
    case = transition.commit(
        database, filled._run(database, case.id, "deidentify", case.version), transition.Done(document=brief)
    )
    case = advanced_to_route(database, case, partner)
    start, zone = f"{case.id}/{case.version}", f"partner-{partner}"
    kept = {f"preview/{n}.png": (slice_picture(), "image/png") for n in (1, 2)}
    kept["files/1.dcm"] = (b"DICM" * 1000, "application/dicom")
    objects = tuple(stored(s3, zone, f"{start}/{name}", *what) for name, what in kept.items())
    run = filled._run(database, case.id, "deliver", case.version)
    filled._intend(database, case.id, run, [(o.zone, o.key) for o in objects])
    done = Delivered(partner=partner, subspecialty="radiology-ct", objects=objects, manifest_sha256="5" * 64)
    return transition.commit(database, run, transition.Done(document=done, objects=objects)).id


def advanced_to_route(database: Database, case: Case, partner: str) -> Case:
    document, _ = filled._document(database, case, "route", partner)
    run = filled._run(database, case.id, "route", case.version)
    return transition.commit(database, run, transition.Done(document=document))


def fill(database: Database, s3: S3) -> dict[str, str]:
    """Cases of the clinic Jiangshan (and one of another) in many states; returns their ids by what they show."""
    return {
        "read": to_be_read(database, s3, 4),
        "waiting": delivered(database, number=1, **order_of(1)),
        "stat": to_be_read(database, s3, 2, priority="stat"),
        "report": with_report(database, s3),
        "asking": asking_about_a_label(database, s3),
        "quarantined": set_aside(database, received(database, number=6, **order_of(6))).id,
        "rejected": set_aside(
            database, received(database, number=7, **order_of(7)), "rejected", "no-question"
        ).id,
        "checked": advanced(database, received(database, number=8, **order_of(8)), to="preprocess").id,
        "other": delivered(database, clinic="wuxiang", number=9, **order_of(9)),
    }
