"""Stages and lanes as tables: what runs in which state, what comes next, and in which lane it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`runs_in`: the case state it needs (None: the drop has no case yet); `event`: what success means to the case.

    `next` is the stage whose run the same transaction writes, or None where a person acts next. `attempts` bounds
    tries after transient errors (300 of them last about a day); `time_limit` is seconds for one attempt or one slice.
    """

    name: str
    runs_in: str | None
    event: str | None
    next: str | None
    attempts: int
    time_limit: int


# stage | runs in | event | next | attempts | time limit (s)
_STAGES: tuple[tuple[str, str | None, str | None, str | None, int, int], ...] = (
    ("receive", None, None, "preprocess", 300, 1800),
    ("preprocess", "received", "preprocessed", "deidentify", 300, 3600),
    ("deidentify", "preprocessed", "deidentified", "route", 300, 3600),
    ("route", "deidentified", "routed", "deliver", 300, 60),
    ("deliver", "routed", "delivered", None, 300, 3600),
    ("return", "reported", "returned", None, 300, 300),
)

STAGES: dict[str, Stage] = {
    name: Stage(name=name, runs_in=state, event=event, next=after, attempts=attempts, time_limit=limit)
    for name, state, event, after, attempts, limit in _STAGES
}

FAMILIES = ("dicom", "slides")
PRIORITIES = {"stat": 0, "urgent": 1, "routine": 2}
LANES = ("dicom.stat", "dicom.standard", "slides.stat", "slides.standard", "delivery", "returns")
STAT_LANES = ("dicom.stat", "slides.stat")

# The lanes that an express process serves, and those of a bulk process at lower OS priority. Each lane has threads of
# its own: two stat slides, an hour each, never keep a stat head CT waiting.
EXPRESS_LANES = (*STAT_LANES, "returns")
BULK_LANES = ("dicom.standard", "slides.standard", "delivery")

# (stage, is it stat?) -> lane; {family} is the service's family. A stat case never waits in `delivery`.
_LANE_OF: dict[tuple[str, bool], str] = {
    ("receive", True): "{family}.stat",
    ("receive", False): "{family}.standard",
    ("preprocess", True): "{family}.stat",
    ("preprocess", False): "{family}.standard",
    ("deidentify", True): "{family}.stat",
    ("deidentify", False): "{family}.standard",
    ("route", True): "{family}.stat",
    ("route", False): "{family}.standard",
    ("deliver", True): "{family}.stat",
    ("deliver", False): "delivery",
    ("return", True): "returns",
    ("return", False): "returns",
}


def lane_of(stage: str, family: str, priority: str) -> str:
    """The lane in which a run of `stage` waits for a case of `family` ("dicom" or "slides") and `priority`."""
    return _LANE_OF[stage, priority == "stat"].format(family=family)
