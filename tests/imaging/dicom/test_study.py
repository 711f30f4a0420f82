"""Instances grouped: studies, series, gaps, copies, conflicts and what the stations did."""

from __future__ import annotations

import dataclasses
import random
from datetime import datetime, timedelta

import pytest
from pydicom.uid import generate_uid

from cases.errors import Quarantine, Reject
from imaging.dicom import gaps, study
from imaging.dicom.read import Inspection, inspect
from tests.imaging.dicom import samples

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
BASE = inspect(samples.TEST_FILES / "CT_small.dcm")


def instance(number: int | None, height: float | None = None, **changes: object) -> Inspection:
    fields: dict[str, object] = {
        "file": f"file-{number}-{height}",
        "sop_instance_uid": generate_uid(),
        "sha256": generate_uid(),
        "instance_number": number,
        "position": None if height is None else (-100.0, -100.0, height),
        "orientation": None if height is None else AXIAL,
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
    }
    return dataclasses.replace(BASE, **{**fields, **changes})  # type: ignore[arg-type]


def stack(count: int, spacing: float = 5.0, **changes: object) -> list[Inspection]:
    return [instance(number, number * spacing, **changes) for number in range(1, count + 1)]


def without(instances: list[Inspection], *numbers: int) -> list[Inspection]:
    return [each for each in instances if each.instance_number not in numbers]


def test_real_slices_are_grouped_into_one_series_and_nothing_is_missing() -> None:
    found = study.group(inspect(raw, file=f"f{i}") for i, raw in enumerate(samples.ct_series(12)))
    assert len(found.studies) == 1
    assert [each.instance_number for each in found.studies[0].series[0].instances] == list(range(1, 13))
    assert found.studies[0].series[0].gaps == ()
    study.require_complete(found.studies)


def test_a_slice_left_out_of_real_ones_sends_the_series_back_with_its_number() -> None:
    raws = samples.ct_series(12)
    found = study.group(inspect(raw) for raw in (*raws[:6], *raws[7:]))
    assert found.studies[0].series[0].gaps == (7,)
    with pytest.raises(Reject, match="lacks 7") as rejected:
        study.require_complete(found.studies)
    assert rejected.value.code == "slices-missing"


def test_the_grouping_does_not_depend_on_the_order_of_the_files() -> None:
    files = [
        *stack(8),
        *stack(6, series_uid="1.2.3", series_number=2),
        *stack(5, study_uid="1.2", series_uid="1.4"),
    ]
    expected = study.group(files)
    for seed in range(5):
        random.Random(seed).shuffle(files)
        assert study.group(files) == expected
    assert len(expected.studies) == 2


def test_a_copy_is_counted_and_left_out() -> None:
    first, second = instance(1), instance(2)
    copy = dataclasses.replace(first, file="copy")
    found = study.group([first, second, copy])
    assert found.duplicates == 1
    assert len(found.studies[0].series[0].instances) == 2


def test_one_uid_with_two_contents_is_a_conflict() -> None:
    first = instance(1)
    with pytest.raises(Quarantine) as refused:
        study.group([first, dataclasses.replace(first, file="other", sha256="0" * 64)])
    assert refused.value.code == "uid-conflict"


@pytest.mark.parametrize("change", [{"study_uid": "1.2.3"}, {"modality": "MR"}])
def test_a_series_uid_in_two_studies_or_of_two_modalities_is_a_conflict(change: dict[str, str]) -> None:
    with pytest.raises(Quarantine) as refused:
        study.group([instance(1), instance(2, None, **change)])
    assert refused.value.code == "uid-conflict"


# --- gaps: what is certain


@pytest.mark.parametrize("missing", [(2,), (5,), (9,), (4, 5), (3, 7)])
def test_slices_missing_from_an_even_stack_are_found(missing: tuple[int, ...]) -> None:
    assert gaps.find(without(stack(10), *missing)) == missing


@pytest.mark.parametrize("missing", [(2,), (5, 6)])
def test_missing_numbers_are_found_where_there_are_no_positions(missing: tuple[int, ...]) -> None:
    assert gaps.find(without([instance(n) for n in range(1, 11)], *missing)) == missing


def test_missing_numbers_are_found_where_all_positions_are_equal() -> None:
    assert gaps.find(without([instance(n, 5.0) for n in range(1, 11)], 4)) == (4,)


def test_doubled_spacing_is_found_where_numbers_say_nothing() -> None:
    unnumbered = [dataclasses.replace(each, instance_number=None) for each in without(stack(10), 4)]
    assert gaps.find(unnumbered) == (4,)
    renumbered = [dataclasses.replace(e, instance_number=i) for i, e in enumerate(without(stack(10), 4), 1)]
    assert gaps.find(renumbered) == (4,)


def test_an_oblique_stack_is_measured_along_its_normal() -> None:
    c, s = 0.8, 0.6
    tilted = [
        dataclasses.replace(e, orientation=(1.0, 0.0, 0.0, 0.0, c, s), position=(0.0, -s * n * 3, c * n * 3))
        for n, e in enumerate(stack(9))
    ]
    assert gaps.find(tilted) == ()
    assert gaps.find(tilted[:4] + tilted[5:]) == (5,)


# --- gaps: what is not certain is no gap


def multi_echo() -> list[Inspection]:
    return [
        instance(2 * n + e, n * 5.0, modality="MR", acquisition=(1, e, None))
        for n in range(1, 9)
        for e in (1, 2)
    ]


UNCERTAIN = {
    "a whole stack": stack(20),
    "four slices only": without(stack(5), 3),
    "numbers by twos": [instance(2 * n, None) for n in range(1, 12)],
    "numbers that start anywhere": [instance(n) for n in range(51, 61)],
    "a whole stack with odd numbers": [instance(n if n < 6 else n + 1, n * 5.0) for n in range(1, 11)],
    "no numbers, no positions": [instance(None) for _ in range(8)],
    "two echoes at each place": multi_echo(),
    "localizers": without(stack(9, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), 4),
    "an x-ray series": without(stack(9, modality="CR"), 4),
    "an ultrasound series": without(stack(9, modality="US"), 4),
    "uneven spacing": [instance(n, h) for n, h in enumerate([0, 5, 10, 16, 23, 31, 40.5, 52], 1)],
    "two stacks with a space between": [
        instance(n, h) for n, h in enumerate([0, 5, 10, 15, 20, 83, 88, 93, 98, 103], 1)
    ],
    "two stacks a multiple of the spacing apart": [
        dataclasses.replace(e, instance_number=i) for i, e in enumerate(without(stack(20), *range(8, 15)), 1)
    ],
    "interleaved localizer planes": [
        instance(n, 5.0 * n, orientation=AXIAL if n % 2 else (1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
        for n in range(1, 9)
    ],
    "jitter of the table": [instance(n, n * 5.0 + (n % 3) * 0.02) for n in range(1, 15)],
    "one number for all": [instance(1, n * 5.0) for n in range(1, 9)],
    "multi-frame instances": without(stack(9, frames=10), 4),
}


@pytest.mark.parametrize("case", UNCERTAIN)
def test_what_is_not_certain_is_no_gap(case: str) -> None:
    assert gaps.find(UNCERTAIN[case]) == ()


# --- equipment


def test_station_use_counts_frames_between_the_first_and_the_last_acquisition() -> None:
    began = datetime.fromisoformat("2026-03-02T09:00")
    files = [
        instance(n, first_acquired_at=at, last_acquired_at=at + timedelta(minutes=1), frames=3)
        for n, at in ((n, began + timedelta(minutes=n)) for n in range(1, 4))
    ]
    files.append(
        instance(
            9, station="", modality="CR", series_uid="1.9", first_acquired_at=None, last_acquired_at=None
        )
    )
    files.append(instance(10, series_uid="1.10", modality="SR", has_pixels=False))
    unknown, ct = study.group(files).station_use
    assert (unknown.station, unknown.modality, unknown.first_acquired_at, unknown.images) == (
        "",
        "CR",
        None,
        1,
    )
    assert (ct.station, ct.modality, ct.images) == ("CT01_OC0", "CT", 9)
    assert ct.first_acquired_at == began + timedelta(minutes=1)
    assert ct.last_acquired_at == began + timedelta(minutes=4)


def test_a_description_that_carries_identity_is_left_out() -> None:
    kept = study.group([instance(1, series_description="CHEST 5mm")]).studies[0].series[0]
    left_out = study.group([instance(1, series_description="compressedsamples CHEST")]).studies[0].series[0]
    assert (kept.description, left_out.description) == ("CHEST 5mm", "")


def test_the_representative_stands_in_the_middle_of_its_series() -> None:
    series = study.group(stack(9)).studies[0].series[0]
    assert study.representative(series).instance_number == 5
