"""A clinic follows its cases; managers and operators see all of them, without identity."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import look, ways
from dashboard.acting import say, told
from dashboard.case_page import show as show_case
from dashboard.client import Json
from dashboard.here import Here

ENDED = ("acknowledged", "rejected", "cancelled")
NEED_CLINIC = ("awaiting_clinic", "returned")
PAGE = 20
EVERY = 10  # seconds between two looks at the list

# filter -> which of the lines it keeps
FILTERS: dict[str, Callable[[Json], bool]] = {
    "cases.needs": lambda line: line["state"] in NEED_CLINIC,
    "cases.open": lambda line: line["state"] not in ENDED,
    "cases.overdue": lambda line: line["overdue"],
    "all": lambda line: True,
}


def page(here: Here) -> None:
    """The list."""
    look.title(here.t("page.cases"))
    say()
    _list(here)


def one(here: Here) -> None:
    """The case that was chosen from the list."""
    ways.detail(here, "cases", show_case)


def _list(here: Here) -> None:
    names = list(FILTERS) if here.me["role"] == "clinic" else list(FILTERS)[1:]
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    kept = left.segmented_control(
        here.t("state"),
        names,
        default="cases.open",
        format_func=here.t,
        label_visibility="collapsed",
        required=True,
    )
    sought = right.text_input(
        here.t("cases.search"), placeholder=here.t("cases.search"), label_visibility="collapsed"
    )

    @st.fragment(run_every=EVERY)
    def lines() -> None:
        with told(here):
            found = here.gateway.cases(limit=200)["cases"]
            _tiles(here, found)
            _lines(here, [c for c in found if FILTERS[kept or "all"](c) and _is_sought(c, sought)])

    lines()


def _is_sought(line: Json, sought: str) -> bool:
    words = sought.strip().lower()
    return any(words in line[field].lower() for field in ("patient_name", "accession_number", "case_id"))


def _tiles(here: Here, found: list[Json]) -> None:
    counts = {name: sum(map(keeps, found)) for name, keeps in FILTERS.items()}
    asked = sum(c["state"] == "awaiting_clinic" for c in found)
    ready = sum(c["state"] == "returned" for c in found)
    tiles: list[tuple[str, str, look.Tone]] = [
        (here.t("cases.open"), str(counts["cases.open"]), "calm"),
        (here.t("cases.overdue"), str(counts["cases.overdue"]), "bad" if counts["cases.overdue"] else "calm"),
        (here.t("cases.ready"), str(ready), "good" if ready else "calm"),
        (here.t("cases.asked"), str(asked), "warn" if asked else "calm"),
    ]
    look.tiles(tiles if here.me["role"] == "clinic" else tiles[:3])


def _lines(here: Here, found: list[Json]) -> None:
    if not found:
        look.note(here.t("none"))
        return
    shown = st.session_state.get("cases_shown", PAGE)
    for line in found[:shown]:
        _line(here, line)
    if len(found) > shown and st.button(here.t("more")):
        st.session_state["cases_shown"] = shown + PAGE
        st.rerun()


def _line(here: Here, line: Json) -> None:
    with st.container(border=True):
        words, button = st.columns([9, 1], vertical_alignment="center")
        with words:
            look.row(
                (
                    line["patient_name"] or line["case_id"],
                    line["accession_number"] or here.organisation(line["clinic"]),
                ),
                (here.named(line, "service_name"), here.moment(line["received_at"])),
                (here.named(line, "waits_for"), ""),
                [
                    look.chip(
                        here.known("state", line["state"]), look.STATE_TONES.get(line["state"], "calm")
                    ),
                    *_urgency(here, line),
                ],
            )
        if button.button(here.t("open"), key=f"open-{line['case_id']}"):
            ways.to("case", line["case_id"])


def _urgency(here: Here, line: Json) -> list[look.Markup]:
    chips = []
    if line["priority"] != "routine":
        chips.append(
            look.chip(here.known("priority", line["priority"]), look.PRIORITY_TONES[line["priority"]])
        )
    if line["overdue"]:
        chips.append(look.chip(here.t("overdue"), "bad"))
    return chips
