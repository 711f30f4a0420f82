"""Reading an instance to its end: what preprocessing needs of its header, its digest, and whether it is whole.

One pass forward over the bytes; a multi-frame instance of any size takes a few hundred kilobytes. Everything
here crosses a process border: paths and strings in, frozen values or `Quarantine` out.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from cases.errors import Quarantine
from imaging.dicom import charsets, header, pixels, values
from imaging.dicom.stream import Digesting, Forward, Inflating, Readable
from imaging.dicom.walk import Walked, walk
from imaging.identity import Identity

_CHARSET = 0x00080005
_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_MODALITY, _STATION, _SERIAL, _IMAGE_TYPE = 0x00080060, 0x00081010, 0x00181000, 0x00080008
_STUDY_DATE, _STUDY_TIME, _ACCESSION = 0x00080020, 0x00080030, 0x00080050
_SERIES_DESCRIPTION, _SERIES_NUMBER, _INSTANCE_NUMBER = 0x0008103E, 0x00200011, 0x00200013
_ACQUISITION_DATE_TIME, _FRAMES = 0x0008002A, 0x00280008
# When the pixels were made, best source first: acquisition, content, series, study (PS3.3 C.7.6.1, C.7.3.1, C.7.2.1).
_DAY_AND_CLOCK = (
    (0x00080022, 0x00080032),
    (0x00080023, 0x00080033),
    (0x00080021, 0x00080031),
    (_STUDY_DATE, _STUDY_TIME),
)
_POSITION, _ORIENTATION = 0x00200032, 0x00200037
_ACQUISITION, _ECHO, _TEMPORAL = 0x00200012, 0x00180086, 0x00200100
_NAME, _PATIENT_ID, _BIRTH, _SEX = 0x00100010, 0x00100020, 0x00100030, 0x00100040
_OTHER_IDS, _OTHER_IDS_SEQUENCE = 0x00101000, 0x00101002
_FRAME_TIME = (0x52009230, 0x00209111, 0x00189074)

_WANTED = frozenset(
    {(tag,) for pair in _DAY_AND_CLOCK for tag in pair}
    | {(tag,) for tag in pixels.TAGS}
    | {
        (tag,)
        for tag in (
            _CHARSET, _SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES, _MODALITY, _STATION, _SERIAL, _IMAGE_TYPE,
            _SERIES_DESCRIPTION, _SERIES_NUMBER, _INSTANCE_NUMBER, _ACQUISITION_DATE_TIME, _POSITION, _ORIENTATION,
            _ACCESSION, _ACQUISITION, _ECHO, _TEMPORAL, _NAME, _PATIENT_ID, _BIRTH, _SEX, _OTHER_IDS,
        )
    }
    | {(_OTHER_IDS_SEQUENCE, _PATIENT_ID), _FRAME_TIME}
)  # fmt: skip
_KNOWN_SYNTAXES = frozenset(str(uid) for uid in AllTransferSyntaxes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """One instance that was read to its end. `identity` is kept apart and never shown.

    `file` and `member` are what the caller gave; `size` and `sha256` are of the instance's own bytes. Positions in
    mm (PS3.3 C.7.6.2); times are the station's naive local ones. `series_description` may carry identity, and
    `accession_number` does.
    """

    file: str
    member: str | None
    size: int
    sha256: str
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    modality: str
    accession_number: str = field(repr=False)
    study_date: date | None
    started_at: datetime | None
    series_number: int | None
    series_description: str
    instance_number: int | None
    image_type: tuple[str, ...]
    acquisition: tuple[int | None, int | None, int | None]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    station: str
    first_acquired_at: datetime | None
    last_acquired_at: datetime | None
    has_pixels: bool
    frames: int
    rows: int
    columns: int
    identity: Identity = field(repr=False)


def inspect(source: Path | bytes, *, file: str = "", member: str | None = None) -> Inspection:
    """Reads an instance from a path or from its bytes to the end.

    :raises Quarantine: `file-damaged`, `uid-invalid`, `format-unknown` (no DICOM, or no transfer syntax of
        PS3.6 Table A-1) or `read-limit`; the detail holds no value of the file.
    """
    if isinstance(source, bytes):
        return inspect_stream(io.BytesIO(source), file=file, member=member)
    with source.open("rb", buffering=0) as stream:
        return inspect_stream(stream, file=file or source.name, member=member)


def inspect_stream(stream: Readable, *, file: str, member: str | None = None) -> Inspection:
    """`inspect` for a stream that is read forward once, a ZIP member for one."""
    digesting = Digesting(stream)
    window = Forward(digesting)
    syntax = header.read_transfer_syntax(window) or _guess_syntax(window)
    if syntax not in _KNOWN_SYNTAXES:
        raise Quarantine("format-unknown", "the transfer syntax is none that DICOM defines")
    if syntax == DeflatedExplicitVRLittleEndian:
        window = Forward(Inflating(window.rest(), digesting))
    walked = walk(
        window,
        implicit=syntax == ImplicitVRLittleEndian,
        little=syntax != ExplicitVRBigEndian,
        wanted=_WANTED,
    )
    return _inspection(walked, syntax, digesting, file, member)


def _guess_syntax(window: Forward) -> str:
    """The transfer syntax of a file that names none, by its first element, as pydicom guesses."""
    head = window.peek(6)
    if len(head) < 6 or not (head[4:6].isalpha() and head[4:6].isupper()):
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRBigEndian if head[1] > head[0] else ExplicitVRLittleEndian)


def _inspection(
    walked: Walked, syntax: str, digesting: Digesting, file: str, member: str | None
) -> Inspection:
    uids = {name: _uid(walked, tag, name) for name, tag in _UIDS}
    shape = pixels.check(walked, UID(syntax), UID(uids["SOP class UID"]))
    declared = values.parts(walked.first(_CHARSET))
    earliest, latest = _acquired(walked)
    station = charsets.decode(walked.first(_STATION) or walked.first(_SERIAL) or b"", declared).text
    return Inspection(
        file=file,
        member=member,
        size=digesting.count,
        sha256=digesting.hexdigest(),
        transfer_syntax_uid=syntax,
        sop_class_uid=uids["SOP class UID"],
        sop_instance_uid=uids["SOP instance UID"],
        study_uid=uids["study UID"],
        series_uid=uids["series UID"],
        modality=values.plain(walked.first(_MODALITY)) or "OT",
        accession_number=charsets.decode(walked.first(_ACCESSION) or b"", declared).text.strip(" \0"),
        study_date=values.day(values.plain(walked.first(_STUDY_DATE))),
        started_at=_moment(walked, _STUDY_DATE, _STUDY_TIME),
        series_number=values.integer(walked.first(_SERIES_NUMBER)),
        series_description=charsets.decode(walked.first(_SERIES_DESCRIPTION) or b"", declared).text,
        instance_number=values.integer(walked.first(_INSTANCE_NUMBER)),
        image_type=tuple(part.upper() for part in values.parts(walked.first(_IMAGE_TYPE))),
        acquisition=_acquisition(walked),
        position=values.numbers(walked.first(_POSITION), 3),
        orientation=values.numbers(walked.first(_ORIENTATION), 6),
        station=station,
        first_acquired_at=earliest,
        last_acquired_at=latest,
        has_pixels=walked.pixels is not None,
        frames=shape.frames,
        rows=shape.rows,
        columns=shape.columns,
        identity=_identity(walked, declared),
    )


_UIDS = (
    ("SOP class UID", _SOP_CLASS),
    ("SOP instance UID", _SOP_INSTANCE),
    ("study UID", _STUDY),
    ("series UID", _SERIES),
)


def _uid(walked: Walked, tag: int, name: str) -> str:
    raw = walked.first(tag)
    text = values.plain(raw)
    if not text:
        raise Quarantine("uid-invalid", f"the {name} is missing")
    if not values.is_uid(text):
        raise Quarantine("uid-invalid", f"the {name} is not a valid UID")
    return text


def _acquisition(walked: Walked) -> tuple[int | None, int | None, int | None]:
    first, second, third = (values.integer(walked.first(tag)) for tag in (_ACQUISITION, _ECHO, _TEMPORAL))
    return first, second, third


def _moment(walked: Walked, day: int, clock: int) -> datetime | None:
    return values.moment(values.plain(walked.first(day)), values.plain(walked.first(clock)))


def _acquired(walked: Walked) -> tuple[datetime | None, datetime | None]:
    """First and last acquisition of an instance: its frames' times where it has them, else one time for both."""
    frames = [t for raw in walked.values.get(_FRAME_TIME, []) if (t := values.date_time(values.plain(raw)))]
    if frames:
        return min(frames), max(frames)
    single = values.date_time(values.plain(walked.first(_ACQUISITION_DATE_TIME)))
    for day, clock in _DAY_AND_CLOCK:
        single = single or _moment(walked, day, clock)
    return single, single


def _identity(walked: Walked, declared: tuple[str, ...]) -> Identity:
    def text(raw: bytes | None) -> charsets.Text:
        return charsets.decode(raw or b"", declared)

    others = [part for part in text(walked.first(_OTHER_IDS)).text.split("\\") if part.strip()]
    others += [text(raw).text for raw in walked.values.get((_OTHER_IDS_SEQUENCE, _PATIENT_ID), [])]
    name = text(walked.first(_NAME))
    return Identity(
        patient_id=text(walked.first(_PATIENT_ID)).text,
        other_ids=tuple(others),
        name=name.text,
        name_cut=name.cut,
        sex=text(walked.first(_SEX)).text,
        birth_date=values.plain(walked.first(_BIRTH)),
    )
