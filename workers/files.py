"""A case's received files on this machine's disk: fetched when needed, unfolded from archives, gone after use."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cases.documents import Received, ReceivedFile, StoredObject
from cases.errors import SetAside
from imaging import archive
from storage.objects import RunObjects


@dataclass(frozen=True)
class Files:
    """Access by the name in the order, and by member for what stood in an archive.

    Each block has a path of its own; an archive is fetched once and stays until the run ends.
    """

    received: Received
    objects: RunObjects
    scratch: Path
    _archives: dict[str, Path] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _count: Iterator[int] = field(default_factory=itertools.count)

    def number(self, name: str) -> int:
        """The file's place in the order, from 1: what messages say instead of a name."""
        return next(n for n, f in enumerate(self.received.files, 1) if f.name == name)

    def of(self, name: str) -> ReceivedFile:
        return next(f for f in self.received.files if f.name == name)

    @contextmanager
    def here(self, name: str, member: str | None = None) -> Iterator[Path]:
        """The file's path (or its archive member's) for the length of the block."""
        path = self.scratch / f"{self.number(name):05d}-{next(self._count)}"
        try:
            if member is None:
                self.objects.download(self.of(name).stored, path)
            else:
                _unfold(self._archive(name), member, path)
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def fetched(self, stored: StoredObject) -> Iterator[Path]:
        """Any object of the case, for the length of the block."""
        path = self.scratch / f"stored-{next(self._count)}"
        try:
            self.objects.download(stored, path)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _archive(self, name: str) -> Path:
        with self._lock:
            if name not in self._archives:
                path = self.scratch / f"{self.number(name):05d}-archive"
                self.objects.download(self.of(name).stored, path)
                self._archives[name] = path
            return self._archives[name]


def _unfold(path: Path, member: str, target: Path) -> None:
    with archive.open_member(path, member) as stream, target.open("wb") as out:
        while chunk := stream.read(archive.CHUNK):
            out.write(chunk)


def told(number: int, reason: SetAside) -> SetAside:
    """The same reason, saying which file of the order it is about."""
    place = f"file {number} of the order"
    return type(reason)(reason.code, f"{place}: {reason.detail}" if reason.detail else place)
