"""The second pass over pixels: what would leave is looked at as its reader will see it, whatever was decided before.

It shares no rule with the first pass: which pictures it reads, and how a name is written in one, it finds on its own. A
person may have left text in a picture, but never a name or number of the case: that is what it looks for. And what is
said to be blanked must be.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cases.documents import Area
from cases.errors import Quarantine
from imaging.deid.known import KnownIdentity
from imaging.deid.second_known import NUMBERS, identity_of
from imaging.deid.second_reader import Body
from imaging.deid.second_search import written_forms
from imaging.dicom import frames, previews
from imaging.ocr import Engine

_SIDE = 1600  # of the picture that is read, in pixels
# Pictures straight from a detector, of one sample a pixel: nobody writes into them.
_DETECTORS = frozenset((b"CT", b"MR", b"PT", b"NM", b"CR", b"DX", b"MG", b"RTDOSE", b"SEG"))
_SECONDARY = b"1.2.840.10008.5.1.4.1.1.7"
_WHOLE_SLIDE = b"1.2.840.10008.5.1.4.1.1.77.1.6"
_SOP_CLASS, _MODALITY, _SAMPLES = 0x00080016, 0x00080060, 0x00280002
_SAME = 4  # values apart that nobody can read a letter by
_FEWEST = {True: 5, False: 2}  # characters that say something, of Latin letters and digits, and of others


def check(
    output: Path,
    original: Body,
    result: Body,
    engine: Engine,
    known: KnownIdentity,
    blanked: Sequence[Area],
) -> None:
    """Looks at the middle frame of `output` if it may show text, and at every area that is said to be `blanked`.

    :param original: the file that it was made from, taken apart; names and numbers are read from its attributes.
    :param result: the output taken apart.
    :raises Quarantine: `identity-left`, without any value.
    """
    if blanked:
        opened = frames.open_instance(output)
        if not all(_is_blank(opened, area) for area in blanked):
            raise Quarantine("identity-left", "an area that was to be blanked is not")
    picture = previews.preview(output, side=_SIDE) if _may_show_text(result) else None
    if picture is None:
        return
    with Image.open(io.BytesIO(picture)) as shown:
        lines = engine.read(np.asarray(shown.convert("RGB")))
    names, numbers, _ = identity_of(original, NUMBERS)
    forms = frozenset(_forms(known, names, numbers))
    if any(form in _squeezed(line.text) for line in lines for form in forms):
        raise Quarantine("identity-left", "a known identity is written in the picture")


def _is_blank(opened: frames.Opened, area: Area) -> bool:
    """Whether one value fills the area, in each of its frames, but for what a lossy codec makes of it."""
    for index in range(area.first, area.last + 1):
        frame = frames.decode(opened, index)
        held = frame[area.top : area.bottom, area.left : area.right]
        if np.ptp(held.reshape(-1, frame.shape[2] if frame.ndim == 3 else 1), axis=0).max() > _SAME:
            return False
    return True


def _may_show_text(body: Body) -> bool:
    said = {
        seen.tag: bytes(body.content[seen.start : seen.end]).strip(b" \0")
        for seen in body.elements
        if not seen.path and seen.tag in (_SOP_CLASS, _MODALITY, _SAMPLES)
    }
    sop_class = said.get(_SOP_CLASS, b"")
    if sop_class == _WHOLE_SLIDE:
        return False
    detector = said.get(_MODALITY) in _DETECTORS and said.get(_SAMPLES, b"\1") == b"\1"
    return not detector or sop_class.startswith(_SECONDARY)


def _forms(known: KnownIdentity, names: Iterable[str], numbers: Iterable[str]) -> Iterator[str]:
    """What is known in every written form that says something without its gaps."""
    values = [(n, True) for n in (*names, *known.names, *known.people)]
    values += [
        (n, False) for n in (*numbers, *known.identifiers, *known.phones, *known.addresses, *known.places)
    ]
    for value, name in values:
        for form in map(_squeezed, written_forms(value, name=name)):
            if len(form) >= _FEWEST[form.isascii()]:
                yield form


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()
