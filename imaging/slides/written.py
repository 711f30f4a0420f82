"""Text on the glass itself: a slide whose scanned picture shows writing is not let out by the machine alone.

A person who was shown the picture with the writing marked decides whether it may stay: it cannot be blanked, for tiles
leave byte for byte. Runs in a killable child process: OpenSlide and OCR are native code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from cases.documents import Finding, PixelDecision
from cases.errors import Quarantine
from imaging.deid.doubts import PixelsDoubtful, around, marked, verdict_on
from imaging.deid.sheets import Sheet
from imaging.ocr import TextBox
from imaging.slides import look
from imaging.slides.label import text_boxes

# Tissue never reads as this many letters and digits in a row, for certain.
LEAST_CHARACTERS = 5
CERTAIN = 0.9


def require_no_text(path: Path, *, identity_values: tuple[str, ...] = ()) -> None:
    """Look for writing in the picture of a slide that would leave, at the size of a preview.

    :raises PixelsDoubtful: if writing shows.
    :raises Quarantine: `file-damaged`.
    """
    try:
        with openslide.OpenSlide(path) as slide:
            picture = look.overview(slide)
    except (openslide.OpenSlideError, OSError, ValueError) as error:
        raise Quarantine("file-damaged", "the slide cannot be opened or decoded") from error
    require_no_text_in(look.as_png(picture), picture, identity_values=identity_values)


def require_no_text_in(
    png: bytes,
    picture: Image.Image,
    *,
    identity_values: tuple[str, ...] = (),
    decisions: Sequence[PixelDecision] = (),
) -> None:
    """The same over the `picture` (RGB) that was made of the slide; `png` is its file, which decisions are about.

    :raises PixelsDoubtful: if writing shows that no person said may stay.
    """
    sheet = Sheet(first=0, last=0, picture=np.asarray(picture))
    known = {_squeezed(v) for v in identity_values if len(_squeezed(v)) >= 2}
    read = (_finding(box, sheet, known) for box in text_boxes(sheet.picture))
    findings = [found for found in read if found is not None]
    verdicts = {verdict_on(found, decisions) for found in findings}
    if verdicts <= {"leave"}:
        return
    said = sorted({found.what for found in findings})
    if "blank" in verdicts:
        said.append("writing on a slide cannot be blanked")
    raise PixelsDoubtful("; ".join(said), hashlib.sha256(png).hexdigest(), marked([(sheet, findings)]))


def _finding(box: TextBox, sheet: Sheet, known: set[str]) -> Finding | None:
    text = _squeezed(box.text)
    is_known = any(value in text for value in known)
    if not is_known and (len(text) < LEAST_CHARACTERS or box.confidence < CERTAIN):
        return None
    return Finding(
        area=around(box, sheet),
        what="a known identity is written on the slide"
        if is_known
        else f"{len(text)} characters are written on the slide",
        known=is_known,
        said=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).upper()
