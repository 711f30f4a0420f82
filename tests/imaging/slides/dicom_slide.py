"""A small DICOM slide for tests: volumes of several levels in one series, and a thumbnail beside them."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    VLWholeSlideMicroscopyImageStorage,
    generate_uid,
)

Pixels = NDArray[np.uint8]
TILE, MICRONS = 256, 0.25


def write_slide(
    folder: Path, base: Pixels, *, syntax: str = JPEGBaseline8Bit, table: str = "basic"
) -> list[Path]:
    """Levels at 1, 1/2 and 1/4 and a thumbnail, each an instance.

    :param table: how frames are found: `basic`, `extended`, or `none` at all.
    """
    series = generate_uid()
    paths = []
    for role, factor in (("VOLUME", 1), ("VOLUME", 2), ("VOLUME", 4), ("THUMBNAIL", 8)):
        path = folder / f"{role.lower()}-{factor}.dcm"
        small = np.asarray(Image.fromarray(base).reduce(factor))
        _instance(small, series, role, factor, syntax, table).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _instance(pixels: Pixels, series: str, role: str, factor: int, syntax: str, table: str) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    made.SOPClassUID, made.SOPInstanceUID = VLWholeSlideMicroscopyImageStorage, generate_uid()
    made.SeriesInstanceUID, made.Modality = series, "SM"
    made.ImageType = ["ORIGINAL", "PRIMARY", role, "NONE"]
    made.DimensionOrganizationType = "TILED_FULL"
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = pixels.shape[:2]
    made.TotalPixelMatrixFocalPlanes, made.NumberOfOpticalPaths = 1, 1
    made.Rows = made.Columns = TILE
    made.SamplesPerPixel, made.BitsAllocated, made.BitsStored, made.HighBit = 3, 8, 8, 7
    made.PixelRepresentation, made.PlanarConfiguration, made.PhotometricInterpretation = 0, 0, "RGB"
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [MICRONS * factor / 1000] * 2
    shared.PixelMeasuresSequence = [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    frames = [_encoded(tile, syntax) for tile in _tiles(pixels)]
    made.NumberOfFrames = len(frames)
    if syntax == ExplicitVRLittleEndian:
        made.PixelData = b"".join(frames)
    elif table == "extended":
        made.PixelData, made.ExtendedOffsetTable, made.ExtendedOffsetTableLengths = encapsulate_extended(
            frames
        )
    else:
        made.PixelData = encapsulate(frames, has_bot=table == "basic")
    made["PixelData"].VR = "OB"
    if syntax != ExplicitVRLittleEndian:
        made["PixelData"].is_undefined_length = True
    return made


def _tiles(pixels: Pixels) -> list[Pixels]:
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % TILE), (0, -width % TILE), (0, 0)), mode="edge")
    return [
        padded[top : top + TILE, left : left + TILE]
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
    ]


def _encoded(tile: Pixels, syntax: str) -> bytes:
    tile = np.ascontiguousarray(tile)
    if syntax == JPEGBaseline8Bit:
        return bytes(imagecodecs.jpeg8_encode(tile, level=92, colorspace="RGB", outcolorspace="RGB"))
    if syntax == JPEG2000Lossless:
        return bytes(imagecodecs.jpeg2k_encode(tile, codecformat="j2k", reversible=True, level=0))
    return tile.tobytes()
