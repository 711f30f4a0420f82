"""A de-identified slide as a plan: ranges of the source that hold tile payload alone, and bytes made anew.

Identifying bytes are cut, never patched: nothing of the source is kept but tiles, and zeros that pad them. Large runs
of tiles stay ranges (a store can copy them by itself); small ones and all directories are bytes of the tail.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from imaging.slides.picture import Picture, ranges_of
from imaging.slides.source import FileSource, FolderSource, Source, files_of, windows
from imaging.slides.tiff import Tiff, damaged
from imaging.slides.writing import Page, Placed, assemble

# A part below 5 MiB is refused by S3 anywhere but last: runs of tiles shorter than this go into the tail.
SHORTEST_RANGE = 6 << 20
LARGEST_TAIL_PAYLOAD = 48 << 20
MAX_PADDING = 4096
HEAD_BYTES = 16
LEAST_PART = 5 << 20


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a planned slide: `length` bytes at `offset` of the source, or the literal `payload`."""

    offset: int = 0
    length: int = 0
    payload: bytes | None = None

    @property
    def size(self) -> int:
        return self.length if self.payload is None else len(self.payload)


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a planned slide: its name in the folder beside the slide, empty for the slide itself; bytes."""

    name: str
    size: int


@dataclass(frozen=True, kw_only=True)
class SlidePlan:
    """How a de-identified slide is put together from its source.

    `removed` says in words what was taken out, without any value. `removed_values` are the texts themselves, for the
    second pass to look for; they are identity and never logged. `levels` are the sizes of what is kept, in pixels.
    `folder` names the files of a slide that is several, one after the other as the segments make them.
    """

    format: str
    segments: tuple[Segment, ...]
    size: int
    levels: tuple[tuple[int, int], ...]
    removed: tuple[str, ...]
    removed_values: tuple[str, ...] = field(default=(), repr=False)
    folder: tuple[File, ...] = ()

    @property
    def files(self) -> tuple[File, ...]:
        return self.folder or (File(name="", size=self.size),)

    def by_file(self) -> Iterator[tuple[File, list[Segment]]]:
        """Each file and the segments that make it; no segment belongs to two files."""
        left = iter(self.segments)
        for file in self.files:
            segments: list[Segment] = []
            while sum(s.size for s in segments) < file.size:
                segments.append(next(left))
            yield file, segments


def make_plan(
    source: Source,
    tiff: Tiff,
    *,
    format_code: str,
    pages: tuple[Page, ...],
    dropped: tuple[Picture, ...],
    removed: tuple[str, ...],
    values: tuple[str, ...],
) -> SlidePlan:
    """Lay out the kept `pages`: head, long runs of tiles as they stand, then short runs and directories.

    :raises Quarantine: `file-damaged` if tiles overlap anything else that the file describes.
    """
    spans = ranges_of(tuple(p.picture for p in pages))
    if not len(spans):
        raise damaged("the slide has no tiles")
    refuse_overlap(spans, _other_spans(tiff, dropped))
    runs = runs_of(source, spans)
    short = _short(runs)
    placed = _place(runs, short)
    ranges = [Segment(offset=int(a), length=int(b - a)) for a, b in runs[~short]]
    payload = b"".join(source.read(int(a), int(b - a)) for a, b in runs[short])
    tail_at = HEAD_BYTES + sum(s.length for s in ranges)
    head, tail = assemble(source, pages, tiff, placed, tail_at + len(payload))
    segments = (Segment(payload=head), *ranges, Segment(payload=payload + tail))
    return SlidePlan(
        format=format_code,
        segments=segments,
        size=sum(s.size for s in segments),
        levels=tuple((p.picture.width, p.picture.height) for p in pages if p.is_level),
        removed=removed,
        removed_values=values,
    )


def _other_spans(tiff: Tiff, dropped: tuple[Picture, ...]) -> NDArray[np.int64]:
    """(start, end) of everything that the file describes and that is not kept: header, directories, values."""
    spans = [(0, tiff.header_size)]
    for directory in tiff.directories:
        spans.append((directory.offset, directory.offset + directory.size))
        spans.extend(
            (e.offset, e.offset + e.size) for e in directory.entries.values() if not e.inline and e.size
        )
    spans.extend((int(a), int(b)) for p in dropped for a, b in ranges_of((p,)))
    return np.array(sorted(spans), dtype=np.int64)


def refuse_overlap(kept: NDArray[np.int64], others: NDArray[np.int64]) -> None:
    """No kept tile shares a byte with anything else (kept ones are disjoint and sorted by start)."""
    after = np.searchsorted(kept[:, 0], others[:, 0], side="right")
    before = np.maximum(after - 1, 0)
    into_previous = (after > 0) & (kept[before, 1] > others[:, 0])
    following = np.minimum(after, len(kept) - 1)
    into_next = (after < len(kept)) & (kept[following, 0] < others[:, 1])
    if bool((into_previous | into_next).any()):
        raise damaged("tiles share bytes with directories or with pictures that may not leave")


def runs_of(source: Source, spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tiles that follow each other, or are parted by a few zeros alone, as one (start, end) each."""
    gaps = spans[1:, 0] - spans[:-1, 1]
    cut = gaps > 0
    for index in np.flatnonzero(cut & (gaps <= MAX_PADDING)).tolist():
        if not any(source.read(int(spans[index, 1]), int(gaps[index]))):
            cut[index] = False
    first = np.concatenate(([True], cut))
    last = np.concatenate((cut, [True]))
    return np.column_stack((spans[first, 0], spans[last, 1]))


def _short(runs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which runs are copied into the tail: short ones, as long as they are few; the longest stay ranges."""
    lengths = runs[:, 1] - runs[:, 0]
    order = np.argsort(lengths, kind="stable")
    fits = np.cumsum(lengths[order]) <= LARGEST_TAIL_PAYLOAD
    short = np.zeros(len(runs), dtype=bool)
    short[order] = fits & (lengths[order] < SHORTEST_RANGE)
    return short


def _place(runs: NDArray[np.int64], short: NDArray[np.bool_]) -> Placed:
    lengths = runs[:, 1] - runs[:, 0]
    moved = np.zeros(len(runs), dtype=np.int64)
    at = HEAD_BYTES
    for chosen in (~short, short):
        ends = np.cumsum(lengths[chosen])
        moved[chosen] = at + ends - lengths[chosen]
        at += int(ends[-1]) if len(ends) else 0
    return Placed(starts=runs[:, 0], moved_to=moved)


def stream(plan: SlidePlan, source: Source) -> Iterator[bytes]:
    """The bytes of the planned slide, in pieces of at most 4 MiB."""
    for segment in plan.segments:
        if segment.payload is None:
            yield from windows(source, segment.offset, segment.length)
        else:
            yield segment.payload


@dataclass(frozen=True, kw_only=True)
class Part:
    """`length` bytes at `offset` of the source, or of the file that holds the bytes `made` anew; their SHA-256."""

    made: bool
    offset: int
    length: int
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class LaidFile:
    """A file of the planned slide (named as `File` is) in parts, and the SHA-256 of all of them."""

    name: str
    parts: tuple[Part, ...]
    sha256: str


def lay_out(plan: SlidePlan, source: Source, made: BinaryIO) -> tuple[LaidFile, ...]:
    """The plan as parts that a store can put together: each but a file's last of at least LEAST_PART.

    Bytes made anew are written to `made` (opened for reading too), and with them those of the source that make a
    short part long enough. Every byte of the slide is read once, for the digests.
    """
    return tuple(
        _digested(file.name, _parts(segments, source, made), source, made)
        for file, segments in plan.by_file()
    )


def _parts(segments: Sequence[Segment], source: Source, made: BinaryIO) -> list[Part]:
    parts: list[Part] = []
    for segment in segments:
        if segment.payload is not None:
            _grow(parts, made, segment.payload)
            continue
        offset, length, taken = segment.offset, segment.length, 0
        if parts and parts[-1].length < LEAST_PART:
            taken = LEAST_PART - parts[-1].length
        if length - taken < LEAST_PART:
            taken = length
        if taken:
            _grow(parts, made, source.read(offset, taken))
            offset, length = offset + taken, length - taken
        if length:
            parts.append(Part(made=False, offset=offset, length=length))
    return parts


def _grow(parts: list[Part], made: BinaryIO, content: bytes) -> None:
    at = made.tell()
    made.write(content)
    if parts and parts[-1].made:
        last = parts.pop()
        parts.append(Part(made=True, offset=last.offset, length=last.length + len(content)))
    else:
        parts.append(Part(made=True, offset=at, length=len(content)))


def _digested(name: str, parts: Sequence[Part], source: Source, made: BinaryIO) -> LaidFile:
    whole, digested = hashlib.sha256(), []
    for part in parts:
        own = hashlib.sha256()
        for piece in _pieces(part, source, made):
            own.update(piece)
            whole.update(piece)
        digested.append(replace(part, sha256=own.hexdigest()))
    return LaidFile(name=name, parts=tuple(digested), sha256=whole.hexdigest())


def _pieces(part: Part, source: Source, made: BinaryIO) -> Iterator[bytes]:
    if not part.made:
        yield from windows(source, part.offset, part.length)
        return
    end = made.tell()
    made.seek(part.offset)
    yield made.read(part.length)
    made.seek(end)


def beside(slide: Path, name: str) -> Path:
    """Where the file of this name of the slide at this path lies."""
    return slide.with_suffix("") / name if name else slide


def write(plan: SlidePlan, source_path: Path, target_path: Path) -> tuple[Path, ...]:
    """Write the planned slide; returns the paths of its files, in the plan's order.

    Ranges are copied by the kernel, shared where the disk can. Nothing is overwritten.
    """
    written = []
    with files_of(source_path) as source:
        for file, segments in plan.by_file():
            path = beside(target_path, file.name)
            path.parent.mkdir(exist_ok=True)
            with path.open("xb", buffering=0) as target:
                _write(segments, source, target.fileno())
            written.append(path)
    return tuple(written)


def _write(segments: Sequence[Segment], source: FileSource | FolderSource, target: int) -> None:
    for segment in segments:
        if segment.payload is not None:
            _write_all(target, segment.payload)
            continue
        for handle, offset, length in source.place(segment.offset, segment.length):
            _copy(handle, target, offset, length)


def _write_all(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def _copy(source: int, target: int, offset: int, length: int) -> None:
    while length:
        try:
            copied = os.copy_file_range(source, target, min(length, 1 << 30), offset)
        except OSError:
            copied = os.sendfile(target, source, offset, min(length, 1 << 30))
        if not copied:
            raise damaged("the slide became shorter while it was copied")
        offset += copied
        length -= copied
