"""A small MIRAX slide, with an identity in every place that can hold one.

Photographs of two by two pictures overlap by sixteen pixels, and each stands a little beside its place.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.imaging.slides import vendors
from tests.imaging.slides.conftest import NAME, NUMBER
from tests.imaging.slides.vendors import DAY, FILE_NAME, PERSON, SERIAL, Pixels

ACROSS, DOWN, SIDE, DIVISIONS, OVERLAP, LEVELS = 8, 6, 256, 2, 16, 4
MPP = 0.2325
SLIDE_ID = "0E2BC1A7D5F94B6E8A3C7D9012345678"
CANARIES = (*vendors.CANARIES, SLIDE_ID)
# Layer | record | what it holds.
LAYERS = ("ScanDataLayer_XMLInfoHeader", "ScanDataLayer_SlideThumbnail", "ScanDataLayer_SlideBarcode",
          "ScanDataLayer_SlidePreview")  # fmt: skip


@dataclass(kw_only=True)
class Parts:
    """A MIRAX slide before it is written; tests change what they are about.

    `levels` are (place, picture) of each level; `more` are settings by section that are put beside the others, or in
    their place.
    """

    levels: list[list[tuple[int, bytes]]]
    layer: str = "VIMSLIDE_POSITION_BUFFER"
    places: bytes = b""
    more: dict[str, dict[str, object]] = field(default_factory=dict)
    between: bytes = NAME.encode()
    files: int = 2


def parts(*, disguised: bool = False, **told: object) -> Parts:
    """:param disguised: the smallest picture shows a label."""
    photographs = _photographs()
    levels: list[list[tuple[int, bytes]]] = []
    mosaic = np.concatenate([np.concatenate(row, axis=1) for row in photographs])
    for level in range(LEVELS):
        step, pixels = 1 << level, vendors.smaller(mosaic, 1 << level) if level else mosaic
        levels.append(
            [
                (y * ACROSS + x, vendors.jpeg(_tile(pixels, x // step, y // step)))
                for y in range(0, DOWN, step)
                for x in range(0, ACROSS, step)
            ]
        )
    if disguised:
        levels[-1] = [(0, vendors.jpeg(vendors.label_on_glass(SIDE, SIDE)))]
    places = b"".join(struct.pack("<Bii", 0, x, y) for y, x in _places())
    return Parts(levels=levels, places=places, **told)  # type: ignore[arg-type]


def _places() -> list[tuple[int, int]]:
    advance = DIVISIONS * SIDE - OVERLAP
    return [
        (y * advance + x % 2, x * advance + y % 2)
        for y in range(DOWN // DIVISIONS)
        for x in range(ACROSS // DIVISIONS)
    ]


def _photographs() -> list[list[Pixels]]:
    side, picture = DIVISIONS * SIDE, vendors.tissue_on_glass()
    taken = [picture[y:, x:][:side, :side] for y, x in _places()]
    across = ACROSS // DIVISIONS
    whole = [
        np.pad(t, ((0, side - t.shape[0]), (0, side - t.shape[1]), (0, 0)), constant_values=243)
        for t in taken
    ]
    return [whole[at : at + across] for at in range(0, len(whole), across)]


def _tile(pixels: Pixels, column: int, row: int) -> Pixels:
    tile = np.full((SIDE, SIDE, 3), 243, np.uint8)
    found = pixels[row * SIDE :, column * SIDE :][:SIDE, :SIDE]
    tile[: found.shape[0], : found.shape[1]] = found
    return tile


def write_mirax(path: Path, made: Parts) -> Path:
    """Write the slide at `path` (`.mrxs`) and its folder."""
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(vendors.jpeg(vendors.label_on_glass(), comment=NAME.encode()))
    data = [bytearray(_head(number)) for number in range(made.files)]

    def stored(content: bytes, number: int) -> tuple[int, int, int]:
        data[number] += made.between
        data[number] += content
        return len(data[number]) - len(content), len(content), number

    layers = [stored(content, 0) for content in _layers()]
    rows = [
        [(place, *stored(picture, index % made.files)) for index, (place, picture) in enumerate(level)]
        for level in made.levels
    ]
    if made.layer:
        layers.append(stored(_stored(made), 1 % made.files))
    (folder / "Slidedat.ini").write_bytes(_settings(made))
    (folder / "Index.dat").write_bytes(_index(rows, layers))
    for number, content in enumerate(data):
        (folder / f"Data{number:04d}.dat").write_bytes(bytes(content) + NUMBER.encode())
    (folder / f"{NAME}.txt").write_text(f"{NAME} {NUMBER}")
    return path


def _stored(made: Parts) -> bytes:
    return made.places if made.layer.startswith("VIMSLIDE") else zlib.compress(made.places)


def mirax(path: Path) -> Path:
    """The slide as scanners write it."""
    return write_mirax(path, parts())


def _head(number: int) -> bytes:
    return f"01.02{SLIDE_ID}{number:03d}".encode() + f"{PERSON} {SERIAL}".encode().ljust(256, b"\0")


def _layers() -> list[bytes]:
    label = vendors.jpeg(vendors.label_on_glass())
    return [f"<scan name='{NAME}' date='{DAY}'/>".encode(), label, label + NUMBER.encode(), label]


def _settings(made: Parts) -> bytes:
    told: dict[str, dict[str, object]] = {
        "GENERAL": {
            "SLIDE_VERSION": "01.02", "SLIDE_ID": SLIDE_ID, "SLIDE_NAME": f"{NAME} {NUMBER}", "SLIDE_BARCODE": NUMBER,
            "PROJECT_NAME": FILE_NAME, "SLIDE_CREATIONDATETIME": f"{DAY} 09:59:15", "CURRENT_SLIDE_VERSION": "1.9",
            "SCANNER_HARDWARE_ID": SERIAL, "OPERATOR": PERSON, "IMAGENUMBER_X": ACROSS, "IMAGENUMBER_Y": DOWN,
            "OBJECTIVE_MAGNIFICATION": 20, "CameraImageDivisionsPerSide": DIVISIONS,
        },
        "HIERARCHICAL": _tree(made),
        "DATAFILE": {"FILE_COUNT": made.files, **{f"FILE_{i}": f"Data{i:04d}.dat" for i in range(made.files)}},
        **{f"LAYER_0_LEVEL_{i}_SECTION": _level(i) for i in range(LEVELS)},
        "NONHIERLAYER_0_LEVEL_1_SECTION": {"THUMBNAIL_IMAGE_TYPE": "JPEG"},
        "NONHIERLAYER_0_LEVEL_2_SECTION": {"BARCODE_IMAGE_TYPE": "JPEG", "BARCODE_VALUE": NUMBER},
        "NONHIERLAYER_0_LEVEL_3_SECTION": {"PREVIEW_IMAGE_TYPE": "JPEG"},
        "NONHIERLAYER_1_SECTION": {"VIMSLIDE_POSITION_DATA_FORMAT_VERSION": 257},
        f"NOTES {NAME}": {NUMBER: PERSON},
    }  # fmt: skip
    for section, keys in made.more.items():
        told[section] = {**told.get(section, {}), **keys}
    lines = [
        line
        for name, keys in told.items()
        for line in (f"[{name}]", *(f"{k} = {v}" for k, v in keys.items()))
    ]
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()


def _tree(made: Parts) -> dict[str, object]:
    tree: dict[str, object] = {
        "HIER_COUNT": 2, "NONHIER_COUNT": 2 if made.layer else 1, "INDEXFILE": "Index.dat",
        "HIER_0_NAME": "Slide zoom level", "HIER_0_COUNT": LEVELS, "HIER_1_NAME": "Slide filter level",
        "HIER_1_COUNT": 1, "HIER_1_VAL_0": "FilterLevel_0", "HIER_1_VAL_0_SECTION": "LAYER_1_LEVEL_0_SECTION",
        "NONHIER_0_NAME": "Scan data layer", "NONHIER_0_COUNT": len(LAYERS),
    }  # fmt: skip
    for index in range(LEVELS):
        tree[f"HIER_0_VAL_{index}"] = f"ZoomLevel_{index}"
        tree[f"HIER_0_VAL_{index}_SECTION"] = f"LAYER_0_LEVEL_{index}_SECTION"
    for index, name in enumerate(LAYERS):
        tree[f"NONHIER_0_VAL_{index}"] = name
        tree[f"NONHIER_0_VAL_{index}_SECTION"] = f"NONHIERLAYER_0_LEVEL_{index}_SECTION"
    if made.layer:
        tree |= {"NONHIER_1_NAME": made.layer, "NONHIER_1_COUNT": 1, "NONHIER_1_VAL_0": "default"}
        tree |= {"NONHIER_1_VAL_0_SECTION": "NONHIERLAYER_1_LEVEL_0_SECTION"}
    return tree


def _level(index: int) -> dict[str, object]:
    factor = 1 << index
    return {
        "OVERLAP_X": OVERLAP / factor, "OVERLAP_Y": OVERLAP / factor, "MICROMETER_PER_PIXEL_X": MPP * factor,
        "MICROMETER_PER_PIXEL_Y": MPP * factor, "IMAGE_FORMAT": "JPEG", "IMAGE_FILL_COLOR_BGR": 0xF3F3F3,
        "DIGITIZER_WIDTH": SIDE, "DIGITIZER_HEIGHT": SIDE, "IMAGE_CONCAT_FACTOR": min(index, 1),
        "IMAGE_NOTE": NAME,
    }  # fmt: skip


def _index(rows: list[list[tuple[int, int, int, int]]], layers: list[tuple[int, int, int]]) -> bytes:
    """Each level in two pages, with words between the records; some scanners write 1253 where no page follows."""
    start = 5 + len(SLIDE_ID)
    tree = start + 8
    at = tree + 4 * (len(rows) + 1 + len(layers))
    roots, body = [], b""

    def put(content: bytes) -> int:
        nonlocal body
        body += content
        return at + len(body) - len(content)

    for level in rows:
        put(NUMBER.encode())
        half = len(level) // 2
        first = put(_page(level[:half], at + len(body) + 8 + 16 * half))
        put(_page(level[half:], 0))
        roots.append(put(struct.pack("<2i", 0, first)))
    empty = put(struct.pack("<2i", 0, 0))
    for layer in layers:
        page = put(_page([(0, 0, *layer)], 1253))
        roots.append(put(struct.pack("<2i", 0, page)))
    roots.insert(len(rows), empty)
    head = f"01.02{SLIDE_ID}".encode() + struct.pack("<2i", tree, tree + 4 * (len(rows) + 1))
    return head + struct.pack(f"<{len(roots)}i", *roots) + body + NAME.encode()


def _page(rows: Sequence[tuple[int, ...]], following: int) -> bytes:
    return struct.pack("<2i", len(rows), following) + b"".join(struct.pack(f"<{len(r)}i", *r) for r in rows)
