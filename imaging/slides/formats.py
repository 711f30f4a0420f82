"""Which slide format a file is in, by its content, and what a clinic can do about one that cannot be taken.

A format is taken only if it can be made safe: label, macro and identifying metadata gone as bytes, checked by the
second pass. The others are refused by name, with the way out of the vendor's own software.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cases.errors import Quarantine
from imaging.slides.source import FOLDER_SUFFIX, FolderSource, Source, opened
from imaging.slides.tiff import NDPI_MARK, Tiff, integer, read_tiff, text

HEAD_BYTES = 4096
_MAKE, _DESCRIPTION, _SOFTWARE, _XMP, _TILE_WIDTH = 271, 270, 305, 700, 322
_WSI_CLASS = b"1.2.840.10008.5.1.4.1.1.77.1.6"


@dataclass(frozen=True, kw_only=True)
class Format:
    """One slide format: its `code`, its name, whether it is taken, and the advice if it is not."""

    code: str
    name: str
    accepted: bool
    advice: str = ""
    advice_zh: str = ""


# code | name | taken | what the clinic can do | the same in Chinese
_ROWS: tuple[tuple[str, str, bool, str, str], ...] = (
    ("svs", "Aperio SVS", True, "", ""),
    ("generic-tiff", "pyramidal TIFF", True, "", ""),
    ("ndpi", "Hamamatsu NDPI", True, "", ""),
    ("leica-scn", "Leica SCN", True, "", ""),
    ("philips-tiff", "Philips TIFF", True, "", ""),
    ("ventana-bif", "Ventana BIF", True, "", ""),
    ("dicom-wsi", "DICOM whole-slide", True, "", ""),
    ("mirax", "3DHISTECH MIRAX", True, "", ""),
    ("mirax-part", "part of a 3DHISTECH MIRAX slide", False,
     "Hand in the .mrxs file together with the whole folder of the same name.",
     "请将 .mrxs 文件与同名文件夹(含其中全部文件)一并提交。"),
    ("kfb", "KFBIO KFB", False,
     "In K-Viewer choose File, Convert format, and save as SVS or TIFF; KFBIO's converter does a whole folder.",
     "请在 K-Viewer 中选择“文件-格式转换”,保存为 SVS 或 TIFF;江丰转换工具可批量处理整个文件夹。"),
    ("sdpc", "Shengqiang SDPC", False,
     "In TEKSQRAY's ImageViewer choose Export, SVS; its conversion tool does a whole folder.",
     "请在生强 ImageViewer 中选择“导出-SVS”;其转换工具可批量处理整个文件夹。"),
    ("tmap", "UNIC TMAP", False,
     "In iViewer choose Export and save as SVS or pyramidal TIFF.",
     "请在优纳 iViewer 中选择“导出”,保存为 SVS 或金字塔 TIFF。"),
    ("isyntax", "Philips iSyntax", False,
     "In the Philips IMS choose Export, DICOM.",
     "请在飞利浦 IMS 中选择“导出-DICOM”。"),
    ("czi", "Zeiss CZI", False,
     "In ZEN choose Export, and save as pyramidal TIFF without label and macro, or as DICOM.",
     "请在 ZEN 中选择“导出”,另存为金字塔 TIFF 或 DICOM。"),
    ("ets", "Olympus VSI", False,
     "In OlyVIA or VS-ASW export the slide as pyramidal TIFF or DICOM.",
     "请在 OlyVIA 或 VS-ASW 中导出为金字塔 TIFF 或 DICOM。"),
    ("trestle", "Trestle TIFF", False,
     "Open the slide in the vendor's viewer and export it as SVS or pyramidal TIFF.",
     "请用厂商软件打开切片并导出为 SVS 或金字塔 TIFF。"),
    ("vms", "Hamamatsu VMS", False,
     "In NDP.view2 choose File, Export, and save as pyramidal TIFF.",
     "请在 NDP.view2 中选择“文件-导出”,另存为金字塔 TIFF。"),
)  # fmt: skip

FORMATS: dict[str, Format] = {
    code: Format(code=code, name=name, accepted=accepted, advice=advice, advice_zh=zh)
    for code, name, accepted, advice, zh in _ROWS
}

# How the name of a de-identified slide ends: some readers tell a vendor's TIFF by that alone.
SUFFIXES: dict[str, str] = {
    "svs": ".svs",
    "generic-tiff": ".tiff",
    "ndpi": ".ndpi",
    "leica-scn": ".scn",
    "philips-tiff": ".tiff",
    "ventana-bif": ".bif",
    "mirax": FOLDER_SUFFIX,
}

# A file that begins with these bytes (at this offset) is of this format.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (4, b"KFB", "kfb"),
    (0, b"TMAP0", "tmap"),
    (0, b"ZISRAWFILE", "czi"),
    (0, b"SIS\0", "ets"),
    (0, b"[Virtual Microscope Specimen]", "vms"),
    (0, b"[Uncompressed Virtual Microscope Specimen]", "vms"),
)
# A file whose first HEAD_BYTES match is of this format.
_PATTERNS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\A(?:\xef\xbb\xbf)?\s*<DataObject ObjectType=\"DPUfsImport\"", re.S), "isyntax"),
    (re.compile(rb"\A(?:\xef\xbb\xbf)?\s*\[GENERAL\].*SLIDE_(?:ID|VERSION)\s*=", re.S), "mirax-part"),
    (re.compile(rb"\ASQ(?!Lite)[\x00-\x7f]{0,16}\x00", re.S), "sdpc"),
)


def recognise(slide: Path | Source) -> Format | None:
    """The slide format of a file, by its content; None if it is no slide that we know.

    A MIRAX slide is a small JPEG (`.mrxs`) beside a folder of the same name: by the file it is `mirax`, and a
    `Slidedat.ini` by itself is a part of one.

    :raises Quarantine: `file-damaged` if it begins as a TIFF and is none.
    """
    with opened(slide) as source:
        if isinstance(source, FolderSource):
            return FORMATS["mirax"]
        head = source.read(0, min(HEAD_BYTES, source.size))
        code = _by_head(head)
        if code is None and head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            code = _by_tags(source)
    return FORMATS[code] if code else None


def accept(slide: Path | Source) -> Format:
    """The format of a slide that can be taken.

    :raises Quarantine: `slide-unsafe` for a known format that cannot be made safe, with its name and the advice in
        the detail; `format-unknown` for anything else; `file-damaged`.
    """
    found = recognise(slide)
    if found is None:
        raise Quarantine("format-unknown", "not a slide")
    if not found.accepted:
        raise Quarantine("slide-unsafe", f"{found.name}: {found.advice}")
    return found


def _by_head(head: bytes) -> str | None:
    for offset, magic, code in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return code
    for pattern, code in _PATTERNS:
        if pattern.search(head):
            return code
    if head[128:132] == b"DICM" and _WSI_CLASS in head[132:1024]:
        return "dicom-wsi"
    return None


def _by_tags(source: Source) -> str | None:
    tiff = read_tiff(source, most=1)
    first = tiff.directories[0]
    described = text(source, first, _DESCRIPTION, most=HEAD_BYTES)
    software = text(source, first, _SOFTWARE, most=HEAD_BYTES)
    xmp = text(source, first, _XMP, most=HEAD_BYTES)
    if NDPI_MARK in first.entries or text(source, first, _MAKE, 64).startswith("Hamamatsu"):
        return "ndpi"
    if described.startswith("Aperio") and _TILE_WIDTH in first.entries:
        return "svs"
    marks = (
        ("philips-tiff", software.startswith("Philips") or "DPUfsImport" in described),
        ("ventana-bif", "<iScan" in xmp or "<iScan" in described or "ventana" in software.lower()),
        ("leica-scn", "www.leica-microsystems.com/scn" in described),
        ("trestle", software.startswith("MedScan")),
    )
    for code, found in marks:
        if found:
            return code
    return "generic-tiff" if _is_tiled_colour(source, tiff) else None


def _is_tiled_colour(source: Source, tiff: Tiff) -> bool:
    """A slide is tiled, in colour and larger than any camera's picture: other TIFFs are documents or photographs."""
    first = tiff.directories[0]
    return (
        _TILE_WIDTH in first.entries
        and integer(source, tiff, first, 277, 1) in (3, 4)
        and integer(source, tiff, first, 256) * integer(source, tiff, first, 257) >= 1 << 20
    )
