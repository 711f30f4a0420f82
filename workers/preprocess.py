"""preprocess: read every byte once, judge what the drop holds, and compare it with the order.

What cannot be trusted is quarantined, what is inadequate goes back with advice, what is unreadable is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator

from cases.documents import Preprocessed, Preview, Received, SlideFound, StoredObject, StudyFound
from cases.errors import AskClinic, Quarantine, Reject
from imaging import identity
from imaging.dicom import previews, study
from storage.transition import Done
from workers import slides
from workers.files import Files
from workers.parts import Tools, Work
from workers.survey import Survey, survey

PNG = "image/png"
# Of one case, so that a study of a thousand series does not become a thousand pictures.
PREVIEWS_MAX = 24


def preprocess(work: Work, tools: Tools) -> Done:
    """Look at everything that was received. Raises `Quarantine` or `Reject` with the reason."""
    if not work.order.clinical_question:
        raise Reject("no-question")
    files = Files(Received.model_validate(work.documents["receive"]), tools.objects, tools.scratch)
    found = survey(files)
    _require_images(work, found)
    if found.instances:
        identity.check(work.order.patient, found.instances)
    grouped = study.group(found.instances)
    study.require_complete(grouped.studies)
    judged = slides.judge(work, tools, files, found)
    pictures = [*_study_previews(work, tools, files, grouped.studies), *judged.previews]
    document = Preprocessed(
        studies=grouped.studies,
        slides=judged.slides,
        station_use=(*grouped.station_use, *judged.station_use),
        previews=tuple(pictures),
        ignored=tuple(found.ignored),
        duplicates=grouped.duplicates,
        bytes_read=tools.objects.bytes_in,
    )
    images = sum(len(s.instances) for st in grouped.studies for s in st.series)
    return Done(
        document=document,
        objects=[p.stored for p in pictures],
        note=f"{len(grouped.studies)} studies, {images} instances, {len(judged.slides)} slides",
        aside=_ask_about_labels(judged.slides),
    )


def _require_images(work: Work, found: Survey) -> None:
    """The drop holds images, and of the kind that the service is about."""
    if not found.instances and not found.slides:
        raise Reject("no-images")
    service = work.network.service(work.case.service)
    if service.family == "slides":
        whole_slides = [i for i in found.instances if i.modality == "SM"]
        if not found.slides and not whole_slides:
            raise Quarantine("service-mismatch", f"{service.id} is read on slides, and the files hold none")
        return
    fitting = {i.modality for i in found.instances} & set(service.modalities)
    if found.slides or not fitting:
        seen = ", ".join(sorted({i.modality for i in found.instances} | ({"slides"} if found.slides else set())))
        raise Quarantine("service-mismatch", f"{service.id} takes {', '.join(service.modalities)}; the files are {seen}")


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
            yield Preview(of=each.uid, stored=keep(work, tools, f"preview/{number:03d}.png", picture), identified=True)


def keep(work: Work, tools: Tools, name: str, picture: bytes) -> StoredObject:
    """Write a picture of this case into the region's own zone."""
    key = f"{work.case.id}/preprocess/{work.case.version:03d}/{name}"
    return tools.objects.write("identified", key, picture, PNG)


def _ask_about_labels(found: tuple[SlideFound, ...]) -> AskClinic | None:
    unreadable = [s for s in found if s.label in ("unreadable", "absent")]
    return AskClinic("label-unreadable", f"{len(unreadable)} of {len(found)} slides") if unreadable else None
