"""A work item as the DICOM JSON of a Unified Procedure Step (PS3.4 Table CC.2.5-3), as far as a partner may know it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from cases.documents import Brief
from cases.ups import EVENT_CLASS, PRIORITIES, SEXES, SOP_CLASS, uid_of
from gateway.dicomweb import found
from storage.database import Row

Attributes = dict[str, Any]
# Attributes that have to be there and are empty here (type 2): parameters, stations, admission, issuer and the like.
_EMPTY: tuple[tuple[str, str], ...] = (
    ("00100021", "LO"), ("00100030", "DA"), ("00101002", "SQ"), ("00380010", "LO"), ("00380014", "SQ"),
    ("00081080", "LO"), ("00081084", "SQ"), ("00404025", "SQ"), ("00404026", "SQ"), ("00404027", "SQ"),
    ("00404034", "SQ"), ("00741210", "SQ"),
)  # fmt: skip
# PS3.16 CID 9231
_INTERPRETATION = ("110005", "DCM", "Interpretation")


def attribute(vr: str, *values: object) -> Attributes:
    """An attribute; without values, or with an empty one alone, it is there and empty."""
    told = [value for value in values if value not in ("", None)]
    return {"vr": vr, "Value": told} if told else {"vr": vr}


def told(request: Request, row: Row, series: Sequence[Row] | None = None) -> Attributes:
    """The workitem of `storage.ups.step`. `series` is what is to be read; None leaves it out.

    The transaction UID is told to nobody. What is of the case is empty once the case is no longer given.
    """
    answer = {tag: attribute(vr) for tag, vr in _EMPTY} | _of_step(row) | _of_case(row) | _of_performing(row)
    if series is not None:
        answer["00404021"] = attribute("SQ", *(_input(request, one) for one in series))
    return {tag: answer[tag] for tag in sorted(answer)}


def event(row: Row, kind: int, state: str, number: int) -> Attributes:
    """The event report of a workitem (PS3.4 Table CC.2.4-1), as it goes over a channel as message `number`."""
    report = {
        "00000002": attribute("UI", EVENT_CLASS),
        "00000110": attribute("US", number),
        "00001000": attribute("UI", uid_of(row["id"])),
        "00001002": attribute("US", kind),
    }
    if kind == _STATE_REPORT:
        report |= {"00404041": attribute("CS", "READY"), "00741000": attribute("CS", state)}
        if state == "CANCELED":
            report["00741238"] = attribute("LT", row["why"])
    if kind == _CANCEL_REQUESTED:
        asked = row["cancel_requested"] or {}
        report |= {"00741238": attribute("LT", asked.get("reason")), "0074100E": attribute("SQ")}
        report["0074100C"] = attribute("LO", asked.get("by"))
    if kind == _PROGRESS:
        report["00741002"] = attribute("SQ", _progress(row))
    return report


_STATE_REPORT, _CANCEL_REQUESTED, _PROGRESS = 1, 2, 3


def moment(at: datetime | None) -> str:
    """A DICOM date and time in UTC, with its offset."""
    return f"{at.astimezone(UTC):%Y%m%d%H%M%S.%f}+0000" if at else ""


def _of_step(row: Row) -> Attributes:
    replaced = [_reference(SOP_CLASS, uid_of(row["successor_of"]))] if row["successor_of"] else []
    code, scheme, meaning = _INTERPRETATION
    interpretation = {
        "00080100": attribute("SH", code),
        "00080102": attribute("SH", scheme),
        "00080104": attribute("LO", meaning),
    }
    return {
        "00080005": attribute("CS", "ISO_IR 192"),
        "00080016": attribute("UI", SOP_CLASS),
        "00080018": attribute("UI", uid_of(row["id"])),
        "00404005": attribute("DT", moment(row["created_at"])),
        "00404010": attribute("DT", moment(row["ended_at"] or row["claimed_at"] or row["created_at"])),
        "00404018": attribute("SQ", interpretation),
        "00404041": attribute("CS", "READY"),
        "00741000": attribute("CS", row["state"]),
        "00741202": attribute("LO", row["subspecialty"]),
        **({"00741224": attribute("SQ", *replaced)} if replaced else {}),
    }


def _of_case(row: Row) -> Attributes:
    """The patient by pseudonym, and what is asked; nothing of it once the case is no longer given."""
    brief = Brief.model_validate(row["brief"]) if row["brief"] else None
    studies = row["studies"] if brief else []
    name = {"Alphabetic": row["pseudonym"]} if brief and row["pseudonym"] else None
    return {
        "00100010": attribute("PN", name),
        "00100020": attribute("LO", row["pseudonym"] if brief else None),
        "00100040": attribute("CS", SEXES.get(brief.sex) if brief else None),
        "00101010": attribute("AS", brief.age if brief else None),
        "0020000D": attribute("UI", *(studies if len(studies) == 1 else ())),
        "0040A370": attribute("SQ", *([_request(row, brief, studies)] if brief else ())),
        "00404011": attribute("DT", moment(row["due_at"] if brief else None)),
        "00741200": attribute("CS", PRIORITIES[row["priority"]] if brief else None),
        "00741204": attribute("LO", brief.procedure[:64] if brief else None),
    }


def _request(row: Row, brief: Brief, studies: Sequence[str]) -> Attributes:
    """The Referenced Request: the case's own number stands for the procedure's, the clinic's are not told."""
    return {
        "00080050": attribute("SH"),
        "00081110": attribute("SQ"),
        "0020000D": attribute("UI", *studies[:1]),
        "00321060": attribute("LO", brief.procedure[:64]),
        "00321064": attribute("SQ"),
        "00401001": attribute("SH", row["case_id"]),
        "00401002": attribute("LO", *_in_parts(brief.clinical_question)),
    }


def _in_parts(text: str) -> list[str]:
    """A long text as values of 64 characters (VR LO)."""
    plain = " ".join(text.replace("\\", "/").split())
    return [plain[at : at + 64] for at in range(0, len(plain), 64)]


def _of_performing(row: Row) -> Attributes:
    performed = []
    if row["reader"]:
        person = {"00404009": attribute("SQ"), "00404036": attribute("LO"),
                  "00404037": attribute("PN", {"Alphabetic": row["reader"]})}  # fmt: skip
        performed = [
            {
                "00404035": attribute("SQ", person),
                "00404050": attribute("DT", moment(row["claimed_at"])),
                "00404051": attribute("DT", moment(row["ended_at"] if row["state"] == "COMPLETED" else None)),
            }
        ]
    progress = _progress(row)
    return {
        "00741002": attribute("SQ", *([progress] if progress else ())),
        "00741216": attribute("SQ", *performed),
    }


def _progress(row: Row) -> Attributes:
    kept = row["progress"] or {}
    answer = {}
    if "percent" in kept:
        answer["00741004"] = attribute("DS", kept["percent"])
    if "words" in kept:
        answer["00741006"] = attribute("ST", kept["words"])
    if row["state"] == "CANCELED":
        answer["00404052"] = attribute("DT", moment(row["ended_at"]))
        answer["00741238"] = attribute("LT", row["why"])
        answer["0074100E"] = attribute("SQ")
    return answer


def _input(request: Request, series: Row) -> Attributes:
    where = {"00081190": attribute("UR", found.address(request, series["study_uid"], series["series_uid"]))}
    return {
        "0020000D": attribute("UI", series["study_uid"]),
        "0020000E": attribute("UI", series["series_uid"]),
        "00081199": attribute("SQ", *(_reference(*told) for told in series["instances"])),
        "0040E020": attribute("CS", "DICOM"),
        "0040E025": attribute("SQ", where),
    }


def _reference(sop_class: str, uid: str) -> Attributes:
    return {"00081150": attribute("UI", sop_class), "00081155": attribute("UI", uid)}
