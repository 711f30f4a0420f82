"""One case: where it is, why it waits, how it got there, its report, and what its clinic may do about it."""

from __future__ import annotations

import streamlit as st

from dashboard import look
from dashboard.acting import act, ask_why, told
from dashboard.client import Json, Refused
from dashboard.here import Here
from dashboard.labels_page import show as show_labels

CANCELLABLE = (
    "received", "preprocessed", "deidentified", "routed", "delivered", "in_reading", "awaiting_clinic", "quarantined",
)  # fmt: skip
WAITING_TONES: dict[str, look.Tone] = look.STATE_TONES | {"acknowledged": "calm"}


def show(here: Here, case_id: str) -> None:
    """Raises `Away` and `Refused`."""
    case = here.gateway.case(case_id)
    _head(here, case)
    mine = here.me["role"] == "clinic"
    if mine and case["state"] == "awaiting_clinic":
        with told(here):
            show_labels(here, case_id)
    left, right = st.columns([3, 2], gap="large")
    with left:
        if mine and case["report"]:
            _report(here, case)
        _way(here, case)
    with right:
        _about(here, case)
        _legs(here, case)
        _route(here, case_id)
        if case["remarks"]:
            look.heading(here.t("cases.remarks"))
            look.table(
                (here.t("when"), here.t("why")),
                [(here.moment(r["at"]), r["words"]) for r in case["remarks"]],
            )
        if mine and case["state"] in CANCELLABLE:
            ask_why(
                here, "cancel", here.t("cancel"), here.t("why.hint"), lambda why: _cancel(here, case_id, why)
            )


def _cancel(here: Here, case_id: str, why: str) -> None:
    act(here, lambda: here.gateway.cancel(case_id, why), here.t("state.cancelled"))


def _head(here: Here, case: Json) -> None:
    chips = [look.chip(here.known("state", case["state"]), look.STATE_TONES.get(case["state"], "calm"))]
    if case["priority"] != "routine":
        chips.append(
            look.chip(here.known("priority", case["priority"]), look.PRIORITY_TONES[case["priority"]])
        )
    if case["overdue"]:
        chips.append(look.chip(here.t("overdue"), "bad"))
    under = "  ·  ".join(
        filter(None, (here.named(case, "service_name"), case["accession_number"], case["case_id"]))
    )
    look.title(case["patient_name"] or case["case_id"], chips, under)
    if case["state"] in look.WAY:
        look.steps([here.t(f"state.{s}") for s in look.WAY], look.WAY.index(case["state"]) + 1)
    look.note(here.named(case, "waits_for"), WAITING_TONES.get(case["state"], "calm"), here.t("waits"))
    reason = case["reason"]
    if reason and reason["detail"]:
        look.facts(
            [(here.t("detail"), here.named(reason, "detail")), (here.t("todo"), here.named(reason, "todo"))]
        )


def _report(here: Here, case: Json) -> None:
    look.heading(here.t("report"))
    report = case["report"]
    st.write(
        here.t(
            "report.line",
            version=report["version"],
            status=here.known("report", report["status"]),
            at=here.moment(report["signed_at"]),
            reader=here.named(report, "reader_name"),
            organisation=here.named(report["reader_organisation"]),
        )
    )
    if not case["report_ready"]:
        look.note(here.t("report.none"))
        return
    _forms(here, case["case_id"], report["version"])
    if case["state"] == "returned":
        st.caption(here.t("report.ack.hint", name=here.named(here.me)))
        if st.button(here.t("report.ack"), type="primary", icon=":material/check:"):
            act(
                here,
                lambda: here.gateway.acknowledge(case["case_id"], report["version"]),
                here.t("report.acked"),
            )
            st.rerun()


def _forms(here: Here, case_id: str, version: int) -> None:
    """The report is fetched when its reader asks, not when the page is drawn: fetching is a milestone of the case."""
    fetched = st.session_state.get("report")
    if not fetched or fetched[:2] != (case_id, version):
        if not st.button(here.t("report.fetch"), icon=":material/description:", type="primary"):
            return
        pdf, fhir = here.gateway.report_pdf(case_id), here.gateway.report_fhir(case_id)
        st.session_state["report"] = (case_id, version, pdf, fhir)
        st.rerun()
    left, right, _ = st.columns([2, 2, 1])
    left.download_button(
        here.t("report.pdf"),
        fetched[2],
        file_name=f"{case_id}.pdf",
        mime="application/pdf",
        on_click="ignore",
    )
    right.download_button(
        here.t("report.fhir"),
        fetched[3],
        file_name=f"{case_id}.json",
        mime="application/fhir+json",
        on_click="ignore",
    )


def _way(here: Here, case: Json) -> None:
    look.heading(here.t("cases.way"))
    rows = [(here.moment(m["happened_at"]), here.named(m, "what")) for m in reversed(case["timeline"])]
    look.table((here.t("when"), here.t("what")), rows)


def _about(here: Here, case: Json) -> None:
    rows = [
        (here.t("case"), case["case_id"]),
        (here.t("clinic"), here.organisation(case["clinic"])),
        (here.t("partner"), here.organisation(case["partner"]) if case["partner"] else ""),
        (here.t("received"), here.moment(case["received_at"])),
        (here.t("due"), here.moment(case["due_at"]) if case["due_at"] else ""),
    ]
    look.heading(here.t("cases.material"))
    material = [
        here.t(
            "cases.study", modalities=", ".join(s["modalities"]), series=s["series"], instances=s["instances"]
        )
        for s in case["studies"]
    ]
    material += [
        here.t("cases.slide", format=s["format"], width=f"{s['width']:,}", height=f"{s['height']:,}")
        for s in case["slides"]
    ]
    look.facts([*rows, (here.t("cases.material"), "\n".join(material))])


def _legs(here: Here, case: Json) -> None:
    if not case["legs"]:
        return
    look.heading(here.t("cases.legs"))
    longest = max(leg["seconds"] for leg in case["legs"]) or 1
    look.table(
        ("", ""),
        [
            (here.named(leg), look.bar(leg["seconds"] / longest, here.span(leg["seconds"])))
            for leg in case["legs"]
        ],
    )


def _route(here: Here, case_id: str) -> None:
    try:
        decision = here.gateway.route(case_id)["decision"]
    except Refused as refused:
        if refused.status in (403, 404):
            return
        raise
    with st.expander(here.t("cases.route")):
        look.note("\n".join(decision["reasons"]), head=here.named(decision, "partner_name"))
        for other in decision["alternatives"]:
            if other["partner"] != decision["partner"]:
                st.caption(
                    here.t(
                        "cases.why_not",
                        partner=here.organisation(other["partner"]),
                        reasons="; ".join(other["reasons"]),
                    )
                )
