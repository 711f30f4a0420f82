"""Times, sizes and sentences as people read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

# seconds in a unit, largest first
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def in_own_language(row: Mapping[str, Any], name: str) -> Any:
    """What the gateway says as `name`, in Chinese where the terminal speaks it (LC_ALL, LC_MESSAGES, LANG)."""
    spoken = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    chinese = row.get(f"{name}_zh") if spoken.startswith("zh") else None
    return chinese or row[name]


def local_time(text: str | None) -> str:
    """An ISO 8601 moment in this machine's time zone, to the second and with its offset; '' for none."""
    if not text:
        return ""
    return datetime.fromisoformat(text).astimezone().isoformat(" ", "seconds")


def duration(seconds: float) -> str:
    """'1 h 5 min', '42 s', '0.8 s': the two largest units, and fractions below ten seconds alone."""
    sign, left = ("-", -seconds) if seconds < 0 else ("", seconds)
    for i, (size, unit) in enumerate(_UNITS):
        if left >= size:
            smaller, name = (*_UNITS, (1, "s"))[i + 1]
            rest = int(left % size // smaller)
            return f"{sign}{int(left // size)} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{sign}{left:.1f} s" if left < 10 else f"{sign}{left:.0f} s"


def size(count: float) -> str:
    """Bytes in binary units: '512 B', '1.5 MiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
