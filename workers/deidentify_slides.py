"""De-identifying the slides of a case: planned by ranges, proved by the second pass, composed inside the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate

from cases.documents import PlannedFile, Preprocessed, Received, SlideFound, StoredObject
from cases.errors import Quarantine
from cases.ports import PatientKey, Range
from imaging.deid.brief import slide_name
from imaging.deid.doubts import PixelsDoubtful
from imaging.deid.known import KnownIdentity
from imaging.deid.pixels import Decisions
from imaging.slides import deid
from imaging.slides.formats import SUFFIXES
from imaging.slides.source import cut_across
from workers.files import Files
from workers.native import require_no_text
from workers.parts import Tools, Work
from workers.ranges import RangesSource, verified
from workers.slides import BYTES, MEDIA_TYPES

# Shorter values (block "A1", specimen "B") stand in any file by chance; the directories' allow-list keeps them out.
SHORTEST_VALUE = {True: 4, False: 2}
# Of the parts that were made anew, so many bytes of one slide are held against their digests here.
VERIFIED_BYTES = 12 << 20


def folder(work: Work) -> str:
    """Where this run's output lies in the zone `deidentified`."""
    return f"{work.case.id}/deidentify/{work.case.version:03d}"


def identity_values(known: KnownIdentity) -> tuple[str, ...]:
    """The texts that the second pass looks for in a slide's bytes: long enough not to stand there by chance."""
    texts = (*known.names, *known.people, *known.identifiers, *known.phones, *known.addresses)
    dates = (f"{d:%Y%m%d}" for d in known.birth_dates)
    return tuple(v for v in (*texts, *dates) if len(v) >= SHORTEST_VALUE[v.isascii()])


def slides(
    work: Work, tools: Tools, key: PatientKey, identity_values: tuple[str, ...], decided: Decisions
) -> tuple[list[StoredObject], list[PixelsDoubtful]]:
    """The case's slides as they may leave, and those on whose glass something is written that a person must look at.

    Raises `Quarantine` (`identity-left`, `slide-unsafe`, ...).
    """
    received = Received.model_validate(work.documents["receive"])
    found = Preprocessed.model_validate(work.documents["preprocess"])
    files = Files(received, tools.objects, tools.scratch)
    done, doubts = [], []
    for slide in found.slides:
        picture = next(p.stored for p in found.previews if p.of == slide.file and not p.identified)
        read_glass = partial(_read_glass, tools, picture, identity_values, decided)
        try:
            if slide.format in MEDIA_TYPES:
                stored = slide.converted.stored if slide.converted else files.of(slide.file).stored
                done += _compose(work, tools, stored, slide, key, identity_values, read_glass)
            else:
                read_glass()  # its instances leave one by one
        except PixelsDoubtful as doubt:
            doubts.append(doubt)
    return done, doubts


def _read_glass(
    tools: Tools, picture: StoredObject, identity_values: tuple[str, ...], decided: Decisions
) -> None:
    """What is written on the glass is read from the preview; raises `PixelsDoubtful`."""
    decisions = tuple(decided.get(picture.sha256, ()))
    tools.child.run(require_no_text, tools.objects.read(picture), identity_values, decisions)


def _compose(
    work: Work,
    tools: Tools,
    stored: StoredObject,
    slide: SlideFound,
    key: PatientKey,
    identity_values: tuple[str, ...],
    read_glass: Callable[[], None],
) -> list[StoredObject]:
    """Prove what the plan makes of the slide, and have the store make it; the file that opens it is first.

    The store copies while the proof goes on, and none of its copies becomes an object before the proof is there.
    """
    plan = slide.plan
    if plan is None:
        raise Quarantine("slide-unsafe", "preprocess left no plan for this slide")
    sources = plan.sources or (stored,)
    for source in (*sources, plan.made):
        tools.objects.require_same(source)
    files = (PlannedFile(name="", parts=plan.parts, sha256=plan.sha256), *plan.folder)
    ranges = {file.name: _ranges(file, plan.made, sources) for file in files}

    def prove() -> None:
        held = verified(tools.objects, _made(ranges.values(), plan.made), VERIFIED_BYTES)
        deid.check_files(
            {name: RangesSource(tools.objects, each, held) for name, each in ranges.items()},
            identity_values=tuple(dict.fromkeys((*identity_values, *plan.removed_values))),
            tiles="sampled",
        )
        read_glass()

    name = _name(work, slide, key)
    with ThreadPoolExecutor(1, thread_name_prefix="proof") as pool:
        proof = pool.submit(prove)
        return [
            tools.objects.compose(
                ranges[file.name],
                "deidentified",
                f"{folder(work)}/slide/{name}{f'/{file.name}' if file.name else SUFFIXES[slide.format]}",
                BYTES if file.name else MEDIA_TYPES[slide.format],
                file.sha256,
                proof.result,
            )
            for file in files
        ]


def _made(files: Iterable[Sequence[Range]], made: StoredObject) -> list[Range]:
    """The ranges that were made anew: those at the ends of files first, where directories and settings are."""
    own = [
        (each is not ranges[-1], each.length, each)
        for ranges in files
        for each in ranges
        if each.stored == made
    ]
    return [each for *_, each in sorted(own, key=lambda o: o[:2])]


def _ranges(file: PlannedFile, made: StoredObject, sources: Sequence[StoredObject]) -> tuple[Range, ...]:
    """The file's parts, each wholly inside one object."""
    starts = [0, *accumulate(s.size for s in sources)]
    found = []
    for part in file.parts:
        stored, offset = made, part.offset
        if not part.made:
            index, offset, _ = next(cut_across(starts, part.offset, part.length))
            stored = sources[index]
        found.append(Range(stored=stored, offset=offset, length=part.length, sha256=part.sha256))
    return tuple(found)


def _name(work: Work, slide: SlideFound, key: PatientKey) -> str:
    line = next(line for line in work.order.slides if line.file == slide.file)
    return slide_name(key, line.pathology_number, line.block, line.stain, line.number)
