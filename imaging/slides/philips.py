"""Philips TIFF: levels padded to whole tiles, sparse where nothing was scanned, described by XML on the first page.

That XML (a `DataObject` of type `DPUfsImport`) holds label and macro picture as Base64, barcode, dates, serial numbers
and file names, and without it no viewer knows the true sizes of the levels. So it is written anew from an allow-list:
what pixels mean, and how large they are. Directories that are not tiled (label, macro) are gone.
Source: OpenSlide's page on the format, and its reader's demands: one `WSI` image, one pixel spacing for each level.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
from dataclasses import dataclass, field
from xml.etree import ElementTree

from cases.errors import Quarantine
from imaging.slides.picture import DESCRIPTION, SOFTWARE, Picture, read_picture
from imaging.slides.plan import SlidePlan, make_plan
from imaging.slides.pyramid import levels_of
from imaging.slides.source import Source
from imaging.slides.tiff import Tiff, damaged, read_tiff, text
from imaging.slides.writing import ASCII, Page, Value

# Readers know the format by its software.
_SOFTWARE_TAG: dict[int, Value] = {SOFTWARE: (ASCII, 16, b"Philips DP v1.0\0")}
MAX_XML_BYTES = 48 << 20
_REDUCED = 1
_SPACING = re.compile(r'\s*"?(\d{1,4}\.\d{1,30})"?\s+"?(\d{1,4}\.\d{1,30})"?\s*\Z')
_DECIMALS = 12
# Microns per pixel that microscopes have, in mm.
_LEAST, _GREATEST = 1e-5, 2e-2
# In what a scanner says of its processing, the first of the levels is the objective if it is one.
_OBJECTIVE = re.compile(r"(?:\A|-)levels=(\d{1,3})(?!\d)")

# name | group | element | type | what its value may be: the attributes of the scanned image that are kept.
KEPT_ATTRIBUTES: tuple[tuple[str, str, str, str, str], ...] = (
    ("PIM_DP_IMAGE_TYPE", "301D", "1004", "IString", r"WSI"),
    ("UFS_IMAGE_PIXEL_TRANSFORMATION_METHOD", "301D", "2013", "IString", r"\d"),
    ("DICOM_BITS_ALLOCATED", "0028", "0100", "IUInt16", r"8|16"),
    ("DICOM_BITS_STORED", "0028", "0101", "IUInt16", r"8|1[0246]"),
    ("DICOM_HIGH_BIT", "0028", "0102", "IUInt16", r"7|9|1[135]"),
    ("DICOM_LOSSY_IMAGE_COMPRESSION", "0028", "2110", "IString", r"0[01]"),
    ("DICOM_PHOTOMETRIC_INTERPRETATION", "0028", "0004", "IString", r"RGB|YBR_FULL(?:_422)?|MONOCHROME2"),
    ("DICOM_PIXEL_REPRESENTATION", "0028", "0103", "IUInt16", r"[01]"),
    ("DICOM_PLANAR_CONFIGURATION", "0028", "0006", "IUInt16", r"[01]"),
    ("DICOM_SAMPLES_PER_PIXEL", "0028", "0002", "IUInt16", r"[134]"),
)
_DERIVATION = ("DICOM_DERIVATION_DESCRIPTION", "0008", "2111", "IString")
_PIXEL_SPACING = ("DICOM_PIXEL_SPACING", "0028", "0030", "IDoubleArray")
_IMAGES = ("PIM_DP_SCANNED_IMAGES", "301D", "1003", "IDataObjectArray")
_LEVELS = ("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", "1001", "8B01", "IDataObjectArray")
_COLUMNS = ("PIIM_PIXEL_DATA_REPRESENTATION_COLUMNS", "2001", "115E", "IUInt32")
_ROWS = ("PIIM_PIXEL_DATA_REPRESENTATION_ROWS", "2001", "115D", "IUInt32")
_NUMBER = ("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", "1001", "8B02", "IUInt16")
# Attributes whose names may stand in a report; of others only the number is told.
_NAMED = frozenset(
    ("PIM_DP_UFS_BARCODE", "PIM_DP_UFS_INTERFACE_VERSION", "DICOM_ACQUISITION_DATETIME", "DICOM_DEVICE_SERIAL_NUMBER",
     "DICOM_DATE_OF_LAST_CALIBRATION", "DICOM_TIME_OF_LAST_CALIBRATION", "DICOM_DERIVATION_DESCRIPTION",
     "DICOM_MANUFACTURER", "DICOM_MANUFACTURERS_MODEL_NAME", "DICOM_SOFTWARE_VERSIONS", "PIM_DP_IMAGE_DATA",
     "PIM_DP_SCANNER_RACK_NUMBER", "PIM_DP_SCANNER_SLOT_NUMBER", "PIM_DP_SCANNER_OPERATOR_ID",
     "PIIM_DP_SCANNER_RACK_NUMBER", "PIIM_DP_SCANNER_SLOT_NUMBER", "PIIM_DP_SCANNER_OPERATOR_ID")
)  # fmt: skip
_SHORTEST_VALUE, _LONGEST_VALUE = 4, 500
# A bare number is looked for only if it is long enough to be a moment or a serial number.
_SHORTEST_NUMBER = 12


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is kept of the XML. `spacings` are (row, column) in mm as they stand, the base level's first.

    `removed` and `values` are as a `SlidePlan` has them.
    """

    attributes: dict[str, str]
    spacing: tuple[str, str] | None
    spacings: tuple[tuple[str, str], ...]
    objective: int | None
    removed: tuple[str, ...]
    values: tuple[str, ...] = field(repr=False)


def plan(source: Source) -> SlidePlan:
    """How the de-identified slide is put together; writes nothing.

    :raises Quarantine: `file-damaged`; `reading-loss` if its scale cannot be kept.
    """
    tiff = read_tiff(source)
    pictures = tuple(read_picture(source, tiff, i) for i in range(len(tiff.directories)))
    if not pictures[0].tiled:
        raise damaged("the slide's base level is not tiled")
    header = read_header(_xml(source, tiff))
    shown = _shown(pictures, header)
    levels = levels_of(source, shown, only_reduced=True)
    chosen = {p.index for p in levels}
    dropped = tuple(p for p in pictures if p.index not in chosen)
    kept = [(p, s) for p, s in zip(shown, header.spacings, strict=True) if p.index in chosen]
    described = rebuilt(header, [pictures[p.index] for p, _ in kept], [s for _, s in kept])
    planned = make_plan(
        source,
        tiff,
        format_code="philips-tiff",
        pages=tuple(_page(pictures[p.index], described) for p, _ in kept),
        dropped=dropped,
        removed=(*(_named(p) for p in dropped), *header.removed),
        values=header.values,
    )
    return dataclasses.replace(planned, levels=tuple((p.width, p.height) for p, _ in kept))


def _page(picture: Picture, described: str) -> Page:
    if picture.index == 0:
        return Page(picture=picture, description=described, subfile=0, is_level=True, own=_SOFTWARE_TAG)
    return Page(picture=picture, description="Slide level", subfile=_REDUCED, is_level=True)


def _named(picture: Picture) -> str:
    name = next((n for n in ("label", "macro") if picture.description.lower().startswith(n)), "associated")
    return f"{name} image ({picture.width}x{picture.height})"


def _shown(pictures: tuple[Picture, ...], header: Header) -> tuple[Picture, ...]:
    """The tiled pictures with the sizes that viewers show: the base's over a whole factor, without the padding."""
    tiled = [p for p in pictures if p.tiled]
    if len(tiled) != len(header.spacings):
        raise damaged(f"the slide has {len(tiled)} levels and describes {len(header.spacings)}")
    base, shown = pictures[0], [pictures[0]]
    for picture, spacing in zip(tiled[1:], header.spacings[1:], strict=True):
        ratios = [float(one) / float(first) for one, first in zip(spacing, header.spacings[0], strict=True)]
        factor = round(sum(ratios) / 2)
        width, height = base.width // max(1, factor), base.height // max(1, factor)
        if not (
            0 < width <= picture.width < width + picture.tile_width
            and 0 < height <= picture.height < height + picture.tile_height
        ):
            raise damaged("a level of the slide is not as large as its pixel spacing says")
        shown.append(dataclasses.replace(picture, width=width, height=height))
    return tuple(shown)


def levels_shown(source: Source, tiff: Tiff, pictures: tuple[Picture, ...]) -> tuple[Picture, ...]:
    """The levels of a slide that was de-identified, with the sizes that viewers show.

    :raises Quarantine: `file-damaged`; `reading-loss` for the scale.
    """
    return _shown(pictures, read_header(_xml(source, tiff)))


def _xml(source: Source, tiff: Tiff) -> ElementTree.Element:
    """The first page's XML. No document type is read, so that nothing in it can refer to anything else."""
    described = text(source, tiff.directories[0], DESCRIPTION, most=MAX_XML_BYTES)
    if "<!DOCTYPE" in described or "<!ENTITY" in described:
        raise damaged("the slide's XML declares a document type")
    try:
        root = ElementTree.fromstring(described)  # noqa: S314 -- without a document type there are no entities
    except (ElementTree.ParseError, ValueError) as error:
        raise damaged("the slide's XML cannot be read") from error
    if root.tag != "DataObject" or root.get("ObjectType") != "DPUfsImport":
        raise damaged("the slide's XML is not a Philips scanner's")
    return root


def read_header(root: ElementTree.Element) -> Header:
    """What a slide's XML says that may stay, and the texts that go.

    :raises Quarantine: `file-damaged` if levels or the scanned image are missing; `reading-loss` for the scale.
    """
    images = root.findall("./Attribute[@Name='PIM_DP_SCANNED_IMAGES']/Array/DataObject")
    scans = [i for i in images if _value(i, "PIM_DP_IMAGE_TYPE") == "WSI"]
    if len(scans) != 1:
        raise damaged(f"the slide's XML describes {len(scans)} scanned images")
    scan = scans[0]
    represented = scan.findall(f"./Attribute[@Name='{_LEVELS[0]}']/Array/DataObject")
    spacings = [_spacing(_value(each, _PIXEL_SPACING[0])) for each in represented]
    if not spacings or None in spacings:
        raise damaged("the slide's XML does not say how large its levels' pixels are")
    attributes = {
        name: _value(scan, name)
        for name, *_, allowed in KEPT_ATTRIBUTES
        if re.fullmatch(allowed, _value(scan, name))
    }
    said = _OBJECTIVE.search(_value(scan, _DERIVATION[0]).partition("sourceFilename")[0])
    objective = int(said.group(1)) if said and 1 <= int(said.group(1)) <= 200 else None
    removed, values = _removed(root, scan, attributes)
    return Header(
        attributes=attributes,
        spacing=_scale(_value(scan, _PIXEL_SPACING[0])),
        spacings=tuple(s for s in spacings if s is not None),
        objective=objective,
        removed=removed,
        values=values,
    )


def _value(parent: ElementTree.Element, name: str) -> str:
    found = parent.find(f"./Attribute[@Name='{name}']")
    return (found.text or "").strip() if found is not None else ""


def _spacing(written: str) -> tuple[str, str] | None:
    """Two positive decimals as they stand, or rounded: a long tail of decimals is room for something else."""
    found = _SPACING.match(written)
    if not found or not all(float(each) > 0 for each in found.groups()):
        return None
    row, column = (
        each if len(each.partition(".")[2]) <= _DECIMALS else f"{float(each):.{_DECIMALS}f}"
        for each in found.groups()
    )
    return (row, column)


def _scale(written: str) -> tuple[str, str] | None:
    """:raises Quarantine: `reading-loss` if the slide states its scale in a way that cannot be kept."""
    found = _spacing(written)
    if written and not (found and all(_LEAST <= float(each) <= _GREATEST for each in found)):
        raise Quarantine("reading-loss", "the slide's pixel spacing is not one that microscopes have")
    return found


def _removed(
    root: ElementTree.Element, scan: ElementTree.Element, attributes: dict[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What goes, by name and number, and its texts for the second pass to look for."""
    stays = {*attributes, _PIXEL_SPACING[0], _COLUMNS[0], _ROWS[0], _NUMBER[0]}
    kept = {id(a) for a in scan.iter("Attribute") if a.get("Name") in stays}
    gone = [a for a in root.iter("Attribute") if id(a) not in kept and not len(a) and (a.text or "").strip()]
    names = {a.get("Name") or "" for a in gone} - {_row[0] for _row in KEPT_ATTRIBUTES}
    plain = sorted(names & _NAMED)
    others = len(names) - len(plain)
    texts = {part for a in gone for part in _texts((a.text or "").strip()) if _is_telling(part)}
    texts = {t for t in texts if not re.fullmatch(r"tiff-levels=\d{1,3}", t)}
    further = (f"{others} further keys",) if others else ()
    return (*(f"key: {name}" for name in plain), *further), tuple(sorted(texts))


def _texts(written: str) -> list[str]:
    """A value, what stands in it between quotes, and what it says if it is Base64 (as barcodes are)."""
    found = [written, *re.findall(r'"([^"]+)"', written)]
    with contextlib.suppress(ValueError):  # then it is no Base64 of a text
        found.append(base64.b64decode(written, validate=True).decode("utf-8").strip("\0 \r\n"))
    return found


def _is_telling(part: str) -> bool:
    if re.fullmatch(r"[\d\s.,\"+-]*", part) and len(part) < _SHORTEST_NUMBER:
        return False
    return _SHORTEST_VALUE <= len(part) <= _LONGEST_VALUE and part.casefold() not in _OWN_WORDS


# Texts that every Philips TIFF holds, and ours too.
_OWN_WORDS = frozenset(
    ("philips", "dpufsimport", "labelimage", "macroimage", "philips_dp_1_0", "philips_tiff_1_0")
)


def rebuilt(header: Header, levels: list[Picture], spacings: list[tuple[str, str]]) -> str:
    """The XML that goes out; sizes are those of the directories, as the scanner writes them."""
    rows = [
        _row(*row[:4], header.attributes[row[0]]) for row in KEPT_ATTRIBUTES if row[0] in header.attributes
    ]
    if header.objective is not None:
        rows.append(_row(*_DERIVATION, f"tiff-levels={header.objective}"))
    if header.spacing is not None:
        rows.append(_row(*_PIXEL_SPACING, _quoted(header.spacing)))
    each = [
        _object(
            "PixelDataRepresentation",
            _row(*_PIXEL_SPACING, _quoted(spacing)),
            _row(*_COLUMNS, str(picture.width)),
            _row(*_NUMBER, str(number)),
            _row(*_ROWS, str(picture.height)),
        )
        for number, (picture, spacing) in enumerate(zip(levels, spacings, strict=True))
    ]
    scan = _object("DPScannedImage", *rows, _row(*_LEVELS, _array(*each)))
    whole = _object("DPUfsImport", _row(*_IMAGES, _array(scan)))
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n{whole}'


def _row(name: str, group: str, element: str, kind: str, value: str) -> str:
    return (
        f'<Attribute Name="{name}" Group="0x{group}" Element="0x{element}" PMSVR="{kind}">{value}</Attribute>'
    )


def _object(kind: str, *rows: str) -> str:
    return "\n".join((f'<DataObject ObjectType="{kind}">', *rows, "</DataObject>"))


def _array(*objects: str) -> str:
    return "\n".join(("<Array>", *objects, "</Array>"))


def _quoted(spacing: tuple[str, str]) -> str:
    return f"&quot;{spacing[0]}&quot; &quot;{spacing[1]}&quot;"
