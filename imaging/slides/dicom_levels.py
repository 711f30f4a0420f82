"""DICOM whole-slide instances as levels of one pyramid (PS3.3 C.8.12.4): each volume is an object of its own.

Served are tiles that fill the whole matrix row by row (TILED_FULL), of one focal plane and one optical path, a fragment
for each frame (`imaging.slides.dicom_wsi.check_frames` lets no others leave). Where frames stand is told by the basic
or the extended offset table (PS3.5 A.4, PS3.3 C.7.6.3.1.8); without one the fragments are walked.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.filereader import read_partial
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from cases.errors import Quarantine
from imaging.slides.levels import MAX_TILE_SIDE, Level, Pyramid, halvings
from imaging.slides.payload import APERIO_RGB, JPEG, RAW
from imaging.slides.source import Source, SourceStream
from imaging.slides.tiff import MAX_TILES, damaged
from imaging.slides.whole_jpeg import WholeJpeg

_ITEM, _END, _UNDEFINED = 0xE000FFFE, 0xE0DDFFFE, 0xFFFFFFFF
_PIXELS = 0x7FE00010
_COMPRESSION = {
    JPEGBaseline8Bit: JPEG,
    JPEG2000: APERIO_RGB,
    JPEG2000Lossless: APERIO_RGB,
    ExplicitVRLittleEndian: RAW,
}


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """One instance that is a level: its series, its size and that of its tiles in pixels, where its frames stand.

    `microns`: of a pixel, across and down; None where the instance does not say.
    """

    series: str
    width: int
    height: int
    tile_width: int
    tile_height: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int32]
    compression: int
    samples: int
    rgb: bool
    microns: tuple[float, float] | None


def read_volume(source: Source) -> Volume | None:
    """The level that an instance is; None if it is none, such as a thumbnail.

    :raises Quarantine: `format-unknown` if its tiles are laid or compressed in another way; `file-damaged`.
    """
    stream = SourceStream(source)
    dataset = read_partial(
        cast(BinaryIO, stream), stop_when=lambda tag, vr, length: tag == _PIXELS, force=True
    )
    if "VOLUME" not in [str(value).upper() for value in dataset.get("ImageType") or ()]:
        return None
    compression = _COMPRESSION.get(dataset.file_meta.get("TransferSyntaxUID"))
    one = all(
        int(dataset.get(name) or 1) == 1 for name in ("TotalPixelMatrixFocalPlanes", "NumberOfOpticalPaths")
    )
    if compression is None or not one or dataset.get("DimensionOrganizationType") != "TILED_FULL":
        raise Quarantine("format-unknown", "a DICOM slide is stored in a way that is not served by tiles")
    size = [int(dataset.get(name) or 0) for name in ("TotalPixelMatrixColumns", "TotalPixelMatrixRows")]
    tile = [int(dataset.get(name) or 0) for name in ("Columns", "Rows")]
    samples, bits = int(dataset.get("SamplesPerPixel") or 0), int(dataset.get("BitsAllocated") or 0)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if min(*size, *tile) < 1 or max(tile) > MAX_TILE_SIDE or samples not in (1, 3) or bits != 8:
        raise damaged("a DICOM slide has no sensible size")
    if frames != -(-size[0] // tile[0]) * -(-size[1] // tile[1]) or frames > MAX_TILES:
        raise damaged("a DICOM slide has not the frames that fill it")
    offsets, counts = _frames(source, dataset, stream.tell(), frames, tile[0] * tile[1] * samples)
    return Volume(
        series=str(dataset.get("SeriesInstanceUID", "")),
        width=size[0],
        height=size[1],
        tile_width=tile[0],
        tile_height=tile[1],
        offsets=offsets,
        counts=counts,
        compression=compression,
        samples=samples,
        rgb=str(dataset.get("PhotometricInterpretation", "")) == "RGB",
        microns=_microns(dataset),
    )


def _microns(dataset: FileDataset) -> tuple[float, float] | None:
    shared = dataset.get("SharedFunctionalGroupsSequence") or [{}]
    measures = shared[0].get("PixelMeasuresSequence") or [{}]
    spacing = measures[0].get("PixelSpacing")
    return (float(spacing[1]) * 1000, float(spacing[0]) * 1000) if spacing else None


Places = tuple[NDArray[np.int64], NDArray[np.int32]]


def _frames(source: Source, dataset: FileDataset, at: int, frames: int, frame_bytes: int) -> Places:
    """Offsets and lengths of the frames; `at` is where the pixel data's value length ends."""
    tag, length = struct.unpack("<I4xI", source.read(at, 12))
    if tag != (_PIXELS & 0xFFFF) << 16 | _PIXELS >> 16:
        raise damaged("a DICOM slide has no pixels")
    at += 12
    if length != _UNDEFINED:
        offsets = at + np.arange(frames, dtype=np.int64) * frame_bytes
        places = offsets, np.full(frames, frame_bytes, dtype=np.int32)
    else:
        places = _fragments(source, dataset, at, frames)
    if bool((places[0] > source.size - places[1]).any()) or bool((places[1] < 0).any()):
        raise damaged("frames reach beyond the end of the file")
    return places


def _fragments(source: Source, dataset: FileDataset, at: int, frames: int) -> Places:
    tag, length = struct.unpack("<II", source.read(at, 8))
    if tag != _ITEM or length not in (0, 4 * frames):
        raise damaged("the offsets of a DICOM slide's frames are broken")
    first = at + 8 + length
    if length:
        starts = np.frombuffer(source.read(at + 8, length), dtype="<u4").astype(np.int64) + first
    elif "ExtendedOffsetTable" in dataset:
        starts = np.frombuffer(dataset["ExtendedOffsetTable"].value, dtype="<u8").astype(np.int64) + first
    else:
        starts = _walked(source, first, frames)
    if starts.size != frames or bool((np.diff(starts) < 8).any()):
        raise damaged("the offsets of a DICOM slide's frames are broken")
    (last,) = struct.unpack("<4xI", source.read(int(starts[-1]), 8))
    lengths = np.append(np.diff(starts) - 8, last)
    return starts + 8, lengths.astype(np.int32)


def _walked(source: Source, at: int, frames: int) -> NDArray[np.int64]:
    starts: list[int] = []
    while len(starts) <= frames:
        tag, length = struct.unpack("<II", source.read(at, 8))
        if tag == _END:
            break
        if tag != _ITEM:
            raise damaged("the frames of a DICOM slide are broken")
        starts.append(at)
        at += 8 + length
    return np.array(starts, dtype=np.int64)


def pyramid_of(volumes: Sequence[Volume], sizes: Sequence[int]) -> Pyramid:
    """The levels of one slide, whose instances stand one behind the other.

    :param sizes: bytes of each instance.
    """
    starts = [0, *accumulate(sizes)]
    placed = sorted(zip(volumes, starts, strict=False), key=lambda pair: -pair[0].width)
    base = placed[0][0]
    return Pyramid(levels=tuple(_level(volume, start, base) for volume, start in placed))


def _level(volume: Volume, start: int, base: Volume) -> Level:
    halved = halvings((base.width, base.height), (volume.width, volume.height))
    jpeg = volume.compression == JPEG
    told: dict[str, Any] = {
        name: getattr(volume, name)
        for name in ("width", "height", "tile_width", "tile_height", "counts", "compression", "samples")
    }
    return Level(
        **told,
        offsets=volume.offsets + start,
        across=base.width / volume.width if halved is None else float(1 << halved),
        down=base.height / volume.height if halved is None else float(1 << halved),
        halvings=halved,
        predictor=1,
        whole=WholeJpeg(rgb=volume.rgb) if jpeg else None,
    )
