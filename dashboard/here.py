"""What every page is told: who is signed in, at which gateway, and in which language and time zone to speak."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.client import Gateway, Json, Side
from dashboard.texts import TEXTS, Language, text

_DICOM_AGE = re.compile(r"([0-9]{3})([DWMY])")


@dataclass(frozen=True, kw_only=True)
class Here:
    """`me` and `network` are the gateway's answers to `/api/me` and `/api/network`.

    `public` says where a browser finds each side's gateway; all times are shown on the network's own clock.
    """

    gateway: Gateway
    me: Json
    network: Json
    language: Language
    public: Mapping[Side, str]

    def t(self, key: str, **values: Any) -> str:
        return text(key, self.language, **values)

    def known(self, prefix: str, value: str) -> str:
        """The text of `prefix.value`; the value itself where this release does not know it."""
        key = f"{prefix}.{value}"
        return self.t(key) if key in TEXTS else value

    def named(self, row: Json, field: str = "name") -> str:
        """A text that the gateway gives in both languages."""
        return str(row[f"{field}_zh"] if self.language == "zh" else row[field])

    def listed(self, row: Json, field: str) -> list[str]:
        """Texts that the gateway gives in both languages."""
        return [str(text) for text in row[f"{field}_zh" if self.language == "zh" else field]]

    def organisation(self, organisation_id: str) -> str:
        """The name of a clinic or partner, its id where the network does not name it."""
        known = (*self.network["clinics"], *self.network["partners"])
        return next((self.named(o) for o in known if o["id"] == organisation_id), organisation_id)

    def moment(self, at: str | None) -> str:
        """An instant of the API on the wall clock of whoever looks."""
        return (
            f"{datetime.fromisoformat(at).astimezone(ZoneInfo(self.network['time_zone'])):%Y-%m-%d %H:%M}"
            if at
            else "—"
        )

    def span(self, seconds: float | None) -> str:
        """A duration in the two units that matter."""
        if seconds is None:
            return "—"
        whole = round(abs(seconds))
        if whole < 60:
            return self.t("time.seconds", n=whole)
        if whole < 3600:
            return self.t("time.minutes", n=whole // 60)
        if whole < 86_400 and whole % 3600 < 60:
            return self.t("time.whole_hours", n=whole // 3600)
        if whole < 86_400:
            return self.t("time.hours", n=whole // 3600, m=whole % 3600 // 60)
        return self.t("time.days", n=whole // 86_400, m=whole % 86_400 // 3600)

    def time_left(self, seconds: float | None) -> str:
        if seconds is None:
            return "—"
        return self.t("left" if seconds >= 0 else "late", time=self.span(seconds))

    def age(self, age: str) -> str:
        """A DICOM age (PS3.5 6.2, AS: 058Y) in words; any other text as it is."""
        found = _DICOM_AGE.fullmatch(age)
        return self.t(f"age.{found[2]}", n=int(found[1])) if found else age


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit in ("B", "KB") else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
