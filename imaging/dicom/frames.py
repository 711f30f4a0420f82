"""One decoded frame of an instance, in whatever transfer syntax, without reading the others.

pydicom and its plugins decode; imagecodecs comes in for 12-bit JPEG that breaks the rules of its process (which GDCM
and DCMTK read too), OpenCV for video. All of it is native code: callers run it in a child with limits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, get_frame, parse_basic_offsets
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)

from cases.errors import Quarantine
from imaging.dicom.pixels import VIDEO

MAX_FRAME_BYTES = 256 << 20
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# Values up to this are read at once; pixel data beyond is fetched frame by frame.
_DEFER = 1 << 16
Picture = NDArray[Any]


def open_deferred(path: Path) -> Dataset:
    """The data set with its large values, pixel data above all, left in the file."""
    return pydicom.dcmread(path, force=True, defer_size=_DEFER)


def has_pixels(dataset: Dataset) -> bool:
    return any(keyword in dataset for keyword in _PIXELS)


@contextmanager
def decoding() -> Iterator[None]:
    """What codecs raise, in our words; their own texts may quote the file. A panic in Rust is no `Exception`."""
    try:
        yield
    except (Quarantine, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError:
        raise Quarantine("read-limit", "decoding a frame took more memory than allowed") from None
    except BaseException:  # noqa: BLE001
        raise Quarantine("file-damaged", "a frame cannot be decoded") from None


def decode(path: Path, dataset: Dataset, index: int) -> Picture:
    """Frame `index` (from 0) as (rows, columns) as stored, or (rows, columns, 3) as RGB; of a video the first frame.

    :raises Quarantine: `file-damaged`; `format-unknown` if no decoder knows the transfer syntax; `read-limit` if a
        frame takes more than `MAX_FRAME_BYTES`.
    """
    with decoding():
        return _decode(path, dataset, index)


def _decode(path: Path, dataset: Dataset, index: int) -> Picture:
    size = dataset.Rows * dataset.Columns * dataset.get("SamplesPerPixel", 1) * dataset.BitsAllocated // 8
    if size > MAX_FRAME_BYTES:
        raise Quarantine("read-limit", f"a frame takes more than {MAX_FRAME_BYTES} bytes")
    syntax = transfer_syntax(dataset)
    if syntax in VIDEO:
        return _video_frame(path, dataset)
    try:
        get_decoder(syntax)
    except NotImplementedError:
        raise Quarantine("format-unknown", "no decoder knows the transfer syntax") from None
    if _is_as_declared(dataset, syntax):
        return _by_plugins(path, dataset, syntax, index)
    whole = pydicom.dcmread(path, force=True)
    whole.file_meta.TransferSyntaxUID = syntax
    return pixel_array(whole, index=index)


def transfer_syntax(dataset: Dataset) -> UID:
    """The transfer syntax; of a file that names none, what pydicom found when it read."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        return named
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _is_as_declared(dataset: Dataset, syntax: UID) -> bool:
    """Whether pydicom will find a frame in the file: it believes the declared encoding when it looks for pixel data."""
    if "TransferSyntaxUID" not in dataset.file_meta or syntax == DeflatedExplicitVRLittleEndian:
        return False
    element: Any = next((dataset.get_item(keyword) for keyword in _PIXELS if keyword in dataset), None)
    return bool(getattr(element, "is_implicit_VR", not syntax.is_implicit_VR) == syntax.is_implicit_VR)


def _by_plugins(path: Path, dataset: Dataset, syntax: UID, index: int) -> Picture:
    try:
        return pixel_array(path, index=index)
    except RuntimeError:
        if syntax not in (JPEGBaseline8Bit, JPEGExtended12Bit):
            raise
    with path.open("rb") as source:
        source.seek(_pixels_at(dataset))
        frames = int(dataset.get("NumberOfFrames") or 1)
        return imagecodecs.jpeg_decode(get_frame(source, index, number_of_frames=frames))


def _pixels_at(dataset: Dataset) -> int:
    element: Any = dataset.get_item("PixelData")
    return int(element.value_tell if hasattr(element, "value_tell") else element.file_tell)


def _video_frame(path: Path, dataset: Dataset) -> Picture:
    """The first frame of a video (a later one would need all before it), through a file as OpenCV wants it."""
    with tempfile.NamedTemporaryFile(suffix=".video") as video:
        with path.open("rb") as source:
            source.seek(_pixels_at(dataset))
            parse_basic_offsets(source)
            for fragment in generate_fragments(source):
                video.write(fragment)
        video.flush()
        capture = cv2.VideoCapture(video.name)
        try:
            found, frame = capture.read()
        finally:
            capture.release()
    if not found:
        raise Quarantine("file-damaged", "the video cannot be decoded")
    return frame[:, :, ::-1]
