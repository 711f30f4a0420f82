"""The independent look at a slide that would leave: it shares no code with what wrote it, and fails closed.

It walks the directories by itself and accounts for every byte: header, directories, values that it knows, tile payload
that a directory names, zeros between them. Anything else stops the slide. All bytes that are not tiles are searched
for the identities that are known, in every encoding that they could have, and for patterns. Tiles are walked to their
end for segments that could carry text.
"""

from __future__ import annotations

import base64
import re
import struct
import urllib.parse
from collections.abc import Iterator
from typing import Literal

from cases.errors import Quarantine
from imaging.slides.second_philips import LONGEST
from imaging.slides.second_tiles import Walk, left, only_long_picture, parts_of_long_picture, walk_of
from imaging.slides.second_vendors import JUDGES, LETTERS, VENDOR_TAGS, Page, require_tags, said, told
from imaging.slides.source import Source

Scope = Literal["every", "sampled"]
MAX_PAGES, MAX_TAGS, MAX_META_BYTES = 64, 64, 256 << 20
SAMPLED_TILES = 8
LONGEST_TILE = 64 << 20
LONGEST_SAMPLE = 1 << 20
LONGEST_GAP = 4096

# tag -> (types, most values); None where the number of tiles decides. A tag outside this table stops the slide.
_ALLOWED: dict[int, tuple[tuple[int, ...], int | None]] = {
    254: ((4,), 1), 256: ((3, 4), 1), 257: ((3, 4), 1), 258: ((3,), 4), 259: ((3,), 1), 262: ((3,), 1),
    266: ((3,), 1), 270: ((2,), LONGEST), 273: ((4, 16), None), 274: ((3,), 1), 277: ((3,), 1), 278: ((3, 4), 1),
    279: ((4, 16), None), 282: ((5,), 1), 283: ((5,), 1), 284: ((3,), 1), 296: ((3,), 1),
    317: ((3,), 1), 322: ((3, 4), 1), 323: ((3, 4), 1), 324: ((4, 16), None), 325: ((4, 16), None), 338: ((3,), 4),
    339: ((3,), 4), 347: ((7,), 1 << 16), 529: ((5,), 3), 530: ((3,), 2), 531: ((3,), 1), 532: ((4, 5), 6),
    32997: ((3, 4), 1), 34675: ((7,), 4 << 20),
}  # fmt: skip
_KNOWN = _ALLOWED | {tag: rule for tags in VENDOR_TAGS.values() for tag, rule in tags.items()}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 11: 4, 16: 8}

# What a description may say, whole: nothing but sizes, codecs and numbers under these names.
_KEYS = (
    "AppMag|MPP|StripeWidth|Left|Top|LineCameraSkew|LineAreaXOffset|LineAreaYOffset|Focus Offset|OriginalWidth"
    "|OriginalHeight|Originalheight|Filtered|DisplayColor|Exposure Time|Exposure Scale|Gamma|OffsetZ|AreaThreshold"
)
_DESCRIPTION = re.compile(
    r"(?:Slide level|Aperio (?:Image Library|Leica Biosystems GT450)(?: [vV][\d.]{1,12})? \r\n"
    r"\d{1,8}x\d{1,8} \[0,0 \d{1,8}x\d{1,8}\] \(\d{1,6}x\d{1,6}\)(?: -> \d{1,8}x\d{1,8})?"
    r"(?: (?:JPEG|J2K)[/A-Z0-9]{0,8})?(?: Q=\d{1,3})?"
    rf"(?:\|(?:{_KEYS}) = -?\d{{1,8}}(?:\.\d{{1,6}})?)*)\0?\Z"
)
# Words and shapes that have no place in the bytes of a slide that leaves.
_PATTERNS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("a key that identifies", re.compile(
        rb"(?i)scanscope id|barcode|filename|imageid|\buser\s*=|\btitle\s*=|\bdate\s*=|patient|accession|serial")),
    ("a national ID", re.compile(
        rb"(?<!\d)[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx](?!\d)")),
    ("a mobile number", re.compile(rb"(?<![\d.])1[3-9]\d{9}(?![\d.])")),
    ("a date", re.compile(rb"(?<!\d)(?:19|20)\d{2}([-/.:])(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)"
                          rb"|(?<!\d)(?:0[1-9]|1[0-2])/(?:0[1-9]|[12]\d|3[01])/\d{2,4}(?!\d)")),
    ("XML", re.compile(rb"<\?xml|<[a-zA-Z:]{2,20}[ >]")),
)  # fmt: skip


def check_slide(source: Source, *, identity_values: tuple[str, ...] = (), tiles: Scope = "every") -> int:
    """Prove that a slide may leave; returns the bytes read.

    :param identity_values: every known identity in every written form; searched in all bytes that are not tiles.
    :param tiles: `every` walks each tile; `sampled` walks a few per page, where each was walked before.
    :raises Quarantine: `identity-left` with what was found and where, never the value.
    """
    try:
        walk = _Walk(source)
        pages = walk.pages()
        vendor = walk.vendor or told(pages[0])
        require_tags(pages, vendor)
        JUDGES.get(vendor, _judge_pages)(pages, walk.order)
        for page in pages:
            judge_profile(page.values.get(34675, b""))
        walk.account(sorted({span for page in pages for span in page.tiles}))
        _search(walk.known, source, pages, identity_values)
        return walk.bytes_known + _walk_tiles(source, pages, walk.order, tiles)
    except (struct.error, KeyError, IndexError, OverflowError, Quarantine) as error:
        if isinstance(error, Quarantine) and error.code == "identity-left":
            raise
        raise left("the slide cannot be read by the second pass") from error


class _Walk:
    """Its own reader: every byte range read is remembered, so that what was never read can be found."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.known: list[tuple[int, int]] = []
        self.vendor = ""
        head = source.read(0, 16)
        if self._is_ndpi(head):
            self.order, self.big, self.vendor = "<", False, "ndpi"
            self.first = struct.unpack_from("<Q", head, 4)[0]
            self.known.append((0, 12))
        elif head[:4] in (b"II*\0", b"MM\0*"):
            self.order, self.big = "<" if head[0] == 0x49 else ">", False
            self.first = struct.unpack_from(self.order + "I", head, 4)[0]
            self.known.append((0, 8))
        elif head[:8] in (b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"):
            self.order, self.big = "<" if head[0] == 0x49 else ">", True
            self.first = struct.unpack_from(self.order + "Q", head, 8)[0]
            self.known.append((0, 16))
        else:
            raise left("what would leave does not begin as a slide")

    def _is_ndpi(self, head: bytes) -> bool:
        """A classic head with an offset of eight bytes, and there a directory with Hamamatsu's mark."""
        (at,) = struct.unpack_from("<Q", head, 4)
        if head[:4] != b"II*\0" or not 8 <= at <= self.source.size - 2:
            return False
        (count,) = struct.unpack("<H", self.source.read(at, 2))
        rows = self.source.read(at + 2, min(12 * count, self.source.size - at - 2) // 12 * 12)
        return 65420 in {row[0] for row in struct.iter_unpack("<H10x", rows)}

    @property
    def bytes_known(self) -> int:
        return sum(b - a for a, b in self.known)

    def _take(self, at: int, size: int) -> bytes:
        if self.bytes_known + size > MAX_META_BYTES:
            raise left("the slide's directories are larger than any slide's")
        self.known.append((at, at + size))
        return self.source.read(at, size)

    def pages(self) -> list[Page]:
        pages: list[Page] = []
        at, seen = self.first, set()
        while at:
            if at in seen or len(pages) >= MAX_PAGES:
                raise left("the slide's directories do not end")
            seen.add(at)
            page, at = self._page(at)
            pages.append(page)
        if not pages:
            raise left("the slide has no directory")
        return pages

    def _page(self, at: int) -> tuple[Page, int]:
        counted, row, word, room = ("Q", 20, "Q", 8) if self.big else ("H", 12, "I", 4)
        link = "Q" if self.vendor == "ndpi" else word
        head, width = struct.calcsize(counted), struct.calcsize(link)
        (count,) = struct.unpack(self.order + counted, self._take(at, head))
        if count > MAX_TAGS:
            raise left("a directory has more tags than it may have")
        rows = self._take(at + head, count * row + width)
        highs = self._take(at + head + len(rows), 4 * count) if self.vendor == "ndpi" else b""
        page = Page({}, {})
        for index in range(count):
            tag, kind, number = struct.unpack_from(self.order + "HH" + word, rows, index * row)
            value = rows[index * row + row - room : (index + 1) * row]
            self._value(page, tag, kind, number, value, highs[4 * index : 4 * index + 4])
        self._tiles(page)
        (following,) = struct.unpack_from(self.order + link, rows, count * row)
        return page, following

    def _value(self, page: Page, tag: int, kind: int, number: int, value: bytes, high: bytes) -> None:
        kinds, most = _KNOWN.get(tag, ((), 0))
        if kind not in kinds or (most is not None and number > most) or number == 0:
            raise left(f"tag {tag} may not leave")
        if tag in page.values:
            raise left(f"tag {tag} stands twice")
        size = _SIZES[kind] * number
        if high and (kind, number) == (4, 1):
            value, kind, size = value + high, 16, 8
        elif size > len(value):
            (at,) = struct.unpack(self.order + ("Q" if len(value + high) == 8 else "I"), value + high)
            value = self._take(at, size)
        elif any(value[size:] + high):
            raise left(f"tag {tag} has bytes behind its value")
        page.values[tag], page.kinds[tag] = value[:size], kind

    def _tiles(self, page: Page) -> None:
        at, size = (324, 325) if 322 in page.values else (273, 279)
        columns = []
        for tag in (at, size):
            letter = LETTERS[page.kinds[tag]]
            content = page.values[tag]
            columns.append(
                struct.unpack(f"{self.order}{len(content) // struct.calcsize(letter)}{letter}", content)
            )
        if len(columns[0]) != len(columns[1]):
            raise left("a page names more tiles than it sizes")
        page.tiles = [(a, a + n) for a, n in zip(*columns, strict=True) if n]

    def account(self, tiles: list[tuple[int, int]]) -> None:
        """Each byte belongs to one tile, or to one thing read here, or is padding; nothing reaches beyond the end."""
        at = 0
        for start, end, _ in sorted([(a, b, 1) for a, b in tiles] + [(a, b, 0) for a, b in self.known]):
            if start < at:
                raise left("parts of the slide overlap")
            if start > at:
                self._padding(at, start)
            at = end
        if at > self.source.size:
            raise left("a tile reaches beyond the end of the slide")
        if at < self.source.size:
            self._padding(at, self.source.size)

    def _padding(self, start: int, end: int) -> None:
        if end - start > LONGEST_GAP or any(self.source.read(start, end - start)):
            raise left(f"{end - start} bytes belong to no tile and no directory")


def _judge_pages(pages: list[Page], order: str) -> None:
    base_width, base_height = pages[0].number(order, 256), pages[0].number(order, 257)
    if 322 not in pages[0].values:
        raise left("the first page is no level")
    for index, page in enumerate(pages):
        if not _says_little(page.described):
            raise left(f"the description of page {index + 1} says more than it may")
        if page.number(order, 254) not in (0, 1):
            raise left(f"page {index + 1} is a label or a macro image")
        if 322 not in page.values and index != 1:
            raise left(f"page {index + 1} is neither a level nor a thumbnail")
        width, height = page.number(order, 256), page.number(order, 257)
        if not width or not height or abs(width * base_height / (height * base_width) - 1) > 0.05:
            raise left(f"page {index + 1} has not the shape of the slide")


def _says_little(described: str) -> bool:
    return not described or (len(described) <= 2000 and bool(_DESCRIPTION.match(described)))


_PROFILE_TAGS = re.compile(rb"(?:[rgbk](?:XYZ|TRC)|wtpt|bkpt|chad|lumi|chrm|gamt|[AD]2B[012]|B2[AD][012])\Z")
_PROFILE_TYPES = (b"XYZ ", b"curv", b"para", b"sf32", b"chrm", b"mft1", b"mft2", b"mAB ", b"mBA ", b"mpet")


def judge_profile(profile: bytes) -> None:
    """A colour profile without maker, date and words of its own; each of its bytes stands in a tag or is zero.

    :raises Quarantine: `identity-left`.
    """
    if not profile:
        return
    if len(profile) < 132 or (
        any(profile[4:8] + profile[40:64] + profile[80:128])
        or profile[24:36] != b"\x07\xd0\0\1\0\1\0\0\0\0\0\0"
    ):
        raise left("a colour profile says who made it, or when")
    (count,) = struct.unpack_from(">I", profile, 128)
    at = 132 + 12 * count
    for signature, start, size in sorted(
        struct.iter_unpack(">4sII", profile[132:at]), key=lambda row: row[1]
    ):
        content = profile[start : start + size]
        words = re.sub(rb"[^A-Za-z ]", b"", content[8:])
        if signature in (b"desc", b"cprt"):
            plain = words.strip().removeprefix(b"enUS") == b"Slide colour"
        else:
            plain = bool(_PROFILE_TAGS.match(signature)) and content[:4] in _PROFILE_TYPES
        if not plain or len(content) != size or start < at or any(profile[at:start]):
            raise left("a colour profile holds more than colour")
        at = start + size
    if any(profile[at:]):
        raise left("a colour profile holds more than colour")


def forms(value: str) -> Iterator[bytes]:
    """A value in every encoding in which it could stand in a file."""
    for text in dict.fromkeys((value, value.upper(), value.lower())):
        for charset in ("utf-8", "gb18030", "utf-16-le", "utf-16-be", "latin-1", "big5"):
            try:
                encoded = text.encode(charset)
            except UnicodeEncodeError:
                continue
            yield encoded
            if charset in ("utf-8", "gb18030"):
                yield urllib.parse.quote(encoded).encode()
                yield from _inside_base64(encoded)


def _inside_base64(content: bytes) -> Iterator[bytes]:
    """The part of its Base64 that does not depend on what stands around it, at each of three alignments."""
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + content)
        inner = coded[4 if shift else 0 : -4 if (shift + len(content)) % 3 else None]
        if len(inner) >= 8:
            yield inner


def _search(
    known: list[tuple[int, int]], source: Source, pages: list[Page], identity_values: tuple[str, ...]
) -> None:
    """Known identities in all bytes but tiles; patterns in what can hold words (a vendor's XML was judged whole).

    Numbers of thousands of tiles hold any four bytes by chance: there, forms of eight bytes and more are looked for.
    """
    wanted = {f for v in identity_values if len(v.strip()) >= 2 for f in forms(v.strip()) if len(f) >= 4}
    for start, end in known if wanted else ():
        shortest = 4 if end - start <= 1 << 16 else 8
        content = source.read(start, end - start)
        if any(f in content for f in wanted if len(f) >= shortest):
            raise left("a known identity stands in the slide's directories")
    for number, page in enumerate(pages, 1):
        words = said(page)
        for what, pattern in _PATTERNS:
            if pattern.search(words):
                raise left(f"{what} stands in the description of page {number}")


def _walk_tiles(source: Source, pages: list[Page], order: str, scope: Scope) -> int:
    read = 0
    for page in pages:
        walk = _walk_of(page, order)
        spans = sorted(set(page.tiles))
        limit = LONGEST_TILE if scope == "every" else LONGEST_SAMPLE
        for start, end in spans if page.number(order, 259, 1) == 7 else ():
            if end - start > limit and scope == "every":
                only_long_picture(source.read, start, end, f"in the level at {start}")
                read += end - start
            elif end - start > limit:
                read += parts_of_long_picture(source.read, start, end, f"in the level at {start}")
        spans = [(a, b) for a, b in spans if b - a <= limit or page.number(order, 259, 1) != 7]
        step = 1 if scope == "every" else max(1, len(spans) // SAMPLED_TILES)
        for start, content in tile_contents(source, spans[::step]):
            read += len(content)
            walk(content, f"in the tile at {start}")
    return read


def _walk_of(page: Page, order: str) -> Walk:
    side = (322, 323) if 322 in page.values else (256, 278)
    samples = len(page.values.get(258, b"")) // 2
    return walk_of(
        page.number(order, 259, 1),
        tables=page.values.get(347, b""),
        size=page.number(order, side[0]) * page.number(order, side[1]) * samples,
    )


def tile_contents(source: Source, spans: list[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """Tiles one by one, read together where they stand together."""
    at = 0
    while at < len(spans):
        until = at + 1
        while (
            until < len(spans)
            and spans[until][0] == spans[until - 1][1]
            and spans[until][1] - spans[at][0] < 4 << 20
        ):
            until += 1
        start = spans[at][0]
        block = source.read(start, spans[until - 1][1] - start)
        for a, b in spans[at:until]:
            yield a, block[a - start : b - start]
        at = until
