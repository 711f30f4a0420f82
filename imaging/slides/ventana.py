"""Ventana BIF: overlapping tiles, and XML that says where each area lies and by how much its tiles overlap.

What goes out stays BIF: only there can tiles overlap, so that OpenSlide puts them together as before. Kept are the
levels. The macro image with the label ("Label Image"), thumbnail and probability map are gone. OpenSlide wants the
scanner's XML in the first directory and the tiles' XML in that of the base; so the first directory names the smallest
level a second time, which adds no byte of a picture. Both XMLs are written anew: of the scanner magnification, microns
per pixel and white point; of each area place, rows and columns; of each joint tiles, direction, overlap and confidence.
The rest (barcodes, user, unit, dates, build, focus of each frame) is gone. Several focal planes are refused. Source:
Roche's "BIF image file format for digital pathology" as OpenSlide and tifffile read it.
"""

from __future__ import annotations

import re

import numpy as np

from cases.errors import Quarantine
from imaging.slides.markup import Element, all_texts, below, decimal, name, parsed, plain, telling, whole
from imaging.slides.payload import unsafe
from imaging.slides.picture import Picture, read_picture
from imaging.slides.plan import SlidePlan, make_plan
from imaging.slides.pyramid import levels_of
from imaging.slides.source import Source
from imaging.slides.tiff import MAX_VALUE_BYTES, Directory, damaged, read_tiff, text
from imaging.slides.writing import ASCII, BYTE, Page, Value

XML, SOFTWARE = 700, 305
_SOFTWARE = b"Ventana\0"
# Numbers of the scanner that stay: name | least | greatest. The first two are needed.
_SCANNER: dict[str, tuple[float, float]] = {
    "Magnification": (0.1, 200), "ScanRes": (0.01, 20), "ScanWhitePoint": (0, 255),
}  # fmt: skip
_NEEDED = ("Magnification", "ScanRes")
_LEVEL = re.compile(r"level=(\d{1,2}) mag=(\d{1,3}(?:\.\d{1,6})?)(?: quality=(\d{1,3}))?\b")
_DIRECTIONS = ("LEFT", "RIGHT", "UP", "DOWN")
_REDUCED = 1
_ADVICE = "in uPath or Virtuoso export it as DICOM, or set the scanner to write DICOM or generic TIFF"


def plan(source: Source) -> SlidePlan:
    """How the de-identified slide is put together.

    :raises Quarantine: `slide-unsafe` with advice for what cannot be taken; `reading-loss`; `file-damaged`.
    """
    tiff = read_tiff(source)
    pictures = tuple(read_picture(source, tiff, i) for i in range(len(tiff.directories)))
    if XML not in tiff.directories[0].entries:
        raise unsafe(f"Ventana TIFF without its scanner's XML: {_ADVICE}")
    scanner = _scanner(parsed(_xml(source, tiff.directories[0])))
    levels = _levels(source, pictures)
    tiles_xml = _xml(source, levels[0].directory)
    stitched = parsed(tiles_xml) if "<EncodeInfo" in tiles_xml else None
    tiles = "" if stitched is None else rebuilt(stitched)
    dropped = tuple(p for p in pictures if p not in levels and not _is_same(p, levels[-1]))
    return make_plan(
        source,
        tiff,
        format_code="ventana-bif",
        pages=(
            Page(
                picture=levels[-1],
                description="",
                subfile=_REDUCED,
                is_level=False,
                own={XML: _packet(kept_scanner(scanner)), SOFTWARE: (ASCII, len(_SOFTWARE), _SOFTWARE)},
            ),
            *(_page(p, rank, tiles) for rank, p in enumerate(levels)),
        ),
        dropped=dropped,
        removed=(*(_named(p) for p in dropped), *_removed_keys(scanner)),
        values=telling(t for root in (scanner, stitched) if root is not None for t in all_texts(root)),
    )


def _xml(source: Source, directory: Directory) -> str:
    return text(source, directory, XML, most=MAX_VALUE_BYTES)


def _packet(content: str) -> Value:
    return BYTE, len(content), content.encode("ascii")


def _scanner(root: Element) -> Element:
    """The scanner's element.

    :raises Quarantine: `slide-unsafe`, `reading-loss`, `file-damaged`.
    """
    found = root if name(root) == "iScan" else next(below(root, "iScan"), None)
    if found is None:
        raise damaged("the Ventana slide does not describe its scanner")
    if whole(found, "Z-layers", 1) != 1:
        raise unsafe(f"Ventana BIF with several focal planes: {_ADVICE}")
    if not all(_is_kept(key, found.get(key, "")) for key in _NEEDED):
        raise Quarantine("reading-loss", "the slide's scale is not one that microscopes have")
    return found


def _is_kept(key: str, value: str) -> bool:
    least, greatest = _SCANNER.get(key, (1.0, 0.0))
    return bool(plain(value)) and least <= float(value) <= greatest


def kept_scanner(scanner: Element) -> str:
    """The scanner's XML that goes out."""
    kept = [(key, scanner.get(key, "")) for key in _SCANNER]
    numbers = " ".join(f'{key}="{plain(value)}"' for key, value in kept if _is_kept(key, value))
    return f'<iScan Z-layers="1" {numbers}/>'


def _levels(source: Source, pictures: tuple[Picture, ...]) -> tuple[Picture, ...]:
    found = [(int(match.group(1)), p) for p in pictures for match in (_LEVEL.search(p.description),) if match]
    levels = tuple(p for _, p in found)
    if [rank for rank, _ in found] != list(range(len(found))) or not found:
        raise damaged("the levels of the Ventana slide are out of order")
    if not all(p.tiled for p in levels) or len(levels_of(source, levels, only_reduced=False)) != len(levels):
        raise unsafe(
            f"Ventana BIF in which a picture that calls itself a level shows something else: {_ADVICE}"
        )
    return levels


def _is_same(one: Picture, other: Picture) -> bool:
    """A slide that was de-identified before names its smallest level twice."""
    return np.array_equal(one.offsets, other.offsets) and np.array_equal(one.counts, other.counts)


def _page(picture: Picture, rank: int, tiles: str) -> Page:
    match = _LEVEL.search(picture.description)
    assert match is not None
    quality = f" quality={match.group(3)}" if match.group(3) else ""
    return Page(
        picture=picture,
        description=f"level={rank} mag={match.group(2)}{quality}",
        subfile=_REDUCED if rank else 0,
        is_level=True,
        own={XML: _packet(tiles)} if tiles and not rank else {},
    )


def rebuilt(root: Element) -> str:
    """The tiles' XML that goes out: every area with its joints, then the areas' origins.

    :raises Quarantine: `file-damaged`.
    """
    areas = list(below(root, "SlideStitchInfo", "ImageInfo"))
    origins = [origin for parent in below(root, "AoiOrigin") for origin in parent]
    if name(root) != "EncodeInfo" or not areas or len(areas) != len(origins):
        raise damaged("the areas of the Ventana slide are not told in full")
    placed = "".join(
        f'<AOI{index} OriginX="{whole(o, "OriginX")}" OriginY="{whole(o, "OriginY")}"/>'
        for index, o in enumerate(origins)
    )
    return (
        f'<EncodeInfo Ver="{whole(root, "Ver", 2)}"><SlideStitchInfo>'
        f"{''.join(_area(area, index) for index, area in enumerate(areas))}</SlideStitchInfo>"
        f"<AoiOrigin>{placed}</AoiOrigin></EncodeInfo>"
    )


def _area(area: Element, index: int) -> str:
    scanned = whole(area, "AOIScanned")
    default = None if scanned else 0
    counts = " ".join(
        f'{key}="{whole(area, key, default)}"' for key in ("NumRows", "NumCols", "Width", "Height")
    )
    places = " ".join(f'{key}="{decimal(area, key, default)}"' for key in ("Pos-X", "Pos-Y"))
    joints = "".join(_joint(joint) for joint in below(area, "TileJointInfo")) if scanned else ""
    return f'<ImageInfo AOIScanned="{int(scanned != 0)}" AOIIndex="{index}" {counts} {places}>{joints}</ImageInfo>'


def _joint(joint: Element) -> str:
    direction = joint.get("Direction", "")
    if direction not in _DIRECTIONS:
        raise damaged("a joint of the Ventana slide has no direction")
    return (
        f'<TileJointInfo FlagJoined="{int(whole(joint, "FlagJoined", 1) != 0)}"'
        f' Confidence="{whole(joint, "Confidence")}" Direction="{direction}"'
        f' Tile1="{whole(joint, "Tile1")}" Tile2="{whole(joint, "Tile2")}"'
        f' OverlapX="{decimal(joint, "OverlapX")}" OverlapY="{decimal(joint, "OverlapY")}"/>'
    )


_NAMES = {"Label Image": "macro image", "Label_Image": "macro image", "Thumbnail": "thumbnail",
          "Probability_Image": "probability map"}  # fmt: skip


def _named(picture: Picture) -> str:
    name_ = _NAMES.get(picture.description.strip(), "associated image")
    return f"{name_} ({picture.width}x{picture.height})"


_KNOWN_KEYS = ("UnitNumber", "UserName", "BuildVersion", "BuildDate", "Barcode1D", "Barcode2D", "ScannerModel",
               "SlideAnnotation", "LabelBoundary", "Mode", "ShowLabel")  # fmt: skip


def _removed_keys(scanner: Element) -> tuple[str, ...]:
    return tuple(f"key: {key}" for key in _KNOWN_KEYS if key in scanner.attrib)
