"""The second pass over a MIRAX slide: all of its files, and every byte of each.

Shares no code with the first pass. Settings are judged whole by their grammar; the index is walked, and each of its
bytes has a use; data files hold their head, pictures of the zoom levels, the photographs' places, and zeros between.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from PIL import Image

from cases.errors import Quarantine
from imaging.slides.second_pass import LONGEST_GAP, LONGEST_TILE, SAMPLED_TILES, Scope, forms, tile_contents
from imaging.slides.second_tiles import left, only_picture
from imaging.slides.source import Source

Place = tuple[int, int, int]
LONGEST_INI, LONGEST_INDEX, LONGEST_COVER = 1 << 16, 256 << 20, 4096
_HEAD = 5 + 32 + 3 + 256
_LAYERS = "VIMSLIDE_POSITION_BUFFER|StitchingIntensityLayer"
_NUMBER = r"-?\d{1,6}(?:\.\d{1,12})?"


def _lines(*lines: str, times: str = "") -> str:
    return "(?:" + "".join(rf"{line}\r\n" for line in lines) + ")" + times


_ZOOM = "HIER_0_VAL_{0} = ZoomLevel_{0}\r\nHIER_0_VAL_{0}_SECTION = LAYER_0_LEVEL_{0}_SECTION\r\n"
_FILE = "FILE_{0} = Data{0:04d}.dat\r\n"
_SECTION = "[LAYER_0_LEVEL_{0}_SECTION]\r\n"
_SETTINGS = re.compile(
    _lines(r"\xef\xbb\xbf\[GENERAL\]", r"SLIDE_VERSION = 01\.02", "SLIDE_ID = (?P<id>[0-9A-F]{32})",
           r"IMAGENUMBER_X = (?P<across>\d{1,5})", r"IMAGENUMBER_Y = (?P<down>\d{1,5})",
           r"OBJECTIVE_MAGNIFICATION = \d{1,3}", r"CameraImageDivisionsPerSide = (?P<divisions>\d{1,3})")
    + _lines(r"CURRENT_SLIDE_VERSION = \d{1,2}\.\d{1,2}", times="?")
    + _lines(r"\[HIERARCHICAL\]", "HIER_COUNT = 1", "NONHIER_COUNT = (?P<layers>[01])", r"INDEXFILE = Index\.dat",
             "HIER_0_NAME = Slide zoom level", r"HIER_0_COUNT = (?P<levels>\d{1,2})")
    + r"(?P<tree>(?:HIER_0_VAL_[^\r\n]{1,60}\r\n)+)"
    + _lines(f"NONHIER_0_NAME = (?P<layer>{_LAYERS})", "NONHIER_0_COUNT = 1", "NONHIER_0_VAL_0 = default",
             "NONHIER_0_VAL_0_SECTION = NONHIERLAYER_0_LEVEL_0_SECTION",
             "NONHIER_0_SECTION = NONHIERLAYER_0_SECTION", times="?")
    + _lines(r"\[DATAFILE\]", r"FILE_COUNT = (?P<files>\d{1,4})")
    + r"(?P<names>(?:FILE_[^\r\n]{1,30}\r\n)+)"
    + r"(?P<sections>\[LAYER_0_LEVEL_0_.*IMAGE_CONCAT_FACTOR = \d{1,2}\r\n)"
    + _lines(r"\[NONHIERLAYER_0_SECTION\]", "VIMSLIDE_POSITION_DATA_FORMAT_VERSION = 257", times="?") + r"\Z",
    re.S,
)  # fmt: skip
_LEVEL = re.compile(
    _lines(f"OVERLAP_X = {_NUMBER}", f"OVERLAP_Y = {_NUMBER}", f"MICROMETER_PER_PIXEL_X = {_NUMBER}",
           f"MICROMETER_PER_PIXEL_Y = {_NUMBER}", "IMAGE_FORMAT = JPEG", r"IMAGE_FILL_COLOR_BGR = \d{1,8}",
           r"DIGITIZER_WIDTH = (\d{1,5})", r"DIGITIZER_HEIGHT = (\d{1,5})", r"IMAGE_CONCAT_FACTOR = \d{1,2}")
)  # fmt: skip


@dataclass(slots=True)
class _Told:
    """What the settings say: identifier, sizes of each level's pictures, and what there is."""

    slide_id: bytes
    sizes: list[tuple[int, int]]
    files: int
    photographs: int
    layer: str


def check_slide(
    files: Mapping[str, Source], *, identity_values: tuple[str, ...] = (), tiles: Scope = "every"
) -> int:
    """Prove that a slide of several files may leave; returns the bytes read.

    :param identity_values, tiles: as those of `second_pass.check_slide`.
    :param files: all of its files by their names in the folder, the slide itself without a name.
    :raises Quarantine: `identity-left` with what was found and where, never the value.
    """
    try:
        read = _judge_cover(_whole(files[""], LONGEST_COVER))
        settings, index = (
            _whole(files["Slidedat.ini"], LONGEST_INI),
            _whole(files["Index.dat"], LONGEST_INDEX),
        )
        told = _judge_settings(settings)
        names = [f"Data{number:04d}.dat" for number in range(told.files)]
        if set(files) != {"", "Slidedat.ini", "Index.dat", *names}:
            raise left("the slide has other files than its settings say")
        walk = _Index(index, told)
        data = [files[name] for name in names]
        places = _judge_places(data, walk.places, told)
        kept: dict[int, list[tuple[int, int]]] = {}
        for start, size, holder in (*walk.pictures(), *walk.places):
            kept.setdefault(holder, []).append((start, size))
        for number, file in enumerate(data):
            _account(file, number, told, kept.get(number, []))
        _search((settings, index, places), identity_values)
        return read + len(settings) + len(index) + len(places) + _walk_tiles(data, walk.levels, told, tiles)
    except (struct.error, KeyError, IndexError, OverflowError, zlib.error, OSError, Quarantine) as error:
        if isinstance(error, Quarantine) and error.code == "identity-left":
            raise
        raise left("the slide cannot be read by the second pass") from error


def _whole(file: Source, most: int) -> bytes:
    if file.size > most:
        raise left("a file of the slide is larger than any slide's")
    return file.read(0, file.size)


def _judge_cover(content: bytes) -> int:
    """The file by which the slide is opened: a picture of nothing."""
    only_picture(content, "in the slide's own picture")
    with Image.open(io.BytesIO(content)) as opened:
        if any(extremes != (255, 255) for extremes in opened.convert("RGB").getextrema()):
            raise left("the slide's own picture shows something")
    return len(content)


def _judge_settings(content: bytes) -> _Told:
    found = _SETTINGS.match(content.decode("latin-1"))
    if found is None:
        raise left("the settings say more than they may")
    levels = list(_LEVEL.finditer(found["sections"]))
    many, files = len(levels), int(found["files"])
    expected = "".join(_SECTION.format(i) + level[0] for i, level in enumerate(levels))
    if (found["sections"], found["tree"], found["names"]) != (
        expected,
        "".join(_ZOOM.format(i) for i in range(many)),
        "".join(_FILE.format(i) for i in range(files)),
    ):
        raise left("the settings of a level or a file say more than they may")
    divisions = int(found["divisions"])
    if many != int(found["levels"]) or bool(found["layer"]) != bool(int(found["layers"])) or not divisions:
        raise left("the settings contradict themselves")
    return _Told(
        slide_id=found["id"].encode(),
        sizes=[(int(level[1]), int(level[2])) for level in levels],
        files=files,
        photographs=(int(found["across"]) // divisions) * (int(found["down"]) // divisions),
        layer=found["layer"] or "",
    )


@dataclass(slots=True)
class _Index:
    """Its own reader of the index; every byte read is remembered, so that what was never read can be found."""

    content: bytes
    told: _Told
    known: list[tuple[int, int]] = field(default_factory=list)
    levels: list[list[Place]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.content[:37] != b"01.02" + self.told.slide_id:
            raise left("the index begins with something else")
        self.known.append((0, 37))
        tree, layers = self._numbers(37, 2)
        for root in self._numbers(tree, len(self.told.sizes)):
            self.levels.append([(a, n, f) for _, a, n, f in self._rows(root, 4)])
        if self.told.layer:
            for root in self._numbers(layers, 1):
                rows = list(self._rows(root, 5))
                if len(rows) != 1 or any(rows[0][:2]):
                    raise left("the photographs' places are not one record")
                self.places = [(rows[0][2], rows[0][3], rows[0][4])]
        at = 0
        for start, end in sorted(self.known):
            if start != at:
                raise left(f"bytes of the index at {min(start, at)} have no use, or two")
            at = end
        if at != len(self.content):
            raise left("bytes stand behind the index")

    def pictures(self) -> Iterator[Place]:
        """Every picture of every level once."""
        return iter({place for level in self.levels for place in level})

    def _numbers(self, at: int, count: int) -> tuple[int, ...]:
        if at < 0:
            raise left("the index points outside of itself")
        self.known.append((at, at + 4 * count))
        return struct.unpack_from(f"<{count}i", self.content, at)

    def _rows(self, root: int, columns: int) -> Iterator[tuple[int, ...]]:
        empty, at = self._numbers(root, 2)
        count, following = self._numbers(at, 2)
        if empty or following or count < 0:
            raise left("a record of the index is not one page")
        numbers = self._numbers(at + 8, columns * count)
        return zip(*[iter(numbers)] * columns, strict=True)


def _judge_places(data: list[Source], places: list[Place], told: _Told) -> bytes:
    """The photographs' places: a flag and two numbers each, no larger than a slide can be."""
    if not places:
        return b""
    ((at, size, number),) = places
    stored = data[number].read(at, size)
    content = stored
    if told.layer.startswith("Stitching"):
        inflater = zlib.decompressobj()
        content = inflater.decompress(stored, 9 * told.photographs + 1)
        if not inflater.eof or inflater.unused_data:
            raise left("bytes stand behind the photographs' places")
    if len(content) != 9 * told.photographs:
        raise left("there is not one place for each photograph")
    for flag, x, y in struct.iter_unpack("<Bii", content):
        if flag > 1 or max(abs(x), abs(y)) >= 1 << 24:
            raise left("the place of a photograph is none")
    return content


def _account(file: Source, number: int, told: _Told, kept: list[tuple[int, int]]) -> None:
    """Each byte of a data file is its head, or a picture's, or a zero between two."""
    if file.read(0, _HEAD) != b"01.02" + told.slide_id + b"%03d" % number + bytes(256):
        raise left(f"data file {number} begins with something else")
    at = _HEAD
    for start, size in sorted(kept):
        if start < at or size <= 0:
            raise left(f"parts of data file {number} overlap")
        if start - at > LONGEST_GAP or any(file.read(at, start - at)):
            raise left(f"{start - at} bytes of data file {number} belong to no picture")
        at = start + size
    if at != file.size:
        raise left(f"data file {number} does not end with its last picture")


def _search(contents: tuple[bytes, ...], identity_values: tuple[str, ...]) -> None:
    """Known identities in all bytes but pictures; long tables of numbers hold any four bytes by chance."""
    wanted = {f for v in identity_values if len(v.strip()) >= 2 for f in forms(v.strip()) if len(f) >= 4}
    for content in contents:
        shortest = 4 if len(content) <= 1 << 16 else 8
        if any(f in content for f in wanted if len(f) >= shortest):
            raise left("a known identity stands in the slide's settings or index")


def _walk_tiles(data: list[Source], levels: list[list[Place]], told: _Told, scope: Scope) -> int:
    read = 0
    for size, level in zip(told.sizes, levels, strict=True):
        places = sorted({(f, a, a + n) for a, n, f in level})
        if any(end - start > LONGEST_TILE for _, start, end in places):
            raise left("a picture is larger than any photograph")
        step = 1 if scope == "every" else max(1, len(places) // SAMPLED_TILES)
        for number, file in enumerate(data):
            spans = [(start, end) for f, start, end in places[::step] if f == number]
            for start, content in tile_contents(file, spans):
                where = f"in data file {number} at {start}"
                only_picture(content, where)
                if _size(content) != size:
                    raise left(f"a picture of another size {where}")
                read += len(content)
    return read


def _size(picture: bytes) -> tuple[int, int]:
    """Width and height of a JPEG whose headers were walked (T.81 B.2.2)."""
    at = 2
    while picture[at + 1] not in b"\xc0\xc1\xc2":
        at += 1 if picture[at + 1] == 0xFF else 2 + struct.unpack_from(">H", picture, at + 2)[0]
    height, width = struct.unpack_from(">HH", picture, at + 5)
    return width, height
