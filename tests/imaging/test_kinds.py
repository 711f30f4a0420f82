"""What a file is, by its content."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cases.errors import Quarantine
from imaging.kinds import Kind, kind_of, kind_of_head, refusal
from tests.imaging.dicom import samples

NO_DICOM_AT_ALL = {"no_meta.dcm"}  # begins in the middle of an element
DICOMDIRS = ("DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-empty.dcm", "DICOMDIR-implicit", "DICOMDIR-nooffset",
    "DICOMDIR-nopatient", "DICOMDIR-reordered")  # fmt: skip


@pytest.mark.parametrize("path", samples.all_files(), ids=lambda path: path.name)
def test_every_dicom_sample_is_dicom_by_its_content(path: Path) -> None:
    found = kind_of(path)
    if path.name in DICOMDIRS:
        assert found == Kind(family="litter", format="dicomdir")
        assert found.file_kind == "ignored"
    elif path.name not in NO_DICOM_AT_ALL:
        assert found.family == "dicom"
        assert found.file_kind == "dicom"


@pytest.mark.parametrize("path", samples.all_files()[:40], ids=lambda path: path.name)
def test_a_dicom_file_that_lost_its_preamble_is_still_dicom(path: Path) -> None:
    raw = path.read_bytes()
    if raw[128:132] == b"DICM" and path.name not in DICOMDIRS:
        assert kind_of_head(raw[132:]).family == "dicom"


def _picture(form: str) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(target, form)
    return target.getvalue()


def _zip() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a", "b")
    return target.getvalue()


CONTENTS: dict[str, tuple[bytes, str, str, str | None]] = {
    "a PDF": (b"%PDF-1.7\n...", "document", "pdf", None),
    "a PDF after blanks": (b"\n\n%PDF-1.4\n", "document", "pdf", None),
    "JSON": (b' {"version": "1"}', "document", "json", None),
    "JSON with a mark": (b'\xef\xbb\xbf{\n "a": 1}', "document", "json", None),
    "a text": ("检查说明".encode(), "document", "text", None),
    "a text in GBK": ("检查说明".encode("gb18030"), "document", "text", None),
    "a ZIP": (_zip(), "archive", "zip", None),
    "an empty ZIP": (b"PK\x05\x06" + bytes(18), "archive", "zip", None),
    "gzip": (b"\x1f\x8b\x08\0\0\0", "packed", "gzip", "format-unknown"),
    "RAR": (b"Rar!\x1a\x07\x01\0", "packed", "rar", "format-unknown"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0", "packed", "7z", "format-unknown"),
    "tar": (b"a" * 257 + b"ustar\x0000", "packed", "tar", "format-unknown"),
    "a CD image": (bytes(0x8001) + b"CD001", "packed", "iso", "format-unknown"),
    "PNG": (_picture("PNG"), "picture", "png", "format-unknown"),
    "JPEG": (_picture("JPEG"), "picture", "jpeg", "format-unknown"),
    "a scanned TIFF": (_picture("TIFF"), "picture", "tiff", "format-unknown"),
    "a program": (b"MZ\x90\0\x03\0\0\0\x04\0", "unknown", "unknown", "format-unknown"),
    "noise": (bytes(range(256)) * 4, "unknown", "unknown", "format-unknown"),
    "nothing": (b"", "empty", "empty", "file-damaged"),
    "autorun.inf": (b"[autorun]\r\nopen=viewer.exe", "litter", "windows-ini", None),
    ".DS_Store": (b"\0\0\0\x01Bud1\0\0", "litter", "ds-store", None),
    "AppleDouble": (b"\0\x05\x16\x07\0\x02\0\0", "litter", "apple-double", None),
    "KFB": (b"\0\0\0\0KFB\0" + bytes(100), "slide", "kfb", "slide-unsafe"),
    "SDPC": (b"SQ\x01\0\0\0" + bytes(100), "slide", "sdpc", "slide-unsafe"),
    "TMAP": (b"TMAP06" + bytes(100), "slide", "tmap", "slide-unsafe"),
    "CZI": (b"ZISRAWFILE" + bytes(100), "slide", "czi", "slide-unsafe"),
    "MIRAX": (b"[GENERAL]\nSLIDE_ID = 1\n", "slide", "mirax-part", "slide-unsafe"),
    "iSyntax": (b'<DataObject ObjectType="DPUfsImport">', "slide", "isyntax", "slide-unsafe"),
}


@pytest.mark.parametrize("case", CONTENTS)
@pytest.mark.parametrize("name", ["x.dcm", "x.svs", "x.txt", "x"])
def test_the_content_says_what_a_file_is_and_its_name_does_not(case: str, name: str, tmp_path: Path) -> None:
    content, family, form, code = CONTENTS[case]
    path = tmp_path / name
    path.write_bytes(content)
    found = kind_of(path)
    assert (found.family, found.format) == (family, form)
    refused = refusal(found)
    assert (refused.code if refused else None) == code


def test_a_dicom_file_with_a_tiff_in_its_preamble_is_dicom(tmp_path: Path) -> None:
    raw = bytearray((samples.TEST_FILES / "CT_small.dcm").read_bytes())
    raw[:8] = b"II*\0\x08\0\0\0"
    path = tmp_path / "both"
    path.write_bytes(raw)
    assert kind_of(path).family == "dicom"


def test_a_broken_tiff_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"II*\0\xff\xff\xff\x7f")
    with pytest.raises(Quarantine) as refused:
        kind_of(path)
    assert refused.value.code == "file-damaged"


def test_a_pyramidal_tiff_is_a_slide(tmp_path: Path) -> None:
    path = tmp_path / "slide"
    tissue = np.zeros((2048, 2048, 3), np.uint8)
    tifffile.imwrite(path, tissue, tile=(256, 256), compression="jpeg", photometric="rgb")
    found = kind_of(path)
    assert (found.family, found.format, found.file_kind) == ("slide", "generic-tiff", "slide")
    assert refusal(found) is None


@pytest.mark.skipif(not (samples.SHARED / "slides").is_dir(), reason="the shared samples are not here")
def test_real_slides_are_told_apart() -> None:
    assert kind_of(samples.SHARED / "slides" / "CMU-1-Small-Region.svs") == Kind(family="slide", format="svs")
    for path in (samples.SHARED / "dicom-slide").glob("*.dcm"):
        assert kind_of(path) == Kind(family="dicom", format="dicom-wsi")
