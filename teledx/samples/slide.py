"""An Aperio slide of any size, made of a real stained-tissue picture, with everything that a real one betrays.

The base level is a mosaic of mirrored, turned and tinted copies of `skimage.data.immunohistochemistry()` on white
glass; each further level (1/4, 1/16, ...) shows the same. Its label, macro and descriptions carry the identity that is
given, so that removal can be proven. Directory order as scanners write it: base, thumbnail, levels, label, macro.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import zxingcpp
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

TILE = 256
BLOCK = 1024
TILES_PER_BLOCK = BLOCK // TILE
VARIANTS = 12
GLASS = 243
QUALITY = 85
BIGTIFF_FROM = 3_900_000_000
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Blocks:
    """The mosaic's stones: per variant (the last is bare glass) its pixels at 1/1 and its encoded tiles."""

    pixels: list[Pixels]
    tiles: list[list[bytes]]
    quarter: list[bytes]

    def mean_bytes(self) -> float:
        return sum(len(t) for tiles in self.tiles[:-1] for t in tiles) / (len(self.tiles) - 1)


@dataclass(frozen=True)
class _Label:
    pathology_number: str
    block: str
    stain: str
    patient_name: str


def make_slide(
    path: Path,
    *,
    size: int,
    pathology_number: str,
    block: str,
    stain: str,
    patient_name: str,
    blurred: bool = False,
    empty: bool = False,
    barcode: str = "QRCode",
    seed: int = 7,
) -> Path:
    """Write an Aperio slide of about `size` bytes (at least 800 kB; within some per cent above 20 MB).

    :param blurred: the whole slide is out of focus.
    :param empty: glass alone, no tissue.
    :param barcode: a format of zxing-cpp (`QRCode`, `DataMatrix`, `Code128`), or "" for none.
    """
    blocks = _blocks(blurred)
    random = np.random.default_rng(seed)
    mosaic = _mosaic(blocks, size, random, empty)
    label = _label_picture(_Label(pathology_number, block, stain, patient_name), barcode)
    rows, columns = mosaic.shape
    small = _overview(blocks, mosaic)
    with tifffile.TiffWriter(path, bigtiff=size > BIGTIFF_FROM, byteorder="<") as writer:
        width, height = columns * BLOCK, rows * BLOCK
        described = _Description(width, height, pathology_number, patient_name)
        _write_level(writer, _base_tiles(blocks, mosaic), width, height, described.base())
        _write_thumbnail(writer, small, described)
        _write_level(writer, _quarter_tiles(blocks, mosaic), width // 4, height // 4, described.level(4))
        _write_small_levels(writer, small, described)
        _write_associated(writer, label, "label", 1)
        _write_associated(writer, _macro_picture(label, small), "macro", 9)
    return path


@dataclass(frozen=True)
class _Description:
    """Aperio's descriptions, with the keys by which they identify."""

    width: int
    height: int
    pathology_number: str
    patient_name: str

    def _keys(self) -> str:
        return (
            "|AppMag = 40|StripeWidth = 2040|ScanScope ID = SS7043|Filename = "
            f"{self.pathology_number}|Title = {self.patient_name}|Barcode = {self.pathology_number}"
            "|Date = 06/19/26|Time = 09:59:15|Time Zone = GMT+08:00|User = wang.technician"
            "|Parmset = USM Filter|MPP = 0.2520|Left = 25.691574|Top = 23.449873|LineCameraSkew = -0.000424"
            "|LineAreaXOffset = 0.019265|LineAreaYOffset = -0.000313|Focus Offset = 0.000000|ImageID = 1004486"
            f"|OriginalWidth = {self.width}|OriginalHeight = {self.height}|ICC Profile = ScanScope v1"
        )

    def base(self) -> str:
        size = f"{self.width}x{self.height}"
        return (
            f"Aperio Image Library v12.0.15 \r\n{size} [0,0 {size}] ({TILE}x{TILE}) "
            f"JPEG/YCC Q={QUALITY}{self._keys()}"
        )

    def level(self, downsample: int) -> str:
        size = f"{self.width}x{self.height}"
        return (
            f"Aperio Image Library v12.0.15 \r\n{size} [0,0 {size}] ({TILE}x{TILE}) -> "
            f"{self.width // downsample}x{self.height // downsample} JPEG/YCC Q={QUALITY}{self._keys()}"
        )

    def thumbnail(self, width: int, height: int) -> str:
        return f"Aperio Image Library v12.0.15 \r\n{self.width}x{self.height} -> {width}x{height} - {self._keys()}"


def _jpeg(pixels: Pixels, quality: int = QUALITY) -> bytes:
    encoded = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(pixels),
        level=quality,
        colorspace="RGB",
        outcolorspace="YCBCR",
        subsampling="420",
    )
    return bytes(encoded)


def _blocks(blurred: bool) -> _Blocks:
    import skimage.data

    tissue: Pixels = np.asarray(skimage.data.immunohistochemistry(), dtype=np.uint8)
    wide = np.concatenate((tissue, tissue[:, ::-1]), axis=1)
    stone: Pixels = np.concatenate((wide, wide[::-1]), axis=0)
    if blurred:
        stone = np.asarray(Image.fromarray(stone).filter(ImageFilter.GaussianBlur(4)))
    pixels = [_variant(stone, index) for index in range(VARIANTS)]
    pixels.append(np.full((BLOCK, BLOCK, 3), GLASS, dtype=np.uint8))
    tiles = [[_jpeg(t) for t in _cut(p)] for p in pixels]
    return _Blocks(pixels, tiles, [_jpeg(_shrink(p, 4)) for p in pixels])


def _variant(stone: Pixels, index: int) -> Pixels:
    """Turned, shifted and tinted, so that tiles differ; edges still fit nobody's, as in any mosaic."""
    turned = np.rot90(stone, index % 4)
    shifted = np.roll(turned, (index * 197, index * 89), axis=(0, 1))
    tint = np.array([1.0, 1.0 - 0.012 * (index % 5), 1.0 - 0.01 * (index % 3)])
    return np.clip(shifted * tint, 0, 255).astype(np.uint8)


def _cut(pixels: Pixels) -> Iterator[Pixels]:
    for top in range(0, pixels.shape[0], TILE):
        for left in range(0, pixels.shape[1], TILE):
            yield pixels[top : top + TILE, left : left + TILE]


def _shrink(pixels: Pixels, factor: int) -> Pixels:
    """The mean of each `factor` x `factor` pixels."""
    rows, columns = pixels.shape[0] // factor, pixels.shape[1] // factor
    cells = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    mean: Pixels = cells.mean(axis=(1, 3)).round().astype(np.uint8)
    return mean


def _mosaic(blocks: _Blocks, size: int, random: np.random.Generator, empty: bool) -> NDArray[np.int64]:
    """Which stone lies where: tissue in an ellipse on glass, as many blocks as make about `size` bytes."""
    glass = len(blocks.tiles) - 1
    of_glass = sum(len(t) for t in blocks.tiles[glass])
    share = 0.0 if empty else 0.62
    per_block = 1.07 * (share * blocks.mean_bytes() + (1 - share) * of_glass)
    columns = max(2, round((size / per_block / 1.2) ** 0.5))
    rows = max(2, round(size / per_block / columns))
    y, x = np.mgrid[0:rows, 0:columns]
    away = ((y + 0.5) / rows - 0.5) ** 2 + ((x + 0.5) / columns - 0.5) ** 2
    stones = random.integers(0, glass, (rows, columns))
    inside = np.zeros((rows, columns), dtype=bool)
    inside.ravel()[np.argsort(away, axis=None, kind="stable")[: round(share * rows * columns)]] = True
    return np.where(inside, stones, glass)


def _base_tiles(blocks: _Blocks, mosaic: NDArray[np.int64]) -> Iterator[bytes]:
    for row in mosaic.tolist():
        for part in range(TILES_PER_BLOCK):
            for stone in row:
                yield from blocks.tiles[stone][part * TILES_PER_BLOCK : (part + 1) * TILES_PER_BLOCK]


def _quarter_tiles(blocks: _Blocks, mosaic: NDArray[np.int64]) -> Iterator[bytes]:
    for row in mosaic.tolist():
        for stone in row:
            yield blocks.quarter[stone]


def _overview(blocks: _Blocks, mosaic: NDArray[np.int64]) -> Pixels:
    """The whole slide at 1/16."""
    stones = np.stack([_shrink(p, 16) for p in blocks.pixels])
    rows, columns = mosaic.shape
    side = BLOCK // 16
    laid = stones[mosaic].transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)
    return np.ascontiguousarray(laid)


def _write_level(writer: Any, tiles: Iterator[bytes], width: int, height: int, description: str) -> None:
    writer.write(
        tiles,
        shape=(height, width, 3),
        dtype=np.uint8,
        tile=(TILE, TILE),
        photometric="ycbcr",
        compression="jpeg",
        subsampling=(2, 2),
        description=description.encode("utf-8"),
        metadata=None,
        software=False,
    )


def _write_small_levels(writer: Any, overview: Pixels, described: _Description) -> None:
    """1/16, and 1/64 while that is still larger than a tile."""
    downsample = 16
    while min(overview.shape[:2]) >= TILE or downsample == 16:
        height, width = overview.shape[:2]
        padded = np.pad(overview, ((0, -height % TILE), (0, -width % TILE), (0, 0)), mode="edge")
        _write_level(writer, (_jpeg(t) for t in _cut(padded)), width, height, described.level(downsample))
        overview, downsample = _shrink(overview, 4), downsample * 4


def _write_thumbnail(writer: Any, overview: Pixels, described: _Description) -> None:
    picture = Image.fromarray(overview)
    picture.thumbnail((1024, 768))
    pixels = np.asarray(picture)
    _write_strips(writer, pixels, described.thumbnail(picture.width, picture.height), 0)


def _write_strips(writer: Any, pixels: Pixels, description: str, subfile: int) -> None:
    """JPEG in strips of 16 rows."""
    height, width = pixels.shape[:2]
    strips = [_jpeg(pixels[top : top + 16]) for top in range(0, height, 16)]
    writer.write(
        iter(strips),
        shape=(height, width, 3),
        dtype=np.uint8,
        rowsperstrip=16,
        photometric="ycbcr",
        compression="jpeg",
        subsampling=(2, 2),
        subfiletype=subfile,
        description=description.encode("utf-8"),
        metadata=None,
        software=False,
    )


def _write_associated(writer: Any, pixels: Pixels, name: str, subfile: int) -> None:
    """The label in LZW, as scanners write it; the macro in JPEG."""
    description = f"Aperio Image Library v12.0.15 \r\n{name} {pixels.shape[1]}x{pixels.shape[0]}"
    if name == "macro":
        _write_strips(writer, pixels, description, subfile)
        return
    writer.write(
        pixels,
        rowsperstrip=7,
        photometric="rgb",
        compression="lzw",
        predictor=True,
        subfiletype=subfile,
        description=description.encode("utf-8"),
        metadata=None,
        software=False,
    )


def _label_picture(label: _Label, barcode: str) -> Pixels:
    """A printed label: number, block and stain, the patient's name, and a barcode of the first three."""
    picture = Image.new("RGB", (480, 480), "white")
    draw = ImageDraw.Draw(picture)
    lines = (label.pathology_number, f"{label.block}   {label.stain}", label.patient_name)
    for index, line in enumerate(lines):
        draw.text((24, 20 + index * 62), line, fill="black", font=_font(44 if index < 2 else 32))
    if barcode:
        content = f"{label.pathology_number};{label.block};{label.stain}"
        code = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, barcode))
        printed = Image.fromarray(np.asarray(code.to_image(scale=5))).convert("RGB")
        printed.thumbnail((440, 250), Image.Resampling.NEAREST)
        picture.paste(printed, (20, 210))
    return np.asarray(picture)


def _font(size: int) -> ImageFont.FreeTypeFont:
    folder = Path(str(importlib.resources.files("pylopdf_fonts_zh_cn")))
    return ImageFont.truetype(folder / "NotoSansSC-Regular.otf", size)


def _macro_picture(label: Pixels, overview: Pixels) -> Pixels:
    """The whole glass: the label at the left, the tissue at the right."""
    canvas = Image.new("RGB", (1280, 432), (GLASS, GLASS, GLASS))
    canvas.paste(Image.fromarray(label).resize((400, 400)), (10, 16))
    tissue = Image.fromarray(overview)
    tissue.thumbnail((800, 400))
    canvas.paste(tissue, (440, 16))
    return np.asarray(canvas)
