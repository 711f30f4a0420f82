"""A small Philips TIFF for tests: padded levels, tiles never scanned, and an identity in every place that has room."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import skimage.data
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.imaging.slides.conftest import BLOCK, NAME, NUMBER, STAIN

Pixels = NDArray[np.uint8]
TILE = 256
SPACING = ("0.000226891", "0.000226907")
# Stands in the XML or in a tag, and in nothing that leaves.
CANARIES = (
    "20260619095915.000000", "FMT0107-CANARY", "wang.operator", "S2026-04711.isyntax", "canary-model", "RACKCANARY",
    "unforeseen canary", "2026:06:19 09:59:15", "HOST-CANARY", "Dr. Canary", "macro canary",
)  # fmt: skip


@dataclass(kw_only=True)
class Made:
    """What may differ from the ordinary: XML attributes, and pages beside the levels."""

    spacing: tuple[str, str] | None = SPACING
    steps: tuple[float, ...] = (1, 2, 4, 8, 16)
    pages: bool = True
    pictures: bool = True
    before: str = ""
    software: str = "Philips DP v1.0"
    objective: str = "40"
    extra: dict[str, Any] = field(default_factory=dict)


def tissue() -> Pixels:
    """Tissue on glass, 2048 x 1536."""
    picture = np.full((1536, 2048, 3), 243, np.uint8)
    picture[256:1280, 512:1536] = np.tile(np.asarray(skimage.data.immunohistochemistry()), (2, 2, 1))
    return picture


def label() -> Pixels:
    picture = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(picture)
    for at, words in enumerate((NUMBER, BLOCK, STAIN)):
        draw.text((40, 60 + 120 * at), words, fill="black", font_size=70)
    return np.asarray(picture)


def write_philips(path: Path, made: Made | None = None) -> Path:
    """Write the slide; each level is padded to whole tiles, and a corner of the glass was never scanned."""
    made = made or Made()
    base = tissue()
    tiled: dict[str, Any] = {
        "tile": (TILE, TILE), "photometric": "ycbcr", "subsampling": (1, 1), "compression": "jpeg", "metadata": None,
        "dtype": np.uint8,
    }  # fmt: skip
    with tifffile.TiffWriter(path) as writer:
        for number, factor in enumerate((1, 2, 4, 8, 16)):
            small = Image.fromarray(base).resize((2048 // factor, 1536 // factor), Image.Resampling.BOX)
            padded = _padded(np.asarray(small), whole=number == 0)
            first: dict[str, Any] = {
                "description": xml(made).encode(), "software": made.software, "datetime": CANARIES[7],
                "extratags": [(316, 2, None, CANARIES[8], True), (315, 2, None, CANARIES[9], True)], **made.extra,
            }  # fmt: skip
            further = {
                "subfiletype": 1,
                "description": f"level={number} mag=20 by {CANARIES[9]}",
                "software": False,
            }
            writer.write(
                _tiles(padded, sparse=factor <= 2),
                shape=padded.shape,
                **tiled,
                **(further if number else first),
            )
        if made.pages:
            strip: dict[str, Any] = {
                "photometric": "rgb",
                "compression": "jpeg",
                "metadata": None,
                "software": False,
            }
            writer.write(np.full((300, 800, 3), 200, np.uint8), description=f"Macro {CANARIES[10]}", **strip)
            writer.write(label(), description="Label", **strip)
    return path


def _padded(picture: Pixels, *, whole: bool) -> Pixels:
    height, width = picture.shape[:2]
    if whole:
        return picture
    return np.pad(picture, ((0, -height % TILE), (0, -width % TILE), (0, 0)), mode="edge")


def _tiles(picture: Pixels, *, sparse: bool) -> Iterator[bytes]:
    for y in range(0, picture.shape[0], TILE):
        for x in range(0, picture.shape[1], TILE):
            tile = picture[y : y + TILE, x : x + TILE]
            yield b"" if sparse and int(tile.min()) == 243 else encoded(tile)


def encoded(tile: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=90, subsampling="444"))


def xml(made: Made) -> str:
    """As the scanner's export writes it."""
    levels = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation">{_spacing((f"{0.00025 * s:.9f}",) * 2)}'
        f"{_attribute('PIIM_PIXEL_DATA_REPRESENTATION_NUMBER', str(n))}</DataObject>"
        for n, s in enumerate(made.steps)
    )
    derived = (
        f"tiff-useBigTIFF=1-clip=2-useRgb=0-levels={made.objective},10002-q80-"
        f"sourceFilename=&quot;{CANARIES[3]} {NAME}&quot;"
    )
    scan = "".join((
        _attribute("DICOM_DERIVATION_DESCRIPTION", derived), _attribute("PIM_DP_IMAGE_TYPE", "WSI"),
        _attribute("DICOM_BITS_ALLOCATED", "8"), _attribute("DICOM_PHOTOMETRIC_INTERPRETATION", "RGB"),
        _attribute("DICOM_SAMPLES_PER_PIXEL", "3"), _spacing(made.spacing) if made.spacing else "",
        _attribute("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", f"<Array>{levels}</Array>"),
    ))  # fmt: skip
    images = [("WSI", scan)]
    if made.pictures:
        images += [(kind, _attribute("PIM_DP_IMAGE_TYPE", kind) + _attribute("PIM_DP_IMAGE_DATA", _jpeg(picture)))
                   for kind, picture in (("LABELIMAGE", label()), ("MACROIMAGE", label()[::2]))]  # fmt: skip
    held = "".join(f'<DataObject ObjectType="DPScannedImage">{rows}</DataObject>' for _, rows in images)
    rows = "".join((
        _attribute("DICOM_ACQUISITION_DATETIME", CANARIES[0]), _attribute("DICOM_DEVICE_SERIAL_NUMBER", CANARIES[1]),
        _attribute("DICOM_MANUFACTURER", "PHILIPS"), _attribute("DICOM_MANUFACTURERS_MODEL_NAME", CANARIES[4]),
        _attribute("PIIM_DP_SCANNER_OPERATOR_ID", CANARIES[2]), _attribute("PIIM_DP_SCANNER_RACK_NUMBER", CANARIES[5]),
        _attribute("PIM_DP_UFS_BARCODE", base64.b64encode(f"{NUMBER};{BLOCK};{STAIN}".encode()).decode()),
        _attribute("SOMETHING_NEW", CANARIES[6]), _attribute("PIM_DP_SCANNED_IMAGES", f"<Array>{held}</Array>"),
    ))  # fmt: skip
    start = '<?xml version="1.0" encoding="UTF-8" ?>'
    return f'{start}\n{made.before}<DataObject ObjectType="DPUfsImport">\n{rows}\n</DataObject>'


def _attribute(name: str, value: str) -> str:
    return f'<Attribute Name="{name}" Group="0x0000" Element="0x0000" PMSVR="IString">{value}</Attribute>\n'


def _spacing(values: tuple[str, ...]) -> str:
    return _attribute("DICOM_PIXEL_SPACING", " ".join(f"&quot;{v}&quot;" for v in values))


def _jpeg(picture: Pixels) -> str:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(out, "JPEG", quality=90)
    return base64.b64encode(out.getvalue()).decode()
