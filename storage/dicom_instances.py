"""The instances that WADO-RS gives: which there are, where their objects are, and where within those the frames lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cases.errors import TeledxError
from cases.indexed import SPAN, PixelPlaces
from storage.database import Connection, Row
from storage.dicom_search import RIGHT

# Rows whose metadata is read at once: some MiB at most, whatever the study's size.
METADATA_AT_ONCE = 64


class UnknownInstance(TeledxError):
    """No such study, series or instance, or no work item gives it to the asking organisation."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instance in the asking partner's bucket. `bulk` and `pixels` are read for a single one only."""

    case_id: str
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    transfer_syntax: str
    key: str
    size: int
    has_pixels: bool
    bulk: Mapping[str, tuple[int, int, int]] | None = None
    pixels: PixelPlaces | None = None


_SHOWN = f"""
SELECT * FROM (
    SELECT DISTINCT ON (i.sop_uid) i.number, {{told}} FROM dicom_instance i
    WHERE {{named}} AND i.key IS NOT NULL AND {RIGHT.format("i")} ORDER BY i.sop_uid, i.number DESC) newest
ORDER BY number
"""  # noqa: S608 -- our own names
_NAMED = ("i.study_uid = %s", "i.series_uid = %s", "i.sop_uid = %s")
_PLACE = (
    "i.case_id, i.study_uid, i.series_uid, i.sop_uid, i.sop_class, i.transfer_syntax, i.key, i.size,"
    " i.pixels IS NOT NULL AS has_pixels"
)


def instances(
    connection: Connection, study: str, series: str | None = None, sop: str | None = None
) -> list[Instance]:
    """The instances of a study, of a series in it, or the one instance of that, in their order.

    Raises `UnknownInstance`.
    """
    uids = [uid for uid in (study, series, sop) if uid is not None]
    told = _PLACE if sop is None else f"{_PLACE}, i.bulk, i.pixels"
    named = " AND ".join(_NAMED[: len(uids)])
    rows = connection.execute(_SHOWN.format(told=told, named=named).encode(), uids).fetchall()
    if not rows:
        raise UnknownInstance("no such study, series or instance")
    return [_instance(row) for row in rows]


def metadata(connection: Connection, chosen: Sequence[Instance]) -> Iterator[tuple[Instance, bytes]]:
    """The metadata of these instances (DICOM JSON, deflated by zlib), of at most `METADATA_AT_ONCE`, in their order."""
    rows = connection.execute(
        "SELECT i.case_id, i.sop_uid, i.metadata FROM dicom_instance i"
        " WHERE i.case_id = ANY(%s) AND i.sop_uid = ANY(%s)",
        (list({i.case_id for i in chosen}), [i.sop_uid for i in chosen]),
    ).fetchall()
    found = {(row["case_id"], row["sop_uid"]): row["metadata"] for row in rows}
    for instance in chosen:
        if (instance.case_id, instance.sop_uid) not in found:
            raise UnknownInstance("the instance was withdrawn meanwhile")
        yield instance, found[instance.case_id, instance.sop_uid]


def spans(connection: Connection, instance: Instance, frames: Sequence[int]) -> list[tuple[int, int]]:
    """Offset and length of the fragments of each of `frames` (from 0) within the object."""
    rows = connection.execute(
        "SELECT substring(i.spans FROM f.number * %s + 1 FOR %s) AS span FROM dicom_instance i,"
        " unnest(%s::int[]) WITH ORDINALITY AS f(number, place) WHERE i.case_id = %s AND i.sop_uid = %s"
        " ORDER BY f.place",
        (SPAN.size, SPAN.size, list(frames), instance.case_id, instance.sop_uid),
    ).fetchall()
    if len(rows) != len(frames) or any(len(row["span"] or b"") != SPAN.size for row in rows):
        raise UnknownInstance("no such frame")
    return [SPAN.unpack(row["span"]) for row in rows]


def _instance(row: Row) -> Instance:
    places: dict[str, Any] | None = row.pop("pixels", None)
    bulk = row.pop("bulk", None)
    del row["number"]
    return Instance(
        **row,
        bulk={path: tuple(place) for path, place in bulk.items()} if bulk is not None else None,
        pixels=PixelPlaces(**places) if places else None,
    )
