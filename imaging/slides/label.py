"""The label of a slide: its picture, its barcodes and its text, read while the slide is still in the region.

Everything here runs in a killable child process: OpenSlide, the barcode reader and OCR are native code.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import openslide
import tifffile
import zxingcpp
from numpy.typing import NDArray
from PIL import Image

from cases.errors import Quarantine
from cases.order import SlideLine
from imaging.ocr import Engine, TextBox
from imaging.slides.formats import accept
from imaging.slides.look import as_png
from imaging.slides.matching import Comparison, Line, compare
from imaging.slides.pyramid import silence_tifffile

LARGEST_PICTURE = 40_000_000
SHOWN_SIDE = 1200
# A label smaller than this is enlarged: OCR reads letters of 20 pixels and more.
READ_SIDE = 700
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class LabelReading:
    """What a label says of its slide, and its picture as PNG for the clinic to look at (identified).

    `absent`: the slide has no label image. `differs` names the parts that are another slide's.
    """

    result: Literal["matches", "unreadable", "absent", "differs"]
    differs: tuple[str, ...] = ()
    comparison: Comparison | None = None
    picture: bytes | None = field(default=None, repr=False)

    def refusal(self) -> Quarantine | None:
        """`label-mismatch` with the parts that differ, never their values; None if nothing does."""
        if self.result != "differs":
            return None
        return Quarantine("label-mismatch", f"differs: {', '.join(self.differs)}")


def read_label(path: Path, order: SlideLine, *, names: tuple[str, ...] = ()) -> LabelReading:
    """Read a slide's label and compare it with its line of the order.

    :param path: a slide file; of a DICOM slide its VOLUME instance (siblings beside it) or its LABEL instance.
    :param names: the patient's names in all written forms, which are neither stain nor block.
    :raises Quarantine: `slide-unsafe`, `format-unknown`, `file-damaged`.
    """
    picture = label_picture(path)
    if picture is None:
        return LabelReading(result="absent")
    return read_picture_of_label(picture, order, names=names)


def read_picture_of_label(picture: Pixels, order: SlideLine, *, names: tuple[str, ...] = ()) -> LabelReading:
    """The same for a picture of a label, (rows, columns, 3)."""
    lines = barcodes(picture)
    best = compare(lines, order, names=names)
    for turned in (0, 1, 3) if not best.matches else ():
        found = compare((*lines, *text_lines(np.rot90(picture, turned))), order, names=names)
        best = max(best, found, key=_worth)
        if best.number != "unreadable":
            break
    shown = Image.fromarray(picture)
    shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    result: Literal["matches", "unreadable", "differs"] = "unreadable"
    if best.differs:
        result = "differs"
    elif best.matches:
        result = "matches"
    return LabelReading(result=result, differs=best.differs, comparison=best, picture=as_png(shown))


def _worth(found: Comparison) -> tuple[int, int]:
    parts = (found.number, found.block, found.stain)
    return (
        2 * (found.number == "matches") + (found.number == "differs"),
        sum(p != "unreadable" for p in parts),
    )


def barcodes(picture: Pixels) -> tuple[Line, ...]:
    """Every barcode in a picture, in any direction; those whose checksum fails are left out."""
    found = zxingcpp.read_barcodes(np.ascontiguousarray(picture))
    return tuple(Line(text=b.text, confidence=1.0, barcode=True) for b in found if b.valid and b.text.strip())


def text_lines(picture: Pixels) -> tuple[Line, ...]:
    """The lines of printed text in a picture."""
    return tuple(Line(text=box.text, confidence=box.confidence) for box in text_boxes(picture))


def text_boxes(picture: Pixels) -> tuple[TextBox, ...]:
    """The same with their places in pixels of the picture, which is read at a size at which letters are legible."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    if max(image.size) < READ_SIDE:
        enlarged = READ_SIDE / max(image.size)
        image = image.resize(
            (round(image.width * enlarged), round(image.height * enlarged)), Image.Resampling.LANCZOS
        )
    else:
        image.thumbnail((2 * READ_SIDE, 2 * READ_SIDE))
    factor = max(picture.shape[:2]) / max(image.size)
    return tuple(_scaled(box, factor) for box in _engine().read(np.asarray(image)))


def _scaled(box: TextBox, factor: float) -> TextBox:
    return dataclasses.replace(
        box,
        left=math.floor(box.left * factor),
        top=math.floor(box.top * factor),
        right=math.ceil(box.right * factor),
        bottom=math.ceil(box.bottom * factor),
    )


@functools.cache
def _engine() -> Engine:
    return Engine()


def label_picture(path: Path) -> Pixels | None:
    """The picture of the label, else of the whole glass, as (rows, columns, 3); None if the slide has neither.

    :raises Quarantine: `slide-unsafe`, `format-unknown`, `file-damaged`.
    """
    found = accept(path)
    try:
        if found.code == "generic-tiff":
            return _smallest_extra_page(path)
        with openslide.OpenSlide(path) as slide:
            associated = slide.associated_images
            name = next((n for n in ("label", "macro") if n in associated), None)
            return None if name is None else _rgb(associated[name])
    except (openslide.OpenSlideError, OSError, ValueError, RuntimeError) as error:
        raise Quarantine("file-damaged", "the slide's label cannot be decoded") from error


def _rgb(picture: Image.Image) -> Pixels:
    if picture.width * picture.height > LARGEST_PICTURE:
        raise ValueError("a label of this size is none")
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A") if "A" in picture.getbands() else None)
    return np.asarray(white)


def _smallest_extra_page(path: Path) -> Pixels | None:
    """A generic TIFF names nothing: its pages that are not tiled, the one that says `label` first."""
    silence_tifffile()
    with tifffile.TiffFile(path) as opened:
        pages = [p for p in opened.pages if isinstance(p, tifffile.TiffPage) and not p.is_tiled]
        small = [p for p in pages if 0 < p.imagewidth * p.imagelength <= LARGEST_PICTURE]
        small.sort(key=lambda p: ("label" not in p.description.lower(), p.imagewidth * p.imagelength))
        if not small:
            return None
        return _rgb(Image.fromarray(np.ascontiguousarray(small[0].asarray())))
