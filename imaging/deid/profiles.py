"""Which action falls on which attribute: PS3.15 Table E.1-1 and the network's own choices, as tables.

The table is `table_e1_1.json`. A profile is `basic` or `network`, with options added by their columns' names:
`basic+retain-uids`. Code in `imaging.deid.rules` executes; nothing here looks at a data set.
"""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any


class Action(enum.Enum):
    """What happens to an attribute that is present. The first letters are the table's own codes."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    KEEP = "K"
    ALONE = "K, not even read"
    CLEAN = "C"
    SHIFT = "C, dates: moved by the patient's whole days"
    PSEUDONYM = "the patient's pseudonym"
    TOKEN = "a keyed replacement identifier of its role"  # noqa: S105
    AGE = "the age computed before the birth date goes"
    COLOUR = "a colour profile without its words: who made it, when, for what device"
    GRAPHICS = "drawn shapes stay, text among them goes"
    DESCEND = "the sequence stays, its attributes are treated by this same table"


# What a code of the basic column means where it offers a choice: the last letter is valid for every type that the
# attribute has in any IOD (a dummy satisfies types 1, 2 and 3; an empty value types 2 and 3).
_BASIC: Mapping[str, Action] = {
    "X": Action.REMOVE, "Z": Action.EMPTY, "D": Action.DUMMY, "U": Action.UID, "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY, "Z/D": Action.DUMMY, "X/Z/D": Action.DUMMY, "X/Z/U*": Action.DESCEND,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of PS3.15 E.3: a column of the table, and its code and meaning in PS3.16 CID 7050 for (0012,0064).

    `c` is what the column's C means here (its K always means keep). An option without one has rules that are no
    rows of attributes: `imaging.deid.private`, `imaging.deid.pixels`.
    """

    column: str
    code: str
    meaning: str
    c: Action | None = None


# In the order in which they win: a later one over an earlier. Moved dates come last, for one date that is kept
# beside a moved one tells by how many days.
_MODIFIED, _FULL = "retain-longitudinal-modified-dates", "retain-longitudinal-full-dates"
OPTIONS: tuple[Option, ...] = (
    Option(column="clean-pixel-data", code="113101", meaning="Clean Pixel Data Option"),
    Option(column="clean-graphics", code="113103", meaning="Clean Graphics Option", c=Action.GRAPHICS),
    Option(
        column="clean-structured-content",
        code="113104",
        meaning="Clean Structured Content Option",
        c=Action.DESCEND,
    ),
    Option(column="clean-descriptors", code="113105", meaning="Clean Descriptors Option", c=Action.CLEAN),
    Option(
        column="retain-patient-characteristics",
        code="113108",
        meaning="Retain Patient Characteristics Option",
        c=Action.CLEAN,
    ),
    Option(
        column="retain-device-identity",
        code="113109",
        meaning="Retain Device Identity Option",
        c=Action.CLEAN,
    ),
    Option(column="retain-institution-identity", code="113112", meaning="Retain Institution Identity Option"),
    Option(column="retain-uids", code="113110", meaning="Retain UIDs Option"),
    Option(column="retain-safe-private", code="113111", meaning="Retain Safe Private Option"),
    Option(
        column=_FULL,
        code="113106",
        meaning="Retain Longitudinal Temporal Information Full Dates Option",
    ),
    Option(
        column=_MODIFIED,
        code="113107",
        meaning="Retain Longitudinal Temporal Information Modified Dates Option",
        c=Action.SHIFT,
    ),
)
_COLUMNS = tuple(option.column for option in OPTIONS)
_BASIC_CODE = ("113100", "Basic Application Confidentiality Profile")
PIXELS_CODE = "113101"
REFUSED = {
    "clean-recognizable-visual-features": "no face is taken out of a picture here: a reading needs it",
}

# What the network does beyond, or within the choice of, the table.
# tag | action | role of a token | why
_NETWORK: tuple[tuple[int, Action, str, str], ...] = (
    (0x00080050, Action.TOKEN, "accession", "Z allows a dummy: studies of one order stay together"),
    (0x00100010, Action.PSEUDONYM, "", "Z allows a dummy: a reader needs something to call the patient"),
    (0x00100020, Action.PSEUDONYM, "", "D: one patient's studies stay together"),
    (0x00101010, Action.AGE, "", "kept; computed where it is absent and the birth date is known"),
    (0x00400512, Action.TOKEN, "container", "D: which slide is which"),
    (0x00400551, Action.TOKEN, "specimen", "D: which slides belong to one specimen"),
)

# Attributes of the table's spirit that the table does not list.
# tag | action | why
_BEYOND: tuple[tuple[int, Action, str], ...] = (
    (0x00080051, Action.REMOVE, "issuer of the accession number names the clinic"),
    (0x00100022, Action.REMOVE, "type of the removed patient ID"),
    (0x00100024, Action.REMOVE, "issuer of the patient ID names the clinic"),
    (0x00100026, Action.REMOVE, "identifiers of a group of patients"),
    (0x00100027, Action.REMOVE, "identifiers of a group of patients"),
    (0x00100033, Action.REMOVE, "birth date in another calendar"),
    (0x00100034, Action.REMOVE, "death date in another calendar"),
    (0x00100035, Action.REMOVE, "calendar of the removed dates"),
    (0x00100218, Action.REMOVE, "free text about the subject"),
    (0x00102294, Action.REMOVE, "breed registration names an owner"),
    (0x00102295, Action.REMOVE, "breed registration names an owner"),
    (0x00102296, Action.REMOVE, "breed registration names an owner"),
    (0x00102298, Action.REMOVE, "role of the removed responsible person"),
    (0x00120083, Action.REMOVE, "consent of a named subject"),
    (0x00140104, Action.REMOVE, "a person's name"),
    (0x00142006, Action.REMOVE, "a person's name"),
    (0x00321031, Action.REMOVE, "a physician's identification"),
    (0x00321034, Action.REMOVE, "the requesting service"),
    (0x00380102, Action.REMOVE, "describes documents of the patient"),
    (0x00380100, Action.REMOVE, "refers to documents of the patient"),
    (0x00380101, Action.REMOVE, "refers to documents of the patient"),
    (0x00380502, Action.REMOVE, "identifies the patient in a trial"),
    (0x00400026, Action.REMOVE, "issuer of an order number names the clinic"),
    (0x00400027, Action.REMOVE, "issuer of an order number names the clinic"),
    (0x00400031, Action.REMOVE, "names an organisation"),
    (0x00400032, Action.REMOVE, "names an organisation"),
    (0x00400033, Action.REMOVE, "type of the removed organisation"),
    (0x00400039, Action.REMOVE, "assigning facility"),
    (0x0040003A, Action.REMOVE, "assigning jurisdiction"),
    (0x0040003B, Action.REMOVE, "assigning agency"),
    (0x0040E001, Action.REMOVE, "identifies an HL7 document"),
    (0x0040E010, Action.REMOVE, "an address that holds UIDs and hosts"),
    (0x0040A067, Action.REMOVE, "a person's name"),
    (0x0040A160, Action.DUMMY, "text in content items (PS3.3 C.17.3)"),
    (0x00700006, Action.DUMMY, "text in drawings (PS3.3 C.10.5)"),
    (0x00404073, Action.REMOVE, "an address that holds UIDs and hosts"),
    (0x00080300, Action.REMOVE, "describes private attributes, which are gone"),
    (0x00081190, Action.REMOVE, "an address that holds UIDs and hosts"),
    (0x00282000, Action.COLOUR, "a colour profile has a maker, a date and texts of its own (ICC.1)"),
    (0x00287FE0, Action.REMOVE, "pixels at an address"),
    (0x04000500, Action.REMOVE, "the removed attributes, encrypted for somebody else"),
    (0x04000510, Action.REMOVE, "the removed attributes, encrypted for somebody else"),
    (0x04000520, Action.REMOVE, "the removed attributes, encrypted for somebody else"),
    (0x04000120, Action.REMOVE, "a signature over removed attributes"),
    (0x40080103, Action.REMOVE, "a recorded voice"),
)

# UI attributes that name a class of things, not a thing: kept as they are.
CLASS_UIDS: frozenset[int] = frozenset({
    0x00020002, 0x00020010, 0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x0008010C, 0x0008010D, 0x00080117,
    0x00080118, 0x0008040E, 0x00081150, 0x0008115A, 0x00083002, 0x00340003, 0x30100052, 0x30100053,
})  # fmt: skip

# what happens to an attribute that no table names, by its value representation
DEFAULTS: Mapping[str, Action] = {
    "PN": Action.EMPTY, "DA": Action.SHIFT, "DT": Action.SHIFT, "UI": Action.UID, "SQ": Action.DESCEND,
    "ST": Action.CLEAN, "LT": Action.CLEAN, "UT": Action.CLEAN, "UC": Action.CLEAN, "UR": Action.REMOVE,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of Table E.1-1: `actions` by column name (`basic` and the options)."""

    tag: str
    name: str
    standard_iod: bool
    actions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """A named choice of columns. `rules` by tag; `options` are the columns; `basic` is the basic column by tag."""

    name: str
    method: str
    codes: tuple[tuple[str, str], ...]
    options: frozenset[str]
    rules: Mapping[int, Action] = field(repr=False)
    roles: Mapping[int, str] = field(repr=False)
    basic: Mapping[int, str] = field(repr=False)

    @property
    def dates(self) -> str:
        """What became of dates, as (0028,0303) says it."""
        if _MODIFIED in self.options:
            return "MODIFIED"
        return "UNMODIFIED" if _FULL in self.options else "REMOVED"

    def default(self, vr: str) -> Action:
        """What happens to an attribute that no table names."""
        if vr == "UI" and "retain-uids" in self.options:
            return Action.KEEP
        action = DEFAULTS.get(vr, Action.KEEP)
        if action is Action.SHIFT and self.dates != "MODIFIED":
            return Action.KEEP if self.dates == "UNMODIFIED" else Action.EMPTY
        return action

    def without(self, tag: int) -> Profile:
        """The same profile with the rule for `tag` switched off: to show that the second pass notices."""
        off = Action.KEEP if self.rules[tag] in (Action.KEEP, Action.CLEAN) else Action.ALONE
        return replace(self, rules={**self.rules, tag: off})


# name | options | the network's own choices apply
_BASES: Mapping[str, tuple[tuple[str, ...], bool]] = {
    "basic": ((), False),
    "network": (
        (
            "clean-pixel-data", "clean-graphics", "clean-structured-content", "clean-descriptors",
            "retain-patient-characteristics", "retain-safe-private", _MODIFIED,
        ),
        True,
    ),
}  # fmt: skip


def beyond() -> tuple[tuple[int, Action, str], ...]:
    """Attributes that the table does not name, with why: tag, action, reason."""
    return _BEYOND


@functools.cache
def table() -> tuple[Row, ...]:
    """The rows of Table E.1-1, in the order of their tags."""
    raw: dict[str, Any] = json.loads(
        resources.files("imaging.deid").joinpath("table_e1_1.json").read_text("utf-8")
    )
    return tuple(Row(tag=t, name=n, standard_iod=s, actions=a) for t, n, s, a in raw["rows"])


def resolve(row: Row, options: frozenset[str]) -> Action:
    """The action on one row under the given option columns."""
    action = _BASIC[row.actions["basic"]]
    for option in OPTIONS:
        code = row.actions.get(option.column) if option.column in options else None
        if code == "K":
            action = Action.KEEP
        elif code is not None and option.c is not None:
            action = option.c
    return action


def parsed(name: str) -> tuple[str, frozenset[str]]:
    """The base and all the options of `basic+retain-uids`.

    :raises ValueError: if a part is unknown, refused, or contradicts another; says which.
    """
    base, *added = name.split("+")
    if base not in _BASES:
        raise ValueError(f"no profile is called '{base}': there are {' and '.join(_BASES)}")
    for option in added:
        if option in REFUSED:
            raise ValueError(f"the option '{option}' is refused: {REFUSED[option]}")
        if option not in _COLUMNS:
            raise ValueError(f"no option is called '{option}': there are {', '.join(_COLUMNS)}")
    options = frozenset((*_BASES[base][0], *added))
    if {_MODIFIED, _FULL} <= options:
        raise ValueError("dates are either kept or moved: choose one of the two options")
    return base, options


@functools.cache
def profile(name: str) -> Profile:
    """The profile of that name, with the options that it adds.

    :raises ValueError: if there is none.
    """
    base, options = parsed(name)
    rows = [r for r in table() if len(r.tag) == 8 and "x" not in r.tag]
    rules = {int(r.tag, 16): resolve(r, options) for r in rows}
    rules.update({tag: action for tag, action, _ in _BEYOND})
    roles: dict[int, str] = {}
    if _BASES[base][1]:
        rules.update({tag: action for tag, action, _, _ in _NETWORK})
        roles = {tag: role for tag, _, role, _ in _NETWORK if role}
    codes = [_BASIC_CODE, *((o.code, o.meaning) for o in OPTIONS if o.column in options)]
    return Profile(
        name=name,
        method=f"PS3.15 2024e, profile {base}",
        codes=tuple(sorted(codes)),
        options=options,
        rules=rules,
        roles=roles,
        basic={int(r.tag, 16): r.actions["basic"] for r in rows},
    )
