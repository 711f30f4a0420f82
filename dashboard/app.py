"""The pages' entry: `streamlit run dashboard/app.py`. It is told two addresses by the environment, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import streamlit as st

from dashboard import cases_page, figures_page, look, operator_page, submit_page, worklist_page
from dashboard.client import Away, Refused, Side, sign_in
from dashboard.here import Here
from dashboard.texts import LANGUAGES, Language, text

# side -> the environment variable with its gateway's address, and the address without one; what a person's browser
# reaches is NAME_PUBLIC_URL, where that is another
ADDRESSES: Mapping[Side, tuple[str, str]] = {
    "region": ("TELEDX_GATEWAY_URL", "http://127.0.0.1:8080"),
    "partner": ("TELEDX_PARTNER_GATEWAY_URL", "http://127.0.0.1:8081"),
}

Page = Callable[[Here], None]
# page -> its icon beside the pages (without: it is reached from a list alone) and what draws it
PAGES: Mapping[str, tuple[str, Page]] = {
    "cases": ("folder_open", cases_page.page),
    "case": ("", cases_page.one),
    "submit": ("upload", submit_page.page),
    "worklist": ("list_alt", worklist_page.page),
    "reading": ("", worklist_page.one),
    "figures": ("monitoring", figures_page.page),
    "quarantine": ("shield", operator_page.quarantine),
    "held": ("", operator_page.one),
    "failed": ("replay", operator_page.failed),
}
# role -> its pages, the first is where it begins
PAGES_OF: Mapping[str, tuple[str, ...]] = {
    "clinic": ("cases", "case", "submit"),
    "reader": ("worklist", "reading"),
    "manager": ("figures", "cases", "case"),
    "operator": ("quarantine", "held", "failed", "cases", "case", "figures"),
}


def addresses(environment: Mapping[str, str]) -> dict[Side, str]:
    """Where the two gateways are."""
    return {side: environment.get(name) or otherwise for side, (name, otherwise) in ADDRESSES.items()}


def public_addresses(environment: Mapping[str, str]) -> dict[Side, str]:
    """Where people's browsers find the two gateways: links lead there."""
    told = addresses(environment)
    return {
        side: (environment.get(name.replace("_URL", "_PUBLIC_URL")) or told[side]).rstrip("/")
        for side, (name, _) in ADDRESSES.items()
    }


def main() -> None:
    """Draw the page that was asked for, or the sign-in."""
    st.set_page_config(
        page_title="teledx", page_icon=str(Path(__file__).with_name("icon.png")), layout="wide"
    )
    look.dress()
    language = _language()
    told = addresses(os.environ)
    if "gateway" not in st.session_state:
        st.navigation([st.Page(lambda: _sign_in(told, language), title="teledx")], position="hidden").run()
        return
    here = Here(
        gateway=st.session_state["gateway"],
        me=st.session_state["me"],
        network=st.session_state["network"],
        language=language,
        public=public_addresses(os.environ),
    )
    _signed_in(here)


def _signed_in(here: Here) -> None:
    names = PAGES_OF[here.me["role"]]
    pages = {
        name: st.Page(
            partial(draw, here),
            title=here.t(f"page.{name}"),
            icon=f":material/{icon}:" if icon else None,
            url_path=name,
            default=name == names[0],
            visibility="visible" if icon else "hidden",
        )
        for name, (icon, draw) in ((name, PAGES[name]) for name in names)
    }
    st.session_state["pages"] = pages
    chosen = st.navigation(list(pages.values()))
    with st.sidebar:
        _who(here)
    chosen.run()


def _who(here: Here) -> None:
    look.person(here.named(here.me), here.known("role", here.me["role"]), here.named(here.me["organisation"]))
    _switch(here.language)
    if st.button(here.t("signout"), icon=":material/logout:", type="tertiary"):
        here.gateway.close()
        kept = st.session_state["language"]
        st.session_state.clear()
        st.session_state["language"] = kept
        st.rerun()


def _language() -> Language:
    """The language chosen; before that the browser's."""
    if "language" not in st.session_state:
        st.session_state["language"] = "en" if (st.context.locale or "zh").startswith("en") else "zh"
    return st.session_state["language"]


def _switch(language: Language) -> None:
    others = [code for code in LANGUAGES if code != language]
    for code in others:
        if st.button(LANGUAGES[code], icon=":material/translate:", type="tertiary", key=f"language-{code}"):
            st.session_state["language"] = code
            st.rerun()


def _sign_in(told: dict[Side, str], language: Language) -> None:
    _, middle, _ = st.columns([1, 1.1, 1])
    with middle:
        look.gap()
        look.title(text("product", language), under=text("product.what", language))
        with st.form("sign-in"):
            token = st.text_input(
                text("signin.token", language), type="password", help=text("signin.hint", language)
            ).strip()
            if st.form_submit_button(text("signin.go", language), type="primary", width="stretch") and token:
                _try(told, token, language)
        _switch(language)


def _try(told: dict[Side, str], token: str, language: Language) -> None:
    try:
        gateway, me = sign_in(told, token)
        network = gateway.network()
    except Away:
        look.note(text("away", language), "warn")
    except Refused as refused:
        message = refused.said["message_zh" if language == "zh" else "message"]
        look.note(text("signin.refused", language) if refused.status == 401 else message, "bad")
    else:
        st.session_state.update(gateway=gateway, me=me, network=network)
        st.rerun()


if __name__ == "__main__":
    main()
