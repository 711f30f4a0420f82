"""Small files in the forms of vendors that OpenSlide knows, with an identity in every place that can hold one."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.imaging.slides.conftest import NAME, NUMBER

Pixels = NDArray[np.uint8]
Value = tuple[int, int, bytes]
Pages = tuple[dict[int, Value], list[bytes]]
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SLONG, FLOAT = 1, 2, 3, 4, 5, 7, 9, 11
# Words of the scanner and its people, put beside the patient's name and number.
SERIAL, PERSON, DAY, FILE_NAME = "SN7043-000118", "wang.technician", "2026/06/19", "Wang_Xiaoming_gastric.raw"
CANARIES = (NAME, NUMBER, SERIAL, PERSON, DAY, FILE_NAME)


def text(content: str) -> Value:
    coded = content.encode() + b"\0"
    return ASCII, len(coded), coded


def number(kind: int, *values: float) -> Value:
    letter = {SHORT: "H", LONG: "I", SLONG: "i", FLOAT: "f", RATIONAL: "I"}[kind]
    count = len(values) // (2 if kind == RATIONAL else 1)
    return kind, count, struct.pack(f"<{len(values)}{letter}", *values)


def blob(content: bytes, kind: int = UNDEFINED) -> Value:
    return kind, len(content), content


def tissue_on_glass() -> Pixels:
    """2048 x 1536."""
    picture = np.full((1536, 2048, 3), 243, np.uint8)
    picture[256:1280, 512:1536] = np.tile(np.asarray(skimage.data.immunohistochemistry()), (2, 2, 1))
    return picture


def smaller(pixels: Pixels, factor: int) -> Pixels:
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def label_on_glass(width: int = 1200, height: int = 400) -> Pixels:
    """The whole glass with its label at the left."""
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate((NUMBER, "A1", "HE")):
        draw.text((20, 40 + 90 * row), line, fill="black", font_size=60)
    return np.asarray(picture)


def jpeg(pixels: Pixels, *, interval: int = 0, comment: bytes = b"") -> bytes:
    """One JPEG of 4:4:4; `interval` is the restart interval in blocks of eight pixels."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(
        out, "JPEG", quality=85, subsampling=0, restart_marker_blocks=interval, comment=comment or None
    )
    return out.getvalue()


def tiles(pixels: Pixels, side: int) -> list[bytes]:
    """The picture's tiles, each a JPEG of its own; the last ones are filled up with white."""
    height, width = pixels.shape[:2]
    filled = np.full((-(-height // side) * side, -(-width // side) * side, 3), 255, np.uint8)
    filled[:height, :width] = pixels
    return [
        jpeg(np.ascontiguousarray(filled[y : y + side, x : x + side]))
        for y in range(0, filled.shape[0], side)
        for x in range(0, filled.shape[1], side)
    ]


@dataclass(frozen=True)
class Form:
    """How directories are written: `ndpi` (eight-byte links, upper halves behind them) or BigTIFF."""

    ndpi: bool

    @property
    def word(self) -> str:
        return "I" if self.ndpi else "Q"


def write_tiff(path: Path, form: Form, pages: list[Pages], *, at: int = 64) -> Path:
    """Write pages of (tags, tiles or strips) as they are; `at` is where the first payload stands (the file is sparse).

    What no tag names, between the parts, carries the identity too.
    """
    with path.open("wb") as file:
        file.write(b"II*\0" + bytes(8) if form.ndpi else b"II+\0\x08\0\0\0" + bytes(8))
        file.write(NUMBER.encode())
        link = 4 if form.ndpi else 8
        file.seek(at)
        for tags, payload in pages:
            values = {**tags, **_places(form, file.tell(), tags, payload)}
            file.write(b"".join(payload) + NAME.encode().ljust(16))
            directory, following = _directory(form, values, file)
            file.seek(link)
            file.write(struct.pack("<Q", directory))
            file.seek(0, io.SEEK_END)
            link = following
    return path


def _places(form: Form, at: int, tags: dict[int, Value], payload: list[bytes]) -> dict[int, Value]:
    starts = [at + sum(len(p) for p in payload[:i]) for i in range(len(payload))]
    sizes = [len(p) for p in payload]
    offsets, counts = (324, 325) if 322 in tags else (273, 279)
    wide = not form.ndpi or len(payload) == 1
    kind, letter = (LONG if form.ndpi else 16, "Q" if wide else "I")
    return {
        offsets: (kind, len(starts), struct.pack(f"<{len(starts)}{letter}", *starts)),
        counts: (kind, len(sizes), struct.pack(f"<{len(sizes)}{letter}", *sizes)),
    }


def _directory(form: Form, values: dict[int, Value], file: io.BufferedWriter) -> tuple[int, int]:
    """Where the directory stands, and where the link at its end."""
    room, rows, highs = (4 if form.ndpi else 8), b"", b""
    for tag, (kind, count, content) in sorted(values.items()):
        if len(content) > room and not (form.ndpi and (kind, count) == (LONG, 1)):
            at = file.tell()
            file.write(content)
            content = struct.pack("<Q", at)
        content = content.ljust(8, b"\0")
        rows += struct.pack("<HH" + form.word, tag, kind, count) + content[:room]
        highs += content[4:]
    directory = file.tell()
    file.write(struct.pack("<" + ("H" if form.ndpi else "Q"), len(values)) + rows)
    link = file.tell()
    file.write(bytes(8) + (highs if form.ndpi else b""))
    return directory, link


def restart_starts(picture: bytes) -> list[int]:
    """Where the restart intervals of a JPEG begin, the first behind its headers."""
    at = 2
    while picture[at + 1] != 0xDA:
        at += 2 + int.from_bytes(picture[at + 2 : at + 4], "big")
    first = at + 2 + int.from_bytes(picture[at + 2 : at + 4], "big")
    return [first, *(i + 2 for i in _markers(picture, first))]


def _markers(picture: bytes, at: int) -> Iterator[int]:
    while (at := picture.find(b"\xff", at)) >= 0:
        if 0xD0 <= picture[at + 1] <= 0xD7:
            yield at
        at += 2


def ndpi(path: Path, *, at: int = 64, comment: bytes = b"", starts: bool = True) -> Path:
    """A Hamamatsu slide: three levels, the macro image with the label, and the map."""
    base = tissue_on_glass()
    pages = []
    for factor in (1, 2, 4):
        pixels = base if factor == 1 else smaller(base, factor)
        picture = jpeg(pixels, interval=pixels.shape[1] // 8 // 2, comment=comment if factor == 1 else b"")
        tags = _ndpi_tags(pixels, 20.0 / factor, 45440 // factor)
        if starts:
            tags[65426] = number(LONG, *restart_starts(picture))
            tags[65432] = number(LONG, *([0] * len(restart_starts(picture))))
        pages.append((tags, [picture]))
    macro = label_on_glass()
    pages.append((_ndpi_tags(macro, -1.0, 600), [jpeg(macro)]))
    glass = np.full((60, 160), 7, np.uint8)
    pages.append(
        ({**_ndpi_tags(glass, -2.0, 60), 259: number(SHORT, 1), 262: number(SHORT, 1)}, [glass.tobytes()])
    )
    return write_tiff(path, Form(ndpi=True), pages, at=at)


def _ndpi_tags(pixels: Pixels, lens: float, resolution: int) -> dict[int, Value]:
    height, width = pixels.shape[:2]
    samples = 3 if pixels.ndim == 3 else 1
    properties = f"NDP.S/N={SERIAL}\r\nCreated={DAY}\r\nOperator={PERSON}\r\nSlideName={NAME}\r\n"
    return {
        254: number(LONG, 0), 256: number(LONG, width), 257: number(LONG, height),
        258: number(SHORT, *([8] * samples)), 259: number(SHORT, 7), 262: number(SHORT, 6),
        277: number(SHORT, samples), 278: number(LONG, height), 282: number(RATIONAL, resolution, 1),
        283: number(RATIONAL, resolution, 1), 296: number(SHORT, 3), 530: number(SHORT, 1, 1),
        270: text(f"{NAME} {NUMBER}"), 271: text("Hamamatsu"), 272: text("C13220"), 305: text(f"NDP.scan {PERSON}"),
        306: text(f"{DAY} 09:59:15"), 315: text(PERSON), 700: blob(f"<x>{NAME}</x>".encode(), BYTE),
        65420: number(LONG, 1), 65421: number(FLOAT, lens), 65422: number(SLONG, -3_000_000),
        65423: number(SLONG, 1_250_000), 65424: number(SLONG, 0), 65427: text(NUMBER), 65428: text("f00dfacebeef"),
        65442: text(SERIAL), 65449: text(properties), 65468: text(NUMBER), 65477: blob(FILE_NAME.encode()),
        65480: text(NAME), 65500: text(NAME),
    }  # fmt: skip


def scn(path: Path, *, areas: int = 1, comment: str = "", disguised: bool = False) -> Path:
    """A Leica slide: areas of three levels each at their places on the glass, and the macro image.

    :param disguised: the smallest level of the first area shows a label.
    """
    glass, macro = (26_564_529, 76_734_694), label_on_glass(512, 1479)
    pages = [(_scn_tags(macro, 600), tiles(macro, 256))]
    images = [_scn_image("macro", (*glass, 0, 0), [(macro.shape, 0)], "0.60833")]
    for area in range(areas):
        shapes = []
        for factor in (1, 2, 4):
            pixels = tissue_on_glass() if factor == 1 else smaller(tissue_on_glass(), factor)
            pixels = label_on_glass(512, 384) if disguised and factor == 4 else pixels
            shapes.append((pixels.shape, len(pages)))
            pages.append((_scn_tags(pixels, 20000 // factor), tiles(pixels, 256)))
        view = (1_024_000, 768_000, 5_000_000 + 2_000_000 * area, 9_000_000 + 500_000 * area)
        images.append(_scn_image(f"image_{area:08x}", view, shapes, "20"))
    barcode = base64.b64encode(NUMBER.encode()).decode()
    described = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01" '
        f'uuid="urn:uuid:7d1b0c7e-0f6e-4a0c-9d7d-57f1f2f1a2b3">{comment}<collection name="{FILE_NAME}" '
        f'uuid="urn:uuid:9" sizeX="{glass[0]}" sizeY="{glass[1]}"><barcode>{barcode}</barcode>'
        f"{''.join(images)}</collection></scn>"
    )
    pages[0][0][270] = text(described)
    return write_tiff(path, Form(ndpi=False), pages)


def _scn_image(
    name: str, view: tuple[int, ...], shapes: list[tuple[tuple[int, ...], int]], objective: str
) -> str:
    dimensions = "".join(
        f'<dimension sizeX="{shape[1]}" sizeY="{shape[0]}" r="{r}" ifd="{ifd}"/>'
        for r, (shape, ifd) in enumerate(shapes)
    )
    height, width = shapes[0][0][:2]
    return (
        f'<image name="{name} {NAME}" uuid="urn:uuid:1"><creationDate>{DAY}T09:59:15.4Z</creationDate>'
        f'<device model="Leica SCN400;{SERIAL}" version="1.4.0.9691 {PERSON}"/>'
        f'<pixels sizeX="{width}" sizeY="{height}">{dimensions}</pixels>'
        f'<view sizeX="{view[0]}" sizeY="{view[1]}" offsetX="{view[2]}" offsetY="{view[3]}" spacingZ="0"/>'
        f"<scanSettings><objectiveSettings><objective>{objective}</objective></objectiveSettings>"
        "<illuminationSettings><numericalAperture>0.4</numericalAperture>"
        "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
    )


def _scn_tags(pixels: Pixels, resolution: int) -> dict[int, Value]:
    height, width = pixels.shape[:2]
    return {
        254: number(LONG, 0), 256: number(LONG, width), 257: number(LONG, height), 258: number(SHORT, 8, 8, 8),
        259: number(SHORT, 7), 262: number(SHORT, 6), 277: number(SHORT, 3), 282: number(RATIONAL, resolution, 1),
        283: number(RATIONAL, resolution, 1), 284: number(SHORT, 1), 296: number(SHORT, 3), 305: text(PERSON),
        306: text(f"{DAY} 09:59:15"), 316: text(SERIAL), 322: number(LONG, 256), 323: number(LONG, 256),
        530: number(SHORT, 1, 1), 700: blob(f"<x>{NAME}</x>".encode(), BYTE), 65000: text(NAME),
    }  # fmt: skip


def bif(
    path: Path, *, overlap: tuple[int, int] = (10, 6), attributes: str = "", disguised: bool = False
) -> Path:
    """A Ventana slide: macro image with the label, thumbnail, and three levels of 8 x 6 tiles that overlap.

    :param attributes: more of the scanner's attributes.
    :param disguised: the smallest level shows a label.
    """
    columns, rows, side = 8, 6, 256
    picture = tissue_on_glass()
    advance = (side - overlap[0], side - overlap[1])
    mosaic = np.concatenate(
        [
            np.concatenate(
                [picture[y * advance[1] :, x * advance[0] :][:side, :side] for x in range(columns)], axis=1
            )
            for y in range(rows)
        ]
    )
    scanner = (
        f'<?xml version="1.0"?><Metadata><iScan Z-layers="1" Magnification="20" ScanRes="0.465" ScanWhitePoint="235"'
        f' UnitNumber="{SERIAL}" UserName="{PERSON}" BuildDate="{DAY}" Barcode1D="{NUMBER}" Mode="brightfield"'
        f' SlideAnnotation="{NAME}" {attributes}><AOI0 Left="1" FileName="{FILE_NAME}"/></iScan></Metadata>'
    )
    glass = label_on_glass()
    pages: list[Pages] = [
        (_bif_tags(glass, "Label Image", scanner, strip=True), [jpeg(glass)]),
        (_bif_tags(label_on_glass(600, 200), "Thumbnail", "", strip=True), [jpeg(label_on_glass(600, 200))]),
    ]
    stitched = _bif_stitched(columns, rows, side, overlap)
    for level in range(3):
        pixels = mosaic if level == 0 else smaller(mosaic, 2**level)
        pixels = label_on_glass(512, 384) if disguised and level == 2 else pixels
        described = f"level={level} mag={20 / 2**level:g} quality=95 {PERSON}"
        pages.append((_bif_tags(pixels, described, "" if level else stitched), tiles(pixels, side)))
    return write_tiff(path, Form(ndpi=False), pages)


def _bif_stitched(columns: int, rows: int, side: int, overlap: tuple[int, int]) -> str:
    """Tiles are numbered from the lowest row up, each second row from the right."""

    def tile(column: int, row: int) -> int:
        upward = rows - 1 - row
        return upward * columns + (columns - 1 - column if upward % 2 else column) + 1

    joint = (
        '<TileJointInfo FlagJoined="1" Confidence="100" Direction="{}" Tile1="{}" Tile2="{}" OverlapX="{}"'
        f' OverlapY="{{}}" Operator="{PERSON}"/>'
    )
    across = [(x, y) for y in range(rows) for x in range(columns - 1)]
    upward = [(x, y) for y in range(1, rows) for x in range(columns)]
    joints = [joint.format("RIGHT", tile(x, y), tile(x + 1, y), overlap[0], 0) for x, y in across]
    joints += [joint.format("UP", tile(x, y), tile(x, y - 1), 0, overlap[1]) for x, y in upward]
    return (
        f'<?xml version="1.0"?><EncodeInfo Ver="2"><SlideInfo BaseName="{FILE_NAME}" BarCode="{NUMBER}"/>'
        f'<SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" NumRows="{rows}" NumCols="{columns}" Width="{side}"'
        f' Height="{side}" Pos-X="0.000000" Pos-Y="0" Name="{NAME}">{"".join(joints)}</ImageInfo></SlideStitchInfo>'
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin>'
        f"<Date>{DAY}</Date><Patient>{NAME}</Patient></EncodeInfo>"
    )


def _bif_tags(pixels: Pixels, described: str, packet: str, *, strip: bool = False) -> dict[int, Value]:
    height, width = pixels.shape[:2]
    shape = {278: number(LONG, height)} if strip else {322: number(LONG, 256), 323: number(LONG, 256)}
    xml = {700: blob(packet.encode(), BYTE)} if packet else {}
    return {
        256: number(LONG, width), 257: number(LONG, height), 258: number(SHORT, 8, 8, 8), 259: number(SHORT, 7),
        262: number(SHORT, 6), 270: text(described), 277: number(SHORT, 3), 284: number(SHORT, 1),
        305: text(f"ScanOutputManager {PERSON}"), 306: text(f"{DAY} 09:59:15"), 316: text(SERIAL),
        530: number(SHORT, 1, 1), 65000: text(NAME), **shape, **xml,
    }  # fmt: skip
