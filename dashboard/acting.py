"""Doing something at the gateway from a page: what went wrong in plain words, what went well once and then gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from dashboard import look
from dashboard.client import Away, Refused
from dashboard.here import Here
from dashboard.texts import TEXTS

_SAID = "said"


@contextmanager
def told(here: Here) -> Iterator[None]:
    """Whatever the gateway refuses within is said on the page in the place of what was asked for."""
    try:
        yield
    except Away:
        look.note(here.t("away"), "warn")
        st.button(here.t("again"), key="again")
    except Refused as refused:
        look.note(words_of(here, refused), "bad")


def words_of(here: Here, refused: Refused) -> str:
    """The refusal in the person's language; the gateway's own words for what the table does not know."""
    key = f"refused.{refused.code}"
    lines = (
        [here.t(key)] if key in TEXTS else [here.named(refused.said, part) for part in ("message", "todo")]
    )
    return "\n".join([*(line for line in lines if line), *here.listed(refused.said, "problems")])


def act(here: Here, deed: Callable[[], Any], said: str) -> bool:
    """Do `deed`; what came of it is said at the top of the next run of the page. Whether it was done."""
    try:
        deed()
    except Away:
        st.session_state[_SAID] = ("warn", here.t("away"))
        return False
    except Refused as refused:
        st.session_state[_SAID] = ("bad", words_of(here, refused))
        return False
    st.session_state[_SAID] = ("good", said)
    return True


def say() -> None:
    """What came of the last deed, once; its place is always there, so that nothing below it moves."""
    with st.empty():
        if _SAID in st.session_state:
            tone, words = st.session_state.pop(_SAID)
            look.note(words, tone)


def ask_why(here: Here, key: str, name: str, hint: str, go: Callable[[str], None]) -> None:
    """A button that asks for a reason before it does what cannot be taken back."""

    @st.dialog(name)
    def ask() -> None:
        with st.form(key, border=False):
            st.caption(hint)
            why = st.text_area(here.t("why"), placeholder=here.t("why.hint"), max_chars=2000, height=120)
            if st.form_submit_button(name, type="primary"):
                if why.strip():
                    go(why.strip())
                    st.rerun()
                look.note(here.t("why.hint"), "warn")

    if st.button(name, key=f"ask-{key}"):
        ask()
