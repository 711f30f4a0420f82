"""Which action falls on which attribute: PS3.15 Table E.1-1 and the network's own choices, as tables.

The table is `table_e1_1.json`. A profile names the option columns that apply, and what the network does where
the table leaves a choice. Code in `imaging.deid.dicom` executes; nothing here looks at a data set.
"""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any


class Action(enum.Enum):
    """What happens to an attribute that is present. The first letters are the table's own codes."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    KEEP = "K"
    CLEAN = "C"
    SHIFT = "C, dates: moved by the patient's whole days"
    PSEUDONYM = "the patient's pseudonym"
    TOKEN = "a keyed replacement identifier of its role"  # noqa: S105
    AGE = "the age computed before the birth date goes"
    DESCEND = "the sequence stays, its attributes are treated by this same table"


# What a code of the basic column means where it offers a choice: the last letter is valid for every type that the
# attribute has in any IOD (a dummy satisfies types 1, 2 and 3; an empty value types 2 and 3).
_BASIC: Mapping[str, Action] = {
    "X": Action.REMOVE, "Z": Action.EMPTY, "D": Action.DUMMY, "U": Action.UID, "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY, "Z/D": Action.DUMMY, "X/Z/D": Action.DUMMY, "X/Z/U*": Action.DESCEND,
}  # fmt: skip

# column of the table | what its C means here (its K always means keep)
_OPTIONS: Mapping[str, Action] = {
    "retain-patient-characteristics": Action.CLEAN,
    "retain-longitudinal-modified-dates": Action.SHIFT,
    "clean-descriptors": Action.CLEAN,
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
    (0x00400610, Action.DESCEND, "", "the stain is read here; identifiers inside are replaced"),
    (0x0040A730, Action.DESCEND, "", "kept for machine-made content (dose); its texts become dummies"),
    (0x0040A160, Action.DUMMY, "", "text inside structured content is never passed on"),
    (
        0x00400555,
        Action.DESCEND,
        "",
        "acquisition context: codes and numbers stay, text inside becomes a dummy",
    ),
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
    (0x00404073, Action.REMOVE, "an address that holds UIDs and hosts"),
    (0x00080300, Action.REMOVE, "describes private attributes, which are gone"),
    (0x00081190, Action.REMOVE, "an address that holds UIDs and hosts"),
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
    """A named choice of columns: `rules` by tag, and by the high byte of the group for 50xx and 60xx."""

    name: str
    method: str
    codes: tuple[tuple[str, str], ...]
    rules: Mapping[int, Action] = field(repr=False)
    roles: Mapping[int, str] = field(repr=False)
    basic: Mapping[int, str] = field(repr=False)
    shifts: bool
    cleans: bool

    def without(self, tag: int) -> Profile:
        """The same profile with the rule for `tag` switched off: to show that the second pass notices."""
        rules = {**self.rules, tag: Action.KEEP}
        return Profile(**{**self.__dict__, "rules": rules})


# (0012,0064): codes of PS3.16 CID 7050
_CODES: Mapping[str, tuple[str, str]] = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "clean-descriptors": ("113105", "Clean Descriptors Option"),
    "retain-longitudinal-modified-dates": (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    "retain-patient-characteristics": ("113108", "Retain Patient Characteristics Option"),
}

# name | option columns, later ones win | the network's own choices apply
_PROFILES: Mapping[str, tuple[tuple[str, ...], bool]] = {
    "basic": ((), False),
    "network": (
        ("clean-descriptors", "retain-longitudinal-modified-dates", "retain-patient-characteristics"),
        True,
    ),
}


@functools.cache
def table() -> tuple[Row, ...]:
    """The rows of Table E.1-1, in the order of their tags."""
    raw: dict[str, Any] = json.loads(
        resources.files("imaging.deid").joinpath("table_e1_1.json").read_text("utf-8")
    )
    return tuple(Row(tag=t, name=n, standard_iod=s, actions=a) for t, n, s, a in raw["rows"])


def resolve(row: Row, options: tuple[str, ...]) -> Action:
    """The action on one row under the given option columns."""
    action = _BASIC[row.actions["basic"]]
    for option in options:
        code = row.actions.get(option)
        if code is not None:
            action = Action.KEEP if code == "K" else _OPTIONS[option]
    return action


@functools.cache
def profile(name: str) -> Profile:
    """The profile of that name.

    :raises KeyError: if there is none.
    """
    options, own = _PROFILES[name]
    rules = {int(r.tag, 16): resolve(r, options) for r in table() if "x" not in r.tag and r.tag != "private"}
    rules.update({tag: action for tag, action, _ in _BEYOND})
    roles: dict[int, str] = {}
    if own:
        rules.update({tag: action for tag, action, _, _ in _NETWORK})
        roles = {tag: role for tag, _, role, _ in _NETWORK if role}
    return Profile(
        name=name,
        method=f"PS3.15 2024e, profile {name}",
        codes=tuple(_CODES[column] for column in ("basic", *sorted(options))),
        rules=rules,
        roles=roles,
        basic={int(r.tag, 16): r.actions["basic"] for r in table() if len(r.tag) == 8 and "x" not in r.tag},
        shifts="retain-longitudinal-modified-dates" in options,
        cleans="clean-descriptors" in options,
    )
