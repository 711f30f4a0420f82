"""De-identifying one DICOM data set or file by a profile; the bytes of pixels go through as they stand."""

from __future__ import annotations

import io
import itertools
import mmap
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from cases.documents import Area
from cases.errors import Quarantine
from cases.ports import PatientKey
from imaging.deid import graphics, objects, part10, pixels, profiles, reading
from imaging.deid.elements import Damaged, DataSet, Element, Encoding, Reader, Value, Writer
from imaging.deid.known import KnownIdentity, declared_charset, from_data_set
from imaging.deid.profiles import PIXELS_CODE, Action, Profile
from imaging.deid.rules import Execution, insert, value_of
from imaging.dicom import charsets
from imaging.ocr import Engine

_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_PATIENT_ID = 0x00100020
_REMOVED, _METHOD, _METHOD_CODES, _TEMPORAL = 0x00120062, 0x00120063, 0x00120064, 0x00280303
_CHARSET, _INSTITUTION = 0x00080005, (0x00080080, 0x00080081, 0x00081040)
_CODE, _SCHEME, _MEANING = 0x00080100, 0x00080102, 0x00080104


@dataclass(frozen=True, kw_only=True)
class FileDone:
    """A file that came out: its derived UIDs, its size, how often each action fell, and what was blanked in it."""

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    transfer_syntax_uid: str
    size: int
    actions: Mapping[str, int]
    blanked: tuple[Area, ...] = ()


def deidentify_file(
    source: Path,
    target: Path,
    key: PatientKey,
    known: KnownIdentity,
    profile: str | Profile = "network",
    *,
    engine: Engine | None = None,
    decided: pixels.Decisions | None = None,
) -> FileDone:
    """Writes the de-identified `source` to `target`, which must not be there yet; the same bytes in every run.

    :param known: what is known besides this file's own headers (`known.from_order`).
    :param engine: reads text in pictures that may show some; without one, such files are withheld.
    :param decided: what people decided about pictures that were doubtful before.
    :raises imaging.deid.doubts.PixelsDoubtful: if a person must look at the picture.
    :raises Quarantine: `file-damaged`, `format-unknown`, `uid-invalid`, `reading-loss`, `pixels-doubtful`,
        `read-limit`. Then nothing is at `target`.
    :raises imaging.deid.objects.LeftOut: if the object stays behind by design.
    """
    chosen = profiles.profile(profile) if isinstance(profile, str) else profile
    buffer = _mapped(source)
    head = part10.read_head(buffer)
    elements = _parsed(buffer, head)
    kind = objects.judge(elements)
    if kind.whole_slide:
        objects.check_whole_slide(source)
    _complete_uids(elements, head)
    known = known.union(from_data_set(elements))
    looked = pixels.treat(source, elements, head, kind, known, engine, decided)
    reader = engine if "clean-graphics" in chosen.options else None
    overlays = graphics.overlays_without_text(elements, reader, big=head.encoding.big)
    counts = transform(
        elements, key, known, chosen, overlays=overlays, looked_at=True, blanked=looked.blanked
    )
    sop_class = value_of(elements, _SOP_CLASS)
    begin = part10.written_head(sop_class, value_of(elements, _SOP_INSTANCE), looked.transfer_syntax)
    try:
        chunks: Iterable[Value] = Writer(head.encoding).chunks(elements)
        size = _write(target, begin, part10.deflated(chunks) if head.deflated else chunks)
    except Damaged as damage:
        raise Quarantine("file-damaged", str(damage)) from damage
    return _done(elements, looked, size, counts)


def _done(elements: DataSet, looked: pixels.Looked, size: int, counts: Counter[str]) -> FileDone:
    return FileDone(
        sop_class_uid=value_of(elements, _SOP_CLASS),
        sop_instance_uid=value_of(elements, _SOP_INSTANCE),
        study_uid=value_of(elements, _STUDY),
        series_uid=value_of(elements, _SERIES),
        transfer_syntax_uid=looked.transfer_syntax,
        size=size,
        actions=dict(sorted(counts.items())),
        blanked=looked.blanked,
    )


def patient_of(source: Path) -> str:
    """The patient ID that a file states; without one its study stands for the patient; empty without either.

    :raises Quarantine: `file-damaged`, `format-unknown`.
    """
    buffer = _mapped(source)
    elements = _parsed(buffer, part10.read_head(buffer))
    stated = objects.has(elements, _PATIENT_ID)
    said = charsets.decode(bytes(stated.value), declared_charset(elements)).text if stated else ""
    return said or value_of(elements, _STUDY)


def deidentify_dataset(
    dataset: Dataset, key: PatientKey, known: KnownIdentity, profile: str | Profile = "network"
) -> Dataset:
    """A new data set, de-identified; `dataset` stays as it was. Its pixels are not looked at: files' are.

    :raises Quarantine: `reading-loss` if the reading would lose something.
    """
    chosen = profiles.profile(profile) if isinstance(profile, str) else profile
    written = DicomBytesIO()
    written.is_little_endian, written.is_implicit_VR = True, False
    write_dataset(written, dataset)
    encoding = Encoding(explicit=True)
    elements = Reader(memoryview(written.getvalue()), 0, encoding).read()
    transform(elements, key, known.union(from_data_set(elements)), chosen)
    body = b"".join(Writer(encoding).chunks(elements))
    sop = value_of(elements, _SOP_CLASS), value_of(elements, _SOP_INSTANCE)
    return dcmread(io.BytesIO(part10.written_head(*sop, ExplicitVRLittleEndian) + body))


def transform(
    elements: DataSet,
    key: PatientKey,
    known: KnownIdentity,
    profile: Profile,
    *,
    overlays: frozenset[int] = frozenset(),
    looked_at: bool = False,
    blanked: tuple[Area, ...] = (),
) -> Counter[str]:
    """Treats a data set in place by the profile, says in it what was done, and counts the actions.

    :param overlays: the groups 60xx that hold no text and stay.
    :param looked_at: whether its pixels were; if not, the output does not say that they were cleaned.
    :param blanked: the areas of its pixels that were blanked.
    :raises Quarantine: `reading-loss`.
    """
    before = reading.needed(elements)
    execution = Execution(
        key=key, known=_removable(known, elements, profile), profile=profile, overlays=overlays
    )
    execution.run(elements)
    for element in _statement(profile, looked_at=looked_at, blanked=blanked):
        insert(elements, element)
    if profile.rules.get(0x00101010) is Action.AGE:
        reading.require(before, reading.needed(elements), age=execution.age)
    return execution.counts


def _removable(known: KnownIdentity, elements: DataSet, profile: Profile) -> KnownIdentity:
    """What is known, without the institution where the profile keeps it."""
    if "retain-institution-identity" not in profile.options:
        return known
    own = from_data_set([e for e in elements if e.tag in (_CHARSET, *_INSTITUTION)])
    return replace(known, places=(), addresses=tuple(a for a in known.addresses if a not in own.addresses))


def _statement(profile: Profile, *, looked_at: bool, blanked: tuple[Area, ...]) -> tuple[Element, ...]:
    """What the output says of itself (PS3.15 E.1.1, PS3.3 C.7.1.1)."""
    method = (profile.method, *(_in_words(area) for area in blanked))
    codes = [
        [
            Element(_CODE, "SH", code.encode("ascii")),
            Element(_SCHEME, "SH", b"DCM"),
            Element(_MEANING, "LO", meaning.encode("ascii")),
        ]
        for code, meaning in profile.codes
        if looked_at or code != PIXELS_CODE
    ]
    return (
        Element(_REMOVED, "CS", b"YES"),
        Element(_METHOD, "LO", "\\".join(method).encode("ascii")),
        Element(_METHOD_CODES, "SQ", b"", codes),
        Element(_TEMPORAL, "CS", profile.dates.encode("ascii")),
    )


def _in_words(area: Area) -> str:
    """A blanked area as (0012,0063) names it: from 1 and inclusive, as DICOM counts, in at most 64 characters."""
    columns, rows = f"{area.left + 1}-{area.right}", f"{area.top + 1}-{area.bottom}"
    return f"blanked: columns {columns} rows {rows} frames {area.first + 1}-{area.last + 1}"


def _parsed(buffer: memoryview, head: part10.Head) -> DataSet:
    try:
        if head.deflated:
            elements = Reader(memoryview(part10.inflated(buffer[head.start :])), 0, head.encoding).read()
        else:
            elements = Reader(buffer, head.start, head.encoding).read()
    except Damaged as damage:
        raise Quarantine("file-damaged", str(damage)) from damage
    if len({e.tag for e in elements}) != len(elements):  # readers differ in which of the two they take
        raise Quarantine("file-damaged", "a data set holds the same element twice")
    return elements


def _complete_uids(elements: DataSet, head: part10.Head) -> None:
    if not value_of(elements, _SOP_INSTANCE) and head.sop_instance:
        insert(elements, Element(_SOP_INSTANCE, "UI", head.sop_instance.encode("ascii", "replace")))
    for tag, name in ((_SOP_CLASS, "SOP class"), (_SOP_INSTANCE, "SOP instance")):
        if not value_of(elements, tag):
            raise Quarantine("uid-invalid", f"the file has no {name} UID")


def _write(target: Path, begin: bytes, chunks: Iterable[Value]) -> int:
    """Writes a new file and says how large it is; leaves nothing behind if it fails."""
    try:
        with target.open("xb") as stream:
            size = sum(stream.write(piece) for piece in itertools.chain((begin,), chunks))
    except FileExistsError:
        raise
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return size


def _mapped(source: Path) -> memoryview:
    """The file's bytes without reading them all; the map goes when the last slice of it does."""
    with source.open("rb") as stream:
        if source.stat().st_size == 0:
            raise Quarantine("file-damaged", "the file is empty")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
