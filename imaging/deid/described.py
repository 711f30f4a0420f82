"""What de-identification does with each attribute, in words made from the tables that it executes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources

from imaging.deid import content, profiles
from imaging.deid.layouts import LAYOUTS
from imaging.deid.profiles import OPTIONS, REFUSED, Action

Table = tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]

_WORDS = {
    Action.REMOVE: "removed",
    Action.EMPTY: "emptied",
    Action.DUMMY: "dummy",
    Action.UID: "replaced UID",
    Action.KEEP: "kept",
    Action.ALONE: "kept",
    Action.CLEAN: "cleaned",
    Action.SHIFT: "date moved, time kept",
    Action.PSEUDONYM: "pseudonym",
    Action.TOKEN: "replacement identifier",
    Action.AGE: "kept, or computed",
    Action.COLOUR: "colours kept, words removed",
    Action.GRAPHICS: "shapes kept, text removed",
    Action.DESCEND: "kept, its attributes treated",
}


def tables() -> Iterator[Table]:
    """Title, head and rows of each table."""
    yield "Options", ("name in a profile", "code (PS3.16 CID 7050)", "meaning", "in `network`"), _options()
    yield (
        "Attributes of PS3.15 Table E.1-1",
        ("tag", "attribute", "table", "`basic`", "`network`", "changed by"),
        _rows(),
    )
    yield (
        "Attributes that the table does not name",
        ("tag", "what happens", "why"),
        tuple((_tag(t), _WORDS[a], why) for t, a, why in profiles.beyond()),
    )
    yield "All other attributes, by value representation", ("VR", "`basic`", "`network`"), _by_vr()
    yield "Private attributes that Retain Safe Private keeps", ("creator", "tag", "VR", "meaning"), _private()
    yield (
        "Content items of PS3.15 Table E.3.4-1",
        (
            "code",
            "concept",
            "value type",
            "table",
            "`basic+clean-structured-content`",
            "`network`",
            "changed by",
        ),
        _content_items(),
    )
    title = "Content items that the table does not name, and whose text a machine writes: cleaned"
    yield title, ("code", "concept"), _written_by_machines()
    yield (
        "Where ultrasound devices write the patient",
        ("manufacturer", "model", "rows × columns", "columns, rows that are blanked", "published in"),
        _layouts(),
    )


def _layouts() -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            each.manufacturer or "any",
            each.model or "any",
            f"{each.rows} × {each.columns}" if each.rows else "any",
            "; ".join(f"{r.left}-{r.right - 1}, {r.top}-{r.bottom - 1}" for r in each.rectangles)
            if each.rectangles
            else "all rows above the topmost calibrated region",
            each.source,
        )
        for each in LAYOUTS
    )


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _options() -> tuple[tuple[str, ...], ...]:
    inside = profiles.profile("network").options
    named = [
        (f"`{o.column}`", o.code, o.meaning, "yes" if o.column in inside else "no")
        for o in sorted(OPTIONS, key=lambda o: o.code)
    ]
    return (*named, *((f"`{name}`", "113102", f"refused: {why}", "no") for name, why in REFUSED.items()))


def _rows() -> tuple[tuple[str, ...], ...]:
    basic, network = profiles.profile("basic"), profiles.profile("network")
    made = []
    for row in profiles.table():
        changed = ", ".join(f"{c} {a}" for c, a in row.actions.items() if c != "basic")
        if len(row.tag) != 8 or "x" in row.tag:
            what = ("removed", "removed, or kept by the rule of the option")
            made.append((row.tag, row.name, row.actions["basic"], *what, changed))
            continue
        tag = int(row.tag, 16)
        actions = (_WORDS[basic.rules[tag]], _WORDS[network.rules[tag]])
        if tag >> 16 in (0x0000, 0x0004):  # of messages and of a DICOMDIR: no part of a data set
            actions = ("removed", "removed")
        made.append((_tag(tag), row.name, row.actions["basic"], *actions, changed))
    return tuple(made)


def _by_vr() -> tuple[tuple[str, ...], ...]:
    basic, network = profiles.profile("basic"), profiles.profile("network")
    named = [(vr, _WORDS[basic.default(vr)], _WORDS[network.default(vr)]) for vr in sorted(profiles.DEFAULTS)]
    return (*named, ("any other", "kept, without what is known", "kept, without what is known"))


def _read(name: str) -> dict[str, list[list[str]]]:
    read: dict[str, list[list[str]]] = json.loads((resources.files("imaging.deid") / name).read_bytes())
    return read


def _private() -> tuple[tuple[str, ...], ...]:
    return tuple(
        (creator, f"({group},xx{element})", vr, meaning)
        for creator, group, element, vr, meaning in _read("table_e3_10_1.json")["rows"]
    )


def _content_items() -> tuple[tuple[str, ...], ...]:
    cleaned, network = (profiles.parsed(n)[1] for n in ("basic+clean-structured-content", "network"))
    made = []
    for (scheme, code), kinds in content.table().items():
        for kind, row in kinds.items():
            actions = (_WORDS[profiles.resolve(row, options)] for options in (cleaned, network))
            changed = ", ".join(f"{c} {a}" for c, a in row.actions.items() if c != "basic")
            made.append((f"{code} ({scheme})", row.name, kind, row.actions["basic"], *actions, changed))
    return tuple(made)


def _written_by_machines() -> tuple[tuple[str, ...], ...]:
    read: list[list[str]] = _read("table_e3_4_1.json")["written by machines"]
    return tuple((f"{code} (DCM)", meaning) for code, meaning in read if ("DCM", code) not in content.table())
