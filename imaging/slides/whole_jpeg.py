"""Stored JPEG tiles as whole pictures: headers put together, entropy-coded data as they stand, nothing decoded.

A TIFF keeps tables once for all tiles (TIFF Technical Note 2), and says in its own tag whether the pixels are RGB. A
browser sees the stream alone, so the tables go in, and the Adobe segment that says which colours these are (ITU-T T.81
Annex B; Adobe Technical Note 5116). A JFIF segment would say YCbCr whatever follows, so it goes out.
"""

from __future__ import annotations

import struct

from imaging.slides.tiff import damaged

_SOI, _EOI, _SOS = b"\xff\xd8", b"\xff\xd9", 0xDA
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
# Application segments and comments say nothing that a viewer needs; the Adobe segment is written anew.
_LEFT_OUT = frozenset((*range(0xE0, 0xF0), 0xFE))
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"


class WholeJpeg:
    """Makes whole JPEG pictures of the stored tiles of one level.

    The headers of a level's tiles are the same, so they are put together once; threads may share it.
    """

    def __init__(self, tables: bytes = b"", *, rgb: bool = False) -> None:
        """:param tables: an abbreviated stream of tables alone, or nothing. :param rgb: the pixels are not YCbCr."""
        self._tables = _kept(tables, len(tables) - 2)[0] if tables else b""
        self._adobe = _ADOBE + bytes((0 if rgb else 1,))
        self._known = (b"\0", b"")

    def __call__(self, tile: bytes) -> bytes:
        """:raises Quarantine: `file-damaged` if the tile's headers are broken."""
        header, whole = self._known
        if not tile.startswith(header):
            header, whole = self._known = self._put_together(tile)
        return whole + tile[len(header) :]

    def _put_together(self, tile: bytes) -> tuple[bytes, bytes]:
        """The tile's headers with those of its first scan, and what stands in their place."""
        segments, end, components = _kept(tile, len(tile))
        if not components:
            raise damaged("a tile's JPEG picture has no scan")
        adobe = self._adobe if components == 3 else b""
        return tile[:end], _SOI + adobe + self._tables + segments


def _kept(stream: bytes, until: int) -> tuple[bytes, int, int]:
    """The segments that stay, where they end, and of how many components the picture is; 0 of tables alone."""
    if stream[:2] != _SOI:
        raise damaged("a tile is not a JPEG picture")
    at, kept, components = 2, [], 0
    while at + 4 <= until:
        mark, kind, length = struct.unpack_from(">BBH", stream, at)
        if kind == 0xFF:
            at += 1
            continue
        end = at + 2 + length
        if mark != 0xFF or length < 2 or end > until:
            raise damaged("a tile's JPEG headers are broken")
        if kind in _FRAMES and length >= 8:
            components = stream[at + 9]
        if kind not in _LEFT_OUT:
            kept.append(stream[at:end])
        at = end
        if kind == _SOS:
            return b"".join(kept), at, components
    return b"".join(kept), at, 0
