"""The four identifiers of a file against those of the order: ID, name, sex, birth date. Results hold no values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol

from cases.errors import Quarantine
from cases.order import Patient
from imaging import names

Identifier = Literal["ID", "name", "sex", "birth date"]
IDENTIFIERS: tuple[Identifier, ...] = ("ID", "name", "sex", "birth date")
Outcome = names.Outcome

# Patient's Sex (0010,0040), and what is met besides PS3.3's M, F and O.
_SEXES = {
    "M": "male", "MALE": "male", "男": "male", "男性": "male", "F": "female", "FEMALE": "female", "女": "female",
    "女性": "female", "W": "female", "O": "other", "OTHER": "other", "其他": "other",
}  # fmt: skip
_SEX_UNKNOWN = frozenset(("", "U", "UNKNOWN", "N", "NA", "不详", "未知"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What a file says of its patient, decoded and unjudged. Never shown: its repr is empty."""

    patient_id: str = field(default="", repr=False)
    other_ids: tuple[str, ...] = field(default=(), repr=False)
    name: str = field(default="", repr=False)
    name_cut: bool = field(default=False, repr=False)
    sex: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)


class Identified(Protocol):
    """A file that names a patient (`imaging.dicom.read.Inspection` for one)."""

    @property
    def identity(self) -> Identity: ...


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How `files` files compare with the order: per identifier, in how many it matches, differs or is absent.

    `mismatched` files have an identifier that differs; `unidentified` ones match in fewer than were asked for.
    """

    files: int
    matches: dict[Identifier, int]
    differs: dict[Identifier, int]
    absent: dict[Identifier, int]
    mismatched: int
    unidentified: int

    @property
    def trusted(self) -> bool:
        return not self.mismatched and not self.unidentified

    def detail(self) -> str:
        """What is wrong in words, without any value: "birth date and name differ in 3 of 12 files"."""
        sentences = []
        if self.mismatched:
            which = [identifier for identifier in IDENTIFIERS if self.differs[identifier]]
            verb = "differs" if len(which) == 1 else "differ"
            sentences.append(f"{' and '.join(sorted(which))} {verb} in {self._share(self.mismatched)}")
        if self.unidentified:
            sentences.append(f"too few identifiers to compare in {self._share(self.unidentified)}")
        return "; ".join(sentences)

    def _share(self, count: int) -> str:
        return f"{count} of {self.files} file{'' if self.files == 1 else 's'}"


def compare_one(patient: Patient, identity: Identity) -> dict[Identifier, Outcome]:
    """Which of the four identifiers of one file match the order's."""
    return {
        "ID": _compare_ids(patient, identity),
        "name": names.compare(identity.name, patient.name, patient.name_latin, cut=identity.name_cut),
        "sex": _compare_sex(patient, identity.sex),
        "birth date": _compare_birth_date(patient.birth_date, identity.birth_date),
    }


def compare(patient: Patient, files: Iterable[Identified], *, at_least: int = 2) -> Comparison:
    """Compares every file with the order's patient.

    A file is identified if at least `at_least` identifiers match, the ID or the name among them: two is what
    patient safety asks for (WHO, Patient Identification, 2007). Zero accepts files that name nobody.
    """
    seen: dict[Identity, int] = {}
    for file in files:
        seen[file.identity] = seen.get(file.identity, 0) + 1
    tally: dict[Outcome, dict[Identifier, int]] = {
        outcome: dict.fromkeys(IDENTIFIERS, 0) for outcome in ("matches", "differs", "absent")
    }
    mismatched = unidentified = 0
    for identity, count in seen.items():
        outcomes = compare_one(patient, identity)
        for identifier, outcome in outcomes.items():
            tally[outcome][identifier] += count
        matching = sum(outcome == "matches" for outcome in outcomes.values())
        named = "matches" in (outcomes["ID"], outcomes["name"])
        if "differs" in outcomes.values():
            mismatched += count
        elif at_least and (matching < at_least or not named):
            unidentified += count
    return Comparison(
        files=sum(seen.values()), mismatched=mismatched, unidentified=unidentified,
        matches=tally["matches"], differs=tally["differs"], absent=tally["absent"],
    )  # fmt: skip


def check(patient: Patient, files: Iterable[Identified], *, at_least: int = 2) -> Comparison:
    """`compare`, but it must be the patient.

    :raises Quarantine: `identity-mismatch`; the detail says which identifiers and in how many files, no values.
    """
    comparison = compare(patient, files, at_least=at_least)
    if not comparison.trusted:
        raise Quarantine("identity-mismatch", comparison.detail())
    return comparison


def _fold(identifier: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", identifier)).casefold()


def _compare_ids(patient: Patient, identity: Identity) -> Outcome:
    """Patient ID (0010,0020) decides; if it is empty, any of Other Patient IDs may match."""
    own = {_fold(identifier.value) for identifier in patient.identifiers}
    if primary := _fold(identity.patient_id):
        return "matches" if primary in own else "differs"
    others = {_fold(other) for other in identity.other_ids} - {""}
    if not others:
        return "absent"
    return "matches" if others & own else "differs"


def _compare_sex(patient: Patient, written: str) -> Outcome:
    code = unicodedata.normalize("NFKC", written).strip().upper()
    if code in _SEX_UNKNOWN or patient.sex == "unknown":
        return "absent"
    return "matches" if _SEXES.get(code) == patient.sex else "differs"


def _compare_birth_date(own: date, written: str) -> Outcome:
    """A DA, or only year and month or year: those can differ but are no evidence."""
    digits = re.sub(r"[.\-/\s]", "", unicodedata.normalize("NFKC", written))
    if not digits or set(digits) == {"0"}:
        return "absent"
    full = own.strftime("%Y%m%d")
    if digits == full:
        return "matches"
    return "absent" if len(digits) in (4, 6) and full.startswith(digits) else "differs"
