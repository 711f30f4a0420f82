"""What a client accepts, and which of the forms that there are suits it best (PS3.18 8.7, RFC 9110 12.5.1).

Nothing is ever encoded anew, so a form is a media type and the transfer syntax in which the object is stored. A
client that names no transfer syntax gets that one, labelled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request

from gateway.refusals import Refusal

OCTETS = "application/octet-stream"
RELATED = "multipart/related"
_WORD = r"[^\s,;=\"]+"
# Possessive, so that no text takes longer than its length; empty elements count for nothing (RFC 9110 5.6.1).
_PART = re.compile(rf'[\s,]*+({_WORD})\s*+(?:=\s*+("(?:[^"\\]|\\.)*"|{_WORD})\s*+)?([;,]|$)')
_QUALITY = re.compile(r"0?\.\d{1,6}|0\.?|1(?:\.0*)?")
_LONGEST = 4000


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to give something: media type, and the transfer syntax that it is in.

    `named`: given only to who names its transfer syntax, or `*`: bytes without a type that says how to decode them.
    """

    media_type: str
    syntax: str = ""
    named: bool = False

    @property
    def label(self) -> str:
        """The value of Content-Type."""
        return f"{self.media_type}; transfer-syntax={self.syntax}" if self.syntax else self.media_type


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The form to give, and whether as `multipart/related`."""

    form: Form
    related: bool


@dataclass(frozen=True, kw_only=True)
class _Range:
    """One media range of an Accept; `related` None: of any kind (`*/*`)."""

    media_type: str
    syntax: str
    quality: float
    related: bool | None

    def takes(self, form: Form) -> bool:
        kind, _, detail = self.media_type.partition("/")
        if kind != "*" and (
            kind != form.media_type.split("/")[0] or detail not in ("*", form.media_type.split("/")[1])
        ):
            return False
        return self.syntax in ("*", form.syntax) if self.syntax else not form.named

    def way(self, usual: bool | None) -> bool:
        """Whether as `multipart/related`; who accepts anything leaves that to what is usual."""
        return bool(usual) if self.related is None else self.related

    @property
    def narrowness(self) -> tuple[int, int, bool]:
        """How precisely it names a form: its media type, then its transfer syntax, then whether as parts."""
        wild = self.media_type.count("*")
        return -wild, 0 if not self.syntax else 1 if self.syntax == "*" else 2, self.related is not None


def choose(request: Request, forms: Sequence[Form], *, related: bool | None) -> Chosen:
    """The form that suits best: of the highest quality, then of the first range, then the first form.

    The narrowest range that takes a form says its quality. `related`: how what can be given both ways is given to who
    accepts anything; None: never as `multipart/related`. Raises `Refusal` (400 for an Accept that cannot be read, 406).
    """
    ranges = _ranges(_asked(request))
    ways = (False,) if related is None else (True, False)
    suitable: list[tuple[float, int, int, Chosen]] = []
    for chosen in (Chosen(form=form, related=way) for form in forms for way in ways):
        taking = [r for r in ranges if r.takes(chosen.form) and r.way(related) == chosen.related]
        says = max(taking, key=lambda r: r.narrowness, default=None)
        if says is not None and says.quality > 0:
            suitable.append((-says.quality, ranges.index(says), len(suitable), chosen))
    if suitable:
        return min(suitable)[-1]
    raise Refusal(
        406,
        "not-acceptable",
        "This is not there in any form that is accepted: it is given as it is stored.",
        "Accept one of the forms listed, or transfer-syntax=*.",
        problems=[form.label for form in forms],
    )


def _asked(request: Request) -> str:
    """The query parameter `accept` in place of the header (PS3.18 8.3.3.1)."""
    given = request.query_params.getlist("accept") or request.headers.getlist("accept")
    return ", ".join(given) or "*/*"


def _ranges(text: str) -> list[_Range]:
    found, at = [], 0
    parts: list[tuple[str, str]] = []
    text = text.strip(" \t,")
    if len(text) > _LONGEST:
        raise _unreadable()
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            raise _unreadable()
        parts.append((match[1], re.sub(r"\\(.)", r"\1", (match[2] or "").strip('"'))))
        if match[3] != ";":
            found.append(_range(parts))
            parts = []
        at = match.end()
    return found


def _unreadable() -> Refusal:
    return Refusal(400, "unreadable", "What is accepted cannot be read.", "See RFC 9110 12.5.1.")


def _range(parts: Sequence[tuple[str, str]]) -> _Range:
    media_type = parts[0][0].lower()
    given = {name.lower(): value for name, value in parts[1:]}
    if not _QUALITY.fullmatch(given.get("q", "1")):
        raise Refusal(400, "unreadable", "A quality is a number from 0 to 1.", "See RFC 9110 12.4.2.")
    quality = float(given.get("q", "1"))
    syntax = given.get("transfer-syntax", "")
    if media_type == RELATED:
        inner = given.get("type", "*/*").lower()
        return _Range(media_type=inner, syntax=syntax, quality=quality, related=True)
    related = None if media_type == "*/*" else False
    return _Range(media_type=media_type, syntax=syntax, quality=quality, related=related)
