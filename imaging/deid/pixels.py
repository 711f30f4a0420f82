"""Burned-in text: what a device is known to write is blanked, the rest is read, and what identifies waits for a person.

The machine blanks by `imaging.deid.layouts` alone: a box over anatomy is never blanked without a person, whose decision
(`imaging.deid.doubts`) holds for the very bytes and the very findings that were looked at, and for nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cases.documents import Area, Finding, PixelDecision
from cases.errors import Quarantine
from imaging.deid import blanking, codestreams, layouts
from imaging.deid.doubts import PixelsDoubtful, around, marked, to_blank, verdict_on
from imaging.deid.elements import PIXEL_DATA, DataSet, Element
from imaging.deid.known import KnownIdentity
from imaging.deid.objects import Kind, has
from imaging.deid.part10 import Head
from imaging.deid.rules import insert
from imaging.deid.sheets import Sheet, sheets
from imaging.deid.text import spans
from imaging.dicom import frames
from imaging.dicom.pixels import VIDEO
from imaging.ocr import Engine, TextBox

Frame = NDArray[Any]
# What people decided about pictures, by the SHA-256 of the instance, the oldest first.
Decisions = Mapping[str, Sequence[PixelDecision]]
_BURNED_IN = 0x00280301
_LOOSE_DATE = re.compile(r"(?:19|20)\d{2}[-/.年]\d{1,2}[-/.月]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d{2}")
_SQUEEZED_LEAST = 5
_FLOATING = (0x7FE00008, 0x7FE00009)
_KNOWN = "a name or number of this case"
_PLAIN_TEXT = "text that does not identify by itself"
_NOTHING_READ = "burned-in text that was not read"


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What was done to the pixels: the areas that were blanked, and the transfer syntax that they are in now."""

    blanked: tuple[Area, ...] = ()
    transfer_syntax: str = ""


def treat(
    source: Path,
    elements: DataSet,
    head: Head,
    kind: Kind,
    known: KnownIdentity,
    engine: Engine | None,
    decided: Decisions | None = None,
) -> Looked:
    """Blanks what may be blanked in `elements`' pixel data, and reads the rest.

    :param elements: the data set before its attributes are treated.
    :raises PixelsDoubtful: if a person must look at what was found.
    :raises Quarantine: `pixels-doubtful` if nobody can tell, or such pixels cannot be blanked.
    """
    _no_bits_beside_the_picture(elements)
    pixel_data = has(elements, PIXEL_DATA)
    if pixel_data is not None and pixel_data.fragments:
        if codestreams.in_boxes(pixel_data.value):
            raise Quarantine(
                "pixels-doubtful", "a frame stands in the boxes of a JP2 file, which may say anything"
            )
        pixel_data.value = codestreams.silenced(pixel_data.value)
    if kind.look and any(has(elements, tag) for tag in _FLOATING):
        raise Quarantine(
            "pixels-doubtful", "a picture of floating-point numbers may show text, and none is read there"
        )
    if not kind.look or pixel_data is None:
        return Looked(transfer_syntax=head.transfer_syntax)
    if engine is None:
        raise Quarantine("pixels-doubtful", "the picture may show text, and no reader of text was given")
    opened = frames.open_instance(source)
    with frames.decoding():
        _nothing_after_the_frames(pixel_data, opened)
    own = _written_areas(elements, pixel_data, opened, head)
    days = _days(elements)
    looked = [((s.first, s.last), _findings(engine, s, own, known, days)) for s in sheets(opened)]
    lasting, read = [span for span, _ in looked], [found for _, found in looked]
    doubtful = _doubtful(read, lasting, opened, declared=kind.burned_in and not own)
    areas = (*own, *_decided(source, opened, doubtful, decided or {}))
    syntax = blanking.blank(elements, opened, head, areas) if areas else head.transfer_syntax
    if areas or kind.burned_in:
        insert(elements, Element(_BURNED_IN, "CS", b"NO"))
    return Looked(blanked=areas, transfer_syntax=syntax)


def _no_bits_beside_the_picture(elements: DataSet) -> None:
    """Overlays in the unused bits of the pixels (retired, PS3.3 C.9.2 of 2004) are graphics nobody looks at."""
    for element in elements:
        if element.tag >> 24 == 0x60 and element.tag & 0xFFFF == 0x0102 and any(bytes(element.value)):
            raise Quarantine("pixels-doubtful", "an overlay stands in the unused bits of the pixels")


def _nothing_after_the_frames(pixel_data: Element, opened: frames.Opened) -> None:
    """Pixels beyond the last frame are a picture that no decoder shows, and nobody looks at.

    A byte that makes the length even is none, nor is a fragment that goes on with the one before.
    """
    if _is_more(pixel_data, opened):
        raise Quarantine("pixels-doubtful", "the pixel data holds more than its frames")


def _is_more(pixel_data: Element, opened: frames.Opened) -> bool:
    dataset = opened.dataset
    if pixel_data.fragments:
        video = frames.transfer_syntax(dataset) in VIDEO
        return not video and codestreams.begun(pixel_data.value) > opened.frames
    halved = dataset.get("PhotometricInterpretation") == "YBR_FULL_422"
    samples = 2 if halved else int(dataset.get("SamplesPerPixel", 1))
    bits = dataset.Rows * dataset.Columns * opened.frames * samples * dataset.BitsAllocated
    return any(bytes(pixel_data.value[-(-bits // 16) * 2 :]))


def _days(elements: DataSet) -> frozenset[str]:
    found = {bytes(e.value).decode("latin-1").strip(" \0") for e in elements if e.vr == "DA"}
    return frozenset(d for d in found if re.fullmatch(r"\d{8}", d))


def _written_areas(
    elements: DataSet, pixel_data: Element, opened: frames.Opened, head: Head
) -> tuple[Area, ...]:
    """Where the device is known to write and did so, in some frame; nowhere if such pixels cannot be blanked."""
    dataset = opened.dataset
    if not blanking.possible(dataset, head):
        return ()
    known = layouts.areas(
        elements, rows=dataset.Rows, columns=dataset.Columns, frames=opened.frames, big=head.encoding.big
    )
    written = [a for a in known if any(_is_written(frame, a) for frame in frames.every(opened))]
    return tuple(blanking.fitted(pixel_data, opened, head, area) for area in written)


def _is_written(frame: Frame, area: Area) -> bool:
    held = frame[area.top : area.bottom, area.left : area.right]
    return bool(np.ptp(held.reshape(-1, frame.shape[2] if frame.ndim == 3 else 1), axis=0).any())


def _findings(
    engine: Engine, sheet: Sheet, own: Sequence[Area], known: KnownIdentity, days: frozenset[str]
) -> list[Finding]:
    """Every line of text outside the areas that the machine blanks."""
    shown = sheet.picture.copy()
    for area in own:
        shown[area.top : area.bottom, area.left : area.right] = 0
    if not np.ptp(shown):
        return []
    lines = [(box, what_identifies(box, known, days)) for box in engine.read(shown)]
    return [
        Finding(
            area=around(box, sheet),
            what="; ".join(what) or _PLAIN_TEXT,
            known=_KNOWN in what,
            said=hashlib.sha256(squeeze(box.text).encode()).hexdigest()[:16],
        )
        for box, what in lines
    ]


def _doubtful(
    read: Sequence[Sequence[Finding]],
    spans_of_sheets: Sequence[tuple[int, int]],
    opened: frames.Opened,
    *,
    declared: bool,
) -> list[list[Finding]]:
    """What a person must look at, by sheet: what identifies; all text, where the file says that it does (`declared`).

    Where nothing could be read a person looks at every sheet: what no machine reads is what is burned in there.
    """
    if not declared:
        return [[f for f in findings if f.what != _PLAIN_TEXT] for findings in read]
    if any(read):
        return [list(findings) for findings in read]
    rows, columns = opened.dataset.Rows, opened.dataset.Columns
    return [
        [
            Finding(
                area=Area(left=0, top=0, right=columns, bottom=rows, first=first, last=last),
                what=_NOTHING_READ,
                known=False,
                said=str(number),
            )
        ]
        for number, (first, last) in enumerate(spans_of_sheets)
    ]


def _decided(
    source: Path, opened: frames.Opened, doubtful: Sequence[Sequence[Finding]], decided: Decisions
) -> tuple[Area, ...]:
    """What a person had blanked of what is doubtful in this very file.

    :raises PixelsDoubtful: if no person has decided about some of it.
    """
    findings = [f for each in doubtful for f in each]
    if not findings:
        return ()
    with source.open("rb") as stream:
        instance = hashlib.file_digest(stream, "sha256").hexdigest()
    decisions = decided.get(instance, ())
    if any(verdict_on(f, decisions) is None for f in findings):
        pictures = marked(zip(sheets(opened), doubtful, strict=True))
        raise PixelsDoubtful(_in_words(findings), instance, pictures)
    return to_blank(decisions, findings)


def _in_words(findings: Sequence[Finding]) -> str:
    kinds = {part for f in findings for part in f.what.split("; ")} - {_PLAIN_TEXT, _NOTHING_READ}
    if not kinds:
        return "the file says that text is burned in, and none that identifies was found"
    return f"text in the picture: {'; '.join(sorted(kinds))}"


def what_identifies(
    box: TextBox, known: KnownIdentity, dates: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """What in one line of text identifies, in words. Spaces are not always read, so they count for nothing."""
    found = {_KNOWN if what == "known" else what for _, _, what in spans(box.text, known)}
    squeezed = squeeze(box.text)
    values = (*known.names, *known.people, *known.identifiers, *known.phones, *known.addresses, *known.places)
    for value in values:
        least = 2 if not squeeze(value).isascii() else _SQUEEZED_LEAST
        forms = [squeeze(group) for group in value.split("=")]
        if any(len(form) >= least and form in squeezed for form in forms):
            found.add(_KNOWN)
    if _LOOSE_DATE.search(box.text) or any(day in squeezed for day in dates):
        found.add("date")
    return tuple(sorted(found))


def squeeze(text: str) -> str:
    """Letters and digits alone, in one case."""
    return re.sub(r"[\W_]+", "", text).casefold()
