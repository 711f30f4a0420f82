"""Whether slices are missing from a series: only what is certain counts, because a false alarm sends a patient back.

Two witnesses. Positions along the normal of an even stack say it best; where positions say nothing (absent, all
equal, uneven) the instance numbers do. Localizers, series of fewer than five images and multi-frame instances
have no say.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from imaging.dicom.read import Inspection

MIN_SLICES = 5
SLICED = frozenset(("CT", "MR", "PT"))
_LOCALIZER = frozenset(("LOCALIZER", "SCOUT", "TOPOGRAM"))
# Positions are written with rounding, and tables move unevenly by hundredths of a millimetre.
_TOLERANCE = 0.1
_SHARE_OF_STEPS = 2 / 3
# A wider space is one between two stacks, unless the numbers say otherwise.
_WIDEST_STEP = 4


def find(instances: Sequence[Inspection]) -> tuple[int, ...]:
    """The instance numbers that a series lacks; of an even stack that is numbered otherwise, its places from 1.

    Empty where nothing is certain.
    """
    slices = [each for each in instances if each.frames == 1 and not _LOCALIZER & set(each.image_type)]
    if len(slices) < MIN_SLICES or slices[0].modality not in SLICED:
        return ()
    places = _missing_places(slices)
    if places == ():
        return () if _is_single_stack(slices) else _missing_numbers(slices)
    return _missing_numbers(slices) or places or ()


def _missing_numbers(slices: Sequence[Inspection]) -> tuple[int, ...]:
    """Numbers left out of a run that goes up by one nearly everywhere."""
    numbers = sorted({each.instance_number for each in slices if each.instance_number is not None})
    if len(numbers) != len(slices):
        return ()
    steps = [after - before for before, after in pairwise(numbers)]
    if steps.count(1) < _SHARE_OF_STEPS * len(steps):
        return ()
    missing = [n for before, after in pairwise(numbers) for n in range(before + 1, after)]
    return tuple(missing) if len(missing) <= len(numbers) else ()


def _missing_places(slices: Sequence[Inspection]) -> tuple[int, ...] | None:
    """Places in an even stack that hold no slice; None if this is no even stack."""
    heights = _heights(slices)
    if heights is None or len(heights) < MIN_SLICES:
        return None
    steps = [after - before for before, after in pairwise(heights)]
    usual = median(steps)
    missing: list[int] = []
    place = 1
    for step in steps:
        ratio = step / usual
        if abs(ratio - round(ratio)) > _TOLERANCE or not 1 <= round(ratio) <= _WIDEST_STEP:
            return None
        missing += range(place + 1, place + round(ratio))
        place += round(ratio)
    if sum(round(step / usual) > 1 for step in steps) > (1 - _SHARE_OF_STEPS) * len(steps):
        return None
    return tuple(missing)


def _heights(slices: Sequence[Inspection]) -> list[float] | None:
    """The distinct distances along the common normal in mm, ascending; None unless all slices are parallel."""
    first = slices[0].orientation
    if first is None:
        return None
    normal = (
        first[1] * first[5] - first[2] * first[4],
        first[2] * first[3] - first[0] * first[5],
        first[0] * first[4] - first[1] * first[3],
    )
    heights = set()
    for each in slices:
        if each.position is None or each.orientation is None:
            return None
        if max(abs(a - b) for a, b in zip(first, each.orientation, strict=True)) > 1e-3:
            return None
        heights.add(round(sum(n * p for n, p in zip(normal, each.position, strict=True)), 3))
    return sorted(heights)


def _is_single_stack(slices: Sequence[Inspection]) -> bool:
    """Whether every slice has a place of its own: then a whole stack proves that odd numbering is only that."""
    return len({each.position for each in slices}) == len(slices)
