"""What de-identification does with each attribute, in words made from the tables that it executes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources

from imaging.deid import profiles
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
        "Texts of content items that are cleaned, not removed",
        ("code (DCM)", "concept"),
        _concepts("cleaned texts"),
    )
    yield "Content items that are removed", ("code (DCM)", "concept"), _concepts("removed")
    title = "removed unless patient characteristics are retained"
    yield f"Content items {title}", ("code (DCM)", "concept"), _concepts(title)


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


def _concepts(kind: str) -> tuple[tuple[str, ...], ...]:
    return tuple((code, meaning) for code, meaning in _read("structured_content.json")[kind])
