"""The second pass over what vendors' own forms of TIFF may say: their tags, and each page by the vendor's rules.

Shares no code with the first pass. A form is told by what would leave, and judged whole: one byte beyond its grammar
stops the slide.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from imaging.slides.second_tiles import left

LETTERS = {3: "H", 4: "I", 9: "i", 11: "f", 16: "Q"}
Rule = tuple[tuple[int, ...], int | None]


@dataclass(slots=True)
class Page:
    """One directory of what would leave: values and types by tag, and the ranges of its tiles."""

    values: dict[int, bytes]
    kinds: dict[int, int]
    tiles: list[tuple[int, int]] = field(default_factory=list)

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
VENDOR_TAGS: dict[str, dict[int, Rule]] = {"ndpi": NDPI_TAGS}


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


JUDGES: dict[str, Callable[[list[Page], str], None]] = {"ndpi": judge_ndpi}
