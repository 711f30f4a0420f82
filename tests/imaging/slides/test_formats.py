from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from cases.errors import Quarantine
from imaging.slides.formats import FORMATS, accept, recognise
from imaging.slides.source import BytesSource


def _tiff(tmp_path: Path, *, tile: bool = True, side: int = 1024, **options: Any) -> Path:
    path = tmp_path / "picture.bin"
    extra: dict[str, Any] = {"tile": (256, 256)} if tile else {}
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            np.zeros((side, side, 3), np.uint8),
            photometric="rgb",
            metadata=None,
            **{"software": False, **extra, **options},
        )
    return path


HEADS: tuple[tuple[str, bytes], ...] = (
    ("kfb", b"\xf1\x01\xee\xeeKFB\0" + bytes(64)),
    ("kfb", b"\xf1\x01\xee\xeeKFBL" + bytes(64)),
    ("tmap", b"TMAP07" + bytes(64)),
    ("tmap", b"TMAP06" + bytes(64)),
    ("sdpc", b"SQ1.0.0.0\0\0\0\0\0\0\0\0\0" + bytes(64)),
    ("isyntax", b'\xef\xbb\xbf<DataObject ObjectType="DPUfsImport">' + bytes(64)),
    ("mirax-part", b"\xef\xbb\xbf[GENERAL]\r\nSLIDE_VERSION = 01.02\r\nSLIDE_ID = 0E2B\r\n"),
    ("czi", b"ZISRAWFILE" + bytes(64)),
    ("ets", b"SIS\0" + bytes(64)),
    ("vms", b"[Virtual Microscope Specimen]\r\nNoLayers=1\r\n"),
)


@pytest.mark.parametrize(("code", "head"), HEADS)
def test_a_vendors_format_is_recognised_by_its_first_bytes(code: str, head: bytes) -> None:
    found = recognise(BytesSource(head))

    assert found is FORMATS[code]


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("svs", {"description": "Aperio Image Library v12.0.15"}),
        ("ndpi", {"extratags": [(271, 2, 10, "Hamamatsu", True)]}),
        ("ndpi", {"extratags": [(65420, 3, 1, 1, True)]}),
        ("philips-tiff", {"software": "Philips DP v1.0"}),
        ("philips-tiff", {"description": '<?xml version="1.0"?><DataObject ObjectType="DPUfsImport">'}),
        ("ventana-bif", {"extratags": [(700, 1, 24, b"<iScan Magnification=40/>", True)]}),
        ("leica-scn", {"description": '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'}),
        ("trestle", {"software": "MedScan 1.0"}),
        ("generic-tiff", {"description": "libvips"}),
    ],
)
def test_a_tiff_is_recognised_by_its_tags(code: str, options: dict[str, Any], tmp_path: Path) -> None:
    found = recognise(_tiff(tmp_path, **options))

    assert found is FORMATS[code]


def test_an_ndpi_beyond_four_gigabytes_is_recognised() -> None:
    """Its first directory's offset has eight bytes, so a plain TIFF reader finds nonsense."""
    rows = struct.pack("<HHII", 256, 4, 1, 1000) + struct.pack("<HHII", 65420, 3, 1, 1)
    directory = struct.pack("<H", 2) + rows + bytes(8 + 2 * 4)
    at = 0x1_0000_0100

    class Sparse:
        size = at + len(directory)

        def read(self, offset: int, length: int) -> bytes:
            if offset >= at:
                return directory[offset - at : offset - at + length]
            return (b"II*\0" + struct.pack("<Q", at) + bytes(8192))[offset : offset + length].ljust(
                length, b"\0"
            )

    assert recognise(Sparse()) is FORMATS["ndpi"]


def test_the_real_slides_are_recognised(real: Path, real_dicom: Path) -> None:
    assert accept(real).code == "svs"
    assert accept(real_dicom / "volume.dcm").code == "dicom-wsi"


@pytest.mark.parametrize("code", [c for c, f in FORMATS.items() if not f.accepted])
def test_each_refused_format_says_what_the_clinic_can_do(code: str) -> None:
    found = FORMATS[code]

    assert len(found.advice) > 20
    assert len(found.advice_zh) > 8


@pytest.mark.parametrize(("code", "head"), HEADS)
def test_a_refused_format_is_refused_by_name_with_advice(code: str, head: bytes) -> None:
    with pytest.raises(Quarantine) as found:
        accept(BytesSource(head))

    assert found.value.code == "slide-unsafe"
    assert FORMATS[code].name in found.value.detail
    assert FORMATS[code].advice in found.value.detail


@pytest.mark.parametrize(
    "content", [b"", b"II", b"SQLite format 3\0", b"\xff\xd8\xff\xe0", b"%PDF-1.7", b"{}", b"SQL dump\n" * 9]
)
def test_other_files_are_no_slide(content: bytes) -> None:
    assert recognise(BytesSource(content)) is None


@pytest.mark.parametrize(("tile", "side"), [(False, 1024), (True, 512)])
def test_a_scanned_page_or_a_small_picture_is_no_slide(tile: bool, side: int, tmp_path: Path) -> None:
    assert recognise(_tiff(tmp_path, tile=tile, side=side)) is None
