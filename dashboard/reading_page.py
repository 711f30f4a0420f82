"""One work item: the order as a reader may see it, the pictures, and the report that its holder writes."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from dashboard import look, ways
from dashboard.acting import act, ask_why, told
from dashboard.brief import show as show_brief
from dashboard.client import Json
from dashboard.here import Here

PARTS = ("findings", "conclusion", "recommendation")
HEIGHTS = {"findings": 220, "conclusion": 130, "recommendation": 80}
HEARTBEAT = 60  # seconds between two; the lease is much longer
TICKET = 240  # seconds after which the link to the slides gets a fresh ticket; one is good for ten minutes


def show(here: Here, work_item_id: str) -> None:
    """Raises `Away` and `Refused`."""
    item = here.gateway.work_item(work_item_id)
    brief = item["brief"]
    chips = [
        look.chip(here.known("priority", item["priority"]), look.PRIORITY_TONES[item["priority"]]),
    ]
    if item["seconds_left"] is not None:
        chips.append(look.chip(here.time_left(item["seconds_left"]), "bad" if item["overdue"] else "calm"))
    who = f"{here.age(brief['age'])}, {here.known('sex', brief['sex'])}"
    look.title(
        here.named(item, "service_name"), chips, f"{brief['pseudonym']}  ·  {who}  ·  {item['case_id']}"
    )
    left, right = st.columns([1, 1], gap="large")
    with left:
        if brief["slides"]:
            _slides(here, work_item_id)
        show_brief(here, item)
    with right:
        if item["claimed_by_me"]:
            _stay(here, work_item_id)
            _write(here, item)
        elif item["state"] == "SCHEDULED":
            _claim(here, work_item_id)
        elif item["report"]:
            _signed(here, item)
        else:
            look.note(here.t("worklist.claimed_by", who=item["claimed_by"] or ""))


def _slides(here: Here, work_item_id: str) -> None:
    """The way to the slide viewer, which is a page of the gateway."""

    @st.fragment(run_every=TICKET)
    def link() -> None:
        with told(here):
            page = here.gateway.viewing(work_item_id)["page"].replace("#", f"?lang={here.language}#")
            st.link_button(
                here.t("reading.slides"),
                f"{here.public['partner']}{page}",
                icon=":material/biotech:",
                type="primary",
            )

    link()


def _claim(here: Here, work_item_id: str) -> None:
    if st.button(here.t("worklist.claim"), type="primary"):
        act(here, lambda: here.gateway.claim(work_item_id), here.t("reading.claimed"))
        st.rerun()


def _stay(here: Here, work_item_id: str) -> None:
    """While the page is open the work item stays with its reader."""

    @st.fragment(run_every=HEARTBEAT)
    def beat() -> None:
        with told(here):
            until = here.gateway.heartbeat(work_item_id)["lease_until"]
            st.caption(here.t("reading.lease", at=here.moment(until)))

    beat()


def _write(here: Here, item: Json) -> None:
    item_id = item["work_item_id"]
    _typed_so_far(item)
    look.heading(here.t("report"))
    for part in PARTS:
        st.text_area(
            here.t(f"reading.{part}"),
            key=f"{part}-{item_id}",
            height=HEIGHTS[part],
            on_change=_save,
            args=(here, item_id),
        )
    saved = st.session_state.get(f"saved-{item_id}")
    with st.empty():  # a place of its own: what stands below does not move under the reader's pointer
        if saved:
            st.caption(here.t("reading.saved", at=here.moment(saved)))
    left, right = st.columns(2)
    if left.button(here.t("reading.draft"), icon=":material/save:", width="stretch"):
        _save(here, item_id)
        st.rerun()
    if right.button(here.t("reading.preliminary"), width="stretch"):
        body = typed(item_id)
        act(here, lambda: here.gateway.preliminary(item_id, body), here.t("reading.preliminary.done"))
        st.rerun()
    _sign(here, item_id)
    _give_back(here, item_id)


def _typed_so_far(item: Json) -> None:
    """The fields begin with the draft, else with the preliminary report."""
    known = item["draft"] or (item["report"] or {}).get("body") or {}
    for part in PARTS:
        st.session_state.setdefault(f"{part}-{item['work_item_id']}", known.get(part, ""))


def typed(item_id: str) -> Json:
    """What stands in the fields."""
    return {part: st.session_state[f"{part}-{item_id}"] for part in PARTS}


def _save(here: Here, item_id: str) -> None:
    if act(here, lambda: here.gateway.save_draft(item_id, typed(item_id)), here.t("reading.draft")):
        st.session_state.pop("said", None)
        st.session_state[f"saved-{item_id}"] = datetime.now(UTC).isoformat()


def _sign(here: Here, item_id: str) -> None:
    with st.container(border=True):
        st.caption(
            here.t("reading.sign.hint", name=here.named(here.me), licence=here.me.get("licence") or "—")
        )
        sure = st.checkbox(here.t("reading.sign.sure"), key=f"sure-{item_id}")
        if st.button(here.t("reading.sign"), type="primary", disabled=not sure, icon=":material/signature:"):
            body = typed(item_id)
            if act(here, lambda: here.gateway.sign(item_id, body), here.t("reading.signed")):
                ways.to("worklist")
            st.rerun()


def _give_back(here: Here, item_id: str) -> None:
    def release(why: str) -> None:
        if act(here, lambda: here.gateway.release(item_id, why), here.t("reading.released")):
            ways.to("worklist")

    def decline(why: str) -> None:
        if act(here, lambda: here.gateway.decline(item_id, why), here.t("reading.declined")):
            ways.to("worklist")

    left, right = st.columns(2)
    with left:
        ask_why(here, "release", here.t("reading.release"), here.t("reading.release.hint"), release)
    with right:
        ask_why(here, "decline", here.t("reading.decline"), here.t("reading.decline.hint"), decline)


def _signed(here: Here, item: Json) -> None:
    report = item["report"]
    state = here.known("report", report["status"])
    look.heading(here.t("reading.current"))
    look.facts(
        [(here.t(f"reading.{part}"), report["body"].get(part, "")) for part in PARTS]
        + [(here.t("state"), f"{state} · {here.moment(report['signed_at'])} · {report['signed_by']}")],
        columns=1,
    )
    _change(here, report)


def _change(here: Here, report: Json) -> None:
    """Both forms send the whole text: an addition is appended to the findings as they stand."""
    body, report_id = report["body"], report["report_id"]
    with st.expander(here.t("reading.addendum")), st.form("addendum", border=False):
        more = st.text_area(here.t("reading.add"), height=100)
        if st.form_submit_button(here.t("reading.addendum")) and more.strip():
            whole = {**body, "findings": f"{body['findings']}\n\n{here.t('reading.add')}: {more.strip()}"}
            act(here, lambda: here.gateway.addendum(report_id, whole), here.t("reading.changed"))
            st.rerun()
    with st.expander(here.t("reading.correction")), st.form("correction", border=False):
        new = {
            part: st.text_area(here.t(f"reading.{part}"), body.get(part, ""), height=100) for part in PARTS
        }
        why = st.text_input(here.t("why"))
        if st.form_submit_button(here.t("reading.correction")) and why.strip():
            act(
                here,
                lambda: here.gateway.correction(report_id, {**body, **new}, why.strip()),
                here.t("reading.changed"),
            )
            st.rerun()
