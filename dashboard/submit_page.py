"""A clinic hands in a case: the way to the upload page, and what became of what was handed in."""

from __future__ import annotations

import streamlit as st

from dashboard import look, ways
from dashboard.acting import told
from dashboard.client import Json
from dashboard.here import Here

EVERY = 5
TONES: dict[str, look.Tone] = {"received": "good", "rejected": "bad", "quarantined": "warn"}


def page(here: Here) -> None:
    look.title(here.t("page.submit"), under=here.named(here.me["organisation"]))
    look.note(here.t("submit.hint"))
    st.link_button(
        here.t("submit.open"),
        f"{here.public['region']}/upload?lang={here.language}",
        type="primary",
        icon=":material/upload:",
    )
    st.caption(here.t("submit.client"))
    look.heading(here.t("submit.drops"))

    @st.fragment(run_every=EVERY)
    def drops() -> None:
        with told(here):
            found = here.gateway.drops()
            if not found:
                look.note(here.t("none"))
            for drop in found[:30]:
                _drop(here, drop)

    drops()


def _drop(here: Here, drop: Json) -> None:
    with st.container(border=True):
        words, button = st.columns([9, 1], vertical_alignment="center")
        with words:
            look.row(
                (
                    drop["case_id"] or drop["drop"],
                    here.t("case") if drop["case_id"] else here.t("submit.drop"),
                ),
                (here.moment(drop["first_seen_at"]), here.t("submit.seen")),
                (_what(here, drop), _todo(here, drop)),
                [look.chip(here.known("drop", drop["state"]), TONES.get(drop["state"], "calm"))],
            )
        if drop["case_id"] and button.button(here.t("open"), key=f"drop-{drop['drop']}"):
            ways.to("case", drop["case_id"])


def _what(here: Here, drop: Json) -> str:
    if drop["reason"]:
        return here.named(drop["reason"], "what")
    return here.t("submit.missing", n=drop["missing_count"]) if drop["missing_count"] else ""


def _todo(here: Here, drop: Json) -> str:
    todo = [here.named(drop["reason"], "todo")] if drop["reason"] else []
    return " · ".join([*todo, *here.listed(drop, "problems")[:5], *drop["missing"][:5]])
