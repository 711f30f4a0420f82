"""The ports through which a stage touches the world; production and tests plug in behind the same Protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cases.documents import StoredObject


@dataclass(frozen=True, kw_only=True)
class Range:
    """`length` bytes at `offset` of an object, and their SHA-256 where it is known."""

    stored: StoredObject
    offset: int
    length: int
    sha256: str = ""


class Objects(Protocol):
    """The object store as one stage run sees it: every write states its intent first and never overwrites.

    Writing the same bytes to the same key again succeeds (a stage may run twice); other bytes raise `Conflict`.
    All methods raise `cases.errors.Transient` if the store is away.
    """

    def read(self, stored: StoredObject, offset: int = 0, length: int | None = None) -> bytes: ...

    def stream(self, stored: StoredObject, chunk: int = 1 << 20) -> Iterator[bytes]: ...

    def download(self, stored: StoredObject, target: Path) -> None: ...

    def write(self, zone: str, key: str, content: bytes, media_type: str) -> StoredObject: ...

    def upload(self, zone: str, key: str, source: Path, media_type: str) -> StoredObject: ...

    def copy(self, source: StoredObject, zone: str, key: str) -> StoredObject: ...

    def compose(
        self,
        ranges: Sequence[Range],
        zone: str,
        key: str,
        media_type: str,
        sha256: str,
        proof: Callable[[], None] = ...,
    ) -> StoredObject:
        """The object is there once `proof` has returned; the store copies meanwhile. What it raises, this raises."""
        ...


@dataclass(frozen=True, kw_only=True)
class PatientKey:
    """What de-identification derives for one patient of one clinic: its pseudonym, shift and the key's id.

    `shift_days` is negative: dates move into the past, by whole days. `secret` is this patient's own, derived from the
    key: a worker never holds the key itself.
    """

    pseudonym: str
    shift_days: int
    key_id: str
    secret: bytes


class Vault(Protocol):
    """The region's own secrets about patients."""

    def patient_key(self, clinic: str, patient_id: str) -> PatientKey: ...


class Progress(Protocol):
    """Slices of long work: `done` says which parts are behind us, `mark` records some, `pause_due` asks for a pause."""

    @property
    def done(self) -> frozenset[str]: ...

    def mark(self, parts: Sequence[str]) -> None: ...

    def pause_due(self) -> bool: ...
