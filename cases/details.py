"""What was found, in Chinese: the sentences of `SetAside.detail` and of an order's problems, by a table.

Stages say in English what they found. `details_zh.json` has a row for each sentence, with `{}` for what differs from
case to case and `{0}`, `{1}`, ... for its place in the Chinese one. Sentences are joined by "; ", ": " and ", ".
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path

_FILE = Path(__file__).with_name("details_zh.json")
_HOLE = "{}"
_ONE_SENTENCE = "((?:(?!; ).)+?)"
# A row with fewer letters of its own fits many sentences: it is tried once they are taken apart.
_TELLING = 8


class Details:
    """The table, with rows that other tables hold already (`more`, English to Chinese)."""

    def __init__(self, rows: Mapping[str, str]) -> None:
        self._whole = {en: zh for en, zh in rows.items() if _HOLE not in en}
        holed = sorted((en for en in rows if _HOLE in en), key=_letters, reverse=True)
        self._telling = [(_pattern(en), rows[en]) for en in holed if _letters(en) >= _TELLING]
        self._light = [(_pattern(en), rows[en]) for en in holed if _letters(en) < _TELLING]

    def zh(self, sentence: str) -> str:
        """The sentence in Chinese; words that the table does not hold (names of files' parts, numbers) stay."""
        return (
            self._whole.get(sentence)
            or self._filled(self._telling, sentence)
            or self._joined("; ", ";", sentence)
            or self._joined(": ", ":", sentence)
            or self._filled(self._light, sentence)
            or self._joined(", ", "、", sentence)
            or sentence
        )

    def _filled(self, rows: list[tuple[re.Pattern[str], str]], sentence: str) -> str:
        for pattern, zh in rows:
            if found := pattern.fullmatch(sentence):
                return zh.format(*map(self.zh, found.groups()))
        return ""

    def _joined(self, gap: str, gap_zh: str, sentence: str) -> str:
        return gap_zh.join(map(self.zh, sentence.split(gap))) if gap in sentence else ""


def _letters(row: str) -> int:
    return len(row.replace(_HOLE, "").strip())


def _pattern(row: str) -> re.Pattern[str]:
    return re.compile(_ONE_SENTENCE.join(map(re.escape, row.split(_HOLE))), re.DOTALL)


@functools.cache
def table() -> Mapping[str, str]:
    """The rows of the file: English to Chinese."""
    rows: dict[str, str] = json.loads(_FILE.read_text(encoding="utf-8"))
    return rows
