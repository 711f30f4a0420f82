"""What is dropped in measurements: small CT cases, a long CT, a slide; each for a patient of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.deployment import Deployment
from cases.order import Order
from teledx.samples import orders, studies
from teledx.samples.orders import SamplePatient
from teledx.samples.slide import make_slide

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
UPLOADS = 8
NUMBERS = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A drop as its clinic has it: the order, and each file's bytes or path by name."""

    clinic: str
    order: Order
    files: Mapping[str, bytes | Path]

    @property
    def prefix(self) -> str:
        return f"{self.clinic}/{self.order.accession_number}/"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(f.size for f in self.order.files)


def small_ct(clinic: str, accession: str, *, priority: str = "routine") -> Drop:
    """One CT instance of 128 by 128 pixels, 39 kB."""
    patient = _patient()
    files = {"image.dcm": studies.single("CT_small.dcm", patient, station="CT1", at=AT)}
    return _drop(clinic, "ct", patient, files, accession, priority=priority)


def long_ct(clinic: str, accession: str, slices: int, rows: int) -> Drop:
    """An axial CT, 16 bits a pixel."""
    patient = _patient()
    files = dict(studies.ct_series(patient, slices, station="CT1", at=AT, rows=rows))
    return _drop(clinic, "ct", patient, files, accession)


def slide(clinic: str, accession: str, size: int, folder: Path, seed: int = 7) -> Drop:
    """An Aperio slide of about `size` bytes with a label that matches its order."""
    patient = _patient()
    number = f"S26-{next(NUMBERS):05d}"
    path = make_slide(
        folder / f"{accession}.svs", size=size, pathology_number=number, block="A1", stain="HE",
        patient_name=patient.name_latin, seed=seed,
    )  # fmt: skip
    line = orders.slide_line("slide.svs", pathology_number=number, block="A1", stain="HE")
    return _drop(clinic, "histology", patient, {"slide.svs": path}, accession, slides=[line])


def _patient() -> SamplePatient:
    number = next(NUMBERS)
    return replace(orders.PATIENTS[number % len(orders.PATIENTS)], id=f"BENCH{number:06d}")


def _drop(
    clinic: str,
    service: str,
    patient: SamplePatient,
    files: Mapping[str, bytes | Path],
    accession: str,
    **more: object,
) -> Drop:
    lines = [orders.file_line(name, content) for name, content in files.items()]
    order = orders.order(service, patient, lines, accession_number=accession, **more)  # type: ignore[arg-type]
    return Drop(clinic=clinic, order=order, files=files)


def upload(deployment: Deployment, drop: Drop) -> None:
    """Put the files and then the order into the clinic's prefix of the inbox: afterwards the drop is complete."""

    def put(name: str) -> None:
        content = drop.files[name]
        if isinstance(content, Path):
            deployment.s3.upload(
                "inbox", f"{drop.prefix}{name}", str(content), "application/octet-stream", ""
            )
        else:
            deployment.s3.replace("inbox", f"{drop.prefix}{name}", content, "application/octet-stream")

    with ThreadPoolExecutor(UPLOADS) as pool:
        for _ in pool.map(put, drop.files):
            continue
    said = drop.order.model_dump_json().encode()
    deployment.s3.replace("inbox", f"{drop.prefix}order.json", said, "application/json")


def upload_all(deployment: Deployment, drops: Sequence[Drop]) -> None:
    """Many drops of few files, several at once."""
    with ThreadPoolExecutor(UPLOADS) as pool:
        for _ in pool.map(lambda drop: upload(deployment, drop), drops):
            continue


def round_robin(clinics: Sequence[str], count: int) -> Iterator[str]:
    return itertools.islice(itertools.cycle(clinics), count)
