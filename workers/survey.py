"""Looking at every received file once: what it is by its content, and for an instance everything its header says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cases.documents import ReceivedFile
from cases.errors import Quarantine
from imaging import archive, kinds
from imaging.dicom.read import Inspection, inspect_stream
from workers.files import Files, told

PARALLEL = 4


@dataclass(frozen=True, kw_only=True)
class SlideFile:
    """A whole-slide file that `imaging.slides` can open; `member` if it stood in an archive."""

    file: str
    member: str | None
    format: str


@dataclass(kw_only=True)
class Survey:
    """What the drop holds. `ignored` are files that carry nothing for the case, by their number in the order."""

    instances: list[Inspection] = field(default_factory=list)
    slides: list[SlideFile] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def add(self, found: Inspection | SlideFile | str) -> None:
        if isinstance(found, Inspection):
            self.instances.append(found)
        elif isinstance(found, SlideFile):
            self.slides.append(found)
        else:
            self.ignored.append(found)


def survey(files: Files) -> Survey:
    """Look at everything. Raises `Quarantine` for the first file, in the order's order, that cannot be trusted."""
    whole = Survey()
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="survey") as pool:
        try:
            for found in pool.map(lambda f: list(_look(files, f)), files.received.files):
                for each in found:
                    whole.add(each)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return whole


def _look(files: Files, received: ReceivedFile) -> Iterator[Inspection | SlideFile | str]:
    number = files.number(received.name)
    try:
        with files.here(received.name) as path:
            kind = kinds.kind_of(path)
            if kind.family == "archive":
                yield from _look_inside(path, received.name, number)
            else:
                yield _judge(path, kind, received.name, None, number)
    except Quarantine as reason:
        raise told(number, reason) from None


def _look_inside(path: Path, name: str, number: int) -> Iterator[Inspection | SlideFile | str]:
    folder = path.with_name(f"{path.name}-members")
    folder.mkdir()
    for member, unfolded in archive.extract(path, folder):
        yield _judge(unfolded, kinds.kind_of(unfolded), name, member.key, number)
        unfolded.unlink()
    folder.rmdir()


def _judge(
    path: Path, kind: kinds.Kind, name: str, member: str | None, number: int
) -> Inspection | SlideFile | str:
    refused = kinds.refusal(kind)
    if refused is not None:
        raise refused
    if kind.family == "dicom":
        with path.open("rb", buffering=0) as stream:
            return inspect_stream(stream, file=name, member=member)
    if kind.family == "slide":
        return SlideFile(file=name, member=member, format=kind.format)
    return f"{number}{f'/{member}' if member else ''}: {kind.format}"
