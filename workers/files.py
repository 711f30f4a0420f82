"""A case's received files on this machine's disk: fetched when needed, unfolded from archives, gone after use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cases.documents import Received, ReceivedFile
from cases.errors import SetAside
from imaging import archive
from storage.objects import RunObjects


@dataclass(frozen=True)
class Files:
    """Access by the name in the order, and by member for what stood in an archive."""

    received: Received
    objects: RunObjects
    scratch: Path

    def number(self, name: str) -> int:
        """The file's place in the order, from 1: what messages say instead of a name."""
        return next(n for n, f in enumerate(self.received.files, 1) if f.name == name)

    def of(self, name: str) -> ReceivedFile:
        return next(f for f in self.received.files if f.name == name)

    @contextmanager
    def here(self, name: str, member: str | None = None) -> Iterator[Path]:
        """The file's path (or its archive member's) for the length of the block."""
        number = self.number(name)
        path = self.scratch / f"{number:05d}"
        self.objects.download(self.of(name).stored, path)
        unfolded = self.scratch / f"{number:05d}-{member}" if member else None
        try:
            if unfolded is None:
                yield path
            else:
                _unfold(path, str(member), unfolded)
                yield unfolded
        finally:
            path.unlink(missing_ok=True)
            if unfolded is not None:
                unfolded.unlink(missing_ok=True)


def _unfold(path: Path, member: str, target: Path) -> None:
    with archive.open_member(path, member) as stream, target.open("wb") as out:
        while chunk := stream.read(archive.CHUNK):
            out.write(chunk)


def told(number: int, reason: SetAside) -> SetAside:
    """The same reason, saying which file of the order it is about."""
    place = f"file {number} of the order"
    return type(reason)(reason.code, f"{place}: {reason.detail}" if reason.detail else place)
