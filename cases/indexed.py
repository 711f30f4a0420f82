"""What is told of a de-identified DICOM instance before its object is opened: attributes, and where frames lie."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The DICOM JSON model (PS3.18 Annex F): tag in eight hexadecimal digits -> {"vr": ..., "Value": [...]}.
Attributes = Mapping[str, Any]

# A frame's fragments: offset of the first one's item tag within the object, and bytes up to the last one's end.
SPAN = struct.Struct(">QL")


@dataclass(frozen=True, kw_only=True)
class PixelPlaces:
    """Where the frames of an instance lie within its object (within the inflated data set if that is deflated).

    Native: frame `n` (from 0) begins `n * bits` bits after `first`; `swap` is the width in bytes of the words that are
    stored big-endian, 0 if none are. Encapsulated: `spans` holds one `SPAN` a frame, or one for all frames of a
    video. `header` is where the element of the pixel data begins, `value` where its value does, of `length` bytes.
    """

    frames: int
    header: int
    value: int
    length: int
    bits: int = 0
    swap: int = 0
    spans: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class IndexedInstance:
    """One instance as QIDO-RS and WADO-RS tell of it.

    `name` is its place below a delivery's folder. `study`, `series` and `instance` are the attributes of each level;
    `metadata` is the whole data set as DICOM JSON (UTF-8, deflated by zlib), in which a BulkDataURI holds the path
    alone. `bulk`: path -> offset, length and width of big-endian words of values that stand outside of it.
    """

    name: str
    size: int
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study: Attributes = field(repr=False)
    series: Attributes = field(repr=False)
    instance: Attributes = field(repr=False)
    metadata: bytes = field(repr=False)
    bulk: Mapping[str, tuple[int, int, int]] = field(default_factory=dict, repr=False)
    pixels: PixelPlaces | None = None
