"""The order as a reader may see it: no identity, intervals in place of dates, pictures, links to the files."""

from __future__ import annotations

import streamlit as st

from dashboard import look
from dashboard.acting import told
from dashboard.client import Json
from dashboard.here import Here, size


def show(here: Here, item: Json) -> None:
    """Raises `Away` and `Refused`."""
    brief = item["brief"]
    look.heading(here.t("brief"))
    look.note(brief["clinical_question"], head=here.t("brief.question"))
    side = "" if brief["side"] == "none" else f", {here.known('side', brief['side'])}"
    look.facts(
        [
            (here.t("brief.procedure"), brief["procedure"]),
            (here.t("brief.site"), brief["body_site"] + side),
            (here.t("brief.purpose"), here.known("purpose", brief["purpose"])),
            (here.t("brief.contrast"), brief["contrast"]),
            (here.t("brief.allergies"), ", ".join(brief["allergies"])),
            (here.t("brief.images"), ", ".join(brief["modalities"])),
        ]
    )
    look.facts(
        [
            (here.t("brief.history"), brief["history"]),
            (here.t("brief.first"), brief["first_diagnosis"] or ""),
            (here.t("brief.specimens"), "\n".join(f"{name}  {words}" for name, words in brief["specimens"])),
        ],
        columns=1,
    )
    _slides(here, brief["slides"])
    _earlier(here, brief["earlier"])
    _pictures(here, item)


def _slides(here: Here, slides: list[Json]) -> None:
    if slides:
        look.heading(here.t("brief.slides"))
        look.lines([here.t("brief.slide", **slide) for slide in slides])


def _earlier(here: Here, earlier: list[Json]) -> None:
    if not earlier:
        return
    names: dict[str, str] = {s["id"]: here.named(s) for s in here.network["services"]}
    rows = [
        (_before(here, e["days_before"]), names.get(str(e["service"]), ""), str(e["case_id"]))
        for e in earlier
    ]
    look.heading(here.t("brief.earlier"))
    look.table(("", here.t("service"), here.t("case")), rows)


def _before(here: Here, days: int) -> str:
    return here.t("brief.days_before", n=days) if days else here.t("brief.same_day")


def _pictures(here: Here, item: Json) -> None:
    look.heading(here.t("brief.images"))
    if item["brief"]["blanked_instances"]:
        look.note(here.t("brief.blanked", n=item["brief"]["blanked_instances"]))
    columns = st.columns(2)
    for place, preview in enumerate(item["previews"]):
        with columns[place % 2], told(here):
            look.picture(
                here.gateway.picture(preview["url"]), f"{here.t('brief.images')} {preview['number']}"
            )
    if st.toggle(here.t("brief.links"), key=f"links-{item['work_item_id']}"):
        files = here.gateway.files(item["work_item_id"])
        st.caption(here.t("brief.files", n=len(files), size=size(sum(f["size"] for f in files))))
        with st.container(height=260):
            for file in files:
                st.markdown(f"[{file['name']}]({file['url']}) · {size(file['size'])}")
