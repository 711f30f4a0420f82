"""The clinic confirms slides whose labels nobody could read, each beside the picture of its label."""

from __future__ import annotations

import streamlit as st

from dashboard import look
from dashboard.acting import act
from dashboard.client import Json
from dashboard.here import Here

ANSWERS = ("labels.later", "labels.right", "labels.wrong")


def show(here: Here, case_id: str) -> None:
    """The slides that are asked about, if any. Raises `Away` and `Refused`."""
    slides = [s for s in here.gateway.labels(case_id) if s["state"] == "asked"]
    if not slides:
        return
    look.heading(here.t("labels"))
    st.caption(here.t("labels.hint"))
    with st.form("labels", border=True):
        given = {slide["number"]: _ask(here, slide) for slide in slides}
        if st.form_submit_button(here.t("labels.send"), type="primary"):
            _send(here, case_id, given)


def _ask(here: Here, slide: Json) -> str:
    left, right = st.columns([1, 1], vertical_alignment="center", gap="large")
    words = here.t("labels.line", **{k: slide[k] for k in ("number", "pathology_number", "block", "stain")})
    with left:
        if slide["picture"]:
            look.picture(here.gateway.picture(slide["picture"]), words)
        else:
            look.note(here.t("labels.no_picture"))
    return right.radio(words, ANSWERS, format_func=here.t, key=f"label-{slide['number']}")


def _send(here: Here, case_id: str, given: dict[int, str]) -> None:
    confirmed = [number for number, answer in given.items() if answer == "labels.right"]
    wrong = [number for number, answer in given.items() if answer == "labels.wrong"]
    if confirmed or wrong:
        act(here, lambda: here.gateway.answer_labels(case_id, confirmed, wrong), here.t("quarantine.done"))
        st.rerun()
