"""Searching what is told of DICOM instances (QIDO-RS): conditions on attributes, as data, become one statement.

Who asks sees what row-level security shows, and of that the cases that a work item gives it. A study, series or
instance that came with two cases is told once, as the newest brought it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cases.errors import TeledxError
from storage.database import Connection, Row
from storage.dicom_index import words

Level = Literal["study", "series", "instance"]
LEVELS: tuple[Level, ...] = ("study", "series", "instance")


class Unmatchable(TeledxError):
    """A value that its attribute cannot be matched with; says why, without the value."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """An attribute that can be asked for: at which level, in which column, and how it is matched (PS3.4 C.2.2.2)."""

    level: Level
    column: str
    kind: Literal["uid", "text", "name", "date", "time", "any of"]


# tag | level | column | how it is matched
_KEYS: tuple[tuple[str, Level, str, Any], ...] = (
    ("0020000D", "study", "s.study_uid", "uid"),
    ("00080020", "study", "s.study_date", "date"),
    ("00080030", "study", "s.study_time", "time"),
    ("00080050", "study", "s.accession_number", "text"),
    ("00080061", "study", "s.modalities", "any of"),
    ("00080090", "study", "s.referring_name", "name"),
    ("00081030", "study", "s.description", "text"),
    ("00100010", "study", "s.patient_name", "name"),
    ("00100020", "study", "s.patient_id", "text"),
    ("00100030", "study", "s.birth_date", "date"),
    ("00100040", "study", "s.patient_sex", "text"),
    ("00200010", "study", "s.study_id", "text"),
    ("0020000E", "series", "r.series_uid", "uid"),
    ("00080060", "series", "r.modality", "text"),
    ("0008103E", "series", "r.description", "text"),
    ("00180015", "series", "r.body_part", "text"),
    ("00200011", "series", "r.series_number", "text"),
    ("00400244", "series", "r.performed_date", "date"),
    ("00400245", "series", "r.performed_time", "time"),
    ("00080016", "instance", "i.sop_class", "uid"),
    ("00080018", "instance", "i.sop_uid", "uid"),
    ("00200013", "instance", "i.instance_number", "text"),
)
KEYS = {tag: Key(level=level, column=column, kind=kind) for tag, level, column, kind in _KEYS}

# The work item that gives the right: one that was neither declined, withdrawn nor put back without a successor. As a
# value and not as EXISTS, which would be joined with everybody's work items before the page is cut.
RIGHT = "(SELECT true FROM work_item w WHERE w.case_id = {0}.case_id AND w.state <> 'CANCELED' LIMIT 1)"

_ALIAS: dict[Level, str] = {"study": "s", "series": "r", "instance": "i"}
_SERIES_JOIN = (
    "JOIN dicom_series r ON r.case_id = i.case_id AND r.study_uid = i.study_uid"
    " AND r.series_uid = i.series_uid"
)
_STUDY_JOIN = "JOIN dicom_study s ON s.case_id = {0}.case_id AND s.study_uid = {0}.study_uid"
# level searched -> level above -> how its row is reached
_ABOVE: dict[Level, dict[Level, str]] = {
    "study": {},
    "series": {"study": _STUDY_JOIN.format("r")},
    "instance": {"series": _SERIES_JOIN, "study": _STUDY_JOIN.format("i")},
}
# What a row is, whatever case it came with.
_SAME: dict[Level, tuple[str, ...]] = {
    "study": ("study_uid",),
    "series": ("study_uid", "series_uid"),
    "instance": ("study_uid", "sop_uid"),
}
# Attributes of the levels above as values, not by a join: they are fetched for the page alone.
_STUDY_OF = (
    "(SELECT s.attributes FROM dicom_study s WHERE s.case_id = {0}.case_id AND s.study_uid = {0}.study_uid)"
    " AS study"
)
_SERIES_OF = (
    "(SELECT r.attributes FROM dicom_series r WHERE r.case_id = i.case_id AND r.study_uid = i.study_uid"
    " AND r.series_uid = i.series_uid) AS series"
)
_TOLD: dict[Level, str] = {
    "study": "s.case_id, s.study_uid, s.attributes AS study",
    "series": f"r.case_id, r.study_uid, r.series_uid, r.attributes AS series, {_STUDY_OF.format('r')}",
    "instance": "i.case_id, i.study_uid, i.series_uid, i.sop_uid, i.sop_class, i.transfer_syntax,"
    f" i.attributes AS instance, {_SERIES_OF}, {_STUDY_OF.format('i')}",
}
_SERIES_OF_STUDIES = f"""
SELECT r.study_uid, r.series_uid, min(r.modality) AS modality, sum(r.instances) AS instances,
    array_agg(r.case_id) AS cases
FROM dicom_series r WHERE r.study_uid = ANY(%s) AND {RIGHT.format("r")} GROUP BY r.study_uid, r.series_uid
"""  # noqa: S608 -- our own names
_IN_SEVERAL_CASES = """
SELECT count(DISTINCT i.sop_uid) AS instances FROM dicom_instance i
WHERE i.study_uid = %s AND i.series_uid = %s AND i.case_id = ANY(%s)
"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked: `values` by tag, within a study and series if named, a page of `limit` after `offset`.

    `whole`: each instance's whole metadata, too.
    """

    level: Level
    values: Sequence[tuple[str, str]] = ()
    fuzzy: bool = False
    study: str | None = None
    series: str | None = None
    limit: int = 100
    offset: int = 0
    whole: bool = False


def search(connection: Connection, wanted: Wanted) -> list[Row]:
    """The rows of a page, one more than `limit` if there are more: the newest study first, within a study in order.

    Raises `Unmatchable`.
    """
    statement, values = _statement(wanted)
    return connection.execute(statement.encode(), values).fetchall()


def _statement(wanted: Wanted) -> tuple[str, list[Any]]:
    level, alias = wanted.level, _ALIAS[wanted.level]
    conditions, values = _conditions(wanted)
    asked = {KEYS[tag].level for tag, _ in wanted.values}
    reached = " ".join(join for above, join in _ABOVE[level].items() if above in asked)
    told = _TOLD[level] + (", i.metadata" if wanted.whole and level == "instance" else "")
    order = "" if wanted.study is not None else "DESC"
    statement = (
        f"SELECT {told} FROM dicom_{level} {alias} {reached} WHERE {' AND '.join(conditions)}"  # noqa: S608 -- our own names
        f" ORDER BY {alias}.number {order} LIMIT %s OFFSET %s"
    )
    return statement, [*values, wanted.limit + 1, wanted.offset]


def _conditions(wanted: Wanted) -> tuple[list[str], list[Any]]:
    alias = _ALIAS[wanted.level]
    conditions, values = [RIGHT.format(alias)], []
    for uid, column in ((wanted.study, "study_uid"), (wanted.series, "series_uid")):
        if uid is not None:
            conditions.append(f"{alias}.{column} = %s")
            values.append(uid)
    for tag, value in wanted.values:
        condition, given = _condition(KEYS[tag], value, fuzzy=wanted.fuzzy)
        conditions.append(condition)
        values += given
    same = " AND ".join(f"n.{column} = {alias}.{column}" for column in _SAME[wanted.level])
    newest = f"SELECT max(n.number) FROM dicom_{wanted.level} n WHERE {same} AND {RIGHT.format('n')}"  # noqa: S608
    return [*conditions, f"{alias}.number = ({newest})"], values


def counted(connection: Connection, studies: Sequence[str]) -> list[Row]:
    """The series of these studies that the asking organisation may see: `study_uid`, `series_uid`, `instances`,
    `modality`. An instance that came with several cases is counted once."""
    rows = connection.execute(_SERIES_OF_STUDIES.encode(), (list(studies),)).fetchall()
    for row in rows:
        if len(row["cases"]) > 1:
            told = (row["study_uid"], row["series_uid"], row["cases"])
            row |= connection.execute(_IN_SEVERAL_CASES.encode(), told).fetchone() or {}
    return rows


def _condition(key: Key, value: str, *, fuzzy: bool) -> tuple[str, list[Any]]:
    if key.kind == "name" and fuzzy:
        return _by_words(key.column.replace("_name", "_words"), value)
    return HOW[key.kind](key.column, value)


def _by_uid(column: str, value: str) -> tuple[str, list[Any]]:
    """UID list matching; the values are separated by commas or backslashes (PS3.18 8.3.4.1)."""
    return f"{column} = ANY(%s)", [_several(value)]


def _by_any(column: str, value: str) -> tuple[str, list[Any]]:
    return f"{column} && %s::text[]", [_several(value)]


def _several(value: str) -> list[str]:
    return [part.strip() for part in value.replace("\\", ",").split(",") if part.strip()]


def _by_text(column: str, value: str) -> tuple[str, list[Any]]:
    """Single value or wildcard matching. What stands before the first wildcard is a range, which an index serves."""
    if not set(value) & {"*", "?"}:
        return f"{column} = %s", [value]
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    like = escaped.replace("*", "%").replace("?", "_")
    begin = value[: min(at for at in (value.find("*"), value.find("?")) if at >= 0)]
    if not begin:
        return f"{column} LIKE %s", [like]
    return f"({column} >= %s AND {column} < %s AND {column} LIKE %s)", [begin, begin + "\U0010ffff", like]


def _by_name(column: str, value: str) -> tuple[str, list[Any]]:
    """As text, whatever the case of its letters."""
    return _by_text(column, value.casefold())


def _by_words(column: str, value: str) -> tuple[str, list[Any]]:
    """Every word of the value begins a word of the name, whatever their order, case and accents."""
    asked = words(value.replace("*", " ").replace("?", " ")).split()
    escaped = [word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for word in asked]
    condition = " AND ".join(f"{column} LIKE %s" for _ in asked) or "true"
    return f"({condition})", [f"% {word}%" for word in escaped]


def _by_date(column: str, value: str) -> tuple[str, list[Any]]:
    """A day, or a range of days of which either end may be open (PS3.4 C.2.2.2.5)."""
    first, last = _ends(value)
    if any(day and not (len(day) == 8 and day.isdigit()) for day in (first, last)):
        raise Unmatchable("a date is YYYYMMDD, or a range of two with a hyphen between")
    return _between(column, first, last)


def _by_time(column: str, value: str) -> tuple[str, list[Any]]:
    """A time, or a range of times; what is left away at the end matches whatever stands there."""
    first, last = _ends(value.replace(":", ""))
    if any(not part.replace(".", "").isdigit() for part in (first, last) if part):
        raise Unmatchable("a time is HHMMSS, or its beginning, or a range of two with a hyphen between")
    return _between(column, first, f"{last}~" if last else "")


def _ends(value: str) -> tuple[str, str]:
    first, hyphen, last = value.strip().partition("-")
    if not first and not last:
        raise Unmatchable("a range has at least one end")
    return first.strip(), last.strip() if hyphen else first.strip()


def _between(column: str, first: str, last: str) -> tuple[str, list[Any]]:
    """Within the ends that are given; a value that is empty is in no range."""
    ends = [(f"{column} >= %s", first or "0"), *([(f"{column} <= %s", last)] if last else [])]
    return "(" + " AND ".join(condition for condition, _ in ends) + ")", [value for _, value in ends]


HOW: dict[str, Callable[[str, str], tuple[str, list[Any]]]] = {
    "uid": _by_uid,
    "text": _by_text,
    "name": _by_name,
    "date": _by_date,
    "time": _by_time,
    "any of": _by_any,
}
