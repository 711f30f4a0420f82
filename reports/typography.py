"""Line breaking for Chinese and English in one text, and what a font cannot show.

Break rules follow the Unicode line-breaking classes that matter here (UAX #14: ideographs break anywhere, except
before closing and after opening punctuation; words hold together).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

Width = Callable[[str], float]

# No line begins with these, and none ends with those (GB/T 15834, the kinsoku of Chinese setting).
NOT_FIRST = frozenset("，。、；：？！）》」』】〕〉”’…—％‰℃·,.;:?!)]}%")
NOT_LAST = frozenset("（《「『【〔〈“‘([{")

# A word of letters, digits and what joins them; or one character of any other kind.
_PIECE = re.compile(r"[A-Za-z0-9À-ɏͰ-Ͽ_'\-./+@=<>≤≥±×~^&#$%°µμ²³]+|\s|.", re.DOTALL)


def visible(text: str, glyphs: Collection[int]) -> tuple[str, bool]:
    """The text with every character that the font lacks written as its Unicode number, and whether there was one.

    A name must never lose a character silently, and a control character must not hide: 𠮷 becomes 〔U+20BB7〕.
    """
    shown, lacking = [], False
    for character in text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "):
        if character == "\n" or ord(character) in glyphs:
            shown.append(character)
        else:
            shown.append(f"〔U+{ord(character):04X}〕")
            lacking = True
    return "".join(shown), lacking


def _pieces(paragraph: str) -> list[str]:
    """Unbreakable pieces: words and ideographs, with the punctuation that may not part from them."""
    glued: list[str] = []
    for piece in _PIECE.findall(paragraph):
        follows = piece[0] in NOT_FIRST and glued and not glued[-1].isspace()
        held = glued and glued[-1][-1] in NOT_LAST
        if follows or (held and not piece.isspace()):
            glued[-1] += piece
        else:
            glued.append(piece)
    return glued


def _cut(piece: str, limit: float, width: Width) -> list[str]:
    """A piece wider than a whole line, cut into characters' runs that fit."""
    runs, run = [], ""
    for character in piece:
        if run and width(run + character) > limit:
            runs.append(run)
            run = ""
        run += character
    return [*runs, run]


def lines_of(text: str, limit: float, width: Width) -> list[str]:
    """The text as lines no wider than `limit` (in the unit of `width`); line breaks in it are kept."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in _pieces(paragraph.strip()):
            if width(line + piece.rstrip()) <= limit:
                line += piece
                continue
            if line.strip():
                lines.append(line.rstrip())
            *full, line = _cut(piece.lstrip(), limit, width) if piece.strip() else [""]
            lines.extend(full)
        lines.append(line.rstrip())
    return lines
