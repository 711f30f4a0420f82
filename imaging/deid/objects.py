"""Which kinds of DICOM objects can leave, by SOP class (PS3.4 B.5): treated, looked at, left out, or withheld."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from pydicom.uid import UID_dictionary

from cases.errors import Quarantine, TeledxError
from imaging.deid import content
from imaging.deid.elements import DataSet, Element
from imaging.deid.rules import value_of
from imaging.dicom.previews import preview
from imaging.slides import dicom_wsi
from imaging.slides.look import PREVIEW_SIDE
from imaging.slides.written import require_no_text_in

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_DIRECTORY = "1.2.840.10008.1.3.10"
_REPORTS = f"{_STORAGE}88."
WHOLE_SLIDE = f"{_STORAGE}77.1.6"

# Structured reports made by machines: numbers and codes are the content, their texts may go.
_MACHINE_REPORTS = tuple(f"{_STORAGE}88.{n}" for n in ("67", "68", "73", "76", "59"))

# SOP class or its prefix | why such an object is withheld | reason
_WITHHELD: tuple[tuple[str, str, str], ...] = (
    (_DIRECTORY, "format-unknown", "a DICOMDIR names patients and places: make a new one from what came out"),
    (f"{_STORAGE}104.", "pixels-doubtful", "an encapsulated document cannot be looked into"),
    (_REPORTS, "reading-loss", "a structured report's text cannot be kept without a person's look"),
)

# Images that may show text: SOP class or its prefix.
_MAY_SHOW_TEXT = (
    f"{_STORAGE}6", f"{_STORAGE}3", f"{_STORAGE}7", f"{_STORAGE}7.", f"{_STORAGE}77.1", f"{_STORAGE}12.",
)  # fmt: skip
_TEXT_MODALITIES = frozenset({
    "US", "IVUS", "SC", "OT", "ES", "XC", "DG", "DOC", "XA", "RF", "GM", "SM",
    "OP", "OPT", "PX", "IO", "TG", "ECG", "HD",
})  # fmt: skip
_TEXT_IMAGE_TYPES = frozenset(("SCREEN SAVE", "SCREENSHOT", "CAPTURE", "REPORT", "PROT", "DOSE_INFO", "DOSE"))
_IMAGE_TYPE, _MODALITY, _SOP_CLASS = 0x00080008, 0x00080060, 0x00080016
_BURNED_IN, _CONVERSION, _SAMPLES = 0x00280301, 0x00080064, 0x00280002


class LeftOut(TeledxError):
    """The object stays behind by design, and nothing of the reading with it: a slide's label or overview."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How an object is treated: whether its pixels may show text, whether it says so, whether it is a slide's."""

    look: bool
    burned_in: bool
    whole_slide: bool


def judge(elements: DataSet) -> Kind:
    """What kind of object a data set is.

    :raises Quarantine: if such objects are withheld.
    """
    sop_class = value_of(elements, _SOP_CLASS)
    types = tuple(t.strip() for t in value_of(elements, _IMAGE_TYPE).upper().split("\\"))
    if sop_class not in _MACHINE_REPORTS:
        for prefix, code, why in _WITHHELD:
            if sop_class.startswith(prefix) and (prefix != _REPORTS or content.is_narrative(elements)):
                raise Quarantine(code, why)
    if not sop_class.startswith(_STORAGE) or sop_class not in UID_dictionary:
        raise Quarantine("format-unknown", "the SOP class is none of the standard's for storage")
    burned_in = value_of(elements, _BURNED_IN).upper() == "YES"
    return Kind(
        look=burned_in or _may_show_text(elements, sop_class, types),
        burned_in=burned_in,
        whole_slide=sop_class == WHOLE_SLIDE,
    )


def check_whole_slide(source: Path) -> None:
    """Whether a whole-slide instance may leave, and its frames hold picture alone.

    :raises LeftOut: if it is a label or an overview, or a thumbnail that shows the label or other writing.
    :raises Quarantine: `slide-unsafe`, `file-damaged`.
    """
    instance = dicom_wsi.read_instance(source)
    if not instance.leaves:
        raise LeftOut("a slide's label or overview stays behind")
    dicom_wsi.check_frames(source)
    if instance.role == "THUMBNAIL" and _shows_writing(source):
        raise LeftOut("a slide's thumbnail on which something is written stays behind")


def _shows_writing(source: Path) -> bool:
    picture = preview(source, side=PREVIEW_SIDE)
    assert picture is not None, "its frames were walked"
    try:
        with Image.open(io.BytesIO(picture)) as shown:
            require_no_text_in(picture, shown.convert("RGB"))
    except Quarantine:
        return True
    return False


def _may_show_text(elements: DataSet, sop_class: str, types: tuple[str, ...]) -> bool:
    if sop_class == WHOLE_SLIDE:
        return False
    if value_of(elements, _MODALITY) in _TEXT_MODALITIES or sop_class.startswith(_MAY_SHOW_TEXT):
        return True
    coloured = any(e.tag == _SAMPLES and bytes(e.value)[:2] in (b"\3\0", b"\0\3") for e in elements)
    secondary = len(types) > 1 and types[1] == "SECONDARY"
    return bool(_TEXT_IMAGE_TYPES & set(types) or (secondary and coloured) or value_of(elements, _CONVERSION))


def has(elements: DataSet, tag: int) -> Element | None:
    """The element of that tag at this level, if there is one."""
    return next((e for e in elements if e.tag == tag), None)
