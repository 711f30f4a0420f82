"""Managers watch turnaround by leg and percentile, service levels, backlog and the use of equipment."""

from __future__ import annotations

import streamlit as st

from dashboard import look
from dashboard.acting import told
from dashboard.client import Json
from dashboard.here import Here

DAYS = (1, 7, 30, 90, 365)


def page(here: Here) -> None:
    look.title(here.t("page.figures"), under=here.named(here.network))
    days = st.segmented_control(
        here.t("figures.days"),
        DAYS,
        default=30,
        format_func=lambda n: here.t("figures.n_days", n=n) if n > 1 else here.t("figures.one_day"),
        required=True,
    )
    tabs = {"turnaround": _turnaround, "breaches": _breaches, "backlog": _backlog, "equipment": _equipment}
    for name, tab in zip(tabs, st.tabs([here.t(f"figures.{n}") for n in tabs]), strict=True):
        with tab, told(here):
            tabs[name](here, days or 30)


def _turnaround(here: Here, days: int) -> None:
    services = [None, *(s["id"] for s in here.network["services"])]
    names = {s["id"]: here.named(s) for s in here.network["services"]}
    service = st.selectbox(
        here.t("service"), services, format_func=lambda s: names[s] if s else here.t("all"), width=280
    )
    found = here.gateway.turnaround(days, service)
    total = found["total"]
    look.tiles(
        [
            (here.t("figures.cases"), str(total["cases"]), "calm"),
            *((here.t(f"figures.{p}"), here.span(total[p]), "calm") for p in ("p50", "p90", "p95")),
        ]
    )
    look.heading(here.t("figures.total"))
    legs = [leg for leg in found["legs"] if leg["cases"]]
    longest = max((leg["p90"] or 0 for leg in legs), default=0) or 1
    rows = [
        (
            here.named(leg),
            str(leg["cases"]),
            look.bar((leg["p50"] or 0) / longest, here.span(leg["p50"])),
            look.bar((leg["p90"] or 0) / longest, here.span(leg["p90"])),
            here.span(leg["p95"]),
        )
        for leg in legs
    ]
    head = [here.t(f"figures.{name}") for name in ("leg", "cases", "p50", "p90", "p95")]
    look.table(head, rows, numbers=(1,))
    st.caption(here.t("figures.legs.hint"))


def _breaches(here: Here, days: int) -> None:
    found = [row for row in here.gateway.breaches(days) if row["cases"]]
    cases, in_time, breached, overdue = (
        sum(row[field] for row in found) for field in ("cases", "in_time", "breached", "open_overdue")
    )
    share = f"{in_time / (in_time + breached):.1%}" if in_time + breached else "—"
    look.tiles(
        [
            (here.t("figures.cases"), str(cases), "calm"),
            (here.t("figures.within"), share, "calm"),
            (here.t("figures.breached"), str(breached), "bad" if breached else "good"),
            (here.t("figures.open_overdue"), str(overdue), "bad" if overdue else "good"),
        ]
    )
    head = [here.t(k) for k in ("service", "priority", "figures.target", "figures.cases", "figures.within")]
    head += [here.t("figures.breached"), here.t("figures.open_overdue")]
    look.heading(here.t("figures.breaches"))
    look.table(head, [_level(here, row) for row in found], numbers=(3, 5, 6))
    st.caption(here.t("figures.breach.hint"))


def _level(here: Here, row: Json) -> tuple[str, ...]:
    decided = row["in_time"] + row["breached"]
    within = row["in_time"] / decided if decided else None
    target = here.span(row["target_seconds"])
    return (
        here.named(row, "service_name"),
        look.chip(here.known("priority", row["priority"]), look.PRIORITY_TONES[row["priority"]]),
        here.t("figures.working", time=target) if row["working"] else target,
        str(row["cases"]),
        "—" if within is None else look.bar(within, f"{within:.0%}", _tone(within)),
        str(row["breached"]),
        str(row["open_overdue"]),
    )


def _tone(within: float) -> look.Tone:
    return "calm" if within >= 0.9 else "warn" if within >= 0.75 else "bad"


def _backlog(here: Here, days: int) -> None:
    @st.fragment(run_every=10)
    def now() -> None:
        with told(here):
            found = here.gateway.backlog()
            left, right = st.columns([3, 2], gap="large")
            with left:
                _queues(here, found)
            with right:
                look.heading(here.t("figures.states"))
                most = max((s["cases"] for s in found["states"]), default=0) or 1
                rows = [
                    (here.known("state", s["state"]), look.bar(s["cases"] / most, str(s["cases"])))
                    for s in found["states"]
                ]
                look.table((here.t("state"), here.t("figures.cases")), rows)

    now()


def _queues(here: Here, found: Json) -> None:
    look.heading(here.t("figures.partners"))
    head = [here.t(k) for k in ("partner", "figures.waiting", "figures.in_reading", "figures.oldest")]
    rows = [
        (
            here.named(p),
            str(p["waiting"]),
            str(p["in_reading"]),
            _oldest(here, p["waiting"], p["oldest_seconds"]),
        )
        for p in found["partners"]
    ]
    look.table(head, rows, numbers=(1, 2))
    look.heading(here.t("figures.lanes"))
    head = [here.t(f"figures.{k}") for k in ("lane", "waiting", "running", "oldest")]
    rows = [
        (
            here.known("lane", lane["lane"]),
            str(lane["waiting"]),
            str(lane["running"]),
            _oldest(here, lane["waiting"], lane["oldest_seconds"]),
        )
        for lane in found["lanes"]
    ]
    look.table(head, rows, numbers=(1, 2))


def _oldest(here: Here, waiting: int, seconds: float) -> str:
    return here.span(seconds) if waiting else "—"


def _equipment(here: Here, days: int) -> None:
    names = ("station", "modality", "studies", "images", "hours", "staffed", "utilisation", "last")
    head = [here.t(f"figures.{n}") for n in names]
    unused = st.toggle(here.t("figures.unused"))
    found = sorted(here.gateway.equipment(days), key=lambda row: -row["hours_used"])
    rows = [_station(here, row) for row in found if unused or row["studies"]]
    if rows:
        look.table(head, rows, numbers=(2, 3, 4, 5))
    else:
        look.note(here.t("none"))


def _station(here: Here, row: Json) -> tuple[str, ...]:
    """`last` is the station's own clock, without a zone, and is shown as the station wrote it."""
    known = row["staffed_hours"] is not None
    share = row["utilisation"]
    clinic = here.organisation(row["clinic"])
    return (
        here.named(row) + "\n" + (clinic if known else f"{clinic}, {here.t('figures.unknown_station')}"),
        row["modality"],
        str(row["studies"]),
        str(row["images"]),
        f"{row['hours_used']:.1f}",
        f"{row['staffed_hours']:.0f}" if known else "—",
        look.bar(share, f"{share:.1%}") if share is not None else "—",
        row["last"].replace("T", " ")[:16] if row["last"] else "—",
    )
