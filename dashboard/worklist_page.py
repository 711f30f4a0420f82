"""A reader's worklist: what waits, most urgent first, and the case that was chosen from it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import look, ways
from dashboard.acting import act, say, told
from dashboard.client import Json
from dashboard.here import Here
from dashboard.reading_page import show as show_item

EVERY = 10

# filter -> the state asked of the gateway and which of its answers are kept
FILTERS: dict[str, tuple[str | None, Callable[[Json], bool]]] = {
    "worklist.waiting": (None, lambda item: item["state"] == "SCHEDULED"),
    "worklist.mine": (None, lambda item: item["claimed_by_me"]),
    "worklist.held": (None, lambda item: item["state"] == "IN PROGRESS" and not item["claimed_by_me"]),
    "worklist.signed": ("COMPLETED", lambda item: True),
}


def page(here: Here) -> None:
    """The list."""
    look.title(here.t("page.worklist"), under=here.named(here.me["organisation"]))
    say()
    _list(here)


def one(here: Here) -> None:
    """The work item that was chosen from the list."""
    ways.detail(here, "worklist", show_item)


def _list(here: Here) -> None:
    kept = st.segmented_control(
        here.t("state"), list(FILTERS), default="worklist.waiting", format_func=here.t, label_visibility="collapsed",
        required=True,
    )  # fmt: skip

    @st.fragment(run_every=EVERY)
    def lines() -> None:
        with told(here):
            state, keeps = FILTERS[kept or "worklist.waiting"]
            items = here.gateway.worklist(state)
            if state is None:
                _tiles(here, items)
            found = [item for item in items if keeps(item)]
            for item in found[:50]:
                _line(here, item)
            if not found:
                look.note(here.t("none"))

    lines()


def _tiles(here: Here, items: list[Json]) -> None:
    overdue = sum(item["overdue"] for item in items)
    stat = sum(item["priority"] == "stat" for item in items)
    counts = [
        (here.t(name), sum(map(keeps, items))) for name, (state, keeps) in FILTERS.items() if state is None
    ]
    look.tiles(
        [
            *((name, str(count), "calm") for name, count in counts),
            (here.t("priority.stat"), str(stat), "bad" if stat else "calm"),
            (here.t("cases.overdue"), str(overdue), "bad" if overdue else "calm"),
        ]
    )


def _line(here: Here, item: Json) -> None:
    brief = item["brief"]
    with st.container(border=True):
        words, button = st.columns([9, 1], vertical_alignment="center")
        with words:
            look.row(
                (here.named(item, "service_name"), f"{brief['procedure']} · {brief['body_site']}"),
                _time(here, item),
                (brief["clinical_question"], f"{here.age(brief['age'])}, {here.known('sex', brief['sex'])}"),
                _chips(here, item),
            )
        with button:
            _button(here, item)


def _time(here: Here, item: Json) -> tuple[str, str]:
    if item["state"] == "COMPLETED":
        return here.t("worklist.signed"), ""
    return here.time_left(item["seconds_left"]), here.moment(item["due_at"])


def _chips(here: Here, item: Json) -> list[look.Markup]:
    chips = [look.chip(here.known("priority", item["priority"]), look.PRIORITY_TONES[item["priority"]])]
    if item["overdue"]:
        chips.append(look.chip(here.t("overdue"), "bad"))
    if item["state"] == "IN PROGRESS" and not item["claimed_by_me"]:
        chips.append(look.chip(here.t("worklist.claimed_by", who=item["claimed_by"])))
    return chips


def _button(here: Here, item: Json) -> None:
    item_id = item["work_item_id"]
    waits = item["state"] == "SCHEDULED"
    name = "worklist.claim" if waits else "worklist.continue" if item["claimed_by_me"] else "open"
    if st.button(here.t(name), key=f"item-{item_id}", type="primary" if waits else "secondary"):
        if not waits or act(here, lambda: here.gateway.claim(item_id), here.t("reading.claimed")):
            ways.to("reading", item_id)
        st.rerun()
