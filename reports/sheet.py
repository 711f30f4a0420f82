"""An A4 sheet with the few shapes that a report is made of; knows fonts, colours and page breaks, and no report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import TextMode
from fpdf.fonts import TTFFont

from reports.font import glyphs
from reports.typography import lines_of, visible

Colour = tuple[int, int, int]
Fact = tuple[str, str]

INK: Colour = (28, 37, 48)
QUIET: Colour = (96, 108, 120)
RULE: Colour = (205, 212, 219)
ACCENT: Colour = (15, 82, 97)
TINT: Colour = (238, 244, 246)
ALARM: Colour = (166, 38, 38)
ALARM_TINT: Colour = (252, 240, 239)

# Millimetres, except font sizes, which are points.
MARGIN = 18.0
TOP = 13.0
WIDTH = 210.0 - 2 * MARGIN
FOOT = 20.0
BODY = 10.5
SMALL = 8.0


def leading(size: float) -> float:
    """The distance of two lines of `size` points, in millimetres: 1.55 for Chinese, which has no descenders."""
    return size * 0.3528 * 1.55


class Sheet(FPDF):
    """Pages with one embedded font. `foot` are the lines at the bottom of every page, `number` stands beside them.

    `font` is a file with glyphs for `characters`; drawing any other one raises ValueError, for it would not be seen.
    """

    def __init__(
        self, *, font: Path, characters: frozenset[str], foot: Sequence[str], made_at: datetime
    ) -> None:
        super().__init__(orientation="portrait", unit="mm", format="A4")
        self.set_creation_date(made_at)
        self.set_producer("teledx")
        self.set_margins(MARGIN, TOP, MARGIN)
        self.set_auto_page_break(False)
        self.c_margin = 0.0
        self.add_font("sans", fname=font)
        # The whole font's bounding box holds for its subset too; drawing every glyph to find a tighter one takes longer
        # than all the rest of a report.
        added = self.fonts["sans"]
        assert isinstance(added, TTFFont), "added from a file in the line above"
        added.ttfont.recalcBBoxes = False
        self._font_file = added.ttfont
        self.characters = characters
        self.set_font("sans", size=BODY)
        self.glyphs = glyphs()
        self.lacking = False
        self.foot = [self.shown(line) for line in foot]
        self._width = lru_cache(maxsize=None)(self._width_of_character)
        self.add_page()

    def close(self) -> None:
        """Let go of the font's file."""
        self._font_file.close()

    def shown(self, text: str) -> str:
        """The text with what the font lacks made visible; `lacking` remembers that there was some."""
        text, lacking = visible(text, self.glyphs)
        self.lacking = self.lacking or lacking
        return text

    def _width_of_character(self, character: str, size: float) -> float:
        self.set_font_size(size)
        return float(self.get_string_width(character))

    def wrapped(self, text: str, size: float, limit: float) -> list[str]:
        """The text as lines of at most `limit` millimetres in `size` points."""
        return lines_of(self.shown(text), limit, lambda run: sum(self._width(c, size) for c in run))

    @property
    def bottom(self) -> float:
        return float(self.h) - MARGIN - FOOT + 8

    def room(self, height: float) -> None:
        """A new page if `height` millimetres do not fit on this one."""
        if self.get_y() + height > self.bottom:
            self.add_page()

    def footer(self) -> None:
        """The lines of `foot` and the page's number of the number of pages (called by fpdf2 for every page)."""
        y = self.h - MARGIN + 2 - len(self.foot) * leading(SMALL)
        self.set_draw_color(*RULE)
        self.set_line_width(0.2)
        self.line(MARGIN, y - 2, MARGIN + WIDTH, y - 2)
        for line in self.foot:
            self.put(MARGIN, y, line, SMALL, QUIET)
            y += leading(SMALL)
        self.put(MARGIN + WIDTH - 5, y - leading(SMALL), f"{self.page_no()}/{{nb}}", SMALL, INK)

    def put(
        self, x: float, y: float, line: str, size: float, colour: Colour = INK, *, strong: bool = False
    ) -> None:
        """One line whose top left is (x, y); strong is the same outline with a stroke (there is one weight)."""
        if not self.characters.issuperset(line):
            raise ValueError("a line has a character for which no glyph was cut")
        self.set_font("sans", size=size)
        self.set_text_color(*colour)
        self.set_xy(x, y)
        if not strong:
            self.cell(WIDTH, leading(size), line)
            return
        with self.local_context(text_mode=TextMode.FILL_STROKE, line_width=size * 0.010, draw_color=colour):
            self.cell(WIDTH, leading(size), line)

    def centred(self, text: str, size: float, colour: Colour = INK, *, strong: bool = False) -> None:
        for line in self.wrapped(text, size, WIDTH):
            width = sum(self._width(c, size) for c in line)
            self.put(MARGIN + (WIDTH - width) / 2, self.get_y(), line, size, colour, strong=strong)
            self.set_y(self.get_y() + leading(size))

    def paragraph(self, text: str, size: float = BODY, colour: Colour = INK, *, strong: bool = False) -> None:
        for line in self.wrapped(text, size, WIDTH):
            self.room(leading(size))
            self.put(MARGIN, self.get_y(), line, size, colour, strong=strong)
            self.set_y(self.get_y() + leading(size))

    def heading(self, text: str) -> None:
        """A heading over a thin rule, kept together with two lines of what follows."""
        self.room(leading(BODY) * 4)
        self.set_y(self.get_y() + 2.2)
        self.put(MARGIN, self.get_y(), self.shown(text), BODY, ACCENT, strong=True)
        y = self.get_y() + leading(BODY) + 0.3
        self.set_draw_color(*RULE)
        self.set_line_width(0.2)
        self.line(MARGIN, y, MARGIN + WIDTH, y)
        self.set_y(y + 1.4)

    def box(self, text: str, size: float = BODY + 0.5, *, alarm: bool = False, strong: bool = True) -> None:
        """A tinted text with a bar at its left; it may run over pages."""
        tint, bar = (ALARM_TINT, ALARM) if alarm else (TINT, ACCENT)
        lines = self.wrapped(text, size, WIDTH - 9)
        for number, line in enumerate(lines):
            self.room(leading(size) + 2)
            above = 1.6 if number == 0 else 0.0
            below = 1.6 if number == len(lines) - 1 else 0.0
            height, top = leading(size) + above + below, self.get_y()
            self.set_fill_color(*tint)
            self.rect(MARGIN, top, WIDTH, height, style="F")
            self.set_fill_color(*bar)
            self.rect(MARGIN, top, 1.0, height, style="F")
            self.put(MARGIN + 5, top + above, line, size, ALARM if alarm else INK, strong=strong)
            self.set_y(top + height)

    def facts(self, facts: Sequence[Fact], columns: int, size: float = BODY - 0.5) -> None:
        """Labels in small grey over their values, `columns` beside each other, rows as high as they need."""
        width, small = WIDTH / columns, SMALL - 0.5
        for start in range(0, len(facts), columns):
            beside = facts[start : start + columns]
            names = [self.wrapped(name, small, width - 4) for name, _ in beside]
            values = [self.wrapped(value, size, width - 4) for _, value in beside]
            above = max(map(len, names)) * leading(small)
            height = above + max(map(len, values)) * leading(size) + 1.0
            self.room(height)
            top = self.get_y()
            for column, (name, lines) in enumerate(zip(names, values, strict=True)):
                x = MARGIN + column * width
                for number, line in enumerate(name):
                    self.put(x, top + number * leading(small), line, small, QUIET)
                for number, line in enumerate(lines):
                    self.put(x, top + above + number * leading(size), line, size)
            self.set_y(top + height)

    def ruled(self, head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]) -> None:
        """A table whose cells wrap; `widths` are shares of the line."""
        size = BODY - 1
        starts = [MARGIN + WIDTH * sum(widths[:n]) for n in range(len(widths))]
        for number, row in enumerate((head, *rows)):
            cells = [self.wrapped(c, size, WIDTH * w - 3) for c, w in zip(row, widths, strict=True)]
            height = max(len(lines) for lines in cells) * leading(size)
            self.room(height + 1)
            top = self.get_y()
            for x, lines in zip(starts, cells, strict=True):
                for n, line in enumerate(lines):
                    self.put(x, top + n * leading(size), line, size, QUIET if number == 0 else INK)
            self.set_draw_color(*RULE)
            self.line(MARGIN, top + height + 0.3, MARGIN + WIDTH, top + height + 0.3)
            self.set_y(top + height + 0.9)
