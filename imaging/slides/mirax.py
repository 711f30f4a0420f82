"""3DHISTECH MIRAX: a small JPEG (`.mrxs`), and a folder of settings, an index and data files that hold everything.

What goes out stays MIRAX: photographs of the slide overlap, each at its own place, and no other container says so.
Kept are the pictures of the zoom levels, byte for byte, and the photographs' places. Settings and index are written
anew; label, thumbnail, preview, barcode, scan maps, XML and whatever else the data files hold are cut. The `.mrxs`
itself shows the macro image to whoever looks into the folder: what goes out instead is white.

Fluorescence, focal planes and pictures other than JPEG are refused. The slide's identifier, which the vendor's database
knows, is derived anew from what goes out.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging.slides.markup import telling
from imaging.slides.mirax_index import VERSION, Index, Rows, read_index, write_index
from imaging.slides.mirax_pictures import require_one_slide, spans_of, walk
from imaging.slides.mirax_settings import (
    INDEX,
    MAX_SETTINGS_BYTES,
    POSITIONS,
    Sections,
    Settings,
    read_settings,
    rebuilt,
    sections,
)
from imaging.slides.payload import unsafe
from imaging.slides.picture import disjoint
from imaging.slides.plan import File, Segment, SlidePlan, refuse_overlap, runs_of
from imaging.slides.source import SETTINGS, FolderSource, Source
from imaging.slides.tiff import damaged
from imaging.slides.writing import Placed

POSITION_BYTES = 9
# A data file begins with version, identifier, its number in three digits, and zeros.
_PADDING = 256
HEAD_BYTES = len(VERSION) + 32 + 3 + _PADDING
_SIDE = 64
_REMOVED = {
    "ScanDataLayer_SlideBarcode": "label image",
    "ScanDataLayer_SlideThumbnail": "macro image",
    "ScanDataLayer_SlidePreview": "preview",
    "ScanDataLayer_XMLInfoHeader": "XML of the scan",
}
_KEYS = ("SLIDE_NAME", "PROJECT_NAME", "SLIDE_ID", "SLIDE_BARCODE", "SLIDE_CREATIONDATETIME",
         "SLIDE_UTC_CREATIONDATETIME", "SCANNER_HARDWARE_ID", "SLIDE_QUALITY")  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """A MIRAX slide as its settings and its index tell it."""

    told: Sections
    settings: Settings
    index: Index


def read_scan(source: Source) -> Scan:
    """:raises Quarantine: `slide-unsafe` with advice for what cannot be taken; `reading-loss`; `file-damaged`."""
    folder = _folder(source)
    start, end = folder.span(SETTINGS)
    told = sections(folder.read(start, min(end - start, MAX_SETTINGS_BYTES + 1)))
    settings = read_settings(told)
    start, end = folder.span(settings.index)
    return Scan(told=told, settings=settings, index=read_index(folder.read(start, end - start), settings))


def _folder(source: Source) -> FolderSource:
    if not isinstance(source, FolderSource):
        raise unsafe("a part of a MIRAX slide: hand in the .mrxs file together with its folder")
    return source


def check_pictures(source: Source) -> int:
    """Read every picture of every level to its end; returns the bytes read.

    :raises Quarantine: as `payload.check_tiles`.
    """
    scan = read_scan(source)
    return walk(_folder(source), scan.settings, scan.index)


def plan(source: Source) -> SlidePlan:
    """How the de-identified slide is put together.

    :raises Quarantine: as `read_scan`.
    """
    folder, scan = _folder(source), read_scan(source)
    settings, index = scan.settings, scan.index
    rows = np.concatenate(index.levels)
    if not len(rows) or not rows[:, 2].all():
        raise damaged("the MIRAX slide lacks pictures")
    if index.positions:
        rows = np.concatenate((rows, [(0, *index.positions)]))
        _check_positions(folder, scan)
    kept = disjoint(spans_of(folder, settings, rows))
    refuse_overlap(kept, _named(folder, settings, index.further))
    require_one_slide(folder, settings, index)
    placed, runs = _placed(folder, settings, kept)
    return _planned(folder, scan, placed, runs)


def _named(folder: FolderSource, settings: Settings, rows: Rows) -> NDArray[np.int64]:
    """Where records that no reader needs stand; those that lie in no data file name no byte."""
    sizes = np.array([end - start for start, end in map(folder.span, settings.data)])
    rows = rows[(rows[:, 2] > 0) & (rows[:, 3] < len(sizes))]
    return spans_of(folder, settings, rows[rows[:, 1] + rows[:, 2] <= sizes[rows[:, 3]]])


def _check_positions(folder: FolderSource, scan: Scan) -> None:
    """The photographs' places are places: a flag, and two numbers no larger than the slide.

    :raises Quarantine: `file-damaged`.
    """
    assert scan.index.positions is not None, "the caller has seen them"
    assert scan.settings.positions is not None, "the index has none without the settings"
    ((start, end),) = spans_of(folder, scan.settings, np.array([(0, *scan.index.positions)])).tolist()
    content, size = folder.read(start, end - start), POSITION_BYTES * scan.settings.photographs
    if scan.settings.positions[0] != POSITIONS[0]:
        content = _inflated(content, size)
    if len(content) != size:
        raise damaged("the MIRAX slide has not one place for each photograph")
    places = np.frombuffer(content, [("flag", "u1"), ("at", "<i4", (2,))])
    farthest = np.abs(places["at"].astype(np.int64)).max(initial=0)
    if bool((places["flag"] > 1).any()) or int(farthest) > 2 * max(scan.settings.sizes[0]):
        raise damaged("a photograph of the MIRAX slide lies outside of it")


def _inflated(content: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(content, size + 1)
    except zlib.error as error:
        raise damaged("the places of the photographs cannot be read") from error
    if not inflater.eof or inflater.unused_data:
        raise damaged("the places of the photographs break off or go on")
    return found


def _placed(
    folder: FolderSource, settings: Settings, kept: NDArray[np.int64]
) -> tuple[Placed, list[NDArray[np.int64]]]:
    """Where each run of kept bytes stands in its new data file; and the runs of each file, behind its head."""
    starts, moved, runs = [], [], []
    for name in settings.data:
        start, end = folder.span(name)
        own = kept[(kept[:, 0] >= start) & (kept[:, 0] < end)]
        found = runs_of(folder, own) if len(own) else own
        lengths = found[:, 1] - found[:, 0]
        starts.append(found[:, 0])
        moved.append(HEAD_BYTES + np.cumsum(lengths) - lengths)
        runs.append(found)
    order = np.argsort(np.concatenate(starts), kind="stable")
    return Placed(starts=np.concatenate(starts)[order], moved_to=np.concatenate(moved)[order]), runs


def _planned(folder: FolderSource, scan: Scan, placed: Placed, runs: list[NDArray[np.int64]]) -> SlidePlan:
    settings = scan.settings

    def moved(rows: Rows) -> Rows:
        at = placed(spans_of(folder, settings, rows)[:, 0], rows[:, 2])
        return np.column_stack((rows[:, 0], at, rows[:, 2:]))

    levels = [moved(rows) for rows in scan.index.levels]
    place = scan.index.positions and tuple(moved(np.array([(0, *scan.index.positions)]))[0, 1:].tolist())
    slide_id = _derived(levels)
    names = tuple(f"Data{number:04d}.dat" for number in range(len(runs)))
    content = rebuilt(settings, slide_id, names)
    files = [("", [Segment(payload=white())]), (SETTINGS, [Segment(payload=content)])]
    files.append((INDEX, [Segment(payload=write_index(slide_id, levels, place))]))
    for number, (name, own) in enumerate(zip(names, runs, strict=True)):
        ranges = [Segment(offset=a, length=b - a) for a, b in own.tolist()]
        files.append((name, [Segment(payload=_head(slide_id, number)), *ranges]))
    segments = tuple(s for _, own in files for s in own)
    return SlidePlan(
        format="mirax",
        segments=segments,
        size=sum(s.size for s in segments),
        levels=settings.sizes,
        removed=_removed(scan.told),
        removed_values=_removed_values(scan.told, content.decode("utf-8-sig")),
        folder=tuple(File(name=name, size=sum(s.size for s in own)) for name, own in files),
    )


def _derived(levels: list[Rows]) -> str:
    """An identifier in the scanner's form, out of where the pictures stand in what goes out."""
    digest = hashlib.sha256(b"".join(rows.astype("<i8").tobytes() for rows in levels))
    return digest.hexdigest()[:32].upper()


def _head(slide_id: str, number: int) -> bytes:
    return VERSION + slide_id.encode() + f"{number:03d}".encode() + bytes(_PADDING)


def white() -> bytes:
    """The `.mrxs` that goes out: a JPEG without a picture."""
    out = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), "white").save(out, "JPEG", quality=75)
    return out.getvalue()


def _removed(told: Sections) -> tuple[str, ...]:
    """What was there, in the scanner's words."""
    layers = set(told.get("HIERARCHICAL", {}).values())
    general = told.get("GENERAL", {})
    return (
        "slide file's own picture",
        *(name for layer, name in _REMOVED.items() if layer in layers),
        *(f"key: {key}" for key in _KEYS if key in general),
    )


def _removed_values(told: Sections, content: str) -> tuple[str, ...]:
    """The texts taken out, for the second pass to look for: those that what goes out does not say by itself."""
    values = (value for section in told.values() for value in section.values())
    return tuple(value for value in telling(values) if value not in content)
