"""Leica SCN: a collection of images, each a pyramid at its place on the glass, told by XML in the first directory.

What goes out stays SCN: only there can several scanned areas stand at their places on one glass, as OpenSlide and
tifffile read them. Kept are the images in bright field through a magnifying objective; the macro image (it covers the
whole glass, and with it the label), labels and whatever else the collection names are gone. The XML is written anew
from numbers: sizes and places in nanometres, objective, aperture. Microns per pixel stay in the resolution tags.

OpenSlide opens no slide of several areas that lacks an image of the whole glass: there the smallest level of the first
area is named as one, which adds no byte of a picture. Fluorescence and focal planes are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cases.errors import Quarantine
from imaging.slides.markup import Element, all_texts, below, name, parsed, plain, telling, whole, words
from imaging.slides.payload import unsafe
from imaging.slides.picture import Picture, read_picture
from imaging.slides.plan import SlidePlan, make_plan
from imaging.slides.pyramid import levels_of
from imaging.slides.source import Source
from imaging.slides.tiff import damaged, read_tiff
from imaging.slides.writing import Page

_NAMESPACE = re.compile(r"http://www\.leica-microsystems\.com/scn/2010/(?:03/10|10/01)")
_LEAST_OBJECTIVE, _GREATEST_OBJECTIVE = 1.0, 200.0
_REDUCED = 1
_ADVICE = "in Aperio ImageScope open it and choose File, Save as, SVS"


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """One scanned image: its view in nanometres (size x, y and offset x, y) and its levels, the base first."""

    view: tuple[int, int, int, int]
    objective: str
    aperture: str
    levels: tuple[Picture, ...]


def plan(source: Source) -> SlidePlan:
    """How the de-identified slide is put together.

    :raises Quarantine: `slide-unsafe` with advice for what cannot be taken; `reading-loss`; `file-damaged`.
    """
    tiff = read_tiff(source)
    pictures = tuple(read_picture(source, tiff, i) for i in range(len(tiff.directories)))
    root = parsed(pictures[0].description)
    collection = next(below(root, "collection"), None)
    namespace = _NAMESPACE.search(pictures[0].description)
    if collection is None or namespace is None:
        raise damaged("the Leica slide describes no collection")
    glass = (whole(collection, "sizeX"), whole(collection, "sizeY"))
    areas = tuple(
        _area(source, image, pictures) for image in below(collection, "image") if _is_area(image, glass)
    )
    if not areas:
        raise unsafe(f"Leica SCN without an image in bright field: {_ADVICE}")
    kept = tuple(p for area in areas for p in area.levels)
    if len({p.index for p in kept}) != len(kept):
        raise damaged("two images of the Leica slide are the same")
    described = rebuilt(namespace.group(), glass, areas)
    dropped = tuple(p for p in pictures if p not in kept)
    bases = {area.levels[0].index for area in areas}
    return make_plan(
        source,
        tiff,
        format_code="leica-scn",
        pages=tuple(
            Page(
                picture=p,
                description="" if index else described,
                subfile=0 if p.index in bases else _REDUCED,
                is_level=True,
            )
            for index, p in enumerate(kept)
        ),
        dropped=dropped,
        removed=(*(f"macro or further image ({p.width}x{p.height})" for p in dropped), *_removed_keys(root)),
        values=telling(t for t in all_texts(root) if t != "brightfield"),
    )


def _is_area(image: Element, glass: tuple[int, int]) -> bool:
    """Whether this is tissue through an objective, not a picture of the whole glass (as OpenSlide tells them apart)."""
    view = next(below(image, "view"), None)
    if view is None:
        raise damaged("an image of the Leica slide has no place")
    covers = (whole(view, "sizeX"), whole(view, "sizeY")) == glass
    if covers and whole(view, "offsetX") == whole(view, "offsetY") == 0:
        return False
    if words(image, "scanSettings", "illuminationSettings", "illuminationSource") != "brightfield":
        return False
    objective = plain(words(image, "scanSettings", "objectiveSettings", "objective"))
    if not objective or not 0 < float(objective) <= _GREATEST_OBJECTIVE:
        raise Quarantine("reading-loss", "the slide's objective is not one that microscopes have")
    return float(objective) >= _LEAST_OBJECTIVE


def _area(source: Source, image: Element, pictures: tuple[Picture, ...]) -> Area:
    dimensions = list(below(image, "pixels", "dimension"))
    if any(whole(d, "z", 0) or whole(d, "c", 0) for d in dimensions):
        raise unsafe(f"Leica SCN with several focal planes or channels: {_ADVICE}")
    named = [(whole(d, "ifd"), whole(d, "sizeX"), whole(d, "sizeY")) for d in dimensions]
    if not named or not all(0 <= ifd < len(pictures) for ifd, _, _ in named):
        raise damaged("an image of the Leica slide names no pictures")
    found = tuple(pictures[ifd] for ifd, *_ in sorted(named, key=lambda d: -d[1]))
    if any((pictures[ifd].width, pictures[ifd].height) != (width, height) for ifd, width, height in named):
        raise damaged("an image of the Leica slide has another size than it says")
    if not all(p.tiled for p in found) or len(levels_of(source, found, only_reduced=False)) != len(found):
        raise unsafe(
            f"Leica SCN in which a picture that calls itself a level shows something else: {_ADVICE}"
        )
    view = next(below(image, "view"))
    x, y, left, top = (whole(view, key) for key in ("sizeX", "sizeY", "offsetX", "offsetY"))
    return Area(
        view=(x, y, left, top),
        objective=plain(words(image, "scanSettings", "objectiveSettings", "objective")),
        aperture=plain(words(image, "scanSettings", "illuminationSettings", "numericalAperture")),
        levels=found,
    )


def rebuilt(namespace: str, glass: tuple[int, int], areas: tuple[Area, ...]) -> str:
    """The description that goes out: numbers alone, directories in the order in which they are kept."""
    images, first = [], 0
    for area in areas:
        images.append(_image(area.view, area, first, area.levels))
        first += len(area.levels)
    if len(areas) > 1:
        last = len(areas[0].levels) - 1
        images.append(_image((*glass, 0, 0), areas[0], last, areas[0].levels[last:]))
    return (
        f'<?xml version="1.0"?><scn xmlns="{namespace}"><collection sizeX="{glass[0]}" sizeY="{glass[1]}">'
        f"{''.join(images)}</collection></scn>"
    )


def _image(view: tuple[int, int, int, int], area: Area, first: int, levels: tuple[Picture, ...]) -> str:
    dimensions = "".join(
        f'<dimension sizeX="{p.width}" sizeY="{p.height}" r="{r}" ifd="{first + r}"/>'
        for r, p in enumerate(levels)
    )
    aperture = f"<numericalAperture>{area.aperture}</numericalAperture>" if area.aperture else ""
    return (
        f'<image><view sizeX="{view[0]}" sizeY="{view[1]}" offsetX="{view[2]}" offsetY="{view[3]}"/>'
        f'<pixels sizeX="{levels[0].width}" sizeY="{levels[0].height}">{dimensions}</pixels>'
        f"<scanSettings><objectiveSettings><objective>{area.objective}</objective></objectiveSettings>"
        f"<illuminationSettings>{aperture}<illuminationSource>brightfield</illuminationSource>"
        "</illuminationSettings></scanSettings></image>"
    )


_KNOWN_KEYS = ("barcode", "creationDate", "device", "supplementalImage", "scanSettings")


def _removed_keys(root: Element) -> tuple[str, ...]:
    present = {name(e) for e in root.iter()}
    return tuple(f"key: {key}" for key in _KNOWN_KEYS if key in present)
