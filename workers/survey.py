"""Looking at every received file once: what it is by its content, and what it says.

An instance is read to its end on the way; a slide is judged at once, so that no more than a few lie on this disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cases.documents import ReceivedFile, StoredObject
from cases.errors import Quarantine, SetAside
from imaging import archive, kinds
from imaging.dicom.read import Inspection, inspect_stream
from workers import folders
from workers.files import Files, told
from workers.slides import JudgedSlide

PARALLEL = 4
# A slide's path, its name in the order, and the stored files of its folder where it came as several.
JudgeSlide = Callable[[Path, str, Mapping[str, StoredObject]], JudgedSlide]


@dataclass(frozen=True, kw_only=True)
class Ignored:
    """A file that carries nothing for the case, by its number in the order."""

    what: str


Look = Inspection | JudgedSlide | Ignored


@dataclass(kw_only=True)
class Survey:
    """What the drop holds. `whole` are DICOM slide instances kept on disk, by SOP instance UID."""

    instances: list[Inspection] = field(default_factory=list)
    slides: list[JudgedSlide] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    whole: dict[str, Path] = field(default_factory=dict)

    def add(self, found: Look) -> None:
        if isinstance(found, Inspection):
            self.instances.append(found)
        elif isinstance(found, JudgedSlide):
            self.slides.append(found)
        else:
            self.ignored.append(found.what)


def survey(files: Files, judge_slide: JudgeSlide) -> Survey:
    """Look at everything. Raises `Quarantine` or `Reject` for the first file, in the order's order, that stops it."""
    whole = Survey()
    several = folders.in_drop(files)
    parts = frozenset().union(*several.values())

    def look(received: ReceivedFile) -> list[Look]:
        if received.name in parts:
            return []
        if received.name in several:
            return [_look_together(files, received.name, several[received.name], judge_slide)]
        return list(_look(files, received, judge_slide, whole))

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="survey") as pool:
        try:
            for found in pool.map(look, files.received.files):
                for each in found:
                    whole.add(each)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return whole


def _look_together(files: Files, lead: str, others: frozenset[str], judge_slide: JudgeSlide) -> Look:
    try:
        with folders.dropped(files, lead, others) as (path, stored):
            return judge_slide(path, lead, stored)
    except SetAside as reason:
        raise told(files.number(lead), reason) from None


def _look(files: Files, received: ReceivedFile, judge_slide: JudgeSlide, whole: Survey) -> Iterator[Look]:
    number = files.number(received.name)
    try:
        with files.here(received.name) as path:
            kind = kinds.kind_of(path)
            if kind.family != "archive":
                yield _judge(path, kind, received.name, None, number, judge_slide, whole)
                return
            several = folders.only_slide(path)
            if several is not None:
                with folders.unfolded(path, *several) as slide:
                    yield judge_slide(slide, received.name, {})
                yield from (
                    Ignored(what=f"{number}/{key}: beside a slide") for key in folders.besides(path, *several)
                )
                return
            for member, unfolded in archive.extract(path, _folder(path)):
                member_kind = kinds.kind_of(unfolded)
                yield _judge(unfolded, member_kind, received.name, member.key, number, judge_slide, whole)
                unfolded.unlink(missing_ok=True)
    except SetAside as reason:
        raise told(number, reason) from None


def _folder(path: Path) -> Path:
    folder = path.with_name(f"{path.name}-members")
    folder.mkdir()
    return folder


def _judge(
    path: Path,
    kind: kinds.Kind,
    name: str,
    member: str | None,
    number: int,
    judge_slide: JudgeSlide,
    whole: Survey,
) -> Look:
    if kind.family == "slide" and member is None:
        return judge_slide(path, name, {})
    refused = kinds.refusal(kind)
    if refused is not None:
        raise refused
    if kind.family == "slide":
        raise Quarantine(
            "archive-unsafe", "a slide inside an archive: it is read by ranges, so drop it as it is"
        )
    if kind.family != "dicom":
        return Ignored(what=f"{number}{f'/{member}' if member else ''}: {kind.format}")
    with path.open("rb", buffering=0) as stream:
        inspection = inspect_stream(stream, file=name, member=member)
    if kind.format == "dicom-wsi":
        kept = path.with_name(f"whole-{path.name}")
        path.rename(kept)
        whole.whole[inspection.sop_instance_uid] = kept
    return inspection
