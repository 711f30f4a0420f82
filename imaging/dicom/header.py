"""The part of a file before its data set: preamble, prefix and file meta information (PS3.10 section 7.1)."""

from __future__ import annotations

import struct

from cases.errors import Quarantine
from imaging.dicom import values
from imaging.dicom.stream import Forward
from imaging.dicom.walk import LONG_LENGTH, MAX_VALUE, SHORT_LENGTH, damaged

_SYNTAX = 0x10


def starts_data_set(head: bytes) -> bool:
    """Whether bytes begin a DICOM data set or its header without a preamble, in any of the plain encodings.

    The first element is of group 0002 or 0008 with a sane length, and its VR, if explicit, is one that stands there.
    """
    if len(head) < 8:
        return False
    little, big = struct.unpack_from("<HH", head), struct.unpack_from(">HH", head)
    explicit = head[4:6] in (b"UL", b"CS", b"UI", b"SH", b"OB", b"DA", b"LO", b"TM", b"SQ")
    if little[0] in (2, 8) and little[1] <= 0x0100:
        return explicit or struct.unpack_from("<L", head, 4)[0] <= 256
    return explicit and big[0] == 8 and big[1] <= 0x0100


def read_transfer_syntax(window: Forward) -> str:
    """Moves the window to the data set and says in which transfer syntax it is; empty if the header does not.

    Group 0002 is explicit VR little endian; its group length is not believed. Its SOP UIDs are not compared with the
    data set's, which is what counts: plenty of writers copy a header from another instance.

    :raises Quarantine: `format-unknown` if this is no DICOM; `file-damaged`, `uid-invalid`.
    """
    head = window.peek(132)
    if head[128:] == b"DICM":
        window.take(132)
    elif not head:
        raise damaged("the file is empty")
    elif not starts_data_set(head):
        raise Quarantine("format-unknown", "not DICOM")
    found: dict[int, str] = {}
    while window.peek(2) == b"\x02\x00":
        element, raw = _element(window)
        if element in found:
            raise damaged("the file's header holds the same element twice")
        found[element] = values.plain(raw)
    if not window.peek(1):
        raise damaged("the file ends after its header")
    syntax = found.get(_SYNTAX, "")
    if syntax and not values.is_uid(syntax):
        raise Quarantine("uid-invalid", "the transfer syntax UID is not a valid UID")
    return syntax


def _element(window: Forward) -> tuple[int, bytes]:
    _, element, vr, length = struct.unpack("<HH2sH", window.take(8))
    if vr in LONG_LENGTH:
        (length,) = struct.unpack("<L", window.take(4))
    elif not b"AA" <= vr <= b"ZZ":
        length = struct.unpack("<L", vr + length.to_bytes(2, "little"))[0]
    elif vr not in SHORT_LENGTH:
        raise damaged("an element of the file's header has a VR that DICOM does not know")
    if element == 0 and length != 4:
        raise damaged("the file's header has a group length that is no number")
    if length > MAX_VALUE:
        raise damaged(f"an element of the file's header is longer than {MAX_VALUE} bytes")
    return element, window.take(length)
