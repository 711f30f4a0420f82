"""One decoded frame of an instance, in whatever transfer syntax, without reading the others.

pydicom and its plugins decode; imagecodecs comes in for 12-bit JPEG that breaks the rules of its process (which GDCM
and DCMTK read too), OpenCV for video. All of it is native code: callers run it in a child with limits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, get_frame, parse_basic_offsets
from pydicom.filereader import read_partial
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
from imaging.dicom.walk import PIXEL_TAGS

MAX_FRAME_BYTES = 256 << 20
# Larger values stay in the file until somebody asks for them.
_DEFER = 1 << 18
Picture = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An instance's data set without its pixel data; where that begins in the file, absent if there is none.

    `implicit` is how the element that holds it is really encoded. A deflated instance is read as a `whole`.
    """

    path: Path
    dataset: Dataset
    pixels_at: int | None
    implicit: bool
    whole: bool

    @property
    def has_pixels(self) -> bool:
        return self.pixels_at is not None

    @property
    def frames(self) -> int:
        return int(self.dataset.get("NumberOfFrames") or 1)


def open_instance(path: Path) -> Opened:
    """Reads an instance up to its pixel data; its other large values are deferred."""
    met: list[str | None] = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag in PIXEL_TAGS:
            met.append(vr)
        return tag in PIXEL_TAGS

    with path.open("rb") as stream:
        dataset = read_partial(stream, stop_when=at_pixels, defer_size=_DEFER, force=True)
        at = stream.tell()
    implicit = bool(met) and met[0] is None
    return Opened(
        path=path,
        dataset=dataset,
        pixels_at=at + (8 if implicit else 12) if met else None,
        implicit=implicit,
        whole=dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian,
    )


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


def decode(opened: Opened, index: int) -> Picture:
    """Frame `index` (from 0) as (rows, columns) as stored, or (rows, columns, 3) as RGB; of a video the first frame.

    :raises Quarantine: `file-damaged`; `format-unknown` if no decoder knows the transfer syntax; `read-limit` if a
        frame takes more than `MAX_FRAME_BYTES`.
    """
    with decoding():
        return _decode(opened, index)


def every(opened: Opened) -> Iterator[Picture]:
    """Every frame, as `decode` gives it; of a video as many as it holds, whatever the instance says.

    :raises Quarantine: as `decode`.
    """
    if transfer_syntax(opened.dataset) not in VIDEO:
        yield from (decode(opened, index) for index in range(opened.frames))
        return
    with decoding():
        yield from _video_frames(opened)


def _decode(opened: Opened, index: int) -> Picture:
    dataset = opened.dataset
    size = dataset.Rows * dataset.Columns * dataset.get("SamplesPerPixel", 1) * dataset.BitsAllocated // 8
    if size > MAX_FRAME_BYTES:
        raise Quarantine("read-limit", f"a frame takes more than {MAX_FRAME_BYTES} bytes")
    syntax = transfer_syntax(dataset)
    if syntax in VIDEO:
        return next(_video_frames(opened))
    try:
        get_decoder(syntax)
    except NotImplementedError:
        raise Quarantine("format-unknown", "no decoder knows the transfer syntax") from None
    # pydicom believes the declared encoding when it looks for the pixel data in a file.
    declared = "TransferSyntaxUID" in dataset.file_meta and opened.implicit == syntax.is_implicit_VR
    if declared and not opened.whole:
        return _by_plugins(opened, syntax, index)
    whole = pydicom.dcmread(opened.path, force=True)
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


def _by_plugins(opened: Opened, syntax: UID, index: int) -> Picture:
    try:
        return pixel_array(opened.path, index=index)
    except RuntimeError:
        if syntax not in (JPEGBaseline8Bit, JPEGExtended12Bit):
            raise
    with opened.path.open("rb") as source:
        source.seek(opened.pixels_at or 0)
        return imagecodecs.jpeg_decode(get_frame(source, index, number_of_frames=opened.frames))


def _video_frames(opened: Opened) -> Iterator[Picture]:
    """The frames of a video, in order, through a file as OpenCV wants it."""
    with tempfile.NamedTemporaryFile(suffix=".video") as video:
        with opened.path.open("rb") as source:
            source.seek(opened.pixels_at or 0)
            parse_basic_offsets(source)
            for fragment in generate_fragments(source):
                video.write(fragment)
        video.flush()
        capture = cv2.VideoCapture(video.name)
        try:
            found, frame = capture.read()
            if not found:
                raise Quarantine("file-damaged", "the video cannot be decoded")
            while found:
                yield frame[:, :, ::-1]
                found, frame = capture.read()
        finally:
            capture.release()
