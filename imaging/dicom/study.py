"""Instances grouped into series and studies, their duplicates told from conflicts, and what the stations did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cases.documents import InstanceFound, SeriesFound, StationUse, StudyFound
from cases.errors import Quarantine, Reject
from imaging.dicom import gaps
from imaging.dicom.read import Inspection

# Patient identity stands in descriptions now and then; one that holds a part of it this long is left out.
_SHORTEST_IDENTITY = 2


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """What a drop's instances are together. `duplicates` counts the files left out as byte-for-byte copies."""

    studies: tuple[StudyFound, ...]
    station_use: tuple[StationUse, ...]
    duplicates: int


def group(inspections: Iterable[Inspection]) -> Grouping:
    """Groups instances; the order of the result does not depend on the order of the files.

    :raises Quarantine: `uid-conflict` if one UID stands for two contents: an instance in two versions, a series in
        two studies or of two modalities.
    """
    kept, duplicates = _without_copies(inspections)
    series: dict[str, list[Inspection]] = {}
    for each in kept:
        series.setdefault(each.series_uid, []).append(each)
    studies: dict[str, list[list[Inspection]]] = {}
    for members in series.values():
        if len({each.study_uid for each in members}) > 1:
            raise Quarantine("uid-conflict", "a series UID stands in more than one study")
        if len({each.modality for each in members}) > 1:
            raise Quarantine("uid-conflict", "a series UID stands for more than one modality")
        studies.setdefault(members[0].study_uid, []).append(sorted(members, key=_place))
    found = [_study(uid, members) for uid, members in studies.items()]
    return Grouping(
        studies=tuple(sorted(found, key=lambda s: (s.started_at is None, str(s.started_at), s.uid))),
        station_use=station_use(kept),
        duplicates=duplicates,
    )


def require_complete(studies: Iterable[StudyFound]) -> None:
    """:raises Reject: `slices-missing` if a series has gaps; the detail counts, and names no one."""
    lacking = [series for study in studies for series in study.series if series.gaps]
    if lacking:
        count = sum(len(series.gaps) for series in lacking)
        first = lacking[0]
        number = f" {first.number}" if first.number is not None else ""
        slices = ", ".join(str(gap) for gap in first.gaps[:5]) + (" ..." if len(first.gaps) > 5 else "")
        sentence = f"{count} missing in {len(lacking)} series; {first.modality} series{number} lacks {slices}"
        raise Reject("slices-missing", sentence)


def representative(series: SeriesFound) -> InstanceFound:
    """The instance in the middle of a series, for its preview."""
    return series.instances[len(series.instances) // 2]


def station_use(inspections: Iterable[Inspection]) -> tuple[StationUse, ...]:
    """What each station did, by station and modality; only what has pictures counts, every frame as an image."""
    pictures = [each for each in inspections if each.has_pixels]
    pairs = sorted({(each.station, each.modality) for each in pictures})
    found = []
    for station, modality in pairs:
        of_pair = [each for each in pictures if (each.station, each.modality) == (station, modality)]
        found.append(
            StationUse(
                station=station,
                modality=modality,
                first_acquired_at=min((t for e in of_pair if (t := e.first_acquired_at)), default=None),
                last_acquired_at=max((t for e in of_pair if (t := e.last_acquired_at)), default=None),
                images=sum(each.frames for each in of_pair),
            )
        )
    return tuple(found)


def _without_copies(inspections: Iterable[Inspection]) -> tuple[list[Inspection], int]:
    kept: dict[str, Inspection] = {}
    duplicates = 0
    for each in sorted(inspections, key=lambda one: (one.file, one.member or "")):
        earlier = kept.setdefault(each.sop_instance_uid, each)
        if earlier is each:
            continue
        if earlier.sha256 != each.sha256:
            raise Quarantine(
                "uid-conflict", "two files carry the same SOP instance UID with different content"
            )
        duplicates += 1
    return list(kept.values()), duplicates


def _place(each: Inspection) -> tuple[bool, int, str]:
    return each.instance_number is None, each.instance_number or 0, each.sop_instance_uid


def _study(uid: str, members: list[list[Inspection]]) -> StudyFound:
    everything = [each for series in members for each in series]
    found = [_series(series) for series in members]
    return StudyFound(
        uid=uid,
        started_at=min((t for each in everything if (t := each.started_at)), default=None),
        study_date=min((day for each in everything if (day := each.study_date)), default=None),
        series=tuple(sorted(found, key=lambda s: (s.number is None, s.number or 0, s.uid))),
    )


def _series(members: Sequence[Inspection]) -> SeriesFound:
    first = members[0]
    return SeriesFound(
        uid=first.series_uid,
        modality=first.modality,
        number=first.series_number,
        description=_description(first),
        instances=tuple(_instance(each) for each in members),
        gaps=gaps.find(members),
    )


def _instance(each: Inspection) -> InstanceFound:
    return InstanceFound(
        file=each.file,
        member=each.member,
        sop_class_uid=each.sop_class_uid,
        sop_instance_uid=each.sop_instance_uid,
        transfer_syntax_uid=each.transfer_syntax_uid,
        frames=each.frames,
        instance_number=each.instance_number,
    )


def _description(each: Inspection) -> str:
    """The series' description, empty if a part of the file's own identity stands in it."""
    folded = each.series_description.casefold()
    identity = each.identity
    words = " ".join(
        (identity.patient_id, *identity.other_ids, identity.name, identity.birth_date)
    ).casefold()
    for separator in "^=\\,":
        words = words.replace(separator, " ")
    if any(len(word) >= _SHORTEST_IDENTITY and word in folded for word in words.split()):
        return ""
    return each.series_description
