"""QIDO-RS (PS3.18 10.6): searching studies, series and instances.

Dates are those of the files, moved by each patient's whole days; every answer says so in (0028,0303), and a search by
date in a Warning (docs/decisions/0030).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from pydicom.datadict import tag_for_keyword

from gateway.dicomweb import found
from gateway.dicomweb.accept import choose
from gateway.dicomweb.retrieve import JSON, whole_addresses
from gateway.refusals import Refusal
from gateway.signin import Signed as SignedIn
from storage import dicom_search
from storage.database import Row
from storage.dicom_search import KEYS, LEVELS, Level, Unmatchable, Wanted

CHARSET, DATES_ARE = "00080005", "00280303"
_ANY_STUDY, _WITHIN = (100, 1000), (10_000, 10_000)  # results unless told, and at most
_MOVED = (
    '299 teledx "Dates are moved by whole days of each patient (0028,0303 MODIFIED):'
    " they order a patient's examinations and are no calendar days.\""
)
_MORE = '299 teledx "There are more results: ask with a larger offset."'

# What every answer of a level holds, empty if unknown (PS3.18 Tables 10.6.3-3 to 10.6.3-5).
_REQUIRED: Mapping[Level, Mapping[str, str]] = {
    "study": {
        "00080020": "DA", "00080030": "TM", "00080050": "SH", "00080090": "PN", "00100010": "PN", "00100020": "LO",
        "00100030": "DA", "00100040": "CS", "00200010": "SH",
    },
    "series": {"00080060": "CS", "00200011": "IS"},
    "instance": {"00200013": "IS"},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the query says besides its level: `fields` are tags, or `all`."""

    wanted: Wanted
    fields: frozenset[str]

    def includes(self, tag: str) -> bool:
        return "all" in self.fields or tag in self.fields


def studies(asking: SignedIn, request: Request) -> Response:
    """Search studies: any attribute of the table as `Keyword=` or `ggggeeee=`, `includefield=`, `fuzzymatching=`,
    `limit=`, `offset=`."""
    return _search(asking, request, "study")


def series(asking: SignedIn, request: Request) -> Response:
    """Search series of all studies, by attributes of series and studies."""
    return _search(asking, request, "series")


def instances(asking: SignedIn, request: Request) -> Response:
    """Search instances of all studies, by attributes of every level."""
    return _search(asking, request, "instance")


def series_of_study(asking: SignedIn, request: Request, study: str) -> Response:
    """Search the series of a study."""
    return _search(asking, request, "series", study)


def instances_of_study(asking: SignedIn, request: Request, study: str) -> Response:
    """Search the instances of a study."""
    return _search(asking, request, "instance", study)


def instances_of_series(asking: SignedIn, request: Request, study: str, series: str) -> Response:
    """Search the instances of a series."""
    return _search(asking, request, "instance", study, series)


def _search(
    asking: SignedIn, request: Request, level: Level, study: str | None = None, series: str | None = None
) -> Response:
    chosen = choose(request, JSON, related=None)
    asked = _read(request, level, study, series)
    try:
        with asking.transaction() as connection:
            rows = dicom_search.search(connection, asked.wanted)
            more, rows = len(rows) > asked.wanted.limit, rows[: asked.wanted.limit]
            uids = list({row["study_uid"] for row in rows}) if level != "instance" else []
            counts = dicom_search.counted(connection, uids) if uids else []
            cases = dict.fromkeys(row["case_id"] for row in rows)
            asking.audit(connection, "images.search", note=" ".join(cases))
    except Unmatchable as unmatchable:
        raise _invalid([str(unmatchable)]) from None
    warnings = [_MORE] * more + [_MOVED] * any(KEYS[tag].kind == "date" for tag, _ in asked.wanted.values)
    headers = {"Warning": ", ".join(warnings)} if warnings else {}
    if not rows:
        return Response(status_code=204, headers=headers)
    told = [_told(request, asked, row, counts) for row in rows]
    content = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return Response(content, headers={"Content-Type": chosen.form.label, **headers})


def _told(request: Request, asked: _Asked, row: Row, counts: Sequence[Row]) -> dict[str, Any]:
    """One result: the attributes of its level, and of those above if no study was named or they are asked for."""
    level = asked.wanted.level
    uids = [row[column] for column in ("study_uid", "series_uid", "sop_uid") if column in row]
    answer = _ALONE[level](row, [c for c in counts if c["study_uid"] == row["study_uid"]])
    for upper in LEVELS[: LEVELS.index(level) + 1]:
        whole = upper == level or asked.wanted.study is None
        attributes = {tag: {"vr": vr} for tag, vr in _REQUIRED[upper].items()} | row[upper]
        answer |= {tag: told for tag, told in attributes.items() if whole or asked.includes(tag)}
    if "metadata" in row:
        everything = json.loads(whole_addresses(found.address(request, *uids), row["metadata"]))
        answer |= {tag: told for tag, told in everything.items() if asked.includes(tag) and tag not in answer}
    answer |= {tag: _value("UI", uid) for tag, uid in zip(_UIDS, uids, strict=False)}
    answer |= {"00080056": _value("CS", "ONLINE"), "00081190": _value("UR", found.address(request, *uids))}
    answer |= {CHARSET: _value("CS", "ISO_IR 192"), DATES_ARE: row["study"].get(DATES_ARE, {"vr": "CS"})}
    return {tag: answer[tag] for tag in sorted(answer) if not _is_outside(answer[tag])}


_UIDS = ("0020000D", "0020000E", "00080018")


def _is_outside(attribute: Mapping[str, Any]) -> bool:
    """A value that stands elsewhere is an affair of the metadata."""
    return "BulkDataURI" in attribute


def _value(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def _of_study(row: Row, counts: Sequence[Row]) -> dict[str, Any]:
    modalities = sorted({c["modality"] for c in counts} - {""})
    return {
        "00080061": _value("CS", *modalities),
        "00201206": _value("IS", len(counts)),
        "00201208": _value("IS", sum(c["instances"] for c in counts)),
    }


def _of_series(row: Row, counts: Sequence[Row]) -> dict[str, Any]:
    return {
        "00201209": _value("IS", sum(c["instances"] for c in counts if c["series_uid"] == row["series_uid"]))
    }


def _of_instance(row: Row, counts: Sequence[Row]) -> dict[str, Any]:
    return {"00080016": _value("UI", row["sop_class"]), "00083002": _value("UI", row["transfer_syntax"])}


_ALONE = {"study": _of_study, "series": _of_series, "instance": _of_instance}


# Instances told with all their metadata in one answer: each takes some hundred kB while it is made.
_WHOLE_MOST = 100


def _read(request: Request, level: Level, study: str | None, series: str | None) -> _Asked:
    """The query in words of the tables. Raises `Refusal` (400) with everything that is wrong with it."""
    values, fields, problems = [], [], []
    numbers = {"limit": (_ANY_STUDY if study is None else _WITHIN)[0], "offset": 0}
    fuzzy, reachable = "false", LEVELS[: LEVELS.index(level) + 1]
    for place, (name, value) in enumerate(request.query_params.multi_items(), 1):
        if name in numbers and value.isascii() and value.isdigit() and len(value) < 10:
            numbers[name] = int(value)
        elif name == "fuzzymatching" and value in ("true", "false"):
            fuzzy = value
        elif name == "includefield" and (tags := _fields(value)):
            fields += tags
        elif name != "accept":
            tag = _tag(name)
            if tag in KEYS and KEYS[tag].level in reachable:
                values.append((tag, value.strip()))
            else:
                problems.append(_problem(name, tag, place, level))
    if problems:
        raise _invalid(problems)
    most = (_ANY_STUDY if study is None else _WITHIN)[1]
    whole = level == "instance" and bool(fields)
    most = min(most, _WHOLE_MOST) if whole else most
    wanted = Wanted(
        level=level,
        values=[(tag, value) for tag, value in values if value.strip("*")],
        fuzzy=fuzzy == "true",
        study=study,
        series=series,
        limit=min(numbers["limit"], most),
        offset=numbers["offset"],
        whole=whole,
    )
    return _Asked(wanted=wanted, fields=frozenset(fields))


def _tag(name: str) -> str:
    """`ggggeeee` of a tag or keyword; empty if it is neither."""
    if len(name) == 8 and all(c in "0123456789ABCDEFabcdef" for c in name):
        return name.upper()
    tag = tag_for_keyword(name)
    return "" if tag is None else f"{tag:08X}"


def _fields(value: str) -> list[str]:
    """The tags of an `includefield`, `all` for all; nothing if one of them is no attribute. Of a path within
    sequences the whole sequence is told."""
    names = [part.strip().split(".")[0] for part in value.split(",")]
    tags = ["all" if name == "all" else _tag(name) for name in names]
    return tags if all(tags) else []


def _problem(name: str, tag: str, place: int, level: Level) -> str:
    """What is wrong with a parameter, which is named if it is one of ours or of the dictionary."""
    if name in ("limit", "offset"):
        return f"{name}: is a number from 0"
    if name == "fuzzymatching":
        return f"{name}: is true or false"
    if name == "includefield":
        return f"{name}: is all, or attributes by keyword or tag with commas between"
    keyword = f"parameter {place}" if not tag else name
    if tag in KEYS:
        return f"{keyword}: is of the level {KEYS[tag].level}, and this searches the level {level}"
    return f"{keyword}: no attribute that can be searched by; these can: {', '.join(KEYS)}"


def _invalid(problems: Sequence[str]) -> Refusal:
    return Refusal(
        400, "invalid", "The search cannot be understood.", "Correct the parts listed.", problems=problems
    )
