"""Can this slide be read to its end, and is it worth reading? Everything here runs in a killable child process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import openslide

from cases.errors import Quarantine, Reject
from imaging.slides import look
from imaging.slides.formats import accept
from imaging.slides.mirax import check_pictures
from imaging.slides.ndpi import scans
from imaging.slides.payload import check_tiles
from imaging.slides.picture import read_picture
from imaging.slides.source import opened
from imaging.slides.tiff import read_tiff

# The smallest biopsy on a large glass covers more than this share of it.
LEAST_TISSUE = 0.0005
LEAST_FOCUS = 0.35


@dataclass(frozen=True, kw_only=True)
class SlideReading:
    """A slide that opened, was read to its end and shows tissue in focus.

    `mpp` in microns per pixel (x, y); `levels` in pixels, largest first; `tissue_share` and `focus` from 0 to 1.
    `preview` is a PNG of at most 1024 pixels a side, of the tissue and never of the label.
    """

    format: str
    mpp: tuple[float, float] | None
    levels: tuple[tuple[int, int], ...]
    tissue_share: float
    focus: float
    preview: bytes = field(repr=False)
    bytes_read: int


def check_slide(path: Path) -> SlideReading:
    """Read one slide to its end. A DICOM slide is given by its VOLUME instance, its siblings in the same folder.

    :raises Quarantine: `slide-unsafe`, `format-unknown`, `file-damaged`.
    :raises Reject: `no-tissue`, `out-of-focus`.
    """
    found = accept(path)
    read = path.stat().st_size if found.code == "dicom-wsi" else _read_tiles(path, found.code)
    try:
        with openslide.OpenSlide(path) as slide:
            return _judge(slide, found.code, read)
    except (openslide.OpenSlideError, OSError, ValueError) as error:
        raise Quarantine("file-damaged", f"the {found.name} slide cannot be opened or decoded") from error


def _read_tiles(path: Path, code: str) -> int:
    """Walk every tile and strip of every level; the associated images are read by those who need them."""
    with opened(path) as source:
        if code == "mirax":
            return check_pictures(source)
        tiff = read_tiff(source)
        pictures = tuple(read_picture(source, tiff, i) for i in range(len(tiff.directories)))
        levels = scans(source, tiff, pictures) if tiff.ndpi else tuple(p for p in pictures if p.tiled)
        return sum(check_tiles(source, p) for p in levels)


def _judge(slide: openslide.OpenSlide, code: str, read: int) -> SlideReading:
    picture = look.overview(slide)
    found = look.tissue(picture)
    share = float(found.mean())
    if share < LEAST_TISSUE:
        raise Reject("no-tissue", f"tissue covers {share:.2%} of the glass")
    sharp = look.focus(slide, found)
    if sharp < LEAST_FOCUS:
        raise Reject("out-of-focus", f"focus {sharp:.2f}, at least {LEAST_FOCUS:.2f} is needed")
    return SlideReading(
        format=code,
        mpp=microns_per_pixel(slide),
        levels=tuple((int(w), int(h)) for w, h in slide.level_dimensions),
        tissue_share=round(share, 4),
        focus=round(sharp, 3),
        preview=look.as_png(picture),
        bytes_read=read,
    )


def microns_per_pixel(slide: openslide.OpenSlide) -> tuple[float, float] | None:
    """As the scanner states it, if it is a size that microscopes have."""
    try:
        x = float(slide.properties[openslide.PROPERTY_NAME_MPP_X])
        y = float(slide.properties[openslide.PROPERTY_NAME_MPP_Y])
    except (KeyError, ValueError):
        return None
    return (x, y) if 0.01 <= x <= 20 and 0.01 <= y <= 20 else None
