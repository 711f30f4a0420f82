"""De-identifying the slides of a case: planned by ranges, proved by the second pass, composed inside the store."""

from __future__ import annotations

from cases.documents import PlannedSlide, Preprocessed, Received, SlideFound, StoredObject
from cases.errors import Quarantine
from cases.ports import PatientKey, Range
from imaging.deid.brief import slide_name
from imaging.deid.known import KnownIdentity
from imaging.slides import second_pass
from workers.files import Files
from workers.native import require_no_text
from workers.parts import Tools, Work
from workers.ranges import RangesSource
from workers.slides import MEDIA_TYPES

# Shorter values (block "A1", specimen "B") stand in any file by chance; the directories' allow-list keeps them out.
SHORTEST_VALUE = {True: 4, False: 2}


def folder(work: Work) -> str:
    """Where this run's output lies in the zone `deidentified`."""
    return f"{work.case.id}/deidentify/{work.case.version:03d}"


def identity_values(known: KnownIdentity) -> tuple[str, ...]:
    """The texts that the second pass looks for in a slide's bytes: long enough not to stand there by chance."""
    texts = (*known.names, *known.people, *known.identifiers, *known.phones, *known.addresses)
    dates = (f"{d:%Y%m%d}" for d in known.birth_dates)
    return tuple(v for v in (*texts, *dates) if len(v) >= SHORTEST_VALUE[v.isascii()])


def slides(work: Work, tools: Tools, key: PatientKey, identity_values: tuple[str, ...]) -> list[StoredObject]:
    """The case's slides as they may leave. Raises `Quarantine` (`identity-left`, `pixels-doubtful`, ...)."""
    received = Received.model_validate(work.documents["receive"])
    found = Preprocessed.model_validate(work.documents["preprocess"])
    files = Files(received, tools.objects, tools.scratch)
    done = []
    for slide in (s for s in found.slides if s.format in MEDIA_TYPES):
        picture = next(p.stored for p in found.previews if p.of == slide.file and not p.identified)
        tools.child.run(require_no_text, tools.objects.read(picture), identity_values)
        done.append(_compose(work, tools, files.of(slide.file).stored, slide, key, identity_values))
    return done


def _compose(
    work: Work,
    tools: Tools,
    stored: StoredObject,
    slide: SlideFound,
    key: PatientKey,
    identity_values: tuple[str, ...],
) -> StoredObject:
    """Prove what the plan makes of the slide, and have the store make it."""
    plan = slide.plan
    if plan is None:
        raise Quarantine("slide-unsafe", "preprocess left no plan for this slide")
    for source in (stored, plan.made):
        tools.objects.require_same(source)
    ranges = _ranges(plan, stored)
    values = tuple(dict.fromkeys((*identity_values, *plan.removed_values)))
    second_pass.check_slide(RangesSource(tools.objects, ranges), identity_values=values, tiles="sampled")
    return tools.objects.compose(
        ranges, "deidentified", _key(work, slide, key), MEDIA_TYPES[slide.format], plan.sha256
    )


def _ranges(plan: PlannedSlide, stored: StoredObject) -> tuple[Range, ...]:
    return tuple(
        Range(stored=plan.made if part.made else stored, offset=part.offset, length=part.length)
        for part in plan.parts
    )


def _key(work: Work, slide: SlideFound, key: PatientKey) -> str:
    line = next(line for line in work.order.slides if line.file == slide.file)
    name = slide_name(key, line.pathology_number, line.block, line.stain, line.number)
    suffix = "svs" if slide.format == "svs" else "tiff"
    return f"{folder(work)}/slide/{name}.{suffix}"
