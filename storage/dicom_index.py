"""Rows of what is told of de-identified DICOM instances: made by deidentify, a partner's from deliver to withdrawal."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from cases.indexed import Attributes, IndexedInstance
from storage.database import Connection

TABLES = ("dicom_study", "dicom_series", "dicom_instance")

# column -> the attribute whose first value it holds, by level
_STUDY = {
    "study_date": "00080020", "study_time": "00080030", "accession_number": "00080050", "study_id": "00200010",
    "patient_id": "00100020", "patient_sex": "00100040", "birth_date": "00100030", "description": "00081030",
}  # fmt: skip
_SERIES = {
    "modality": "00080060", "series_number": "00200011", "description": "0008103E", "body_part": "00180015",
    "performed_date": "00400244", "performed_time": "00400245",
}  # fmt: skip
# column of a name, and of its words -> the attribute
_NAMES = {("patient_name", "patient_words"): "00100010", ("referring_name", "referring_words"): "00080090"}


def keep(connection: Connection, case_id: str, instances: Sequence[IndexedInstance]) -> None:
    """Write what is told of a case's instances, instead of what an earlier run told; no partner sees it yet."""
    for table in TABLES:
        connection.execute(f"DELETE FROM {table} WHERE case_id = %s", (case_id,))  # noqa: S608 -- of the table above
    studies = {i.study_uid: i for i in reversed(instances)}
    series = {(i.study_uid, i.series_uid): i for i in reversed(instances)}
    counts = Counter((i.study_uid, i.series_uid) for i in instances)
    _insert(
        connection, "dicom_study", [_study_row(case_id, i, instances) for i in reversed(studies.values())]
    )
    _insert(
        connection,
        "dicom_series",
        [_series_row(case_id, i, counts[uids]) for uids, i in reversed(series.items())],
    )
    _insert(connection, "dicom_instance", [_instance_row(case_id, i) for i in instances])


def delivered(connection: Connection, case_id: str, partner: str, keys: Sequence[str]) -> None:
    """The case's instances are in the partner's bucket under these keys, and nobody else's any more."""
    for table in TABLES:
        connection.execute(f"UPDATE {table} SET partner = %s WHERE case_id = %s", (partner, case_id))  # noqa: S608
    connection.execute(
        "UPDATE dicom_instance i SET key = o.key FROM unnest(%s::text[], %s::text[]) AS o(name, key)"
        " WHERE i.case_id = %s AND i.name = o.name",
        (["/".join(key.split("/")[-2:]) for key in keys], list(keys), case_id),
    )


def withdrawn(connection: Connection, case_id: str, partner: str) -> None:
    """The case's instances are not in that partner's bucket any more."""
    for table in TABLES:
        connection.execute(
            f"UPDATE {table} SET partner = NULL WHERE case_id = %s AND partner = %s",  # noqa: S608
            (case_id, partner),
        )


def words(name: str) -> str:
    """The words of a name, each after a blank, in small letters without accents: what fuzzy matching looks into."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return "".join(f" {word}" for word in plain.replace("^", " ").replace("=", " ").split())


def first_value(attributes: Attributes, tag: str) -> str:
    """The first value of an attribute as text, a name as its groups joined by `=`; empty if there is none."""
    value = (attributes.get(tag, {}).get("Value") or [""])[0]
    if isinstance(value, dict):
        groups = [value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return "" if value is None else str(value)


def _study_row(case_id: str, of: IndexedInstance, instances: Sequence[IndexedInstance]) -> dict[str, Any]:
    modalities = {first_value(i.series, "00080060") for i in instances if i.study_uid == of.study_uid} - {""}
    row = {column: first_value(of.study, tag) for column, tag in _STUDY.items()}
    for (whole, apart), tag in _NAMES.items():
        row[whole], row[apart] = (
            first_value(of.study, tag).casefold(),
            words(first_value(of.study, tag)),
        )
    return row | {
        "case_id": case_id,
        "study_uid": of.study_uid,
        "modalities": sorted(modalities),
        "attributes": Jsonb(of.study),
    }


def _series_row(case_id: str, of: IndexedInstance, instances: int) -> dict[str, Any]:
    row = {column: first_value(of.series, tag) for column, tag in _SERIES.items()}
    return row | {
        "case_id": case_id,
        "study_uid": of.study_uid,
        "series_uid": of.series_uid,
        "instances": instances,
        "attributes": Jsonb(of.series),
    }


def _instance_row(case_id: str, of: IndexedInstance) -> dict[str, Any]:
    places = asdict(of.pixels) if of.pixels else None
    spans = places.pop("spans") if places else None
    return {
        "case_id": case_id,
        "study_uid": of.study_uid,
        "series_uid": of.series_uid,
        "sop_uid": of.sop_uid,
        "name": of.name,
        "size": of.size,
        "sop_class": of.sop_class_uid,
        "transfer_syntax": of.transfer_syntax_uid,
        "instance_number": first_value(of.instance, "00200013"),
        "attributes": Jsonb(of.instance),
        "metadata": of.metadata,
        "bulk": Jsonb(of.bulk),
        "pixels": Jsonb(places) if places else None,
        "spans": spans,
    }


def _insert(connection: Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    columns = ", ".join(rows[0])
    places = ", ".join(f"%({column})s" for column in rows[0])
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)  # noqa: S608 -- our own names
