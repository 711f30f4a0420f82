"""The slides of a case: opened, judged, and their labels read against the order while still in the region."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pypinyin import lazy_pinyin

from cases.documents import (
    ConvertedSlide,
    PlannedFile,
    PlannedPart,
    PlannedSlide,
    Preview,
    SlideFound,
    StationUse,
    StoredObject,
)
from cases.errors import Quarantine
from cases.order import SlideLine
from imaging.slides.check import SlideReading, check_slide
from imaging.slides.label import LabelReading, read_label
from imaging.slides.plan import LaidFile, beside
from imaging.slides.scanner import Scan, read_scan
from workers.conversion import as_taken
from workers.native import plan_slide
from workers.parts import Tools, Work
from workers.pictures import keep

# Seconds for one reading of a slide: 4 GB at 20 MB/s and some.
CHECK_SECONDS = 300.0
LABEL_SECONDS = 120.0
# Seconds in which a slide of 4 GB is planned and digested on a busy machine.
PLAN_SECONDS = 300.0
BYTES = "application/octet-stream"
# The formats that leave as objects put together by a plan, and what the one that opens the slide is.
MEDIA_TYPES = {
    "svs": "image/x-aperio-svs",
    "generic-tiff": "image/tiff",
    "ndpi": "image/x-hamamatsu-ndpi",
    "leica-scn": "image/x-leica-scn",
    "philips-tiff": "image/tiff",
    "ventana-bif": "image/x-ventana-bif",
    "mirax": "image/jpeg",
}
Label = Literal["matches", "unreadable", "absent", "confirmed"]


@dataclass(frozen=True, kw_only=True)
class JudgedSlide:
    """What preprocess learned of one slide, and the pictures that it keeps of it.

    `unfolded` are the files of a slide that came in an archive, stored one by one: a plan is of ranges of them.
    """

    found: SlideFound
    use: StationUse
    previews: tuple[Preview, ...]
    unfolded: tuple[StoredObject, ...] = ()


def judge(work: Work, tools: Tools, path: Path, name: str, folder: Mapping[str, StoredObject]) -> JudgedSlide:
    """Judge the slide at `path` against the line of the order that names the file `name`.

    `folder` are the received files of its folder by name, where it came as several.

    Raises `Quarantine` (`slide-unsafe`, `label-mismatch`, ...) or `Reject` (`no-tissue`, `out-of-focus`).
    """
    line = _line_of(work, name)
    with as_taken(work, tools, path, line) as (taken, converted):
        return _judge(work, tools, taken, line, converted, folder)


def _judge(
    work: Work,
    tools: Tools,
    path: Path,
    line: SlideLine,
    converted: ConvertedSlide | None,
    folder: Mapping[str, StoredObject],
) -> JudgedSlide:
    reading = tools.child.run_for(CHECK_SECONDS, check_slide, path)
    label = tools.child.run_for(LABEL_SECONDS, read_label, path, line, names=_names(work))
    scan = tools.child.run(read_scan, path)
    plan = _plan(work, tools, path, line, folder) if reading.format in MEDIA_TYPES else None
    found = SlideFound(
        file=line.file,
        format=reading.format,
        mpp=reading.mpp,
        levels=reading.levels,
        tissue_share=reading.tissue_share,
        focus=reading.focus,
        label=_label(work, line, label),
        plan=plan,
        converted=converted,
    )
    return JudgedSlide(
        found=found,
        use=_use(scan),
        previews=_pictures(work, tools, line, reading, label),
        unfolded=plan.sources if plan and not folder else (),
    )


def _plan(
    work: Work, tools: Tools, path: Path, line: SlideLine, folder: Mapping[str, StoredObject]
) -> PlannedSlide:
    """How the slide leaves the region, planned while all of it lies here: `deidentify` reads little of it again."""
    made = path.with_name(f"{path.name}.made")
    place = f"{work.case.id}/preprocess/{work.case.version:03d}"
    try:
        laid = tools.child.run_for(PLAN_SECONDS, plan_slide, path, made)
        stored = tools.objects.upload("identified", f"{place}/made/{line.number:03d}", made, BYTES)
    finally:
        made.unlink(missing_ok=True)
    first, *others = (_planned(file) for file in laid.files)
    return PlannedSlide(
        made=stored,
        parts=first.parts,
        sha256=first.sha256,
        removed_values=laid.removed_values,
        folder=tuple(others),
        sources=tuple(
            folder.get(name)
            or _keep(tools, beside(path, name), f"{place}/unfolded/{line.number:03d}-{index:04d}")
            for index, name in enumerate(laid.sources)
        ),
    )


def _planned(file: LaidFile) -> PlannedFile:
    parts = (PlannedPart(made=p.made, offset=p.offset, length=p.length, sha256=p.sha256) for p in file.parts)
    return PlannedFile(name=file.name, parts=tuple(parts), sha256=file.sha256)


def _keep(tools: Tools, path: Path, key: str) -> StoredObject:
    """A file out of an archive, where the store can copy ranges of it."""
    return tools.objects.upload("identified", key, path, BYTES)


def use_of(judged: Sequence[JudgedSlide]) -> tuple[StationUse, ...]:
    """The scanners' use by all slides together, one row a scanner."""
    stations = sorted({(j.use.station, j.use.modality) for j in judged})
    rows = []
    for station, modality in stations:
        uses = [j.use for j in judged if (j.use.station, j.use.modality) == (station, modality)]
        times = [t for u in uses for t in (u.first_acquired_at,) if t]
        rows.append(
            StationUse(
                station=station,
                modality=modality,
                first_acquired_at=min(times, default=None),
                last_acquired_at=max(times, default=None),
                images=len(uses),
            )
        )
    return tuple(rows)


def converted_of(judged: Sequence[JudgedSlide]) -> list[ConvertedSlide]:
    """What converters made of these slides."""
    return [j.found.converted for j in judged if j.found.converted is not None]


def require_all(work: Work, judged: Sequence[JudgedSlide]) -> None:
    """Every slide of the order is there: raises `Quarantine("service-mismatch")`."""
    seen = {j.found.file for j in judged}
    lacking = [line.number for line in work.order.slides if line.file not in seen]
    if lacking:
        raise Quarantine(
            "service-mismatch", f"slides {', '.join(map(str, lacking))} of the order are no slides"
        )


def together(paths: Sequence[Path], folder: Path) -> None:
    """Put the instances of one DICOM slide into one folder, where OpenSlide looks for them."""
    folder.mkdir()
    for path in paths:
        shutil.move(path, folder / f"{path.name}.dcm")


def _line_of(work: Work, name: str) -> SlideLine:
    line = next((line for line in work.order.slides if line.file == name), None)
    if line is None:
        raise Quarantine("label-mismatch", "the slide is on no line of the order")
    return line


def _names(work: Work) -> tuple[str, ...]:
    """The patient's names as a label may show them: "He" on it is then a surname and no stain."""
    patient = work.order.patient
    syllables = lazy_pinyin(patient.name)
    written = (patient.name, patient.name_latin, " ".join(syllables), "".join(syllables), syllables[0])
    return tuple(dict.fromkeys(n for n in written if n))


def _label(work: Work, line: SlideLine, reading: LabelReading) -> Label:
    """What the label says, or what the clinic answered where it says nothing."""
    refused = reading.refusal()
    if refused is not None:
        raise refused
    answer = work.facts.get(line.number)
    if answer is False:
        raise Quarantine("label-mismatch", f"the clinic says that slide {line.number} is another one")
    if reading.result == "matches":
        return "matches"
    if answer:
        return "confirmed"
    return "absent" if reading.result == "absent" else "unreadable"


def _use(scan: Scan) -> StationUse:
    return StationUse(
        station=scan.station, modality="SM", first_acquired_at=scan.at, last_acquired_at=scan.at, images=1
    )


def _pictures(
    work: Work, tools: Tools, line: SlideLine, reading: SlideReading, label: LabelReading
) -> tuple[Preview, ...]:
    overview = keep(work, tools, f"preview/slide-{line.number:03d}.png", reading.preview)
    pictures = [Preview(of=line.file, stored=overview, identified=False)]
    if label.picture is not None:
        stored = keep(work, tools, f"label/{line.number:03d}.png", label.picture)
        pictures.append(Preview(of=line.file, stored=stored, identified=True))
    return tuple(pictures)
