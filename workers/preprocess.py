"""preprocess: read every byte once, judge what the drop holds, and compare it with the order.

What cannot be trusted is quarantined, what is inadequate goes back with advice, what is unreadable is asked about.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from cases.documents import ConvertedSlide, Preprocessed, Preview, Received, StudyFound
from cases.errors import AskClinic, Quarantine, Reject
from imaging import identity
from imaging.dicom import previews, study
from imaging.slides.formats import FORMATS
from storage.transition import Done
from workers import slides
from workers.files import Files
from workers.parts import Tools, Work
from workers.pictures import keep
from workers.slides import JudgedSlide
from workers.survey import Survey, survey

# Of one case, so that a study of a thousand series does not become a thousand pictures.
PREVIEWS_MAX = 24


def preprocess(work: Work, tools: Tools) -> Done:
    """Look at everything that was received. Raises `Quarantine` or `Reject` with the reason."""
    if not work.order.clinical_question:
        raise Reject("no-question")
    files = Files(Received.model_validate(work.documents["receive"]), tools.objects, tools.scratch)
    found = survey(files, functools.partial(slides.judge, work, tools))
    _require_images(work, found)
    _compare_identity(work, found)
    grouped = study.group(found.instances)
    study.require_complete(grouped.studies)
    judged = [*found.slides, *_dicom_slides(work, tools, found, grouped.studies)]
    if work.case.family == "slides":
        slides.require_all(work, judged)
    pictures = [
        *_study_previews(work, tools, files, grouped.studies),
        *(p for j in judged for p in j.previews),
    ]
    stations = [u for u in grouped.station_use if u.modality != "SM"]
    document = Preprocessed(
        studies=grouped.studies,
        slides=tuple(j.found for j in judged),
        station_use=(*stations, *slides.use_of(judged)),
        previews=tuple(pictures),
        ignored=tuple(found.ignored),
        duplicates=grouped.duplicates,
        bytes_read=tools.objects.bytes_in,
    )
    images = sum(len(s.instances) for st in grouped.studies for s in st.series)
    converted = slides.converted_of(judged)
    return Done(
        document=document,
        objects=[
            *(p.stored for p in pictures),
            *(c.stored for c in converted),
            *(j.found.plan.made for j in judged if j.found.plan),
            *(unfolded for j in judged for unfolded in j.unfolded),
        ],
        note=f"{len(grouped.studies)} studies, {images} instances, {len(judged)} slides{_by_whom(converted)}",
        aside=_question_about_labels(judged),
    )


def _by_whom(converted: Sequence[ConvertedSlide]) -> str:
    """Which slides are not as their scanner wrote them, and by what they were converted."""
    ways = sorted({f"{FORMATS[c.source_format].name} by {c.by}" for c in converted})
    return f"; {len(converted)} converted: {', '.join(ways)}" if ways else ""


def _require_images(work: Work, found: Survey) -> None:
    """The drop holds images, and of the kind that the service is about."""
    if not found.instances and not found.slides:
        raise Reject("no-images")
    service = work.network.service(work.case.service)
    seen = {i.modality for i in found.instances} | ({"SM"} if found.slides else set())
    if not seen & set(service.modalities) or (found.slides and service.family != "slides"):
        takes, are = ", ".join(service.modalities), ", ".join(sorted(seen))
        raise Quarantine("service-mismatch", f"{service.id} takes {takes}; the files are {are}")


def _compare_identity(work: Work, found: Survey) -> None:
    """Every image shows the order's patient. A slide's instances often name nobody: its label speaks for it."""
    patient = work.order.patient
    whole = [i for i in found.instances if i.modality == "SM"]
    others = [i for i in found.instances if i.modality != "SM"]
    if others:
        identity.check(patient, others)
    if whole:
        identity.check(patient, whole, at_least=0)


def _dicom_slides(
    work: Work, tools: Tools, found: Survey, studies: tuple[StudyFound, ...]
) -> Iterator[JudgedSlide]:
    """Slides that came as DICOM instances: each series of modality SM is one, opened by its largest instance."""
    for each in (s for st in studies for s in st.series if s.modality == "SM"):
        paths = [found.whole[i.sop_instance_uid] for i in each.instances if i.sop_instance_uid in found.whole]
        if not paths:
            continue
        folder = tools.scratch / f"slide-{each.uid}"
        largest = max(paths, key=lambda p: p.stat().st_size)
        slides.together(paths, folder)
        named = {i.file for i in each.instances}
        file = next((line.file for line in work.order.slides if line.file in named), each.instances[0].file)
        yield slides.judge(work, tools, folder / f"{largest.name}.dcm", file, {})


def _study_previews(
    work: Work, tools: Tools, files: Files, studies: tuple[StudyFound, ...]
) -> Iterator[Preview]:
    """A picture of the middle of each series, as identified as the images are."""
    series = [s for st in studies for s in st.series if s.modality != "SM"]
    for number, each in enumerate(series[:PREVIEWS_MAX], 1):
        middle = study.representative(each)
        with files.here(middle.file, middle.member) as path:
            picture = tools.child.run(previews.preview, path)
        if picture is not None:
            yield Preview(
                of=each.uid, stored=keep(work, tools, f"preview/{number:03d}.png", picture), identified=True
            )


def _question_about_labels(judged: Sequence[JudgedSlide]) -> AskClinic | None:
    unreadable = [j for j in judged if j.found.label in ("unreadable", "absent")]
    return AskClinic("label-unreadable", f"{len(unreadable)} of {len(judged)} slides") if unreadable else None
