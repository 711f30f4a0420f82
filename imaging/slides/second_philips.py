"""The second pass over a Philips header: its XML is one whole known sentence, with numbers alone in its gaps.

Shares no code with the first pass, and parses no XML: what does not match letter by letter does not leave.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from imaging.slides.second_tiles import left

SOFTWARE = b"Philips DP v1.0\0"
LONGEST = 16_000
_TWO = r"&quot;\d{1,4}\.\d{1,12}&quot; &quot;\d{1,4}\.\d{1,12}&quot;"
_COUNT = r"\d{1,8}"


def _gap(name: str, tag: str, kind: str, value: str) -> str:
    group, element = tag.split(",")
    return rf'<Attribute Name="{name}" Group="0x{group}" Element="0x{element}" PMSVR="{kind}">{value}</Attribute>\n'


def _open(name: str, tag: str) -> str:
    return _gap(name, tag, "IDataObjectArray", "@").partition("@")[0] + "<Array>\n"


_CLOSE = "</Array></Attribute>\n"
_LEVEL = (
    '<DataObject ObjectType="PixelDataRepresentation">\n'
    + _gap("DICOM_PIXEL_SPACING", "0028,0030", "IDoubleArray", _TWO)
    + _gap("PIIM_PIXEL_DATA_REPRESENTATION_COLUMNS", "2001,115E", "IUInt32", _COUNT)
    + _gap("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", "1001,8B02", "IUInt16", r"\d{1,2}")
    + _gap("PIIM_PIXEL_DATA_REPRESENTATION_ROWS", "2001,115D", "IUInt32", _COUNT)
    + "</DataObject>\n"
)
# Each may be missing, and stands in this place alone.
_MAY_STAND = "".join(
    f"(?:{_gap(name, tag, kind, f'(?:{value})')})?"
    for name, tag, kind, value in (
        ("UFS_IMAGE_PIXEL_TRANSFORMATION_METHOD", "301D,2013", "IString", r"\d"),
        ("DICOM_BITS_ALLOCATED", "0028,0100", "IUInt16", "8|16"),
        ("DICOM_BITS_STORED", "0028,0101", "IUInt16", "8|10|12|14|16"),
        ("DICOM_HIGH_BIT", "0028,0102", "IUInt16", "7|9|11|13|15"),
        ("DICOM_LOSSY_IMAGE_COMPRESSION", "0028,2110", "IString", "00|01"),
        ("DICOM_PHOTOMETRIC_INTERPRETATION", "0028,0004", "IString", "RGB|YBR_FULL|YBR_FULL_422|MONOCHROME2"),
        ("DICOM_PIXEL_REPRESENTATION", "0028,0103", "IUInt16", "0|1"),
        ("DICOM_PLANAR_CONFIGURATION", "0028,0006", "IUInt16", "0|1"),
        ("DICOM_SAMPLES_PER_PIXEL", "0028,0002", "IUInt16", "1|3|4"),
        ("DICOM_DERIVATION_DESCRIPTION", "0008,2111", "IString", r"tiff-levels=\d{1,3}"),
        ("DICOM_PIXEL_SPACING", "0028,0030", "IDoubleArray", _TWO),
    )
)
_SENTENCE = re.compile(
    r'<\?xml version="1\.0" encoding="UTF-8" \?>\n<DataObject ObjectType="DPUfsImport">\n'
    + _open("PIM_DP_SCANNED_IMAGES", "301D,1003")
    + '<DataObject ObjectType="DPScannedImage">\n'
    + _gap("PIM_DP_IMAGE_TYPE", "301D,1004", "IString", "WSI")
    + _MAY_STAND
    + _open("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", "1001,8B01")
    + f"(?P<levels>(?:{_LEVEL}){{1,32}})"
    + _CLOSE
    + "</DataObject>\n"
    + _CLOSE
    + "</DataObject>\0?"
)
_SPACING = re.compile(r"&quot;([\d.]+)&quot; &quot;([\d.]+)&quot;")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much smaller each level is than the base, 1 first; `said` are the XML's values without its markup."""

    factors: tuple[int, ...]
    said: bytes

    def require_fit(
        self, index: int, size: tuple[int, int], tile: tuple[int, int], base: tuple[int, int]
    ) -> None:
        """A level is the base over its factor, padded to less than one more tile.

        :raises Quarantine: `identity-left`.
        """
        for side, step, whole in zip(size, tile, base, strict=True):
            true = whole // self.factors[index]
            if not 0 < true <= side < true + max(1, step):
                raise left(f"page {index + 1} has not the shape of the slide")


def read_scale(described: str) -> Scale | None:
    """What a first page's description says, if it is a Philips header as it may leave; else None.

    :raises Quarantine: `identity-left` if it is one whose levels make no sense.
    """
    found = _SENTENCE.fullmatch(described) if len(described) <= LONGEST else None
    if found is None:
        return None
    spacings = [(float(a), float(b)) for a, b in _SPACING.findall(found["levels"])]
    (first_row, first_column) = spacings[0]
    if not first_row or not first_column:
        raise left("the Philips header gives the base no scale")
    factors = tuple(round((row / first_row + column / first_column) / 2) for row, column in spacings)
    if factors[0] != 1 or any(b <= a for a, b in itertools.pairwise(factors)):
        raise left("the levels of the Philips header do not become smaller")
    said = re.sub(r"<[^>]*>", " ", described)
    return Scale(factors=factors, said=said.encode("latin-1"))
