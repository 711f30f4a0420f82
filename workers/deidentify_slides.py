"""De-identifying the slides of a case: planned by ranges, proved by the second pass, composed inside the store."""

from __future__ import annotations

from cases.documents import Preprocessed, Received, SlideFound, StoredObject
from cases.ports import PatientKey
from imaging.deid.brief import slide_name
from imaging.deid.known import KnownIdentity
from workers.files import Files
from workers.native import plan_slide
from workers.parts import Tools, Work

# Shorter values (block "A1", specimen "B") stand in any file by chance; the directories' allow-list keeps them out.
SHORTEST_VALUE = {True: 4, False: 2}
# Seconds in which a slide of 4 GB is planned, proved and digested on a busy machine.
PLAN_SECONDS = 600.0
MEDIA_TYPES = {"svs": "image/x-aperio-svs", "generic-tiff": "image/tiff", "philips-tiff": "image/tiff"}


def folder(work: Work) -> str:
    """Where this run's output lies in the zone `deidentified`."""
    return f"{work.case.id}/deidentify/{work.case.version:03d}"


def identity_values(known: KnownIdentity) -> tuple[str, ...]:
    """The texts that the second pass looks for in a slide's bytes: long enough not to stand there by chance."""
    texts = (*known.names, *known.people, *known.identifiers, *known.phones, *known.addresses)
    dates = (f"{d:%Y%m%d}" for d in known.birth_dates)
    return tuple(v for v in (*texts, *dates) if len(v) >= SHORTEST_VALUE[v.isascii()])


def slides(work: Work, tools: Tools, key: PatientKey, identity_values: tuple[str, ...]) -> list[StoredObject]:
    """The case's slides as they may leave. Raises `Quarantine` (`slide-unsafe`, `identity-left`, ...)."""
    received = Received.model_validate(work.documents["receive"])
    found = Preprocessed.model_validate(work.documents["preprocess"])
    files = Files(received, tools.objects, tools.scratch)
    return [
        _slide(work, tools, files, slide, key, identity_values)
        for slide in found.slides
        if slide.format in MEDIA_TYPES
    ]


def _slide(
    work: Work,
    tools: Tools,
    files: Files,
    slide: SlideFound,
    key: PatientKey,
    identity_values: tuple[str, ...],
) -> StoredObject:
    stored = slide.converted.stored if slide.converted else files.of(slide.file).stored
    tools.objects.require_same(stored)
    with files.fetched(stored) as path:
        planned = tools.child.run_for(PLAN_SECONDS, plan_slide, path, identity_values)
    return tools.objects.compose(
        stored,
        planned.segments,
        "deidentified",
        _key(work, slide, key),
        MEDIA_TYPES[slide.format],
        planned.sha256,
    )


def _key(work: Work, slide: SlideFound, key: PatientKey) -> str:
    line = next(line for line in work.order.slides if line.file == slide.file)
    name = slide_name(key, line.pathology_number, line.block, line.stain, line.number)
    suffix = "svs" if slide.format == "svs" else "tiff"
    return f"{folder(work)}/slide/{name}.{suffix}"
