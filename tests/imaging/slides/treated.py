"""What tests do with a slide of any format: de-identify it, look for what is left, have the second pass refuse it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

import numpy as np
import openslide
import pytest

from cases.errors import Quarantine
from imaging.slides import deid
from imaging.slides.plan import SlidePlan, write
from imaging.slides.planned import PlannedSource
from imaging.slides.second_pass import Scope, forms
from imaging.slides.source import PartSource, Source, is_folder_slide, opened
from tests.imaging.slides.conftest import NUMBER
from tests.imaging.slides.vendors import Pixels


def deidentified(slide: Path, target: Path, canaries: tuple[str, ...]) -> Path:
    """Written at `target`, and looked through by the second pass."""
    plan = deid.plan_slide(slide)
    write(plan, slide, target)
    deid.check_written(target, identity_values=(*canaries, *plan.removed_values))
    return target


def check_planned(
    slide: Path | Source, plan: SlidePlan, *, identity_values: tuple[str, ...], tiles: Scope = "every"
) -> int:
    """The second pass over what the plan would make, before it is made; returns the bytes read."""
    with opened(slide) as source:
        result = PlannedSource(plan, source)
        ends = list(accumulate((f.size for f in plan.files), initial=0))
        files: dict[str, Source] = {
            file.name: PartSource(result, ends[i], ends[i + 1]) for i, file in enumerate(plan.files)
        }
        values = tuple(dict.fromkeys((*identity_values, *plan.removed_values)))
        return deid.check_files(files if plan.folder else {"": result}, identity_values=values, tiles=tiles)


def refused(slide: Path | Source, plan: SlidePlan | None = None, values: tuple[str, ...] = ()) -> str:
    """Why the second pass refuses what the plan would make, without help from what the first one took out."""
    bare = dataclasses.replace(plan or deid.plan_slide(slide), removed_values=())
    with pytest.raises(Quarantine) as found:
        check_planned(slide, bare, identity_values=values)
    assert found.value.code == "identity-left"
    assert NUMBER not in found.value.detail
    return found.value.detail


def stopped(slide: Path | Source, *, check_payload: bool = True) -> Quarantine:
    """Why the first pass refuses a slide."""
    with pytest.raises(Quarantine) as found:
        deid.plan_slide(slide, check_payload=check_payload)
    return found.value


def bytes_of(slide: Path) -> bytes:
    """All of a slide's files, and their names."""
    files = [slide, *sorted(slide.with_suffix("").iterdir())] if is_folder_slide(slide) else [slide]
    return b"".join(file.name.encode() + file.read_bytes() for file in files)


def found_in(content: bytes, canaries: Iterable[str]) -> list[str]:
    """Which of them stand there, in any encoding."""
    return [canary for canary in canaries if any(form in content for form in forms(canary))]


def require_same_pixels(slide: Path, result: Path) -> None:
    """Every level of every area, as OpenSlide puts it together, and what it says of scale and places."""
    with ExitStack() as both:
        before, after = (both.enter_context(openslide.OpenSlide(path)) for path in (slide, result))
        assert after.level_dimensions == before.level_dimensions
        assert after.level_downsamples == before.level_downsamples
        told = ("openslide.mpp", "openslide.objective", "openslide.region", "openslide.bounds")
        kept = {name: value for name, value in before.properties.items() if name.startswith(told)}
        assert {"openslide.mpp-x", "openslide.mpp-y"} <= kept.keys()
        assert {name: after.properties[name] for name in kept} == kept
        for x, y, width, height in _regions(before):
            for level, factor in enumerate(before.level_downsamples):
                size = (max(1, int(width / factor)), max(1, int(height / factor)))
                one, other = (s.read_region((x, y), level, size) for s in (before, after))
                assert one.tobytes() == other.tobytes()
                seen = np.asarray(one)[:, :, 3]
                assert seen.all() if "openslide.region[0].x" in kept else seen.any(), "it was not seen"


def _regions(slide: openslide.OpenSlide) -> list[tuple[int, ...]]:
    """What was scanned (left, top, width, height), each area by itself."""
    told, sides = slide.properties, ("x", "y", "width", "height")
    areas = sum(name.endswith("].x") for name in told)
    return [tuple(int(told[f"openslide.region[{i}].{s}"]) for s in sides) for i in range(areas)] or [
        (0, 0, *slide.dimensions)
    ]


def near(one: Pixels, other: Pixels) -> bool:
    """Whether two pictures are the same but for how they were compressed."""
    return one.shape == other.shape and bool(np.abs(one.astype(int) - other).mean() < 2)
