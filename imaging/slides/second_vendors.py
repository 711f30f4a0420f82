"""The second pass over what vendors' own forms of TIFF may say: their tags, and each page by the vendor's rules.

Shares no code with the first pass. A form is told by what would leave, and judged whole: one byte beyond its grammar
stops the slide.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from imaging.slides.second_philips import SOFTWARE, read_scale
from imaging.slides.second_tiles import left

LETTERS = {3: "H", 4: "I", 9: "i", 11: "f", 16: "Q"}
Rule = tuple[tuple[int, ...], int | None]


@dataclass(slots=True)
class Page:
    """One directory of what would leave: values and types by tag, and the ranges of its tiles."""

    values: dict[int, bytes]
    kinds: dict[int, int]
    tiles: list[tuple[int, int]] = field(default_factory=list)

    @property
    def described(self) -> str:
        return self.values.get(270, b"").decode("latin-1")

    def number(self, order: str, tag: int, default: int = 0) -> int:
        content = self.values.get(tag)
        if content is None:
            return default
        (value,) = struct.unpack_from(order + LETTERS[self.kinds[tag]], content)
        return int(value)


# tag -> (types, most values), as in the table of the second pass; for pages of this form alone.
NDPI_TAGS: dict[int, Rule] = {
    271: ((2,), 10), 65420: ((4,), 1), 65421: ((11,), 1), 65422: ((9,), 1), 65423: ((9,), 1), 65424: ((9,), 1),
    65426: ((4,), None), 65432: ((4,), None),
}  # fmt: skip
VENTANA_TAGS: dict[int, Rule] = {305: ((2,), 8), 700: ((1,), None)}
PHILIPS_TAGS: dict[int, Rule] = {305: ((2,), 16)}
VENDOR_TAGS: dict[str, dict[int, Rule]] = {
    "ndpi": NDPI_TAGS,
    "ventana": VENTANA_TAGS,
    "philips": PHILIPS_TAGS,
}


def require_tags(pages: list[Page], vendor: str) -> None:
    """A vendor's tags stand in no other form. Raises `identity-left`."""
    own = VENDOR_TAGS.get(vendor, {})
    foreign = {tag for tags in VENDOR_TAGS.values() for tag in tags} - own.keys()
    for page in pages:
        for tag in foreign & page.values.keys():
            raise left(f"tag {tag} may not leave")


def judge_ndpi(pages: list[Page], order: str) -> None:
    """Scans through an objective, of one shape, one JPEG each; nothing but numbers beside the maker's name."""
    base_width, base_height = pages[0].number(order, 256), pages[0].number(order, 257)
    for index, page in enumerate(pages, 1):
        if page.values.get(271) != b"Hamamatsu\0" or page.number(order, 65420) != 1 or 270 in page.values:
            raise left(f"the texts of page {index} say more than they may")
        (lens,) = struct.unpack("<f", page.values.get(65421, b"\0\0\0\0"))
        if not 0 < lens <= 200 or page.number(order, 254):
            raise left(f"page {index} is a label or a macro image")
        width, height = page.number(order, 256), page.number(order, 257)
        if not width or not height or abs(width * base_height / (height * base_width) - 1) > 0.05:
            raise left(f"page {index} has not the shape of the slide")
        if 322 in page.values or len(page.tiles) != 1 or page.number(order, 259) != 7:
            raise left(f"page {index} is not one JPEG picture")
        _judge_starts(page, index)


def _judge_starts(page: Page, index: int) -> None:
    """Places of restart intervals rise, inside the picture: no room for anything else."""
    low, high = page.values.get(65426, b""), page.values.get(65432, b"")
    if high and len(high) != len(low):
        raise left(f"the restart intervals of page {index} are no places")
    count = len(low) // 4
    if not count:
        return
    highs = struct.unpack(f"<{count}I", high) if high else (0,) * count
    places = [a | b << 32 for a, b in zip(struct.unpack(f"<{count}I", low), highs, strict=True)]
    start, end = page.tiles[0]
    if any(b - a <= 2 for a, b in zip(places, [*places[1:], end - start + 2], strict=True)):
        raise left(f"the restart intervals of page {index} are no places")


_COUNT = r"\d{1,10}"
_IMAGE = re.compile(
    rf'<image><view sizeX="({_COUNT})" sizeY="({_COUNT})" offsetX="(-?{_COUNT})" offsetY="(-?{_COUNT})"/>'
    rf'<pixels sizeX="({_COUNT})" sizeY="({_COUNT})">((?:<dimension sizeX="{_COUNT}" sizeY="{_COUNT}" r="\d{{1,2}}"'
    rf' ifd="\d{{1,2}}"/>)+)</pixels><scanSettings><objectiveSettings><objective>\d{{1,3}}(?:\.\d{{1,6}})?</objective>'
    r"</objectiveSettings><illuminationSettings>(?:<numericalAperture>\d(?:\.\d{1,6})?</numericalAperture>)?"
    r"<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
)
_COLLECTION = re.compile(
    r'<\?xml version="1\.0"\?><scn xmlns="http://www\.leica-microsystems\.com/scn/2010/(?:03/10|10/01)">'
    rf'<collection sizeX="({_COUNT})" sizeY="({_COUNT})">((?:<image>.*?</image>)+)</collection></scn>\0\Z',
    re.S,
)
_DIMENSION = re.compile(rf'<dimension sizeX="({_COUNT})" sizeY="({_COUNT})" r="(\d+)" ifd="(\d+)"/>')


def judge_leica(pages: list[Page], order: str) -> None:
    """Pyramids at their places; what stands for the whole glass is one of their levels. Nothing but numbers."""
    described = pages[0].values.get(270, b"").decode("latin-1")
    collection = _COLLECTION.match(described)
    if collection is None or _IMAGE.sub("", collection.group(3)):
        raise left("the description of page 1 says more than it may")
    if any(270 in page.values for page in pages[1:]):
        raise left("the description of a further page says more than it may")
    used: list[int] = []
    for image in _IMAGE.finditer(collection.group(3)):
        levels = [tuple(map(int, d)) for d in _DIMENSION.findall(image.group(7))]
        covers = image.groups()[:4] == (*collection.groups()[:2], "0", "0")
        if covers and (len(levels) != 1 or levels[0][3] not in used):
            raise left("the slide holds a macro image")
        if not covers:
            used += [ifd for *_, ifd in levels]
        _judge_levels(pages, order, levels)
    if sorted(used) != list(range(len(pages))):
        raise left("the slide holds pages that are no levels")


def _judge_levels(pages: list[Page], order: str, levels: list[tuple[int, ...]]) -> None:
    """Each is a tiled page of the size that is said, all of one shape, larger ones first."""
    before = levels[0]
    for index, (width, height, rank, ifd) in enumerate(levels):
        if ifd >= len(pages) or rank != index or width > before[0] or not width * height:
            raise left("the levels of the slide are out of order")
        page = pages[ifd]
        if (width, height) != (page.number(order, 256), page.number(order, 257)) or 322 not in page.values:
            raise left(f"page {ifd + 1} is no level")
        if abs(width * levels[0][1] / (height * levels[0][0]) - 1) > 0.05 or page.number(order, 254) > 1:
            raise left(f"page {ifd + 1} has not the shape of the slide")
        before = (width, height)


_NUMBER = r"-?\d{1,9}(?:\.\d{1,6})?"
_SCANNER = re.compile(
    r'<iScan Z-layers="1"(?: (?:Magnification|ScanRes|ScanWhitePoint)="\d{1,6}(?:\.\d{1,6})?"){2,3}/>\Z'
)
_JOINT = (
    rf'<TileJointInfo FlagJoined="[01]" Confidence="-?\d{{1,4}}" Direction="(?:LEFT|RIGHT|UP|DOWN)" Tile1="\d{{1,8}}"'
    rf' Tile2="\d{{1,8}}" OverlapX="{_NUMBER}" OverlapY="{_NUMBER}"/>'
)
_STITCHED = re.compile(
    r'<EncodeInfo Ver="\d{1,3}"><SlideStitchInfo>'
    r'(?:<ImageInfo AOIScanned="[01]" AOIIndex="\d{1,3}" NumRows="\d{1,6}" NumCols="\d{1,6}" Width="\d{1,6}"'
    rf' Height="\d{{1,6}}" Pos-X="{_NUMBER}" Pos-Y="{_NUMBER}">(?:{_JOINT})*+</ImageInfo>)++</SlideStitchInfo>'
    r'<AoiOrigin>(?:<AOI\d{1,3} OriginX="\d{1,9}" OriginY="\d{1,9}"/>)++</AoiOrigin></EncodeInfo>\Z'
)
_RANK = re.compile(r"level=(\d{1,2}) mag=\d{1,3}(?:\.\d{1,6})?(?: quality=\d{1,3})?\0\Z")


def judge_ventana(pages: list[Page], order: str) -> None:
    """The scanner's numbers, with the smallest level's picture and no other; the levels, with the base's joints."""
    first, *levels = pages
    if not _SCANNER.match(first.values[700].decode("latin-1")) or first.values.get(305) != b"Ventana\0":
        raise left("the XML of page 1 says more than it may")
    if 270 in first.values or not levels or first.tiles != levels[-1].tiles:
        raise left("page 1 shows something other than the smallest level")
    sizes: list[tuple[int, ...]] = [
        (p.number(order, 256), p.number(order, 257), i, i) for i, p in enumerate(levels)
    ]
    _judge_levels(levels, order, sizes)
    for index, page in enumerate(levels):
        rank = _RANK.match(page.values.get(270, b"").decode("latin-1"))
        if rank is None or int(rank.group(1)) != index:
            raise left(f"the description of page {index + 2} says more than it may")
        packet = page.values.get(700, b"").decode("latin-1")
        if 305 in page.values or (packet and (index or not _STITCHED.match(packet))):
            raise left(f"the XML of page {index + 2} says more than it may")


def judge_philips(pages: list[Page], order: str) -> None:
    """One known sentence of XML, and levels that are the base over whole factors, padded to whole tiles."""
    scale = read_scale(pages[0].described)
    if scale is None:
        raise left("the description of page 1 says more than it may")
    if pages[0].values.get(305) != SOFTWARE:
        raise left("tag 305 may not leave")
    if len(scale.factors) != len(pages):
        raise left("the Philips header describes other levels than there are")
    base = (pages[0].number(order, 256), pages[0].number(order, 257))
    for index, page in enumerate(pages):
        if index and (305 in page.values or page.values.get(270, b"Slide level\0") != b"Slide level\0"):
            raise left(f"the description of page {index + 1} says more than it may")
        if 322 not in page.values or page.number(order, 254) not in (0, 1):
            raise left(f"page {index + 1} is a label or a macro image")
        size, tile = ((page.number(order, a), page.number(order, b)) for a, b in ((256, 257), (322, 323)))
        scale.require_fit(index, size, tile, base)


JUDGES: dict[str, Callable[[list[Page], str], None]] = {
    "ndpi": judge_ndpi,
    "leica": judge_leica,
    "philips": judge_philips,
    "ventana": judge_ventana,
}


def told(page: Page) -> str:
    """The vendor whose rules the first page asks for; empty for those of plain and Aperio's form."""
    if b"<iScan" in page.values.get(700, b""):
        return "ventana"
    if b'ObjectType="DPUfsImport"' in page.values.get(270, b""):
        return "philips"
    return "leica" if b"leica-microsystems.com/scn" in page.values.get(270, b"") else ""


def said(page: Page) -> bytes:
    """What a page says in words; of a vendor's XML, which is judged whole, the values alone or nothing."""
    vendor = told(page)
    if vendor == "philips":
        scale = read_scale(page.described)
        return scale.said if scale else b""
    return b"" if vendor else page.values.get(270, b"")
