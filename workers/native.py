"""What runs in the killable child: top-level functions over paths, whose arguments and results cross a process border.

The child keeps one OCR engine, so that a thousand files pay for its models once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cases.ports import PatientKey, Segment
from imaging.deid import dicom, second_pass
from imaging.deid.dicom import FileDone
from imaging.deid.known import KnownIdentity
from imaging.deid.objects import LeftOut
from imaging.dicom import previews
from imaging.ocr import Engine
from imaging.slides import deid
from imaging.slides.plan import digest
from imaging.slides.source import FileSource
from imaging.slides.written import require_no_text


@dataclass(frozen=True, kw_only=True)
class Treated:
    """One instance that may leave, at `target`; `done` is None if it stays behind by design (a slide's label).

    `picture` is a PNG of what came out, where one was asked for and it has pixels.
    """

    target: Path
    done: FileDone | None
    picture: bytes | None = None


def treat(
    pairs: Sequence[tuple[Path, Path]], key: PatientKey, known: KnownIdentity, pictured: frozenset[Path]
) -> list[Treated]:
    """De-identify each (source, target) and let the second pass look at what came out. Raises `Quarantine`.

    A picture is made of the targets whose sources are in `pictured`.
    """
    treated = []
    for source, target in pairs:
        try:
            done = dicom.deidentify_file(source, target, key, known, engine=_engine())
        except LeftOut:
            treated.append(Treated(target=target, done=None))
            continue
        second_pass.check(source, target, known, key.shift_days)
        picture = previews.preview(target) if source in pictured else None
        treated.append(Treated(target=target, done=done, picture=picture))
    return treated


@dataclass(frozen=True, kw_only=True)
class PlannedSlide:
    """A slide as it may leave: the parts of it, and the SHA-256 of them together."""

    segments: tuple[Segment, ...]
    sha256: str


def plan_slide(path: Path, identity_values: tuple[str, ...]) -> PlannedSlide:
    """Plan a slide and prove the plan. Every tile was walked by preprocess, so the second pass samples them.

    Raises `Quarantine` (`slide-unsafe`, `identity-left`, `pixels-doubtful` for writing on the glass).
    """
    require_no_text(path, identity_values=identity_values)
    with FileSource(path) as source:
        plan = deid.plan_slide(source, check_payload=False)
        deid.check_planned(source, plan, identity_values=identity_values, tiles="sampled")
        return PlannedSlide(segments=plan.segments, sha256=digest(plan, source))


@functools.cache
def _engine() -> Engine:
    return Engine()
