"""From a list to one of its lines and back: each is a page, and the address says which line was chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import streamlit as st

from dashboard.acting import say, told
from dashboard.here import Here

_CHOSEN = "id"


def to(page: str, chosen: str | None = None) -> NoReturn:
    """Turn to a page of the table in `dashboard.app`; `chosen` is the line that a detail page shows."""
    st.switch_page(st.session_state["pages"][page], query_params={_CHOSEN: chosen} if chosen else None)


def detail(here: Here, list_page: str, show: Callable[[Here, str], None]) -> None:
    """The line that the address names, below the way back to its list."""
    chosen = st.query_params.get(_CHOSEN)
    if chosen is None or st.button(here.t("back"), icon=":material/arrow_back:", type="tertiary"):
        to(list_page)
    say()
    with told(here):
        show(here, chosen)
