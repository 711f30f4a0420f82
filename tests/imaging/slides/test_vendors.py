"""What holds for every vendor's form of TIFF: the whole way through, and whatever is done to the bytes."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable
from pathlib import Path

import openslide
import pytest
import tifffile

from cases.errors import Quarantine
from imaging import kinds
from imaging.deid.folder import Run, deidentify_tree
from imaging.slides import deid
from imaging.slides.formats import SUFFIXES
from imaging.slides.plan import LEAST_PART, stream
from imaging.slides.second_pass import forms
from imaging.slides.source import BytesSource, FileSource
from imaging.slides.written import require_no_text
from tests.imaging.slides import vendors
from tests.imaging.slides.treated import check_planned
from workers.native import plan_slide
from workers.slides import MEDIA_TYPES

MAKERS: dict[str, Callable[[Path], Path]] = {
    "ndpi": vendors.ndpi, "leica-scn": vendors.scn, "ventana-bif": vendors.bif,
}  # fmt: skip


@pytest.fixture(scope="module", params=MAKERS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    code: str = request.param
    return code, MAKERS[code](tmp_path_factory.mktemp(code) / f"slide{SUFFIXES[code]}")


def test_a_slide_is_known_for_what_it_is_and_taken(made: tuple[str, Path]) -> None:
    code, slide = made

    kind = kinds.kind_of(slide)

    assert (kind.family, kind.format, kind.file_kind) == ("slide", code, "slide")
    assert kinds.refusal(kind) is None
    assert MEDIA_TYPES.keys() == SUFFIXES.keys()


def test_the_workers_child_plans_it_in_parts_that_a_store_accepts(
    made: tuple[str, Path], tmp_path: Path
) -> None:
    _, slide = made

    (laid,) = plan_slide(slide, tmp_path / "made").files

    with FileSource(slide) as source:
        expected = b"".join(stream(deid.plan_slide(source), source))
    content = {True: (tmp_path / "made").read_bytes(), False: slide.read_bytes()}
    parts = [content[p.made][p.offset : p.offset + p.length] for p in laid.parts]
    assert b"".join(parts) == expected
    assert [p.sha256 for p in laid.parts] == [hashlib.sha256(p).hexdigest() for p in parts]
    assert all(len(p) >= LEAST_PART for p in parts[:-1])


def test_tissue_is_not_taken_for_writing(made: tuple[str, Path]) -> None:
    require_no_text(made[1], identity_values=vendors.CANARIES)


def test_the_same_slide_gives_the_same_plan(made: tuple[str, Path]) -> None:
    assert deid.plan_slide(made[1]) == deid.plan_slide(made[1])


def test_a_slide_written_again_stays_as_it_is_and_safe(made: tuple[str, Path], tmp_path: Path) -> None:
    """A partner may hand on what it got: the same levels, and the second pass agrees."""
    with FileSource(made[1]) as source:
        once = b"".join(stream(deid.plan_slide(source), source))
    again = BytesSource(once)

    twice = b"".join(stream(deid.plan_slide(again), again))

    deid.check_written(BytesSource(twice), identity_values=vendors.CANARIES)
    assert len(twice) == len(once)


def test_a_folder_of_slides_comes_out_under_names_of_its_own(made: tuple[str, Path], tmp_path: Path) -> None:
    code, slide = made

    report = next(deidentify_tree(slide, tmp_path / "out", Run(secret=b"k" * 32, clinic="here")))

    assert (report.verdict, report.format) == ("clean", code)
    assert report.named is not None
    assert report.named.endswith(SUFFIXES[code])
    with openslide.OpenSlide(tmp_path / "out" / report.named) as opened:
        assert opened.level_count >= 3


def test_what_tags_say_is_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """tifffile quotes a text that it cannot decode."""
    slide = tmp_path / "slide.tiff"
    logging.getLogger("tifffile").disabled = False
    tissue = vendors.tissue_on_glass()
    with tifffile.TiffWriter(slide) as writer:
        for picture in (tissue, vendors.smaller(tissue, 2), vendors.smaller(tissue, 4)):
            writer.write(
                picture, tile=(256, 256), compression="jpeg", photometric="rgb", metadata=None, subfiletype=1,
                software=False,
                extratags=[(tag, 2, 10, b"Wang \x81\x8d\x8f\x90\0", True) for tag in (270, 305, 306)],
            )  # fmt: skip

    deid.plan_slide(slide)

    assert "Wang" not in caplog.text


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_done_to_its_bytes_nothing_known_leaves(made: tuple[str, Path], seed: int) -> None:
    """Bytes are changed where directories and XML stand: the slide is refused, or leaves without an identity."""
    content = bytearray(made[1].read_bytes())
    chance = random.Random(seed)
    places = _directories(made[1])
    for _ in range(chance.choice((1, 2, 8))):
        content[chance.choice(places) + chance.randrange(-4, 300)] = chance.choice(
            (0, 1, 65, 255, chance.randrange(256))
        )
    source = BytesSource(bytes(content))

    try:
        plan = deid.plan_slide(source)
        check_planned(source, plan, identity_values=vendors.CANARIES)
    except Quarantine:
        return
    result = b"".join(stream(plan, source))
    for canary in vendors.CANARIES:
        assert not any(form in result for form in forms(canary))


def _directories(path: Path) -> list[int]:
    with tifffile.TiffFile(path) as opened:
        pages = [p for p in opened.pages if isinstance(p, tifffile.TiffPage)]
        values = [tag.valueoffset for page in pages for tag in page.tags if tag.code in (270, 700, 65426)]
    return [8, *(page.offset for page in pages), *values]
