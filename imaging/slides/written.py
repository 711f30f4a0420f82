"""Text on the glass itself: a slide whose scanned picture shows writing is not let out by the machine alone.

Runs in a killable child process: OpenSlide and OCR are native code.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from cases.errors import Quarantine
from imaging.slides import look
from imaging.slides.label import text_lines

# Tissue never reads as this many letters and digits in a row, for certain.
LEAST_CHARACTERS = 5
CERTAIN = 0.9


def require_no_text(path: Path, *, identity_values: tuple[str, ...] = ()) -> None:
    """Look for writing in the picture of a slide that would leave, at the size of a preview.

    :raises Quarantine: `pixels-doubtful` if writing shows; `file-damaged`.
    """
    try:
        with openslide.OpenSlide(path) as slide:
            picture = look.overview(slide)
    except (openslide.OpenSlideError, OSError, ValueError) as error:
        raise Quarantine("file-damaged", "the slide cannot be opened or decoded") from error
    require_no_text_in(picture, identity_values=identity_values)


def require_no_text_in(picture: Image.Image, *, identity_values: tuple[str, ...] = ()) -> None:
    """The same over the preview that was made of the slide.

    :raises Quarantine: `pixels-doubtful` if writing shows.
    """
    known = {_squeezed(v) for v in identity_values if len(_squeezed(v)) >= 2}
    for line in text_lines(np.asarray(picture)):
        text = _squeezed(line.text)
        if any(value in text for value in known):
            raise Quarantine("pixels-doubtful", "a known identity is written on the slide")
        if len(text) >= LEAST_CHARACTERS and line.confidence >= CERTAIN:
            raise Quarantine("pixels-doubtful", f"{len(text)} characters are written on the slide")


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).upper()
