"""What runs in the killable child: top-level functions over paths, whose arguments and results cross a process border.

The child keeps one OCR engine, so that a thousand files pay for its models once.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from cases.documents import PixelDecision
from cases.indexed import IndexedInstance
from cases.ports import PatientKey
from imaging.deid import dicom, second_pass
from imaging.deid.dicom import FileDone
from imaging.deid.doubts import PixelsDoubtful
from imaging.deid.known import KnownIdentity
from imaging.deid.objects import LeftOut
from imaging.deid.pixels import Decisions
from imaging.dicom import previews
from imaging.dicom.index import index
from imaging.ocr import Engine
from imaging.slides import deid
from imaging.slides.plan import LaidFile, lay_out
from imaging.slides.source import FolderSource, files_of
from imaging.slides.written import require_no_text_in


@dataclass(frozen=True, kw_only=True)
class Treated:
    """One instance that may leave, at `target`; `done` is None if it stays behind by design (a slide's label).

    `picture` is a PNG of what came out, where one was asked for and it has pixels; `indexed` is what is told of it.
    With `doubt` there is nothing at `target`: a person must look at the picture first.
    """

    target: Path
    done: FileDone | None
    indexed: IndexedInstance | None = None
    picture: bytes | None = None
    doubt: PixelsDoubtful | None = None


def instance_name(sop_uid: str) -> str:
    """Where a treated instance stands below its case's folder, in every zone that it comes to."""
    return f"dicom/{sop_uid}.dcm"


def treat(
    pairs: Sequence[tuple[Path, Path]],
    key: PatientKey,
    known: KnownIdentity,
    pictured: frozenset[Path],
    decided: Decisions,
) -> list[Treated]:
    """De-identify each (source, target) and let the second pass look at what came out. Raises `Quarantine`.

    A picture is made of the targets whose sources are in `pictured`. `decided` is what people decided about pictures.
    """
    treated = []
    for source, target in pairs:
        try:
            done = dicom.deidentify_file(source, target, key, known, engine=_engine(), decided=decided)
        except LeftOut:
            treated.append(Treated(target=target, done=None))
            continue
        except PixelsDoubtful as doubt:
            treated.append(Treated(target=target, done=None, doubt=doubt))
            continue
        second_pass.check(source, target, known, key.shift_days, engine=_engine(), blanked=done.blanked)
        picture = previews.preview(target, hatched=done.blanked) if source in pictured else None
        indexed = index(target, instance_name(done.sop_instance_uid))
        treated.append(Treated(target=target, done=done, indexed=indexed, picture=picture))
    return treated


@dataclass(frozen=True, kw_only=True)
class Laid:
    """A slide as it may leave: its files, each in parts of what was received and of what was made anew; and the texts
    that were taken out. `sources` are the files that the parts are of, one after the other, where it is several."""

    files: tuple[LaidFile, ...]
    sources: tuple[str, ...]
    removed_values: tuple[str, ...]


def plan_slide(path: Path, made: Path) -> Laid:
    """Plan a slide every tile of which was walked, and write what is made anew to `made`.

    Raises `Quarantine` (`slide-unsafe`, `file-damaged`, ...).
    """
    with files_of(path) as source, made.open("x+b") as out:
        plan = deid.plan_slide(source, check_payload=False)
        return Laid(
            files=lay_out(plan, source, out),
            sources=source.names if isinstance(source, FolderSource) else (),
            removed_values=plan.removed_values,
        )


def require_no_text(
    picture: bytes, identity_values: tuple[str, ...], decisions: tuple[PixelDecision, ...]
) -> None:
    """Look for writing in a slide's preview (PNG). Raises `PixelsDoubtful` if no person said that it may stay."""
    with Image.open(io.BytesIO(picture)) as opened:
        require_no_text_in(
            picture, opened.convert("RGB"), identity_values=identity_values, decisions=decisions
        )


@functools.cache
def _engine() -> Engine:
    return Engine()
