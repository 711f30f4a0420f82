"""The second pass's own search: identity in every written form and encoding, over all bytes, with hyperscan."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any
from urllib.parse import quote

import hyperscan
from pypinyin import lazy_pinyin

_ENCODINGS = ("utf-8", "gb18030", "utf-16-le", "utf-16-be", "latin-1", "big5")
_FEWEST_BYTES, _FEWEST_BYTES_IN_PIXELS = 4, 6
_FEWEST_TO_WRAP = 6
_HAN = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")
_WORDS = re.compile(r"[^\W_]+")
# what stands in a name's place without being one, and what one word alone says nothing about
_NO_NAMES = frozenset(
    re.findall(
        r"\w+",
        "anonymous anonymized anonymised removed unknown patient phantom test name none null chest abdomen head brain"
        " neck knee spine left right upper lower white brown black green long small young normal contrast study series",
    )
)


def written_forms(value: str, *, name: bool) -> frozenset[str]:
    """The ways in which one value is written in text. Empty for what is too short to say anything."""
    forms: set[str] = set()
    for group in value.split("="):
        han, words = "".join(_HAN.findall(group)), _WORDS.findall(_HAN.sub(" ", group))
        if not name:
            forms |= _as_number(group, words, han)
            continue
        if len(han) >= 2:
            forms |= {han, f"{han[0]}^{han[1:]}", f"{han[0]} {han[1:]}", *_romanised(han)}
        if len(words) >= 2:
            forms |= set(_ordered(words))
        elif len(words) == 1 and len(words[0]) >= 5 and words[0].casefold() not in _NO_NAMES:
            forms.add(words[0])
    return frozenset(f for f in forms if len(_WORDS.findall(f)) and (len(f) >= 4 or _HAN.search(f)))


def _as_number(group: str, words: list[str], han: str) -> set[str]:
    joined = "".join(words)
    if len(joined) + 2 * len(han) < 4 or group.casefold() in _NO_NAMES:
        return set()
    forms = {group.strip()}
    return forms | {joined} if len(joined) >= 6 and not han else forms


def _romanised(han: str) -> Iterator[str]:
    first, *rest = lazy_pinyin(han)
    given = "".join(rest)
    for parts in ((first, given), (given, first), (first, *rest)):
        yield from (gap.join(parts) for gap in (" ", "^", "", ", "))


def _ordered(words: list[str]) -> Iterator[str]:
    if sum(len(w) for w in words) < 5:
        return
    for parts in (words, words[::-1], [*words[1:], words[0]]):
        yield from (gap.join(parts) for gap in (" ", "^", ", ", "_", ""))


def written_dates(day: date) -> frozenset[str]:
    """The ways in which one day is written."""
    y, m, d = day.year, day.month, day.day
    return frozenset({
        f"{y}{m:02}{d:02}", f"{y}-{m:02}-{d:02}", f"{y}/{m:02}/{d:02}", f"{y}.{m:02}.{d:02}", f"{y}年{m}月{d}日",
        f"{y}年{m:02}月{d:02}日", f"{d:02}/{m:02}/{y}", f"{m:02}/{d:02}/{y}", f"{d:02}.{m:02}.{y}",
    })  # fmt: skip


def _encoded(form: str) -> Iterator[tuple[bytes, bool]]:
    """A form in bytes: as text in each encoding (True), or wrapped in percent signs or base64 (False).

    Latin letters in UTF-16 go without the zero at their one end: that is the same in both byte orders, and small pixel
    values, half of whose bytes are zero, do not stop the search at each.
    """
    for encoding in _ENCODINGS:
        try:
            raw = form.encode(encoding)
        except UnicodeEncodeError:
            continue
        yield raw.strip(b"\0") if form.isascii() else raw, True
    for raw in {form.encode("utf-8"), form.encode("gb18030")}:
        if len(raw) < _FEWEST_TO_WRAP:
            continue
        yield quote(raw, safe="").encode("ascii"), False
        for shift in range(3):
            whole = base64.b64encode(bytes(shift) + raw)
            # characters that also hold bits of the neighbours are left out
            core = whole[(0, 2, 3)[shift] : len(whole) - (0, 3, 2)[(shift + len(raw)) % 3] or None]
            yield core.rstrip(b"="), False


class Search:
    """A compiled set of byte strings. Where one ends, which one it was, and whether its ends are words' ends."""

    def __init__(self, strings: Iterable[tuple[bytes, bool]]) -> None:
        found: dict[bytes, bool] = {}
        for string, is_text in strings:
            if len(string) >= _FEWEST_BYTES:
                found[string] = found.get(string, False) or is_text
        self._strings = sorted(found)
        self._is_text = [found[s] for s in self._strings]
        self._database: Any = None
        if self._strings:
            self._database = hyperscan.Database()
            self._database.compile(
                expressions=[_literal(s) for s in self._strings],
                ids=list(range(len(self._strings))),
                flags=[hyperscan.HS_FLAG_CASELESS if t else 0 for t in self._is_text],
            )

    def places(self, content: memoryview, pixels: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Where identity stands: start and end. Short strings do not count inside `pixels`, nor parts of words."""
        if self._database is None or not len(content):
            return []
        ends: list[tuple[int, int, bool]] = []

        def met(which: int, _start: int, end: int, _flags: int, _context: object) -> None:
            string = self._strings[which]
            # of UTF-16 no single byte beside tells whether the word goes on
            ends.append((end - len(string), end, self._is_text[which] and 0 not in string))

        self._database.scan(content, match_event_handler=met)
        return [(a, b) for a, b, is_word in ends if self._counts(content, a, b, pixels, is_word)]

    @staticmethod
    def _counts(
        content: memoryview, start: int, end: int, pixels: list[tuple[int, int]], is_word: bool
    ) -> bool:
        if end - start < _FEWEST_BYTES_IN_PIXELS and any(a <= start < b for a, b in pixels):
            return False
        if not is_word:
            return True
        before = content[start - 1] if start else 0
        after = content[end] if end < len(content) else 0
        first, last = content[start], content[end - 1]
        return not (_continues(before, first) or _continues(last, after))


def _continues(left: int, right: int) -> bool:
    """Whether two neighbouring bytes are of one word: letters or digits, or digits around a point."""
    both = chr(left), chr(right)
    if not all(c.isascii() and (c.isalnum() or c == ".") for c in both):
        return False
    return all(c.isalnum() for c in both) or any(c.isdigit() for c in both)


def _literal(string: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in string)


@functools.lru_cache(maxsize=64)
def compiled(names: tuple[str, ...], numbers: tuple[str, ...], days: tuple[date, ...]) -> Search:
    """The search for names (of patients and people), numbers (identifiers, phones, addresses, places) and days."""
    forms: set[str] = set()
    for value in names:
        forms |= written_forms(value, name=True)
    for value in numbers:
        forms |= written_forms(value, name=False)
    for day in days:
        forms |= written_dates(day)
    return Search(string for form in sorted(forms) for string in _encoded(form))
