"""Work items as Unified Procedure Steps: their UIDs, and what may be asked of them in which state (PS3.4 Annex CC)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from cases.states import WORK_ITEM_STATES

SOP_CLASS = "1.2.840.10008.5.1.4.34.6.1"
EVENT_CLASS = "1.2.840.10008.5.1.4.34.6.4"
# What is subscribed to in place of one workitem: the worklist, and the worklist with a filter.
WORKLIST, FILTERED_WORKLIST = "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1"
PRIORITIES: Mapping[str, str] = {"stat": "HIGH", "urgent": "MEDIUM", "routine": "LOW"}
SEXES: Mapping[str, str] = {"female": "F", "male": "M", "other": "O"}

_UUID_UID = re.compile(r"2\.25\.(0|[1-9]\d{0,38})")
_UID = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+")
_UID_LONGEST = 64


def uid_of(work_item: UUID) -> str:
    """The workitem's SOP Instance UID: its random UUID, written as a UID (PS3.5 B.2)."""
    return f"2.25.{work_item.int}"


def work_item_of(uid: str) -> UUID | None:
    """The work item of a UID that `uid_of` made, or None."""
    match = _UUID_UID.fullmatch(uid)
    return UUID(int=int(match[1])) if match and int(match[1]) < 1 << 128 else None


def is_uid(text: str) -> bool:
    """Whether this is a UID (PS3.5 9.1)."""
    return len(text) <= _UID_LONGEST and _UID.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A status of PS3.4 Annex CC as PS3.18 section 11 answers it; `warning` is its text, empty for none."""

    status: int
    warning: str = ""


DONE = "done"
# status of the DIMSE service | of HTTP | text of the Warning (PS3.18 11.7.3.2, 11.8.3.2)
_OUTCOMES: tuple[tuple[str, int, str], ...] = (
    (DONE, 200, ""),
    ("B304", 200, "The UPS is already in the requested state of CANCELED."),
    ("B306", 200, "The UPS is already in the requested state of COMPLETED."),
    ("C300", 409, "The submitted request is inconsistent with the state of the UPS Instance."),
    ("C301", 400, "The Transaction UID is incorrect."),
    ("C301 missing", 400, "The Transaction UID is missing."),
    ("C302", 409, "The submitted request is inconsistent with the state of the UPS Instance."),
    ("C303", 409, "The submitted request is inconsistent with the state of the UPS Instance."),
    ("C304", 409, "The submitted request is inconsistent with the state of the UPS Instance."),
    ("C310", 409, "The submitted request is inconsistent with the state of the UPS Instance."),
    ("C311", 409, "The submitted request is inconsistent with the state of the UPS Instance."),
    ("C313", 409, "The performer cannot be contacted."),
    # an update is answered in words of its own (PS3.18 11.6.2, 11.6.3.2)
    ("C300 update", 400, "The submitted request is inconsistent with the current state of the Workitem."),
    ("C310 update", 409, "The target URI did not reference a claimed Workitem."),
)  # fmt: skip
OUTCOMES: Mapping[str, Outcome] = {
    code: Outcome(status=status, warning=warning) for code, status, warning in _OUTCOMES
}

# PS3.4 Table CC.1.1-2 (and CC.2.6.3 for updates).
# what is asked | whether with the right transaction UID | SCHEDULED | IN PROGRESS | COMPLETED | CANCELED
_ROWS: tuple[tuple[str, bool, str, str, str, str], ...] = (
    ("IN PROGRESS", True, DONE, "C302", "C300", "C300"),
    ("IN PROGRESS", False, "C301", "C301", "C301", "C301"),
    ("SCHEDULED", True, "C303", "C303", "C303", "C303"),
    ("SCHEDULED", False, "C303", "C303", "C303", "C303"),
    ("COMPLETED", True, "C310", DONE, "B306", "C300"),
    ("COMPLETED", False, "C301", "C301", "C301", "C301"),
    ("CANCELED", True, "C310", DONE, "C300", "B304"),
    ("CANCELED", False, "C301", "C301", "C301", "C301"),
    ("cancel request", True, DONE, DONE, "C311", "B304"),
    ("cancel request", False, DONE, DONE, "C311", "B304"),
    ("update", True, "C310 update", DONE, "C300 update", "C300 update"),
    ("update", False, "C310 update", "C301", "C300 update", "C300 update"),
)
TABLE: Mapping[tuple[str, bool, str], str] = {
    (asked, right, state): code
    for asked, right, *codes in _ROWS
    for state, code in zip(WORK_ITEM_STATES, codes, strict=True)
}


def outcome(asked: str, state: str, given: str, kept: str | None) -> str:
    """What becomes of what is `asked` in `state`: a code of `OUTCOMES`. KeyError for what is not in the table.

    `given` is the transaction UID of the request, empty for none; `kept` the one of the claim, None of a work item that
    nobody claimed through UPS: while somebody holds it, or has read it, no transaction UID is right.
    """
    unclaimed = kept is None and state in ("SCHEDULED", "CANCELED")
    code = TABLE[asked, bool(given) and (unclaimed or given == kept), state]
    return "C301 missing" if code == "C301" and not given else code
