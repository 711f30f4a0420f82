"""The few shapes that the pages are drawn with; every text is escaped here, whoever wrote it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import streamlit as st

Tone = str  # calm, good, warn, bad

# Where a case is on its way; what is not here is aside of it.
WAY = (
    "received", "preprocessed", "deidentified", "routed", "delivered", "in_reading", "reported", "returned",
    "acknowledged",
)  # fmt: skip
STATE_TONES: dict[str, Tone] = {
    "returned": "good",
    "acknowledged": "good",
    "awaiting_clinic": "warn",
    "quarantined": "warn",
    "rejected": "bad",
    "cancelled": "calm",
    "arriving": "calm",
}
PRIORITY_TONES: dict[str, Tone] = {"stat": "bad", "urgent": "warn", "routine": "calm"}


class Markup(str):
    """A cell that is markup already."""

    __slots__ = ()


def dress() -> None:
    """The style sheet of all pages."""
    st.html(Path(__file__).with_name("style.css"))


def chip(text: str, tone: Tone = "calm") -> Markup:
    return Markup(f'<span class="tdx-chip tdx-{tone}">{escape(text)}</span>')


def write(html: str) -> None:
    st.html(html)


def title(text: str, beside: Iterable[str] = (), under: str = "") -> None:
    """A page's title with chips beside it and a quiet line under it."""
    below = f'<div class="tdx-quiet">{escape(under)}</div>' if under else ""
    write(f'<div class="tdx-title"><h1>{escape(text)}</h1>{"".join(beside)}</div>{below}')


def heading(text: str) -> None:
    write(f'<h2 class="tdx-heading">{escape(text)}</h2>')


def facts(rows: Sequence[tuple[str, str]], columns: int = 2) -> None:
    """Labels over their values; rows without a value are left out."""
    cells = "".join(
        f'<div><div class="tdx-label">{escape(name)}</div><div class="tdx-value">{_lines(value)}</div></div>'
        for name, value in rows
        if value
    )
    write(f'<div class="tdx-facts" style="--columns:{columns}">{cells}</div>')


def note(text: str, tone: Tone = "calm", head: str = "") -> None:
    """A tinted sentence with a bar at its left."""
    top = f"<strong>{escape(head)}</strong><br>" if head else ""
    write(f'<div class="tdx-note tdx-{tone}">{top}{_lines(text)}</div>')


def tiles(rows: Sequence[tuple[str, str, Tone]]) -> None:
    """Numbers at a glance."""
    cells = "".join(
        f'<div class="tdx-tile tdx-{tone}"><div class="tdx-number">{escape(value)}</div>'
        f'<div class="tdx-label">{escape(name)}</div></div>'
        for name, value, tone in rows
    )
    write(f'<div class="tdx-tiles">{cells}</div>')


def steps(names: Sequence[str], reached: int) -> None:
    """The way of a case; `reached` counts the steps that are behind it, the last of them is where it is."""
    cells = "".join(
        f'<li class="{"tdx-now" if n == reached else "tdx-done" if n < reached else "tdx-next"}">{escape(name)}</li>'
        for n, name in enumerate(names, start=1)
    )
    write(f'<ol class="tdx-steps">{cells}</ol>')


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """A plain table; the columns in `numbers` (from 0) are set to the right."""
    names = "".join(f"<th{_right(n in numbers)}>{escape(name)}</th>" for n, name in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(f"<td{_right(n in numbers)}>{_cell(cell)}</td>" for n, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    top = f"<thead><tr>{names}</tr></thead>" if any(head) else ""
    write(f'<table class="tdx-table">{top}<tbody>{body}</tbody></table>')


def bar(share: float, text: str, tone: Tone = "calm") -> Markup:
    """A cell with a bar of `share` (0 to 1) under its text."""
    width = max(0.0, min(1.0, share)) * 100
    return Markup(
        f'<div class="tdx-bar"><span class="tdx-{tone}" style="width:{width:.1f}%"></span><em>{escape(text)}</em></div>'
    )


def picture(content: bytes, words: str) -> None:
    """A picture inside the page itself: it is never at an address that somebody else could ask for."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    write(
        f'<img class="tdx-picture" alt="{escape(words)}" src="data:image/{kind};base64,{b64encode(content).decode()}">'
    )


def _cell(cell: str) -> str:
    return cell if isinstance(cell, Markup) else _lines(cell)


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def _right(yes: bool) -> str:
    return ' class="tdx-right"' if yes else ""


def row(who: tuple[str, str], what: tuple[str, str], words: tuple[str, str], chips: Iterable[Markup]) -> None:
    """One line of a list: a bold text over a quiet one, twice; a sentence; chips."""
    first = f"<div><b>{escape(who[0])}</b><div class='tdx-quiet'>{escape(who[1])}</div></div>"
    second = f"<div>{escape(what[0])}<div class='tdx-quiet'>{escape(what[1])}</div></div>"
    third = f"<div>{escape(words[0])}<div class='tdx-quiet'>{escape(words[1])}</div></div>"
    write(f'<div class="tdx-row">{first}{second}{third}<div>{" ".join(chips)}</div></div>')


def lines(texts: Iterable[str]) -> None:
    write("<br>".join(escape(text) for text in texts))


def person(name: str, role: str, organisation: str) -> None:
    """Who is signed in."""
    under = f'<div class="tdx-quiet">{escape(organisation)}</div>'
    write(f"<div class='tdx-person'><b>{escape(name)}</b> {chip(role)}</div>{under}")


def gap() -> None:
    """The free space above the sign-in."""
    write('<div style="height: 8vh"></div>')
