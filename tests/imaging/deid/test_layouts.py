"""What the machine may blank: where a device is known to write the patient, and nothing of a calibrated region."""

import pytest

from imaging.deid import layouts
from imaging.deid.elements import Element

NAMED = [layout for layout in layouts.LAYOUTS if layout.rectangles is not None]


def data_set(manufacturer="", model="", regions=()):
    items = [
        [
            Element(tag, "UL", side.to_bytes(4, "little"))
            for tag, side in zip((0x00186018, 0x0018601A, 0x0018601C, 0x0018601E), region, strict=True)
        ]
        for region in regions
    ]
    return [
        Element(0x00080060, "CS", b"US"),
        Element(0x00080070, "LO", manufacturer.encode()),
        Element(0x00081090, "LO", model.encode()),
        Element(0x00186011, "SQ", b"", items),
    ]


def rectangles(elements, rows, columns):
    found = layouts.areas(elements, rows=rows, columns=columns, frames=3)
    assert all((a.first, a.last) == (0, 2) for a in found)
    return [(a.left, a.top, a.right, a.bottom) for a in found]


@pytest.mark.parametrize("layout", NAMED, ids=lambda x: f"{x.manufacturer} {x.model} {x.rows}x{x.columns}")
def test_a_known_device_is_recognised_by_its_name_and_the_size_of_its_pictures(layout):
    elements = data_set(f"The {layout.manufacturer.lower()} company", f"{layout.model.lower()} 7")
    assert rectangles(elements, layout.rows, layout.columns) == [tuple(r) for r in layout.rectangles]
    assert rectangles(elements, layout.rows + 1, layout.columns) == []
    assert rectangles(data_set("Other", "Other"), layout.rows, layout.columns) == []


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_every_layout_says_where_it_is_published_and_lies_within_its_picture(layout):
    assert layout.source
    for each in layout.rectangles or ():
        assert 0 <= each.left < each.right <= layout.columns
        assert 0 <= each.top < each.bottom <= layout.rows


def test_the_rows_above_the_topmost_region_may_be_blanked():
    assert rectangles(data_set(regions=[(0, 90, 300, 400), (310, 60, 639, 400)]), 480, 640) == [
        (0, 0, 640, 60)
    ]


def test_a_rectangle_ends_where_a_calibrated_region_begins():
    device = ("Siemens", "ACUSON S2000")
    assert rectangles(data_set(*device, [(100, 40, 900, 700)]), 768, 1024) == [(0, 0, 1024, 40)]
    assert rectangles(data_set(*device, [(100, 0, 900, 700)]), 768, 1024) == []


def test_a_calibration_of_another_picture_blanks_nothing():
    assert rectangles(data_set("Siemens", "S2000", [(84, 31, 5950, 414)]), 768, 1024) == []
    assert rectangles(data_set(regions=[(84, 31, 10, 414)]), 768, 1024) == []


def test_a_region_that_says_no_sides_blanks_nothing():
    elements = data_set()
    elements[-1].items = [[]]
    assert rectangles(elements, 480, 640) == []
