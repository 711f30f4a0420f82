"""Aperio SVS: base level, thumbnail, further levels, label, macro, each with an `ImageDescription` of keys and values.

Levels are the tiled directories; everything else is an associated image. Kept are the levels and a thumbnail that
shows what the levels show. The description is rebuilt from an allow-list of numbers: no text of the scanner survives.
Source: "Digital Slides and Third-Party Data Interchange" (Aperio MAN-0069).
"""

from __future__ import annotations

import re

from cases.errors import Quarantine
from imaging.slides.picture import Picture, read_picture
from imaging.slides.plan import SlidePlan, make_plan
from imaging.slides.pyramid import levels_of, shows_slide
from imaging.slides.source import Source
from imaging.slides.tiff import damaged, read_tiff
from imaging.slides.writing import Page

# key | least | greatest: numbers that a viewer or a measurement needs. Everything else in a description is gone.
KEPT_KEYS: dict[str, tuple[float, float]] = {
    "AppMag": (0.1, 200),
    "MPP": (0.01, 20),
    "StripeWidth": (1, 1e6),
    "Left": (-1000, 1000),
    "Top": (-1000, 1000),
    "LineCameraSkew": (-10, 10),
    "LineAreaXOffset": (-1000, 1000),
    "LineAreaYOffset": (-1000, 1000),
    "Focus Offset": (-1000, 1000),
    "OriginalWidth": (1, 1e8),
    "OriginalHeight": (1, 1e8),
    "Originalheight": (1, 1e8),
    "Filtered": (0, 100),
    "DisplayColor": (0, 2**24),
    "Exposure Time": (0, 1e4),
    "Exposure Scale": (0, 1e4),
    "Gamma": (0, 10),
    "OffsetZ": (-1e4, 1e4),
    "AreaThreshold": (0, 1e3),
}
_NUMBER = re.compile(r"-?\d{1,8}(?:\.\d{1,20})?\Z")
_DECIMALS = 6
# Without these nobody can measure or say at what magnification they look.
_NEEDED = ("MPP", "AppMag")
_LIBRARY = re.compile(r"Aperio (?:Image Library|Leica Biosystems GT450) [vV][\d.]{1,12}")
_CODEC = re.compile(r"\b(JPEG/(?:RGB|YCC|YUV)|J2K/(?:YUV16|YUV|RGB|KDU)|JPEG2000)\b")
_QUALITY = re.compile(r"\bQ=(\d{1,3})\b")
# Texts shorter than this say nothing when they are found elsewhere.
_SHORTEST_VALUE = 4


def plan(source: Source) -> SlidePlan:
    """How the de-identified slide is put together; writes nothing.

    :raises Quarantine: `file-damaged`; `reading-loss` if its scale cannot be kept.
    """
    tiff = read_tiff(source)
    pictures = tuple(read_picture(source, tiff, i) for i in range(len(tiff.directories)))
    base = pictures[0]
    if not base.tiled:
        raise damaged("the slide's base level is not tiled")
    _require_scale(base)
    levels = levels_of(source, pictures, only_reduced=False)
    thumbnails = tuple(
        p for p in pictures[1:2] if not p.tiled and not p.subfile and shows_slide(source, p, levels)
    )
    chosen = {p.index for p in (*levels, *thumbnails)}
    dropped = tuple(p for p in pictures if p.index not in chosen)
    pages = tuple(_page(p, base) for p in pictures if p.index in chosen)
    return make_plan(
        source,
        tiff,
        format_code="svs",
        pages=pages,
        dropped=dropped,
        removed=(*(_named(p) for p in dropped), *_removed_keys(pictures)),
        values=_removed_values(pictures),
    )


def _page(picture: Picture, base: Picture) -> Page:
    level = picture.tiled
    return Page(picture=picture, description=rebuilt(picture, base), subfile=0, is_level=level)


def rebuilt(picture: Picture, base: Picture) -> str:
    """The description that goes out: library, size, tiles and codec in Aperio's own form, then the numbers kept."""
    found = picture.description
    library = _LIBRARY.match(found)
    codec, quality = _CODEC.search(found), _QUALITY.search(found)
    size = f"{base.width}x{base.height}"
    parts = [f"{size} [0,0 {size}] ({base.tile_width}x{base.tile_height})"]
    if picture is not base:
        parts.append(f"-> {picture.width}x{picture.height}")
    parts += [codec.group() if codec else "", f"Q={quality.group(1)}" if quality else ""]
    head = (
        (library.group() if library else "Aperio Image Library") + " \r\n" + " ".join(p for p in parts if p)
    )
    return "|".join(
        (head, *(f"{key} = {_plain(value)}" for key, value in _pairs(found) if _is_kept(key, value)))
    )


def _pairs(description: str) -> list[tuple[str, str]]:
    pairs = []
    for part in description.split("|")[1:]:
        key, _, value = part.partition("=")
        pairs.append((key.strip(), value.strip()))
    return pairs


def _plain(value: str) -> str:
    """A number as it stands, or rounded: a long tail of decimals is room for something else."""
    decimals = value.partition(".")[2]
    return value if len(decimals) <= _DECIMALS else f"{float(value):.{_DECIMALS}f}"


def _require_scale(base: Picture) -> None:
    """:raises Quarantine: `reading-loss` if the slide states its scale in a way that cannot be kept."""
    for key, value in _pairs(base.description):
        if key in _NEEDED and not _is_kept(key, value):
            raise Quarantine("reading-loss", f"the slide's {key} is not a number that microscopes have")


def _is_kept(key: str, value: str) -> bool:
    least, greatest = KEPT_KEYS.get(key, (1.0, 0.0))
    return bool(_NUMBER.match(value)) and least <= float(value) <= greatest


def _removed_keys(pictures: tuple[Picture, ...]) -> tuple[str, ...]:
    """Keys are the scanner's words when they are short and plain; any other is only counted."""
    keys = {key for p in pictures for key, value in _pairs(p.description) if not _is_kept(key, value)}
    plain = sorted(k for k in keys if k in _KNOWN_KEYS)
    others = len(keys) - len(plain)
    return (*(f"key: {k}" for k in plain), *((f"{others} further keys",) if others else ()))


_KNOWN_KEYS = frozenset(
    ("ScanScope ID", "Filename", "Title", "Barcode", "Date", "Time", "Time Zone", "User", "Parmset", "ImageID",
     "ICC Profile", "Rack", "Slide", "ScannerType", "SessonMode", "Case Number", "Patient", "Institution", "Stain",
     "Block", "Comment")
)  # fmt: skip


def _removed_values(pictures: tuple[Picture, ...]) -> tuple[str, ...]:
    """The texts taken out, for the second pass to look for; plain numbers would be found anywhere."""
    found = {
        value
        for p in pictures
        for key, value in _pairs(p.description)
        if not _is_kept(key, value) and len(value) >= _SHORTEST_VALUE and not _NUMBER.match(value)
    }
    return tuple(sorted(found))


def _named(picture: Picture) -> str:
    second = picture.description.partition("\n")[2][:8]
    name = next((n for n in ("label", "macro") if second.startswith(n)), None)
    name = name or {1: "label", 9: "macro"}.get(picture.subfile, "associated")
    return f"{name} image ({picture.width}x{picture.height})"
