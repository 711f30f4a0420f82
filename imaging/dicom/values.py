"""Values of a data set's elements as Python's, leniently: what cannot be understood is absent, never a guess."""

from __future__ import annotations

import re
import struct
from datetime import date, datetime, time

# PS3.5 9.1, read strictly: components without leading zeros, 64 characters at most.
_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
_DATE = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?")
_DATE_TIME = re.compile(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)?(?:[+\-]\d{4})?")


def plain(raw: bytes | None) -> str:
    """ASCII text without its padding; bytes that are not ASCII become U+FFFD."""
    return (raw or b"").strip(b" \0").decode("ascii", "replace")


def parts(raw: bytes | None) -> tuple[str, ...]:
    """The values of a multi-valued element."""
    text = plain(raw)
    return tuple(part.strip() for part in text.split("\\")) if text else ()


def is_uid(text: str) -> bool:
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def integer(raw: bytes | None) -> int | None:
    """An IS; senders write it with a sign, with spaces or as "1.0"."""
    text = (parts(raw) or ("",))[0]
    if re.fullmatch(r"[+\-]?\d{1,12}(?:\.0*)?", text) is None:
        return None
    return int(text.split(".")[0])


def numbers(raw: bytes | None, count: int) -> tuple[float, ...] | None:
    """A DS of exactly `count` finite values."""
    texts = parts(raw)
    if len(texts) != count or not all(re.fullmatch(r"[+\-]?[\d.]+(?:[eE][+\-]?\d+)?", t) for t in texts):
        return None
    try:
        return tuple(float(text) for text in texts)
    except ValueError:
        return None


def unsigned_short(raw: bytes | None, *, little: bool) -> int | None:
    if raw is None or len(raw) < 2:
        return None
    return struct.unpack("<H" if little else ">H", raw[:2])[0]


def day(text: str) -> date | None:
    """A DA; the forms with dots (ACR-NEMA) and hyphens are met too."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return date(*(int(group) for group in found.groups()))
    except ValueError:
        return None


def clock(text: str) -> time | None:
    """A TM."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    hour, minute, second, fraction = found.groups(default="0")
    try:
        return time(int(hour), int(minute), min(int(second), 59), int(fraction.ljust(6, "0")))
    except ValueError:
        return None


def moment(day_text: str, clock_text: str) -> datetime | None:
    """A DA and a TM as the station's naive local time; absent unless both are there."""
    on, at = day(day_text), clock(clock_text)
    return datetime.combine(on, at) if on and at else None


def date_time(text: str) -> datetime | None:
    """A DT as the station's naive local time; its offset is left aside."""
    found = _DATE_TIME.fullmatch(text.strip())
    if found is None or found[2] is None:
        return None
    return moment(found[1], found[2])
