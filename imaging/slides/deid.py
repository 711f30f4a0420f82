"""One door to the de-identification of a slide file: the plan by its format, tiles checked, then the second pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cases.errors import Quarantine
from imaging.slides import (
    aperio,
    generic_tiff,
    leica,
    mirax,
    ndpi,
    philips,
    second_mirax,
    second_pass,
    ventana,
)
from imaging.slides.formats import accept
from imaging.slides.payload import check_tiles
from imaging.slides.picture import read_picture
from imaging.slides.plan import SlidePlan
from imaging.slides.planned import PlannedSource
from imaging.slides.source import FileSource, FolderSource, PartSource, Source, opened
from imaging.slides.tiff import read_tiff

_PLANS: dict[str, Callable[[Source], SlidePlan]] = {
    "svs": aperio.plan,
    "generic-tiff": generic_tiff.plan,
    "ndpi": ndpi.plan,
    "leica-scn": leica.plan,
    "philips-tiff": philips.plan,
    "ventana-bif": ventana.plan,
    "mirax": mirax.plan,
}


def plan_slide(slide: Path | Source, *, check_payload: bool = True) -> SlidePlan:
    """The plan of the de-identified slide. DICOM instances are not planned here: see `imaging.slides.dicom_wsi`.

    :param check_payload: walk every kept tile to its end (reads the slide once); False where that was done before:
        then only thumbnails are walked, which belong to no level.
    :raises Quarantine: `slide-unsafe`, `format-unknown`, `file-damaged`.
    """
    with opened(slide) as source:
        found = accept(source)
        if found.code not in _PLANS:
            raise Quarantine("slide-unsafe", f"{found.name} is de-identified instance by instance")
        plan = _PLANS[found.code](source)
        if check_payload and plan.folder:
            mirax.check_pictures(source)
        elif not plan.folder:
            _check_payload(PlannedSource(plan, source), levels=check_payload)
    return plan


def _check_payload(result: Source, *, levels: bool) -> None:
    tiff = read_tiff(result)
    for index in range(len(tiff.directories)):
        picture = read_picture(result, tiff, index)
        if levels or not (picture.tiled or tiff.ndpi):
            check_tiles(result, picture)


def check_written(
    slide: Path | Source, *, identity_values: tuple[str, ...], tiles: second_pass.Scope = "every"
) -> int:
    """The second pass over a slide that was written; returns the bytes read.

    :raises Quarantine: `identity-left`.
    """
    with opened(slide) as source:
        files: dict[str, Source] = {"": source}
        if not isinstance(source, FolderSource):
            return check_files(files, identity_values=identity_values, tiles=tiles)
        assert isinstance(slide, Path), "a folder was opened by its slide's path"
        files |= {name: PartSource(source, *source.span(name)) for name in source.names}
        with FileSource(slide) as cover:
            return check_files(files | {"": cover}, identity_values=identity_values, tiles=tiles)


def check_files(
    files: Mapping[str, Source], *, identity_values: tuple[str, ...], tiles: second_pass.Scope = "every"
) -> int:
    """The second pass over a slide's files, by their names in its folder, the slide itself without a name.

    :raises Quarantine: `identity-left`.
    """
    if set(files) == {""}:
        return second_pass.check_slide(files[""], identity_values=identity_values, tiles=tiles)
    return second_mirax.check_slide(files, identity_values=identity_values, tiles=tiles)
