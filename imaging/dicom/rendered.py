"""One frame as a picture for the screen (PS3.18 8.3.5): windowed, cut and scaled as asked, JPEG or PNG.

The frame comes alone, beside what stands before the pixel data in its object, so that no other frame is read.
Decoders are native code: callers run this in a child with limits.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian

from imaging.dicom import frames, previews
from imaging.dicom.frames import Picture
from imaging.dicom.look import FORMATS, Look, Viewport, Window

_PIXEL_DATA = 0x7FE00010


def render(begin: bytes, frame: bytes, number: int, look: Look) -> bytes:
    """The picture of `frame`, the one of that `number` (from 0) of the instance that begins with `begin`.

    :raises Quarantine: `file-damaged` if it cannot be decoded; `format-unknown` if no decoder knows its transfer
        syntax; `read-limit` if it takes more than `frames.MAX_FRAME_BYTES`.
    """
    with warnings.catch_warnings(), frames.decoding(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "frame.dcm"
        dcmwrite(path, _of_one(begin, frame, number), enforce_file_format=True)
        opened = frames.open_instance(path)
        picture = frames.decode(opened, 0)
        if look.viewport and not any(look.viewport.part):
            picture = previews.thinned(picture, max(look.viewport.width, look.viewport.height))
        image = Image.fromarray(np.ascontiguousarray(_windowed(picture, opened.dataset, look.window)))
        return _written(_fitted(image, look.viewport) if look.viewport else image, look)


def _of_one(begin: bytes, frame: bytes, number: int) -> Dataset:
    """An instance of this frame alone; what its functional groups say of it is said of the instance.

    A native frame is little-endian, whatever the instance is.
    """
    dataset = dcmread(io.BytesIO(begin), force=True)
    for groups, place in (
        ("SharedFunctionalGroupsSequence", 0),
        ("PerFrameFunctionalGroupsSequence", number),
    ):
        items = dataset.get(groups) or []
        for group in items[place] if place < len(items) else ():
            if group.keyword in ("PixelValueTransformationSequence", "FrameVOILUTSequence") and group.value:
                dataset.update(group.value[0])
        if items:
            del dataset[groups]
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        dataset.pop(keyword, None)
    dataset.NumberOfFrames = 1
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset.add_new(_PIXEL_DATA, "OB", encapsulate([frame]))
        dataset["PixelData"].is_undefined_length = True
        return dataset
    for _ in dataset.iterall():
        continue  # pydicom writes what it has not looked at in the byte order in which it was read
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.add_new(
        _PIXEL_DATA, "OW" if dataset.BitsAllocated > 8 else "OB", frame + b"\0" * (len(frame) % 2)
    )
    return dataset


def _windowed(picture: Picture, dataset: Dataset, window: Window | None) -> NDArray[np.uint8]:
    if window is None or picture.ndim == 3:
        return previews.shown(picture, dataset)
    values = previews.modality_values(picture, dataset).astype(np.float32)
    grey = np.clip(FUNCTIONS[window.function](values, window.centre, window.width) * 255, 0, 255)
    turned = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    return np.rint(255 - grey if turned else grey).astype(np.uint8)


def _linear(values: Picture, centre: float, width: float) -> Picture:
    return (values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5


def _linear_exact(values: Picture, centre: float, width: float) -> Picture:
    return (values - centre) / width + 0.5


def _sigmoid(values: Picture, centre: float, width: float) -> Picture:
    return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -80, 80)))


FUNCTIONS: Mapping[str, Callable[[Picture, float, float], Picture]] = {
    "linear": _linear,
    "linear-exact": _linear_exact,
    "sigmoid": _sigmoid,
}


def _fitted(image: Image.Image, viewport: Viewport) -> Image.Image:
    """The part that is asked for, as large as the viewport holds it, in its proportions."""
    left, top, width, height = viewport.part
    if width and height:
        box = (left, top, left + abs(width), top + abs(height))
        image = image.crop((round(box[0]), round(box[1]), max(round(box[2]), 1), max(round(box[3]), 1)))
    if width < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if height < 0:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    scale = min(viewport.width / image.width, viewport.height / image.height)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image.resize(size, Image.Resampling.LANCZOS)


def _written(image: Image.Image, look: Look) -> bytes:
    target = io.BytesIO()
    told = {"quality": look.quality} if look.media_type == "image/jpeg" else {"compress_level": 3}
    image.save(target, FORMATS[look.media_type], **told)
    return target.getvalue()
