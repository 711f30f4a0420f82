"""An instance that came through a modality's door: read to its end, stored, and only then said to be.

Every door for modalities does this and nothing else with what it was sent (docs/decisions/0033).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from cases.errors import Quarantine, TeledxError, Transient
from cases.texts import is_control
from gateway.parts import Parts
from imaging.dicom.read import Inspection, inspect_stream
from storage import arrivals
from storage.arrivals import Instance

# How often an instance is stored anew because its study was closed meanwhile; each time opens another arrival.
ATTEMPTS = 3
ACCESSION_LONGEST = 64

# Status of a C-STORE response (PS3.4 Table B.2-1), which is the Failure Reason of STOW-RS, too (PS3.18 Table I.2-2).
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
OTHER_STUDY = 0xC001  # the instance is of another study than the address says
# What the reader found -> status.
_STATUS = {"read-limit": OUT_OF_RESOURCES}


class NotKept(TeledxError):
    """The instance was not stored, and would not be if it were sent again. `instance` if it could be read."""

    def __init__(self, status: int, instance: Inspection | None = None) -> None:
        super().__init__(f"status {status:04X}")
        self.status = status
        self.instance = instance


class Spool:
    """An instance on its way in, in a file without a name: whatever ends the process, nothing stays behind."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._most = most
        self._file = file
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Beyond the largest instance nothing is kept, and `whole` refuses."""
        self._size += len(piece)
        if self._size <= self._most:
            self._file.write(piece)

    def whole(self) -> BinaryIO:
        """The file from its beginning. Raises `NotKept` if it would be too large."""
        if self._size > self._most:
            raise NotKept(OUT_OF_RESOURCES)
        self._file.seek(0)
        return self._file


@contextmanager
def spooled(parts: Parts) -> Iterator[Spool]:
    """Room for one instance. Raises `Transient` if the disk has none."""
    try:
        parts.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=parts.scratch) as file:
            yield Spool(file, parts.instance_max)
    except OSError as error:
        raise Transient(f"no room for what arrives ({type(error).__name__})") from None


def keep(parts: Parts, clinic: str, file: BinaryIO, study: str | None = None) -> Inspection:
    """Store the instance that the file holds in the clinic's inbox; it is durable when this returns.

    :param study: of which it must be, if that was said.
    :raises NotKept: it cannot be read, or is of another study.
    :raises Transient: store or database are away; it may be stored nevertheless, and sending it again does no harm.
    """
    try:
        found = inspect_stream(file, file="instance")
    except Quarantine as reason:
        raise NotKept(_STATUS.get(reason.code, CANNOT_UNDERSTAND)) from None
    if study is not None and found.study_uid != study:
        raise NotKept(OTHER_STUDY, found)
    number = found.accession_number[:ACCESSION_LONGEST]
    instance = Instance(
        study_uid=found.study_uid,
        sop_uid=found.sop_instance_uid,
        accession_number="" if any(map(is_control, number)) else number,
        size=found.size,
        sha256=found.sha256,
    )
    for _ in range(ATTEMPTS):
        if _store(parts, clinic, instance, file):
            return found
    raise Transient("the study was closed again and again while an instance of it arrived")


def _store(parts: Parts, clinic: str, instance: Instance, file: BinaryIO) -> bool:
    """The row, the object, the row: False if the study was closed between."""
    with parts.database.transaction() as connection:
        place = arrivals.intend(connection, clinic, instance)
    if place.present:
        return True
    file.seek(0)
    key = f"{place.prefix}{instance.name}"
    parts.s3.put_stream("inbox", key, file, instance.size, "application/dicom", instance.sha256)
    with parts.database.transaction() as connection:
        return arrivals.stored(connection, place.prefix, instance)
