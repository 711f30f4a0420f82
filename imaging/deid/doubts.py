"""What a person must look at in pictures, the pictures with it marked, and what that person's decision covers."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

from cases.documents import Area, Finding, PixelDecision, PixelVerdict
from cases.errors import Quarantine
from imaging.deid.sheets import Sheet
from imaging.ocr import TextBox

SIDE = 1600  # the longer side of a marked picture, at most
_MARK = (255, 40, 40)
# Pixels by which a box may differ between two readings of the same text: what a codec does from frame to frame.
_SLACK = 4


@dataclass(frozen=True, kw_only=True)
class Marked:
    """The PNG of a sheet on which what was found is marked; every finding is marked on some sheet."""

    findings: tuple[Finding, ...]
    png: bytes


class PixelsDoubtful(Quarantine):
    """`pixels-doubtful`, and a person who looks at the `marked` pictures of the `instance` (SHA-256) can decide."""

    def __init__(self, detail: str, instance: str, marked: tuple[Marked, ...]) -> None:
        super().__init__("pixels-doubtful", detail)
        self.instance = instance
        self.marked = marked

    def __reduce__(self) -> tuple[type[PixelsDoubtful], Any]:
        return type(self), (self.detail, self.instance, self.marked)


def verdict_on(finding: Finding, decisions: Sequence[PixelDecision]) -> PixelVerdict | None:
    """What was decided last about exactly this finding; None if nothing was, or what may not be."""
    verdicts = [d.verdict for d in decisions if any(_covers(f, finding) for f in d.findings)]
    if not verdicts or (verdicts[-1] == "leave" and finding.known):
        return None
    return verdicts[-1]


def to_blank(decisions: Sequence[PixelDecision], found: Iterable[Finding]) -> tuple[Area, ...]:
    """The areas that a person saw marked and had blanked, as far as they stand for something that was `found`."""
    wanted = [f for f in found if verdict_on(f, decisions) == "blank"]
    seen = [f for d in decisions if d.verdict == "blank" for f in d.findings]
    return tuple(dict.fromkeys(f.area for f in seen if any(_covers(f, each) for each in wanted)))


def marked(found: Iterable[tuple[Sheet, Sequence[Finding]]]) -> tuple[Marked, ...]:
    """One picture for each sheet on which something is found that stands on no sheet shown so far."""
    shown: list[tuple[Sheet, list[Finding]]] = []
    for sheet, findings in found:
        fresh = [f for f in findings if not _goes_on(shown, f)]
        if fresh:
            shown.append((sheet, fresh))
    return tuple(Marked(findings=tuple(findings), png=_png(sheet, findings)) for sheet, findings in shown)


def around(box: TextBox, sheet: Sheet) -> Area:
    """Where the text of `box` stands, with a margin, in the frames of `sheet`."""
    rows, columns = sheet.picture.shape[:2]
    return Area(
        left=max(0, box.left - _SLACK),
        top=max(0, box.top - _SLACK),
        right=min(columns, box.right + _SLACK),
        bottom=min(rows, box.bottom + _SLACK),
        first=sheet.first,
        last=sheet.last,
    )


def _goes_on(shown: list[tuple[Sheet, list[Finding]]], finding: Finding) -> bool:
    """Whether it is what an earlier sheet shows in the frames just before; then that one lasts so much longer."""
    for _, findings in shown:
        for at, before in enumerate(findings):
            if _same(before, finding) and finding.area.first <= before.area.last + 1:
                last = max(before.area.last, finding.area.last)
                findings[at] = before.model_copy(
                    update={"area": before.area.model_copy(update={"last": last})}
                )
                return True
    return False


def _covers(decided: Finding, finding: Finding) -> bool:
    held, area = decided.area, finding.area
    return _same(decided, finding) and held.first <= area.first and area.last <= held.last


def _same(one: Finding, other: Finding) -> bool:
    """The same words in the same place."""
    sides = ("left", "top", "right", "bottom")
    near = all(abs(getattr(one.area, side) - getattr(other.area, side)) <= _SLACK for side in sides)
    return near and (one.what, one.known, one.said) == (other.what, other.known, other.said)


def _png(sheet: Sheet, findings: Sequence[Finding]) -> bytes:
    image = Image.fromarray(sheet.picture)
    pen, width = ImageDraw.Draw(image), max(2, max(image.size) // 500)
    for area in (f.area for f in findings):
        pen.rectangle((area.left, area.top, area.right - 1, area.bottom - 1), outline=_MARK, width=width)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=6)
    return target.getvalue()
