"""The font of every report, and the part of it that one report needs.

The whole font has 31,000 glyphs. fpdf2 embeds what a page shows, but works through all of them to cut that out, and
takes longer for it than for all the rest of a report. HarfBuzz does it in milliseconds.
"""

from __future__ import annotations

from functools import lru_cache

import uharfbuzz  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from pylopdf_fonts_zh_cn import sans_path


@lru_cache(maxsize=1)
def glyphs() -> frozenset[int]:
    """The Unicode numbers of the characters that the font can show."""
    with TTFont(sans_path(), lazy=True) as font:
        return frozenset(font.getBestCmap())


@lru_cache(maxsize=1)
def _whole() -> uharfbuzz.Face:
    return uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(sans_path())))


def cut(characters: frozenset[str]) -> bytes:
    """An OpenType font of these characters alone; the same bytes for the same characters."""
    wanted = uharfbuzz.SubsetInput()
    wanted.unicode_set.set(ord(c) for c in characters)
    made = uharfbuzz.subset(_whole(), wanted)
    return bytes(made.blob.data)
