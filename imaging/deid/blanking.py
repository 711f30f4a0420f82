"""Blanking areas of pixels: plain black, never a pattern that could be taken for anatomy, and nothing beside them.

Uncompressed pixels are changed in place. Of baseline JPEG the blocks are blanked in their codestream where nothing else
stands in them. All other compressed frames are decoded, blanked and packed again without loss, in their own transfer
syntax where it can hold them so, else as RLE: what stands outside the areas is decoded to the same values as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.encoders import JPEG2000LosslessEncoder, RLELosslessEncoder

from cases.documents import Area
from cases.errors import Quarantine
from imaging.deid import codestreams, jpeg_blocks
from imaging.deid.elements import PIXEL_DATA, DataSet, Element, Value
from imaging.deid.jpeg_blocks import Box
from imaging.deid.objects import has
from imaging.deid.part10 import Head
from imaging.deid.rules import insert
from imaging.dicom import frames
from imaging.dicom.pixels import VIDEO

Frame = NDArray[Any]
_DARK = 16  # of 255: what a lossy codec leaves of black
_PHOTOMETRIC, _PLANAR = 0x00280004, 0x00280006
# Photometric interpretations whose samples stand one beside the other, uncompressed and as a decoder gives them.
_PLAIN = frozenset({"RGB", "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "YBR_FULL"})
_DECODED = _PLAIN | {"YBR_FULL_422", "YBR_RCT", "YBR_ICT"}


def possible(dataset: Dataset, head: Head) -> bool:
    """Whether areas of such pixels can be blanked: no video, whole bytes, samples side by side."""
    known = dataset.get("PhotometricInterpretation") in (_DECODED if head.encapsulated else _PLAIN)
    return known and dataset.get("BitsAllocated") in (8, 16, 32) and head.transfer_syntax not in VIDEO


def fitted(pixel_data: Element, opened: frames.Opened, head: Head, area: Area) -> Area:
    """The rows at the top of a picture as blocks of baseline JPEG hold them, so that they can be blanked there.

    A few rows less, and only where a dark row lies at the cut: no letter crosses it. What stands in those rows is then
    part of what is read.
    """
    across_the_top = not area.left and not area.top and area.right == opened.dataset.Columns
    if head.transfer_syntax != uid.JPEGBaseline8Bit or not across_the_top:
        return area
    try:
        packed = next(generate_frames(bytes(pixel_data.value), number_of_frames=opened.frames))
        bottom = area.bottom - area.bottom % jpeg_blocks.rows_together(packed)
    except jpeg_blocks.NotBaseline:
        return area
    if not bottom or any(frame[bottom : bottom + 1].max() > _DARK for frame in frames.every(opened)):
        return area
    return area.model_copy(update={"bottom": bottom})


def blank(elements: DataSet, opened: frames.Opened, head: Head, areas: Sequence[Area]) -> str:
    """Blanks `areas` in the pixel data of `elements`; returns the transfer syntax that the pixels are in now.

    :raises Quarantine: `pixels-doubtful` if such pixels cannot be blanked.
    """
    if not possible(opened.dataset, head):
        raise Quarantine("pixels-doubtful", "areas of such pixels, or of a video, cannot be blanked")
    pixel_data = has(elements, PIXEL_DATA)
    assert pixel_data is not None, "what has no pixels has no areas"
    if head.encapsulated:
        if head.transfer_syntax == uid.JPEGBaseline8Bit and _blank_blocks(pixel_data, opened, areas):
            return head.transfer_syntax
        return _blank_packed(elements, pixel_data, opened, head.transfer_syntax, areas)
    _blank_plain(pixel_data, opened, head, areas)
    return head.transfer_syntax


def _black(dataset: Dataset) -> Any:
    """The stored value, or values, of black."""
    photometric, bits = dataset.PhotometricInterpretation, int(dataset.BitsStored)
    low = -(1 << bits - 1) if dataset.get("PixelRepresentation") else 0
    if photometric == "YBR_FULL":
        return (0, 1 << bits - 1, 1 << bits - 1)
    return low + (1 << bits) - 1 if photometric == "MONOCHROME1" else low


def _blank_plain(pixel_data: Element, opened: frames.Opened, head: Head, areas: Sequence[Area]) -> None:
    dataset = opened.dataset
    shape = (opened.frames, int(dataset.Rows), int(dataset.Columns))
    samples = int(dataset.get("SamplesPerPixel", 1))
    width = np.dtype(f"{'i' if dataset.get('PixelRepresentation') else 'u'}{int(dataset.BitsAllocated) // 8}")
    width = width.newbyteorder(">" if head.encoding.big else "<")
    # PS3.5 annex D.3 of 2004: samples of one byte in big-endian OW words stand second one first
    swapped = head.encoding.big and width.itemsize == 1 and pixel_data.vr == "OW"
    stored = _swapped(pixel_data.value) if swapped else pixel_data.value
    flat = np.frombuffer(stored, width, count=int(np.prod(shape)) * samples).copy()
    planar = samples > 1 and int(dataset.get("PlanarConfiguration") or 0) == 1
    if planar:
        whole = flat.reshape(shape[0], samples, *shape[1:]).transpose(0, 2, 3, 1)
    else:
        whole = flat.reshape(*shape, samples)
    for area in areas:
        whole[area.first : area.last + 1, area.top : area.bottom, area.left : area.right] = _black(dataset)
    blanked = flat.tobytes() + bytes(stored[flat.nbytes :])
    pixel_data.value = _swapped(blanked) if swapped else blanked


def _swapped(words: bytes | bytearray | memoryview) -> bytes:
    """The two bytes of each word exchanged."""
    return np.frombuffer(words, "<u2").byteswap().tobytes()


def _blank_blocks(pixel_data: Element, opened: frames.Opened, areas: Sequence[Area]) -> bool:
    """Blanks blocks of baseline JPEG; False, and nothing is changed, where a block holds more than its area's."""
    if opened.dataset.PhotometricInterpretation == "MONOCHROME1":
        return False
    luma_and_chroma = str(opened.dataset.PhotometricInterpretation).startswith("YBR")
    changed = []
    try:
        for index, packed in enumerate(
            generate_frames(bytes(pixel_data.value), number_of_frames=opened.frames)
        ):
            boxes = [_box(a) for a in areas if a.first <= index <= a.last]
            if boxes and not _dark_around(frames.decode(opened, index), packed, boxes):
                return False
            whole = jpeg_blocks.blanked(packed, boxes, luma_and_chroma=luma_and_chroma) if boxes else packed
            changed.append(whole)
    except jpeg_blocks.NotBaseline:
        return False
    pixel_data.value = _fragments(changed)
    return True


def _box(area: Area) -> Box:
    return Box(area.left, area.top, area.right, area.bottom)


def _dark_around(frame: Frame, packed: bytes, boxes: Sequence[Box]) -> bool:
    """Whether the blocks that the boxes touch show nothing beside the boxes."""
    touched, held = np.zeros(frame.shape[:2], bool), np.zeros(frame.shape[:2], bool)
    for box in boxes:
        large = jpeg_blocks.grown(packed, box)
        touched[large.top : large.bottom, large.left : large.right] = True
        held[box.top : box.bottom, box.left : box.right] = True
    beside = frame[touched & ~held]
    return not beside.size or bool(beside.max() <= _DARK)


def _blank_packed(
    elements: DataSet, pixel_data: Element, opened: frames.Opened, syntax: str, areas: Sequence[Area]
) -> str:
    """Decoded to RGB or grey, blanked, and packed again without loss, in `syntax` or as RLE (PS3.5 annex G)."""
    dataset = opened.dataset
    samples = int(dataset.get("SamplesPerPixel", 1))
    photometric = "RGB" if samples == 3 else str(dataset.PhotometricInterpretation)
    described = _described(dataset, samples, photometric)
    black = 0 if samples == 3 else _black(dataset)
    whole_bytes = dataset.BitsStored == dataset.BitsAllocated and not dataset.get("PixelRepresentation")
    pack = _PACKERS.get(syntax) if whole_bytes and dataset.BitsAllocated in (8, 16) else None
    packed = []
    for index in range(opened.frames):
        frame = np.array(frames.decode(opened, index), order="C")
        for area in areas:
            if area.first <= index <= area.last:
                frame[area.top : area.bottom, area.left : area.right] = black
        packed.append((pack or _rle)(frame, described))
    pixel_data.value, pixel_data.fragments, pixel_data.vr = _fragments(packed), True, "OB"
    insert(elements, Element(_PHOTOMETRIC, "CS", photometric.encode("ascii")))
    if samples == 3:
        insert(elements, Element(_PLANAR, "US", b"\0\0"))
    return syntax if pack else str(uid.RLELossless)


def _rle(frame: Frame, described: Mapping[str, Any]) -> bytes:
    return bytes(RLELosslessEncoder.encode(frame, **described))


def _jpeg_2000(frame: Frame, described: Mapping[str, Any]) -> bytes:
    return bytes(JPEG2000LosslessEncoder.encode(frame, **described))


def _jpeg_ls(frame: Frame, described: Mapping[str, Any]) -> bytes:
    return bytes(imagecodecs.jpegls_encode(frame))


def _lossless_jpeg(frame: Frame, described: Mapping[str, Any]) -> bytes:
    """Process 14, selection value 1 (ISO 10918-1 table H.1)."""
    space = "RGB" if frame.ndim == 3 else "GRAYSCALE"
    return bytes(
        imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1, colorspace=space, outcolorspace=space)
    )


# Transfer syntaxes that can hold a frame without loss, and what packs it. Those with "Lossy" in their name allow it.
_PACKERS: Mapping[str, Callable[[Frame, Mapping[str, Any]], bytes]] = {
    str(uid.RLELossless): _rle,
    str(uid.JPEG2000Lossless): _jpeg_2000,
    str(uid.JPEG2000): _jpeg_2000,
    str(uid.JPEGLSLossless): _jpeg_ls,
    str(uid.JPEGLSNearLossless): _jpeg_ls,
    str(uid.JPEGLossless): _lossless_jpeg,
    str(uid.JPEGLosslessSV1): _lossless_jpeg,
}


def _fragments(packed: list[bytes]) -> Value:
    """Encapsulated frames, silent beside the picture, without the sequence delimiter, which the writer adds."""
    whole = encapsulate(packed, has_bot=True).removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0")
    return codestreams.silenced(whole)


def _described(dataset: Dataset, samples: int, photometric: str) -> dict[str, Any]:
    return {
        "rows": dataset.Rows,
        "columns": dataset.Columns,
        "samples_per_pixel": samples,
        "photometric_interpretation": photometric,
        "planar_configuration": 0,
        "bits_allocated": dataset.BitsAllocated,
        "bits_stored": dataset.BitsStored,
        "pixel_representation": dataset.PixelRepresentation,
        "number_of_frames": 1,
    }
