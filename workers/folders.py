"""Slides of several files (MIRAX): which files of a drop or an archive make one, laid where its reader finds them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cases.documents import StoredObject
from cases.errors import Quarantine
from imaging import archive
from imaging.slides.formats import FORMATS, HEAD_BYTES
from imaging.slides.source import FOLDER_SUFFIX, SETTINGS
from workers.files import Files, told

# How scanners name a slide's files: what else lies beside them is no part of it, and may be named after anybody.
_OWN = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def grouped(names: Iterable[str]) -> dict[str, frozenset[str]]:
    """The files of each slide that is several, by the file that opens it."""
    known = {name.replace("\\", "/"): name for name in names}
    found = {}
    for name in known:
        folder = name.removesuffix(FOLDER_SUFFIX) + "/"
        if name.endswith(FOLDER_SUFFIX) and folder + SETTINGS in known:
            own = (n for n in known if n.startswith(folder) and "/" not in n.removeprefix(folder))
            found[known[name]] = frozenset(known[n] for n in own)
    return found


def require_whole(files: Files, several: Mapping[str, frozenset[str]]) -> None:
    """Raises `Quarantine("slide-unsafe")` with advice if the drop holds a part of such a slide without the others."""
    whole = {*several, *(name for own in several.values() for name in own)}
    for received in files.received.files:
        name = received.name
        if name not in whole and (name.endswith(FOLDER_SUFFIX) or _base(name) == SETTINGS):
            part = FORMATS["mirax-part"]
            raise told(files.number(name), Quarantine("slide-unsafe", f"{part.name}: {part.advice}"))


@contextmanager
def dropped(
    files: Files, lead: str, others: frozenset[str]
) -> Iterator[tuple[Path, Mapping[str, StoredObject]]]:
    """A slide that came file by file, for the length of the block: where it is opened, and its folder's objects."""
    with _folder(files.scratch / f"{files.number(lead):05d}-slide") as slide:
        files.objects.download(files.of(lead).stored, slide)
        own = {_base(name): files.of(name).stored for name in others if _OWN.match(_base(name))}
        for name, stored in own.items():
            files.objects.download(stored, slide.with_suffix("") / name)
        yield slide, own


@contextmanager
def unfolded(path: Path, lead: str, others: frozenset[str]) -> Iterator[Path]:
    """A slide out of an archive, for the length of the block; the archive's other members are left there."""
    with _folder(path.with_name(f"{path.name}-slide")) as slide:
        for member in archive.members(path):
            if member.name == lead:
                _unfold(path, member.key, slide)
            elif member.name in others and _OWN.match(_base(member.name)):
                _unfold(path, member.key, slide.with_suffix("") / _base(member.name))
        yield slide


def only_slide(path: Path) -> tuple[str, frozenset[str]] | None:
    """The slide of several files that an archive holds, by the names of its members; None if there is none.

    Raises `Quarantine("archive-unsafe")` if there are two: a line of the order names one.
    """
    found = grouped(m.name for m in archive.members(path))
    if len(found) > 1:
        raise Quarantine("archive-unsafe", "two slides in one archive: drop each by itself")
    return next(iter(found.items()), None)


def require_alone(path: Path, lead: str) -> None:
    """Raises `Quarantine("archive-unsafe")` if other images are in the archive: they would stay behind unseen."""
    for member in archive.members(path):
        with archive.open_member(path, member.key) as stream:
            is_image = member.name != lead and stream.read(HEAD_BYTES)[128:132] == b"DICM"
        if is_image:
            raise Quarantine(
                "archive-unsafe", "DICOM images beside a slide in one archive: drop each by itself"
            )


def besides(path: Path, lead: str, others: frozenset[str]) -> Iterator[str]:
    """The keys of the archive's members that are no part of its slide."""
    return (m.key for m in archive.members(path) if m.name != lead and m.name not in others)


@contextmanager
def _folder(own: Path) -> Iterator[Path]:
    slide = own / f"slide{FOLDER_SUFFIX}"
    slide.with_suffix("").mkdir(parents=True)
    try:
        yield slide
    finally:
        shutil.rmtree(own)


def _unfold(path: Path, key: str, target: Path) -> None:
    with archive.open_member(path, key) as stream, target.open("xb") as out:
        while chunk := stream.read(archive.CHUNK):
            out.write(chunk)


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]
