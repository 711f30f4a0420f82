"""What a file is, by its content and never by its name. Slide formats are told apart by `imaging.slides.formats`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cases.documents import FileKind
from cases.errors import Quarantine
from imaging.dicom.header import starts_data_set
from imaging.slides.formats import FORMATS, recognise

HEAD_BYTES = 4096
Family = Literal["dicom", "slide", "archive", "document", "picture", "litter", "packed", "empty", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A file's family and its format: `dicom`, `dicom-wsi`, `dicomdir`, `svs`, `zip`, `pdf`, `json`, ...

    `packed` are archives other than ZIP, `litter` is what operating systems and CD burners leave beside the files.
    """

    family: Family
    format: str

    @property
    def file_kind(self) -> FileKind | None:
        """What preprocessing does with it; None if it is unpacked or refused."""
        return _FILE_KINDS.get(self.family)


_FILE_KINDS: dict[Family, FileKind] = {
    "dicom": "dicom", "slide": "slide", "document": "document", "litter": "ignored"
}  # fmt: skip

# offset | bytes | family | format
_MAGIC: tuple[tuple[int, bytes, Family, str], ...] = (
    (0, b"PK\x03\x04", "archive", "zip"),
    (0, b"PK\x05\x06", "archive", "zip"),
    (0, b"PK\x07\x08", "packed", "zip-split"),
    (0, b"\x1f\x8b", "packed", "gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "packed", "7z"),
    (0, b"Rar!\x1a\x07", "packed", "rar"),
    (0, b"BZh", "packed", "bzip2"),
    (0, b"\xfd7zXZ\0", "packed", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "packed", "zstd"),
    (257, b"ustar", "packed", "tar"),
    (0, b"MSCF", "packed", "cab"),
    (0x8001, b"CD001", "packed", "iso"),
    (0, b"\x89PNG\r\n\x1a\n", "picture", "png"),
    (0, b"\xff\xd8\xff", "picture", "jpeg"),
    (0, b"GIF8", "picture", "gif"),
    (0, b"BM", "picture", "bmp"),
    (0, b"\0\0\0\x01Bud1", "litter", "ds-store"),
    (0, b"\0\x05\x16\x07", "litter", "apple-double"),
)
# Matched against the head: what begins with blanks, or is told by more than its first bytes.
_PATTERNS: tuple[tuple[re.Pattern[bytes], Family, str], ...] = (
    (re.compile(rb"\A.{0,1019}%PDF-\d", re.S), "document", "pdf"),
    (re.compile(rb"\A(?:\xef\xbb\xbf)?\s*\[(?:\.ShellClassInfo|autorun)\]", re.I), "litter", "windows-ini"),
    (re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:\{\s*[\"}]|\[\s*[\[\]{\"\d])"), "document", "json"),
    (re.compile(rb"\A\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1.*T\0h\0u\0m\0b\0", re.S), "litter", "thumbs-db"),
)
_PREFIX_AT, _DICOMDIR, _WSI = 128, b"1.2.840.10008.1.3.10", b"1.2.840.10008.5.1.4.1.1.77.1.6"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def kind_of(path: Path) -> Kind:
    """The kind of a file.

    :raises Quarantine: `file-damaged` if it begins as a TIFF and is none.
    """
    with path.open("rb") as stream:
        head = stream.read(0x8006)
    found = kind_of_head(head)
    if found.format == "tiff" or found.family not in ("dicom", "archive", "packed", "empty"):
        slide = recognise(path)
        if slide is not None:
            return Kind(family="slide", format=slide.code)
    return found


def kind_of_head(head: bytes) -> Kind:
    """The kind by the first 32 kB or less; a TIFF is a `picture` of format `tiff` here, slide or not."""
    if not head:
        return Kind(family="empty", format="empty")
    if head[_PREFIX_AT : _PREFIX_AT + 4] == b"DICM" or starts_data_set(head[:_PREFIX_AT]):
        return _dicom(head[:HEAD_BYTES])
    if head.startswith(_TIFF):
        return Kind(family="picture", format="tiff")
    for offset, magic, family, code in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return Kind(family=family, format=code)
    for pattern, family, code in _PATTERNS:
        if pattern.search(head[:HEAD_BYTES]):
            return Kind(family=family, format=code)
    if _is_text(head[:HEAD_BYTES]):
        return Kind(family="document", format="text")
    return Kind(family="unknown", format="unknown")


def refusal(kind: Kind) -> Quarantine | None:
    """Why a file of this kind cannot be taken, or None. The caller names the file by its place, not by its name."""
    if kind.family == "slide" and not FORMATS[kind.format].accepted:
        slide = FORMATS[kind.format]
        return Quarantine("slide-unsafe", f"{slide.name}: {slide.advice}")
    if kind.family == "empty":
        return Quarantine("file-damaged", "the file is empty")
    if kind.family in ("picture", "packed", "unknown"):
        return Quarantine("format-unknown", "" if kind.family == "unknown" else f"a {kind.format} file")
    return None


def _dicom(head: bytes) -> Kind:
    if _DICOMDIR in head:
        return Kind(family="litter", format="dicomdir")
    return Kind(family="dicom", format="dicom-wsi" if _WSI in head else "dicom")


def _is_text(head: bytes) -> bool:
    if any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head):
        return False
    for codec in ("utf_8", "gb18030"):
        try:
            head[: len(head) - 4 if len(head) == HEAD_BYTES else None].decode(codec)
        except UnicodeDecodeError:
            continue
        return True
    return False
