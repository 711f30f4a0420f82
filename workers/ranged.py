"""A stored object as something to read from anywhere in: small reads come out of a window that was fetched ahead."""

from __future__ import annotations

from cases.documents import StoredObject
from cases.errors import Quarantine
from storage.objects import RunObjects

AHEAD = 1 << 20


class StoredSource:
    """`imaging.slides.source.Source` over one object; one window of at most 1 MiB is kept."""

    def __init__(self, objects: RunObjects, stored: StoredObject) -> None:
        self._objects = objects
        self._stored = stored
        self._at = 0
        self._window = b""

    @property
    def size(self) -> int:
        return self._stored.size

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside the object."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Quarantine("file-damaged", f"{length} bytes at {offset} of a file of {self.size} bytes")
        if length >= AHEAD:
            return self._objects.read(self._stored, offset, length)
        if not (self._at <= offset and offset + length <= self._at + len(self._window)):
            self._at = offset
            self._window = self._objects.read(self._stored, offset, min(AHEAD, self.size - offset))
        start = offset - self._at
        return self._window[start : start + length]
