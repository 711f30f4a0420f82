"""`Slidedat.ini` of a MIRAX slide: read for what a reader needs, and written anew from that alone.

Keys and sections are those that OpenSlide reads. What the file says beside them (names, dates, barcodes, projects,
scanners, users) has no place in what is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cases.errors import Quarantine
from imaging.slides.payload import unsafe
from imaging.slides.source import SETTINGS, is_folder_slide
from imaging.slides.tiff import damaged

INDEX = "Index.dat"
MAX_SETTINGS_BYTES = 1 << 20
MOST_LEVELS, MOST_RECORDS = 32, 4096
ADVICE = "in SlideMaster or SlideConverter export the slide as TIFF (pyramidal, JPEG) or as DICOM"
# The layers of which each holds the places of the camera's photographs, best first, and how they are stored.
POSITIONS = ("VIMSLIDE_POSITION_BUFFER", "StitchingIntensityLayer")
# Hierarchies of which a slide in bright field and in one plane has one member.
_SINGLE = ("Slide filter level", "Microscope focus level")
_ZOOM = "Slide zoom level"
_WHOLE = re.compile(r"\d{1,9}\Z", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,6}(?:\.\d{1,20})?\Z", re.ASCII)
# Twelve decimals of a pixel place a tile as exactly as any reader does.
_DECIMALS = 12
_DATA_FILE = re.compile(r"FILE_\d{1,4}\Z", re.ASCII)
_VERSION = re.compile(r"\d{1,2}\.\d{1,2}\Z", re.ASCII)
Sections = dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Level:
    """One zoom level: size of its pictures in pixels, their overlap in pixels (x, y), microns per pixel (x, y).

    `concat` is the power of two by which it is smaller than the level before; `fill` is the background, 0xBBGGRR.
    """

    size: tuple[int, int]
    overlap: tuple[str, str]
    mpp: tuple[str, str]
    fill: int
    concat: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a reader needs. `pictures` are columns and rows of the largest level; `divisions` of them are a photograph's
    side.

    `hierarchies` and `layers` are the numbers of records that the index has of either; those of the zoom levels come
    first. `positions` is the layer of the photographs' places and its record, if there is one.
    """

    version: str
    slide_id: str
    objective: int
    pictures: tuple[int, int]
    divisions: int
    levels: tuple[Level, ...]
    hierarchies: int
    layers: int
    positions: tuple[str, int] | None
    index: str
    data: tuple[str, ...]

    @property
    def photographs(self) -> int:
        """How many places of photographs there are."""
        return (self.pictures[0] // self.divisions) * (self.pictures[1] // self.divisions)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Width and height of every level in pixels, as OpenSlide counts them."""
        base = self.levels[0]
        side = [
            _side(n, self.divisions, s, float(o))
            for n, s, o in zip(self.pictures, base.size, base.overlap, strict=True)
        ]
        factor, sizes = 1, []
        for level in self.levels:
            factor <<= level.concat
            sizes.append((side[0] // factor, side[1] // factor))
        return tuple(sizes)


def _side(count: int, divisions: int, size: int, overlap: float) -> int:
    total = 0
    for index in range(count):
        inside = index % divisions != divisions - 1 or index == count - 1
        total = int(total + (size if inside else size - overlap))
    return total


def sections(content: bytes) -> Sections:
    """Every section with its keys and values; keys that stand before any section are under an empty name.

    :raises Quarantine: `file-damaged`.
    """
    if len(content) > MAX_SETTINGS_BYTES:
        raise damaged(f"{SETTINGS} is larger than any slide's")
    found: Sections = {}
    within = found.setdefault("", {})
    for line in _decoded(content).splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            within = found.setdefault(line[1:-1], {})
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            within[key.strip()] = value.strip()
        elif line:
            within[line] = line[1:].strip()
    return found


def named_files(content: bytes) -> frozenset[str]:
    """The files of a slide's folder: the settings (`content`, as much of it as any slide has) and what they name."""
    found = sections(content[:MAX_SETTINGS_BYTES])
    data = (value for key, value in found.get("DATAFILE", {}).items() if _DATA_FILE.match(key))
    return frozenset((SETTINGS, found.get("HIERARCHICAL", {}).get("INDEXFILE", ""), *data)) - {""}


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, in order; a slide's own files go with the one that opens it. No link is followed."""
    found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    own = {part for p in found if is_folder_slide(p) for part in _parts(p.with_suffix(""))}
    return [p for p in found if p not in own]


def _parts(folder: Path) -> Iterator[Path]:
    with (folder / SETTINGS).open("rb") as stream:
        named = named_files(stream.read(MAX_SETTINGS_BYTES))
    return (folder / name for name in named)


def _decoded(content: bytes) -> str:
    for codec in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(codec)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def read_settings(found: Sections) -> Settings:
    """:raises Quarantine: `slide-unsafe` with advice for what cannot be taken; `reading-loss`; `file-damaged`."""
    general, tree = found.get("GENERAL", {}), found.get("HIERARCHICAL", {})
    _require_one_plane(tree)
    zooms = _whole(tree, "HIER_0_COUNT", 1, MOST_LEVELS)
    if tree.get("HIER_0_NAME") != _ZOOM:
        raise damaged("the MIRAX slide does not begin with its zoom levels")
    slide_id = general.get("SLIDE_ID", "")
    if not re.fullmatch(r"[\x21-\x7e]{1,64}", slide_id):
        raise damaged("the MIRAX slide has no identifier")
    data = found.get("DATAFILE", {})
    names = tuple(data.get(f"FILE_{i}", "") for i in range(_whole(data, "FILE_COUNT", 1, 1000)))
    if len({*names, SETTINGS, tree.get("INDEXFILE", "")}) != len(names) + 2:
        raise damaged("two files of the MIRAX slide bear one name")
    return Settings(
        version=_version(general.get("CURRENT_SLIDE_VERSION", "")),
        slide_id=slide_id,
        objective=_whole(general, "OBJECTIVE_MAGNIFICATION", 1, 200),
        pictures=(_whole(general, "IMAGENUMBER_X", 1, 1 << 16), _whole(general, "IMAGENUMBER_Y", 1, 1 << 16)),
        divisions=_whole(general, "CameraImageDivisionsPerSide", 1, 1 << 8, 1),
        levels=tuple(_level(found.get(tree.get(f"HIER_0_VAL_{i}_SECTION", ""), {}), i) for i in range(zooms)),
        hierarchies=_records(tree, "HIER"),
        layers=_records(tree, "NONHIER"),
        positions=_positions(tree),
        index=tree.get("INDEXFILE", ""),
        data=names,
    )


def _records(tree: dict[str, str], kind: str) -> int:
    kinds = range(_whole(tree, f"{kind}_COUNT", 0, 64))
    return sum(_whole(tree, f"{kind}_{i}_COUNT", 0, MOST_RECORDS) for i in kinds)


def _require_one_plane(tree: dict[str, str]) -> None:
    for index in range(_whole(tree, "HIER_COUNT", 1, 64)):
        if (
            tree.get(f"HIER_{index}_NAME") in _SINGLE
            and _whole(tree, f"HIER_{index}_COUNT", 0, MOST_RECORDS) > 1
        ):
            raise unsafe(f"MIRAX of fluorescence or of several focal planes: {ADVICE}")


def _positions(tree: dict[str, str]) -> tuple[str, int] | None:
    """The layer of the photographs' places, and how many records stand before its own."""
    before = 0
    layers: dict[str, int] = {}
    for index in range(_whole(tree, "NONHIER_COUNT", 0, 64)):
        layers.setdefault(tree.get(f"NONHIER_{index}_NAME", ""), before)
        before += _whole(tree, f"NONHIER_{index}_COUNT", 1, MOST_RECORDS)
    return next(((name, layers[name]) for name in POSITIONS if name in layers), None)


def _level(section: dict[str, str], index: int) -> Level:
    if section.get("IMAGE_FORMAT") != "JPEG":
        raise unsafe(f"MIRAX whose pictures are not JPEG: {ADVICE}")
    mpp = tuple(_decimal(section.get(f"MICROMETER_PER_PIXEL_{axis}", "")) for axis in "XY")
    if not all(0.01 <= float(value) <= 20_000 for value in mpp):
        raise Quarantine("reading-loss", "the slide's microns per pixel are not ones that microscopes have")
    return Level(
        size=(
            _whole(section, "DIGITIZER_WIDTH", 1, 1 << 14),
            _whole(section, "DIGITIZER_HEIGHT", 1, 1 << 14),
        ),
        overlap=(_decimal(section.get("OVERLAP_X", "")), _decimal(section.get("OVERLAP_Y", ""))),
        mpp=(mpp[0], mpp[1]),
        fill=_whole(section, "IMAGE_FILL_COLOR_BGR", 0, 0xFFFFFF),
        concat=_whole(section, "IMAGE_CONCAT_FACTOR", *((1, 3) if index else (0, 16))),
    )


def _whole(section: dict[str, str], key: str, least: int, most: int, default: int | None = None) -> int:
    value = section.get(key, "" if default is None else str(default))
    if not _WHOLE.match(value) or not least <= int(value) <= most:
        raise damaged(f"the MIRAX slide has no sensible {re.sub('[0-9]+', 'n', key)}")
    return int(value)


def _decimal(value: str) -> str:
    """A decimal number as it stands, or rounded: a long tail of decimals is room for something else."""
    if not _DECIMAL.match(value):
        raise damaged("the MIRAX slide has no number where its overlap or scale should stand")
    return value if len(value.partition(".")[2]) <= _DECIMALS else f"{float(value):.{_DECIMALS}f}"


def _version(value: str) -> str:
    return value if _VERSION.match(value) else ""


def rebuilt(settings: Settings, slide_id: str, data: tuple[str, ...]) -> bytes:
    """The settings that go out, in the scanner's own form."""
    across, down = settings.pictures
    general = {
        "SLIDE_VERSION": "01.02", "SLIDE_ID": slide_id, "IMAGENUMBER_X": across, "IMAGENUMBER_Y": down,
        "OBJECTIVE_MAGNIFICATION": settings.objective, "CameraImageDivisionsPerSide": settings.divisions,
    }  # fmt: skip
    if settings.version:
        general["CURRENT_SLIDE_VERSION"] = settings.version
    written = {"GENERAL": general, "HIERARCHICAL": _tree(settings)}
    written["DATAFILE"] = {"FILE_COUNT": len(data), **{f"FILE_{i}": name for i, name in enumerate(data)}}
    for index, level in enumerate(settings.levels):
        written[f"LAYER_0_LEVEL_{index}_SECTION"] = {
            "OVERLAP_X": level.overlap[0], "OVERLAP_Y": level.overlap[1], "MICROMETER_PER_PIXEL_X": level.mpp[0],
            "MICROMETER_PER_PIXEL_Y": level.mpp[1], "IMAGE_FORMAT": "JPEG", "IMAGE_FILL_COLOR_BGR": level.fill,
            "DIGITIZER_WIDTH": level.size[0], "DIGITIZER_HEIGHT": level.size[1], "IMAGE_CONCAT_FACTOR": level.concat,
        }  # fmt: skip
    if settings.positions and settings.positions[0] == POSITIONS[0]:
        written["NONHIERLAYER_0_SECTION"] = {"VIMSLIDE_POSITION_DATA_FORMAT_VERSION": 257}
    lines = [
        line
        for name, keys in written.items()
        for line in (f"[{name}]", *(f"{key} = {value}" for key, value in keys.items()))
    ]
    return b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _tree(settings: Settings) -> dict[str, object]:
    tree: dict[str, object] = {
        "HIER_COUNT": 1,
        "NONHIER_COUNT": int(settings.positions is not None),
        "INDEXFILE": INDEX,
        "HIER_0_NAME": _ZOOM,
        "HIER_0_COUNT": len(settings.levels),
    }
    for index in range(len(settings.levels)):
        tree[f"HIER_0_VAL_{index}"] = f"ZoomLevel_{index}"
        tree[f"HIER_0_VAL_{index}_SECTION"] = f"LAYER_0_LEVEL_{index}_SECTION"
    if settings.positions:
        tree |= {"NONHIER_0_NAME": settings.positions[0], "NONHIER_0_COUNT": 1, "NONHIER_0_VAL_0": "default"}
        tree |= {
            "NONHIER_0_VAL_0_SECTION": "NONHIERLAYER_0_LEVEL_0_SECTION",
            "NONHIER_0_SECTION": "NONHIERLAYER_0_SECTION",
        }
    return tree
