"""Stages and lanes as tables: what runs in which state, what comes next, and in which lane it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`runs_in`: the case state it needs (None: the drop has no case yet); `event`: what success means to the case.

    `next` is the stage whose run the same transaction writes, or None where a person acts next. `attempts` bounds
    tries after transient errors; `time_limit` is seconds for one attempt or one slice.
    """

    name: str
    runs_in: str | None
    event: str | None
    next: str | None
    attempts: int
    time_limit: int


STAGES: dict[str, Stage] = {
    s.name: s
    for s in (
        Stage(name="receive", runs_in=None, event=None, next="preprocess", attempts=20, time_limit=1800),
        Stage(name="preprocess", runs_in="received", event="preprocessed", next="deidentify", attempts=10, time_limit=3600),
        Stage(name="deidentify", runs_in="preprocessed", event="deidentified", next="route", attempts=10, time_limit=3600),
        Stage(name="route", runs_in="deidentified", event="routed", next="deliver", attempts=50, time_limit=60),
        Stage(name="deliver", runs_in="routed", event="delivered", next=None, attempts=200, time_limit=600),
        Stage(name="return", runs_in="reported", event="returned", next=None, attempts=50, time_limit=300),
    )
}  # fmt: skip

FAMILIES = ("dicom", "slides")
PRIORITIES = {"stat": 0, "urgent": 1, "routine": 2}
LANES = ("dicom.stat", "dicom.standard", "slides.stat", "slides.standard", "delivery", "returns")

# The lanes that an express process serves, and those of a bulk process at lower OS priority.
EXPRESS_LANES = ("dicom.stat", "slides.stat", "returns")
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
