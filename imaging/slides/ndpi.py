"""Hamamatsu NDPI: each level is one JPEG as large as the slide, cut by restart markers whose places a table may name.

What goes out stays NDPI: no other container can hold such a JPEG so that OpenSlide reads a part of it without decoding
all. Kept are the pictures whose objective is a magnification, of every focal plane, with numbers alone: magnification,
place on the glass, focal plane, table of restart markers. The macro image (objective -1, it shows the label), the map
(-2), the scanner's property map, serial number, reference, barcode and every other private tag are gone.

A small picture that calls itself a level must show what the largest small one shows; the base is too large to be
decoded here and is taken by its shape. Fluorescence (CaptureMode from 6) and other compressions are refused. Sources:
OpenSlide's page on the format; the layout of directories is that of `imaging.slides.tiff`.
"""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

from imaging.slides.markup import telling
from imaging.slides.payload import JPEG, unsafe
from imaging.slides.picture import Picture, read_picture
from imaging.slides.plan import SlidePlan, make_plan
from imaging.slides.pyramid import MAX_COMPARED_PIXELS, shows_slide
from imaging.slides.source import Source
from imaging.slides.tiff import NDPI_MARK, Tiff, damaged, integers, numbers, raw, read_tiff, text
from imaging.slides.writing import ASCII, LONG, Page, Value

MAKE, LENS, STARTS, STARTS_HIGH, CAPTURE_MODE, FOCAL_PLANE = 271, 65421, 65426, 65432, 65441, 65424
FLOAT, SLONG = 11, 9
_MAKER = b"Hamamatsu\0"
# Numbers kept as they stand, one each: objective; place on the glass in nanometres (x, y); focal plane in nanometres.
_NUMBERS: dict[int, int] = {LENS: FLOAT, 65422: SLONG, 65423: SLONG, FOCAL_PLANE: SLONG}
_GREATEST_LENS, _FLUORESCENCE = 200.0, 6
_NAMES = {-1.0: "macro image", -2.0: "map image"}
_REMOVED = {
    270: "ImageDescription", 272: "Model", 305: "Software", 306: "DateTime", 65427: "Reference", 65428: "AuthCode",
    65442: "serial number", 65449: "property map", 65468: "barcode", 65477: "scan profile",
}  # fmt: skip
_ADVICE = "export it from NDP.view2 as pyramidal TIFF, or drop the scanner's own file"


def plan(source: Source) -> SlidePlan:
    """How the de-identified slide is put together, below and beyond 4 GB.

    :raises Quarantine: `slide-unsafe` with advice for what cannot be taken; `file-damaged`.
    """
    tiff = read_tiff(source)
    if not tiff.ndpi:
        raise unsafe(f"Hamamatsu NDPI whose directories other software has rewritten: {_ADVICE}")
    pictures = tuple(read_picture(source, tiff, i) for i in range(len(tiff.directories)))
    scanned = scans(source, tiff, pictures)
    base = scanned[0]
    small = [p for p in scanned if p.width * p.height <= MAX_COMPARED_PIXELS]
    shown = max(small, key=lambda p: p.width) if small else base
    kept = tuple(
        p for p in scanned if _has_shape(p, base) and (p not in small or shows_slide(source, p, (shown,)))
    )
    dropped = tuple(p for p in pictures if p not in kept)
    return make_plan(
        source,
        tiff,
        format_code="ndpi",
        pages=tuple(_page(source, tiff, p) for p in kept),
        dropped=dropped,
        removed=(*(_named(source, tiff, p) for p in dropped), *_removed_tags(tiff)),
        values=_removed_values(source, tiff),
    )


def scans(source: Source, tiff: Tiff, pictures: tuple[Picture, ...]) -> tuple[Picture, ...]:
    """The pictures taken through an objective, in the order of the file, the base first.

    :raises Quarantine: `slide-unsafe`, `file-damaged`.
    """
    found = tuple(p for p in pictures if 0 < _lens(source, tiff, p) <= _GREATEST_LENS)
    if not found or any(p.width > found[0].width for p in found):
        raise damaged("the NDPI slide does not begin with its largest level")
    for picture in found:
        capture = picture.directory.entries.get(CAPTURE_MODE)
        if capture is not None and int(integers(source, tiff, capture)[0]) >= _FLUORESCENCE:
            raise unsafe(f"Hamamatsu NDPI of fluorescence: {_ADVICE}")
        if picture.compression != JPEG or picture.tiled or picture.offsets.size != 1:
            raise unsafe(f"Hamamatsu NDPI whose levels are not one JPEG each: {_ADVICE}")
    return found


def _lens(source: Source, tiff: Tiff, picture: Picture) -> float:
    entry = picture.directory.entries.get(LENS)
    if entry is None or (entry.type, entry.count) != (FLOAT, 1):
        raise damaged("a picture of the NDPI slide does not say through what it was taken")
    return float(numbers(source, tiff, entry)[0])


def _has_shape(picture: Picture, base: Picture) -> bool:
    """Levels are rounded to whole restart intervals, so their shapes differ by some pixels."""
    return abs(picture.aspect / base.aspect - 1) <= 0.05


def _page(source: Source, tiff: Tiff, picture: Picture) -> Page:
    entries = picture.directory.entries
    own: dict[int, Value] = {
        MAKE: (ASCII, len(_MAKER), _MAKER),
        NDPI_MARK: (LONG, 1, struct.pack("<I", 1)),
        **_starts(source, tiff, picture),
    }
    for tag, kind in _NUMBERS.items():
        entry = entries.get(tag)
        if entry is not None and (entry.type, entry.count) == (kind, 1):
            own[tag] = (kind, 1, raw(source, entry))
    plane = entries.get(FOCAL_PLANE)
    in_focus = plane is None or not any(raw(source, plane))
    return Page(picture=picture, description="", subfile=0, is_level=in_focus, own=own)


def _starts(source: Source, tiff: Tiff, picture: Picture) -> dict[int, Value]:
    """The table of restart intervals, if it is one: readers look for the markers themselves where there is none."""
    low = picture.directory.entries.get(STARTS)
    high = picture.directory.entries.get(STARTS_HIGH)
    if low is None or low.type != LONG or (high is not None and (high.type, high.count) != (LONG, low.count)):
        return {}
    values: NDArray[np.int64] = integers(source, tiff, low)
    if high is not None:
        values = values + (integers(source, tiff, high) << 32)
    rising = bool((values[1:] > values[:-1] + 2).all())
    if not values.size or not rising or values[0] < 4 or int(values[-1]) >= int(picture.counts[0]):
        return {}
    kept: dict[int, Value] = {STARTS: (LONG, low.count, raw(source, low))}
    if high is not None:
        kept[STARTS_HIGH] = (LONG, high.count, raw(source, high))
    return kept


def _named(source: Source, tiff: Tiff, picture: Picture) -> str:
    name = _NAMES.get(_lens(source, tiff, picture), "associated image")
    return f"{name} ({picture.width}x{picture.height})"


def _removed_tags(tiff: Tiff) -> tuple[str, ...]:
    present = {tag for directory in tiff.directories for tag in directory.entries}
    return tuple(f"tag: {name}" for tag, name in _REMOVED.items() if tag in present)


def _removed_values(source: Source, tiff: Tiff) -> tuple[str, ...]:
    """The texts taken out: of text tags whole, of the property map what stands behind each key."""
    found = []
    for directory in tiff.directories:
        for tag in _REMOVED.keys() & directory.entries.keys():
            for line in re.split(r"[\r\n\0]+", text(source, directory, tag)):
                found.append(line.partition("=")[2].strip() or line)
    return tuple(value for value in telling(found) if value != _MAKER[:-1].decode())
