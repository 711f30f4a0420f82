"""What people's text may hold: no control characters, which neither a page, a PDF nor a database can keep."""

from __future__ import annotations

import unicodedata


def is_control(character: str) -> bool:
    """Controls (Cc) and halves of surrogate pairs (Cs)."""
    return unicodedata.category(character) in ("Cc", "Cs")


def in_lines(text: str) -> str:
    """The text itself; ValueError if it holds controls other than line breaks and tabs."""
    if any(is_control(c) for c in text if c not in "\n\r\t"):
        raise ValueError("a text holds no control characters but line breaks and tabs")
    return text


def in_one_line(text: str) -> str:
    """The text itself; ValueError if it holds any control."""
    if any(is_control(c) for c in text):
        raise ValueError("it is one line, without line breaks, tabs or other control characters")
    return text
