"""A colour profile without its words: what a colour-managed viewer needs stays, who made it and when goes.

Source: ICC.1:2022 (profile version 4.4) sections 7 to 10. Descriptions are replaced by one fixed text, dates and maker
fields are zeroed, and a tag of a type that could carry text is gone.
"""

from __future__ import annotations

import struct

MAX_PROFILE_BYTES = 4 << 20
_HEADER, _ROW = 128, 12
# Signatures of tags that describe colour, and the types (all numeric) that they may have.
_COLOUR_TAGS = frozenset(
    (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"wtpt", b"bkpt", b"chad", b"lumi", b"chrm",
     b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"B2A1", b"B2A2", b"gamt", b"D2B0", b"D2B1", b"B2D0", b"B2D1")
)  # fmt: skip
_NUMERIC_TYPES = frozenset(
    (b"XYZ ", b"curv", b"para", b"sf32", b"chrm", b"mft1", b"mft2", b"mAB ", b"mBA ", b"mpet")
)
_NAME = "Slide colour"


def neutral_profile(profile: bytes) -> bytes | None:
    """The profile rebuilt without identifying parts, or None if it is not one that can be (colour is then default)."""
    if not 132 <= len(profile) <= MAX_PROFILE_BYTES or profile[36:40] != b"acsp":
        return None
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    if count > 100 or _HEADER + 4 + _ROW * count > len(profile):
        return None
    kept: dict[bytes, bytes] = {}
    for index in range(count):
        signature, offset, size = struct.unpack_from(">4sII", profile, _HEADER + 4 + _ROW * index)
        content = profile[offset : offset + size]
        if signature in _COLOUR_TAGS and len(content) == size >= 8 and content[:4] in _NUMERIC_TYPES:
            kept[signature] = content
    if not kept:
        return None
    is_four = profile[8] >= 4
    kept[b"desc"] = _localized(_NAME) if is_four else _described(_NAME)
    kept[b"cprt"] = _localized(_NAME) if is_four else b"text\0\0\0\0" + _NAME.encode() + b"\0"
    return _build(_blank_header(profile[:_HEADER]), kept)


def _blank_header(header: bytes) -> bytes:
    """Version, class, spaces, illuminant and intent stay; the rest is zero (section 7.2)."""
    return (
        b"\0" * 8
        + header[8:24]
        + struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
        + b"acsp"
        + b"\0" * 24
        + header[64:80]
        + b"\0" * 48
    )


def _described(text: str) -> bytes:
    """textDescriptionType of version 2 (ICC.1:2001 section 6.5.17)."""
    ascii_text = text.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(ascii_text)) + ascii_text + b"\0" * (4 + 4 + 2 + 1 + 67)


def _localized(text: str) -> bytes:
    """multiLocalizedUnicodeType of version 4 (section 10.15)."""
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _build(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = b"", b""
    at = _HEADER + 4 + _ROW * len(tags)
    at += -at % 4
    start = at
    for signature in sorted(tags):
        content = tags[signature]
        table += struct.pack(">4sII", signature, at, len(content))
        content += b"\0" * (-len(content) % 4)
        body += content
        at += len(content)
    head = (header[:_HEADER] + struct.pack(">I", len(tags)) + table).ljust(start, b"\0")
    return struct.pack(">I", at) + head[4:] + body
