"""The slides of a case: opened, judged, and their labels read against the order while still in the region."""

from __future__ import annotations

from dataclasses import dataclass

from cases.documents import Preview, SlideFound, StationUse
from workers.files import Files
from workers.parts import Tools, Work
from workers.survey import Survey


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What preprocess learned of the slides."""

    slides: tuple[SlideFound, ...] = ()
    station_use: tuple[StationUse, ...] = ()
    previews: tuple[Preview, ...] = ()


def judge(work: Work, tools: Tools, files: Files, found: Survey) -> Judged:
    """Judge every slide of the drop against its line of the order."""
    if not found.slides:
        return Judged()
    raise NotImplementedError
