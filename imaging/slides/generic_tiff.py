"""Generic pyramidal TIFF (libvips, QuPath, vendors' exports): the first directory is the base, others smaller levels.

Every directory that is not a level of the base by shape and content is dropped; the description says nothing of the
source. Resolution stays in the resolution tags. Levels that hang below the base (OME-TIFF's SubIFDs) come out as
pages of their own, where every viewer finds them.
"""

from __future__ import annotations

from imaging.slides.picture import SUB_DIRECTORIES, Picture, read_picture
from imaging.slides.plan import SlidePlan, make_plan
from imaging.slides.pyramid import levels_of
from imaging.slides.source import Source
from imaging.slides.tiff import damaged, read_tiff, with_sub_directories
from imaging.slides.writing import Page

_REDUCED = 1


def plan(source: Source) -> SlidePlan:
    """How the de-identified slide is put together.

    :raises Quarantine: `file-damaged`.
    """
    tiff = with_sub_directories(source, read_tiff(source), SUB_DIRECTORIES)
    pictures = tuple(read_picture(source, tiff, i) for i in range(len(tiff.directories)))
    base = pictures[0]
    if not base.tiled:
        raise damaged("the slide's base level is not tiled")
    levels = levels_of(source, pictures, only_reduced=True)
    chosen = {p.index for p in levels}
    dropped = tuple(p for p in pictures if p.index not in chosen)
    pages = tuple(
        Page(picture=p, description="Slide level", subfile=0 if p is base else _REDUCED, is_level=True)
        for p in levels
    )
    return make_plan(
        source,
        tiff,
        format_code="generic-tiff",
        pages=pages,
        dropped=dropped,
        removed=tuple(f"image ({p.width}x{p.height})" for p in dropped) + _removed_tags(pictures),
        values=tuple(sorted({p.description for p in pictures if 4 <= len(p.description) <= 200})),
    )


def _removed_tags(pictures: tuple[Picture, ...]) -> tuple[str, ...]:
    """Names of text tags that were present."""
    named = {
        269: "DocumentName", 270: "ImageDescription", 271: "Make", 272: "Model", 285: "PageName", 305: "Software",
        306: "DateTime", 315: "Artist", 316: "HostComputer", 700: "XMP", 33432: "Copyright", 33723: "IPTC",
        34377: "Photoshop", 34665: "EXIF", 34853: "GPS", SUB_DIRECTORIES: "SubIFDs",
    }  # fmt: skip
    present = {tag for p in pictures for tag in p.directory.entries}
    return tuple(f"tag: {name}" for tag, name in named.items() if tag in present)
