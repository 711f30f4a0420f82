"""What identifies in a source, found by the second pass afresh: names, numbers and birth dates, in every reading.

Shares nothing with the first pass.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from datetime import date, datetime

from imaging.deid.second_reader import Body

_NAMES = frozenset({0x00100010, 0x00101001, 0x00101005, 0x00101060})
NUMBERS = frozenset({
    0x00100020, 0x00101000, 0x00080050, 0x00101040, 0x00102154, 0x00080080, 0x00080081, 0x00081040, 0x00380010,
    0x00101090, 0x00402016, 0x00402017, 0x00400551, 0x00400512,
})  # fmt: skip
_ESCAPE = re.compile(rb"\x1b[$()-][)(]?[A-Z@]")  # ISO 2022


def identity_of(body: Body, number_tags: frozenset[int]) -> tuple[set[str], set[str], set[date]]:
    """Names, numbers and birth dates in a source, in every reading of their bytes that fits."""
    names: set[str] = set()
    numbers: set[str] = set()
    days: set[date] = set()
    for _, tag, vr, start, end in body.elements:
        if start == end:
            continue
        is_name = vr == b"PN" or tag in _NAMES
        if is_name or tag in number_tags:
            raw = _ESCAPE.sub(b"", bytes(body.content[start:end])).strip(b" \0")
            into = names if is_name else numbers
            into.update(part for text in _readings(raw) for part in text.split("\\"))
        elif tag == 0x00100030 and (day := day_of(bytes(body.content[start:end]))):
            days.add(day)
    return names, numbers, days


def _readings(raw: bytes) -> Iterator[str]:
    if raw.isascii():
        yield raw.decode("ascii")
        return
    for encoding in ("utf-8", "gb18030", "latin-1"):
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError:
            continue


def day_of(raw: bytes) -> date | None:
    return _day_of_digits(re.sub(rb"[.\-/]", b"", raw.strip(b" \0")[:10])[:8])


@functools.lru_cache(maxsize=4096)
def _day_of_digits(digits: bytes) -> date | None:
    try:
        return datetime.strptime(digits.decode("ascii"), "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return None
