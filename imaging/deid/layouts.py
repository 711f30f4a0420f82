"""Where devices are known to write the patient into their pictures: what the machine may blank by itself.

A device that calibrates its regions (Sequence of Ultrasound Regions, PS3.3 C.8.5.5) writes the patient above the
topmost one, and no echo. Of some others it is published which rectangle of which size of picture holds the patient.
Nothing of a calibrated region is ever in what is returned here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cases.documents import Area
from imaging.deid.elements import DataSet
from imaging.deid.objects import has
from imaging.deid.rules import value_of

_REGIONS = 0x00186011
_REGION_SIDES = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)
_NOWHERE = 1 << 31
_MODALITY, _MANUFACTURER, _MODEL = 0x00080060, 0x00080070, 0x00081090


class Rectangle(NamedTuple):
    """In pixels, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An ultrasound device's layout: `manufacturer` and `model` are parts of (0008,0070) and (0008,1090), any case.

    `rows` and `columns` are the picture's, None for any; `rectangles` None: all rows above the topmost region.
    """

    manufacturer: str
    model: str
    rows: int | None
    columns: int | None
    rectangles: tuple[Rectangle, ...] | None
    source: str


ABOVE_THE_REGIONS = None
_CALIBRATION = "PS3.3 C.8.5.5, Region Location Min y0"
_CTP = "RSNA Clinical Trial Processor, DicomPixelAnonymizer.script"
# manufacturer | model | rows | columns | left, top, right, bottom of each rectangle | where it is published
# Of that script's rows only those are here whose rectangle is a header and whose size of picture is stated, or told by
# a rectangle as wide as the picture.
_ROWS: tuple[
    tuple[str, str, int | None, int | None, tuple[tuple[int, int, int, int], ...] | None, str], ...
] = (
    ("", "", None, None, ABOVE_THE_REGIONS, _CALIBRATION),
    ("ACUSON", "SEQUOIA", 480, 640, ((0, 0, 640, 30),), _CTP),
    ("ATL", "HDI 5000", 476, 640, ((40, 0, 240, 40), (240, 0, 430, 16)), _CTP),
    ("CANON", "AA000", 960, 1280, ((0, 0, 1280, 70),), _CTP),
    ("", "CX50", 600, 800, ((0, 0, 800, 59),), _CTP),
    ("", "EPIQ", 768, 1024, ((0, 0, 1024, 49),), _CTP),
    ("", "iU22", 480, 640, ((0, 0, 640, 47),), _CTP),
    ("", "iU22", 600, 800, ((0, 0, 800, 59),), _CTP),
    ("", "iU22", 768, 1024, ((0, 0, 1024, 75),), _CTP),
    ("PHILIPS", "SPARQ", 600, 800, ((80, 0, 800, 55),), _CTP),
    ("SENO", "", 1056, 1920, ((161, 0, 1793, 50),), _CTP),
    ("SENO", "", 1058, 1920, ((161, 0, 1793, 50),), _CTP),
    ("SIEMENS", "ACUSON", 600, 800, ((0, 0, 800, 43),), _CTP),
    ("SIEMENS", "ANTARES", 768, 1024, ((0, 0, 1024, 60),), _CTP),
    ("SIEMENS", "S2000", 768, 1024, ((0, 0, 1024, 60),), _CTP),
    ("SUPERSONIC IMAGINE", "AIXPLORER", 1050, 1400, ((0, 0, 1400, 89),), _CTP),
    ("TOSHIBA", "A400", 720, 960, ((0, 0, 960, 60),), _CTP),
    ("TOSHIBA", "A500", 720, 960, ((0, 0, 960, 60),), _CTP),
    ("TOSHIBA", "AI600", 960, 1280, ((0, 0, 1280, 60),), _CTP),
    ("TOSHIBA", "AI700", 960, 1280, ((0, 0, 1280, 60),), _CTP),
)
LAYOUTS: tuple[Layout, ...] = tuple(
    Layout(
        manufacturer=manufacturer,
        model=model,
        rows=rows,
        columns=columns,
        rectangles=None if at is None else tuple(Rectangle(*each) for each in at),
        source=source,
    )
    for manufacturer, model, rows, columns, at, source in _ROWS
)


def areas(elements: DataSet, *, rows: int, columns: int, frames: int, big: bool = False) -> tuple[Area, ...]:
    """What the machine may blank of a picture of `rows` by `columns`, in all of its `frames`; `big`: endian.

    Nothing where the calibration is not of this picture: then nobody knows where its regions are.
    """
    regions = _regions(elements, big=big)
    if not all(r.left < r.right <= columns + 1 and r.top < r.bottom <= rows + 1 for r in regions):
        return ()
    found: list[Rectangle] = []
    for layout in LAYOUTS:
        if layout.rectangles is None:
            found += [Rectangle(0, 0, columns, min(r.top for r in regions))] if regions else []
        elif _is(layout, elements, rows, columns):
            found += [_outside(each, regions) for each in layout.rectangles]
    some = [each for each in dict.fromkeys(found) if each.bottom > each.top]
    largest = [each for each in some if not any(_within(each, other) for other in some if other != each)]
    return tuple(Area(**each._asdict(), last=frames - 1) for each in largest)


def _within(small: Rectangle, large: Rectangle) -> bool:
    return (
        large.left <= small.left
        and large.top <= small.top
        and small.right <= large.right
        and small.bottom <= large.bottom
    )


def _is(layout: Layout, elements: DataSet, rows: int, columns: int) -> bool:
    return (
        value_of(elements, _MODALITY) == "US"
        and (layout.rows, layout.columns) == (rows, columns)
        and layout.manufacturer.casefold() in value_of(elements, _MANUFACTURER).casefold()
        and layout.model.casefold() in value_of(elements, _MODEL).casefold()
    )


def _outside(rectangle: Rectangle, regions: list[Rectangle]) -> Rectangle:
    """As much of the rectangle as stands above every region that reaches into its columns."""
    below = [r.top for r in regions if r.left < rectangle.right and rectangle.left < r.right]
    return rectangle._replace(bottom=min((rectangle.bottom, *below)))


def _regions(elements: DataSet, *, big: bool) -> list[Rectangle]:
    """The calibrated regions. Their greatest column and row belong to them, and some devices count one too far."""
    held = has(elements, _REGIONS)
    return [
        Rectangle(left, top, right + 1, bottom + 1)
        for left, top, right, bottom in (
            (_side(item, tag, big=big) for tag in _REGION_SIDES)
            for item in (held.items or () if held else ())
        )
    ]


def _side(item: DataSet, tag: int, *, big: bool) -> int:
    """A region's side; far outside any picture where the item does not say."""
    side = has(item, tag)
    if side is None or len(side.value) != 4:
        return _NOWHERE
    return int.from_bytes(bytes(side.value), "big" if big else "little")
