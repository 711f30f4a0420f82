"""Operators decide about what was set aside, and run again what failed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from dashboard import look, ways
from dashboard.acting import act, ask_why, say, told
from dashboard.client import Json
from dashboard.here import Here

Deed = Callable[[str, str], Json]


def quarantine(here: Here) -> None:
    """The list of what a person must look at."""
    look.title(here.t("page.quarantine"), under=here.t("quarantine.hint"))
    say()
    with told(here):
        _list(here)


def one(here: Here) -> None:
    """The case or drop that was chosen from the list."""
    ways.detail(here, "quarantine", _one)


def _list(here: Here) -> None:
    found = here.gateway.quarantine()
    if not found:
        look.note(here.t("quarantine.empty"), "good")
    for thing in found:
        held_id = thing["case_id"] or thing["drop"]
        with st.container(border=True):
            words, button = st.columns([9, 1], vertical_alignment="center")
            with words:
                look.row(
                    (held_id, here.organisation(thing["clinic"])),
                    (here.moment(thing["since"]), here.t("since")),
                    (here.named(thing["reason"], "what"), here.named(thing["reason"], "detail")),
                    _chips(here, thing),
                )
            if button.button(here.t("open"), key=f"held-{held_id}"):
                ways.to("held", held_id)


def _chips(here: Here, thing: Json) -> list[look.Markup]:
    chips = [look.chip(here.known("stage", thing["stage"]))] if thing["stage"] else []
    if thing["priority"] and thing["priority"] != "routine":
        chips.append(
            look.chip(here.known("priority", thing["priority"]), look.PRIORITY_TONES[thing["priority"]])
        )
    return chips


def _one(here: Here, held_id: str) -> None:
    thing = here.gateway.quarantined(held_id)
    reason = thing["reason"]
    look.title(held_id, _chips(here, thing), here.organisation(thing["clinic"]))
    look.note("\n".join(filter(None, (here.named(reason, "what"), here.named(reason, "detail")))), "warn")
    look.note(here.named(reason, "todo"), head=here.t("todo"))
    left, right = st.columns([3, 2], gap="large")
    with left:
        _pictures(here, thing["pictures"])
        look.heading(here.t("cases.way"))
        rows = [(here.moment(m["happened_at"]), here.named(m, "what")) for m in reversed(thing["timeline"])]
        look.table((here.t("when"), here.t("what")), rows)
    with right:
        look.heading(here.t("case"))
        look.facts(
            [
                (here.t("since"), here.moment(thing["since"])),
                (here.t("quarantine.stage"), here.known("stage", thing["stage"]) if thing["stage"] else ""),
                (here.t("accession"), thing["accession_number"]),
                (here.t("quarantine.phone"), thing["clinic_phone"]),
            ]
        )
        for verb, deed in _deeds(here, thing["pictures"]):
            _decide(here, held_id, verb, deed)


def _pictures(here: Here, pictures: list[Json]) -> None:
    """What may identify the patient, marked; the gateway keeps that it was shown."""
    if not pictures:
        return
    look.heading(here.t("quarantine.pictures"))
    for each in pictures:
        found = "; ".join(
            here.t(
                "quarantine.found", what=here.named(f, "what"), first=f["first_frame"], last=f["last_frame"]
            )
            for f in each["found"]
        )
        with told(here):
            look.picture(here.gateway.picture(each["url"]), found)
        st.caption(found)


def _deeds(here: Here, pictures: list[Json]) -> list[tuple[str, Deed]]:
    """What can be decided: of pictures what becomes of what is marked in them, of all else whether it goes on."""
    deeds: list[tuple[str, Deed]] = []
    if pictures:
        deeds.append(("blank", partial(here.gateway.release_quarantined, pictures="blank")))
        if all(each["may_be_left"] for each in pictures):
            deeds.append(("leave", partial(here.gateway.release_quarantined, pictures="leave")))
    else:
        deeds.append(("release", here.gateway.release_quarantined))
    return [*deeds, ("reject", here.gateway.reject_quarantined)]


def _decide(here: Here, held_id: str, verb: str, deed: Deed) -> None:
    def go(why: str) -> None:
        if act(here, lambda: deed(held_id, why), here.t("quarantine.done")):
            ways.to("quarantine")

    ask_why(here, verb, here.t(f"quarantine.{verb}"), here.t(f"quarantine.{verb}.hint"), go)


def failed(here: Here) -> None:
    """Stage runs that ended in a defect, each with a way to run it again."""
    look.title(here.t("page.failed"), under=here.t("failed.hint"))
    say()
    with told(here):
        found = here.gateway.failed()
        if not found:
            look.note(here.t("failed.empty"), "good")
        for run in found:
            with st.container(border=True):
                words, button = st.columns([8, 2], vertical_alignment="center")
                stage = here.known("stage", run["stage"])
                with words:
                    look.row(
                        (run["case_id"], here.t("case")),
                        (here.moment(run["ended_at"]), stage),
                        (
                            run["error"],
                            here.t("failed.run", run_id=run["run_id"], stage=stage, attempt=run["attempt"]),
                        ),
                        (),
                    )
                if button.button(here.t("failed.replay"), key=f"run-{run['run_id']}"):
                    act(here, partial(here.gateway.replay, run["run_id"]), here.t("failed.replayed"))
                    st.rerun()
