"""Slides of several files (MIRAX): which files of a drop or an archive make one, laid where its reader finds them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cases.documents import StoredObject
from cases.errors import Quarantine
from imaging import archive, kinds
from imaging.slides.formats import FORMATS, recognise
from imaging.slides.mirax_settings import MAX_SETTINGS_BYTES, named_files
from imaging.slides.source import FOLDER_SUFFIX, SETTINGS, BytesSource
from workers.files import Files, told

# How scanners name a slide's files: what else lies beside them is no part of it, and may be named after anybody.
_OWN = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
# Of the names of a drop or an archive: the content of the file so called, as far as a slide's settings may reach.
Read = Callable[[str], bytes]


def grouped(names: Iterable[str], read: Read) -> dict[str, frozenset[str]]:
    """The files of each slide that is several, by the file that opens it: its settings, and those that these name.

    What else lies in its folder is no part of it: an image there is looked at like any other.
    """
    known = {name.replace("\\", "/"): name for name in names}
    found = {}
    for name in known:
        folder = name.removesuffix(FOLDER_SUFFIX) + "/"
        if name.endswith(FOLDER_SUFFIX) and folder + SETTINGS in known:
            own = named_files(read(known[folder + SETTINGS]))
            found[known[name]] = frozenset(known[folder + n] for n in own if folder + n in known)
    return found


def in_drop(files: Files) -> dict[str, frozenset[str]]:
    """The slides of several files that were dropped file by file.

    :raises Quarantine: `slide-unsafe` with advice if the drop holds a part of such a slide without the others.
    """

    def read(name: str) -> bytes:
        with files.here(name) as path, path.open("rb") as stream:
            return stream.read(MAX_SETTINGS_BYTES)

    several = grouped((f.name for f in files.received.files), read)
    _require_whole(files, several)
    return several


def _require_whole(files: Files, several: Mapping[str, frozenset[str]]) -> None:
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

    :raises Quarantine: `archive-unsafe` if there are two (a line of the order names one), or other images beside it,
        which would stay behind unseen.
    """
    keys = {m.name: m.key for m in archive.members(path)}

    def read(name: str) -> bytes:
        with archive.open_member(path, keys[name]) as stream:
            return _head(stream, MAX_SETTINGS_BYTES)

    found = grouped(keys, read)
    if len(found) > 1:
        raise Quarantine("archive-unsafe", "two slides in one archive: drop each by itself")
    for lead, others in found.items():
        _require_alone(path, lead, others)
        return lead, others
    return None


def _require_alone(path: Path, lead: str, others: frozenset[str]) -> None:
    for key in besides(path, lead, others):
        with archive.open_member(path, key) as stream:
            head = _head(stream, kinds.HEAD_BYTES)
        if (
            kinds.kind_of_head(head).family in ("dicom", "picture")
            or recognise(BytesSource(head)) is not None
        ):
            raise Quarantine("archive-unsafe", "images beside a slide in one archive: drop each by itself")


def _head(stream: archive.MemberStream, most: int) -> bytes:
    """The first `most` bytes of a member, or all that it has."""
    head = b""
    while len(head) < most and (chunk := stream.read(most - len(head))):
        head += chunk
    return head


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
