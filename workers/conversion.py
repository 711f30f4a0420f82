"""A slide that cannot be taken as it is, converted by the operator's program; what comes out is kept in the region."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cases.documents import ConvertedSlide
from cases.order import SlideLine
from imaging.slides.convert import check_made, converted
from workers.parts import Tools, Work

CHECK_SECONDS = 300.0
MEDIA_TYPE = "image/tiff"


@contextmanager
def as_taken(
    work: Work, tools: Tools, path: Path, line: SlideLine
) -> Iterator[tuple[Path, ConvertedSlide | None]]:
    """The slide as it can be taken, for the length of the block: itself, or what the converter made of it.

    Raises `Quarantine` (`conversion-failed`). A format without a converter is given back as it is.
    """
    converter = tools.conversion.of(path)
    if converter is None:
        yield path, None
        return
    told = tools.conversion
    folder = path.with_name(f"{path.name}-converted")
    with converted(path, folder, converter, told.limits, told.hidden) as made:
        tools.child.run_for(CHECK_SECONDS, check_made, made.path, path, converter.code)
        stored = tools.objects.upload("identified", _key(work, line, made.path), made.path, MEDIA_TYPE)
        yield made.path, ConvertedSlide(stored=stored, source_format=converter.code, by=made.by)


def _key(work: Work, line: SlideLine, made: Path) -> str:
    """Named by its content: a converter need not make the same bytes twice."""
    with made.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    place = f"{work.case.id}/preprocess/{work.case.version:03d}"
    return f"{place}/converted/{line.number:03d}-{digest[:16]}.tiff"
