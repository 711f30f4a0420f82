"""Reading a slide by ranges, from a local file or from wherever the caller keeps it. Nothing is mapped or kept."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Protocol

from cases.errors import Quarantine


class Source(Protocol):
    """Random access to the bytes of one slide. `read` returns exactly `length` bytes or raises `file-damaged`."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...


class FileSource:
    """A local file, by positioned reads: it never seeks, so threads may share it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._handle).st_size

    @property
    def size(self) -> int:
        return self._size

    @property
    def handle(self) -> int:
        return self._handle

    def place(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """A range as (file handle, offset in that file, length)."""
        yield self._handle, offset, length

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside the file."""
        inside(offset, length, self._size)
        parts = []
        while length:
            part = os.pread(self._handle, min(length, 1 << 30), offset)
            if not part:
                raise Quarantine("file-damaged", "the file became shorter while it was read")
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        os.close(self._handle)

    def __enter__(self) -> FileSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# A slide of several files is this file and, beside it, a folder of the same name with the settings in it (MIRAX).
FOLDER_SUFFIX, SETTINGS = ".mrxs", "Slidedat.ini"
MOST_FILES = 4096


def is_folder_slide(path: Path) -> bool:
    """Whether this is the file by which a slide of several files is opened."""
    return path.suffix == FOLDER_SUFFIX and (path.with_suffix("") / SETTINGS).is_file()


class FolderSource:
    """The files of a slide's folder one after the other, the settings first and the others by name."""

    def __init__(self, path: Path) -> None:
        """:raises Quarantine: `file-damaged` if the folder holds more files than any slide's."""
        found = [p for p in path.with_suffix("").iterdir() if p.is_file() and not p.is_symlink()]
        if len(found) > MOST_FILES:
            raise Quarantine("file-damaged", f"a folder of {len(found)} files is no slide's")
        found.sort(key=lambda p: (p.name != SETTINGS, p.name))
        self.names = tuple(p.name for p in found)
        self._files = [FileSource(p) for p in found]
        self.starts = [0, *accumulate(f.size for f in self._files)]

    @property
    def size(self) -> int:
        return self.starts[-1]

    def span(self, name: str) -> tuple[int, int]:
        """Where the file of this name stands, as (start, end).

        :raises Quarantine: `file-damaged` if there is none.
        """
        if name not in self.names:
            raise Quarantine("file-damaged", "the slide's folder lacks a file that its settings name")
        index = self.names.index(name)
        return self.starts[index], self.starts[index + 1]

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside."""
        pieces = cut_across(self.starts, offset, length)
        return b"".join(self._files[index].read(within, size) for index, within, size in pieces)

    def place(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """A range as (file handle, offset in that file, length)."""
        for index, within, size in cut_across(self.starts, offset, length):
            yield self._files[index].handle, within, size

    def close(self) -> None:
        for file in self._files:
            file.close()


class BytesSource:
    """A slide that is in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content)

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside the content."""
        inside(offset, length, len(self._content))
        return self._content[offset : offset + length]


class PartSource:
    """The bytes of another source from `start` to `end`."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source, self._start, self._size = source, start, end - start

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside."""
        inside(offset, length, self._size)
        return self._source.read(self._start + offset, length)


def inside(offset: int, length: int, size: int) -> None:
    """:raises Quarantine: `file-damaged` if `length` bytes at `offset` reach beyond `size`."""
    if offset < 0 or length < 0 or offset + length > size:
        raise Quarantine("file-damaged", f"{length} bytes at {offset} of a file of {size} bytes")


def cut_across(starts: Sequence[int], offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """A range over parts that stand one after the other, as (part, offset within it, length).

    :param starts: where each part begins, and behind them where the last one ends.
    :raises Quarantine: `file-damaged` if the range is not wholly inside.
    """
    inside(offset, length, starts[-1])
    while length:
        part = bisect_right(starts, offset) - 1
        size = min(length, starts[part + 1] - offset)
        yield part, offset - starts[part], size
        offset, length = offset + size, length - size


@contextmanager
def files_of(path: Path) -> Iterator[FileSource | FolderSource]:
    """The slide at `path` for the length of the block: its file, or the files of its folder."""
    source = FolderSource(path) if is_folder_slide(path) else FileSource(path)
    try:
        yield source
    finally:
        source.close()


@contextmanager
def opened(slide: Path | Source) -> Iterator[Source]:
    """`slide` as a source; a path is opened here and closed again."""
    if isinstance(slide, Path):
        with files_of(slide) as source:
            yield source
    else:
        yield slide


def windows(source: Source, offset: int, length: int, step: int = 4 << 20) -> Iterator[bytes]:
    """The bytes of a range, in pieces of at most `step` bytes."""
    end = offset + length
    while offset < end:
        size = min(step, end - offset)
        yield source.read(offset, size)
        offset += size


class SourceStream(io.RawIOBase):
    """A source as a stream, for libraries that want one."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._at = 0
        self.name = "slide"

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, target: object) -> int:
        view = memoryview(target)  # type: ignore[arg-type]
        length = max(0, min(len(view), self._source.size - self._at))
        view[:length] = self._source.read(self._at, length)
        self._at += length
        return length

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._source.size - self._at)
        length = left if size is None or size < 0 else min(size, left)
        content = self._source.read(self._at, length)
        self._at += length
        return content
