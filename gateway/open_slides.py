"""The slides that a gateway process has open: found by one query, their directories parsed once, all of it bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Protocol

from cases.errors import NotAllowed, Quarantine
from gateway.grants import Grant
from gateway.parts import Parts
from gateway.refusals import Refusal
from imaging.slides import iiif, tiles
from imaging.slides.dicom_levels import Volume, pyramid_of, read_volume
from imaging.slides.formats import accept
from imaging.slides.levels import Pyramid, read_pyramids
from imaging.slides.source import cut_across
from storage import cases, readings, worklist
from storage.blocks import Blocks, StoredSource
from storage.cases import Case
from storage.database import Connection
from storage.kept import Kept
from storage.s3 import Absent, Conflict
from storage.worklist import PartnerFile

# Slides open at once, and bytes that all their directories take.
MOST_OPEN = 50
DIRECTORY_BYTES = 64 << 20
# Of `Parts.slide_memory`, what holds composed pictures; the rest holds blocks of the store's objects.
COMPOSED_SHARE = 0.25
# Folders of a delivery: slides of one object, and DICOM instances.
SLIDE, DICOM = "slide", "dicom"


class TileSource(Protocol):
    """A slide's bytes: `imaging.slides.source.Source`, and what of it is in memory."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...

    def at_hand(self, offset: int, length: int) -> bytes | None: ...


class Joined:
    """Several objects read as if they stood one behind the other: a DICOM slide's levels."""

    def __init__(self, sources: Sequence[StoredSource]) -> None:
        self._sources = sources
        self._starts = [0, *accumulate(source.size for source in sources)]

    @property
    def size(self) -> int:
        return self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """:raises Quarantine: `file-damaged` if the range is not wholly inside."""
        cuts = cut_across(self._starts, offset, length)
        return b"".join(self._sources[part].read(within, size) for part, within, size in cuts)

    def at_hand(self, offset: int, length: int) -> bytes | None:
        """The bytes if they are in memory; a tile never stands across two objects."""
        part, within, size = next(cut_across(self._starts, offset, length))
        return self._sources[part].at_hand(within, size)


@dataclass(frozen=True, slots=True)
class Instance:
    """One object that is a DICOM level, or is none."""

    source: StoredSource
    volume: Volume | None


@dataclass(frozen=True, slots=True)
class FoundSlide:
    """A slide of a case: its name, and its objects in the partner's bucket, one but for DICOM.

    `microns` of a pixel where the objects themselves were asked.
    """

    name: str
    files: tuple[PartnerFile, ...]
    microns: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OpenSlide:
    """A slide's bytes and its scanned images."""

    key: str
    source: TileSource
    images: tuple[Pyramid, ...]


def files_of(connection: Connection, case: Case, partner: str) -> list[PartnerFile]:
    """Those of the case's objects that are slides, or parts of slides, by name; a radiology case has none."""
    if case.family != "slides":
        return []
    found = worklist.files(connection, case.id, partner, "file")
    return [f for f in found if PurePosixPath(f.key).parent.name in (SLIDE, DICOM)]


class OpenSlides:
    """One process's. Raises `Refusal`, and `Transient` if the store or the database is away."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        composed = int(parts.slide_memory * COMPOSED_SHARE)
        self.blocks = Blocks(parts.s3, parts.slide_memory - composed)
        self.composed: Kept[bytes] = Kept(composed, len)
        self.instances: Kept[Instance] = Kept(DIRECTORY_BYTES, _held)
        self.opened: Kept[OpenSlide] = Kept(
            DIRECTORY_BYTES, lambda slide: sum(p.held for p in slide.images), MOST_OPEN
        )

    def slides(self, bucket: str, files: Sequence[PartnerFile]) -> tuple[FoundSlide, ...]:
        """The slides that the files are: each object of its own, then each DICOM series, by name."""
        whole = [FoundSlide(PurePosixPath(f.key).stem, (f,)) for f in files if _folder(f) == SLIDE]
        series: dict[str, list[PartnerFile]] = {}
        microns: dict[str, float | None] = {}
        for file in (f for f in files if _folder(f) == DICOM):
            volume = self._instance(bucket, file).volume
            if volume is None:
                continue
            series.setdefault(volume.series, []).append(file)
            told = volume.microns[0] if volume.microns else None
            microns[volume.series] = min((m for m in (told, microns.get(volume.series)) if m), default=None)
        by_series = [FoundSlide(uid, tuple(series[uid]), microns[uid]) for uid in sorted(series)]
        return (*whole, *by_series)

    def _instance(self, bucket: str, file: PartnerFile) -> Instance:
        def read() -> Instance:
            source = self._source(bucket, file)
            return Instance(source, read_volume(source))

        with _told():
            return self.instances.made((bucket, file.key), read)

    def of(self, grant: Grant) -> OpenSlide:
        """The slide that the grant is for."""
        with _told():
            return self.opened.made(_name(grant), lambda: self._open(grant))

    def image(self, grant: Grant, number: int) -> tuple[OpenSlide, Pyramid]:
        slide = self.of(grant)
        if not 0 <= number < len(slide.images):
            raise no_such()
        return slide, slide.images[number]

    def at_hand(self, grant: Grant, number: int, level: int, column: int, row: int) -> bytes | None:
        """A tile that is in memory, at once; None if something would have to be fetched or composed."""
        slide = self.opened.get(_name(grant))
        if slide is None or not 0 <= number < len(slide.images):
            return None
        pyramid = slide.images[number]
        region = tiles.tile_region(pyramid, level, column, row)
        found = tiles.stored(pyramid, region) if region else None
        if found is None or found[0].whole is None:
            return self.composed.get((slide.key, number, region)) if region else None
        offset, length = found[0].place(found[1], found[2])
        content = slide.source.at_hand(offset, length) if length else None
        with _told():
            return found[0].whole(content) if content is not None else None

    def tile(self, grant: Grant, number: int, level: int, column: int, row: int) -> bytes:
        """A Deep Zoom tile as JPEG."""
        slide, pyramid = self.image(grant, number)
        region = tiles.tile_region(pyramid, level, column, row)
        if region is None:
            raise no_such()
        return self._picture(slide, number, region)

    def asked(self, grant: Grant, number: int, parameters: tuple[str, str, str, str]) -> tuple[bytes, str]:
        """A picture by the IIIF Image API, and Pillow's name of its format."""
        slide, pyramid = self.image(grant, number)
        try:
            wanted = iiif.read(pyramid, *parameters)
        except iiif.NotAsked as error:
            raise Refusal(
                400, "not-offered", f"This {error} is not offered.", "See info.json for what is."
            ) from None
        if wanted.plain:
            return self._picture(slide, number, wanted.region), wanted.kind
        with _told():
            picture = wanted.turned(tiles.compose(slide.source, pyramid, wanted.region))
            return tiles.encoded(picture, wanted.kind), wanted.kind

    def _picture(self, slide: OpenSlide, number: int, region: tiles.Region) -> bytes:
        pyramid = slide.images[number]
        with _told():
            return tiles.stored_bytes(pyramid, region, slide.source.read) or self.composed.made(
                (slide.key, number, region),
                lambda: tiles.encoded(tiles.compose(slide.source, pyramid, region)),
            )

    def _open(self, grant: Grant) -> OpenSlide:
        with self._parts.database.transaction(tenant=grant.organisation) as connection:
            item = readings.get(connection, grant.work_item_id)
            files = files_of(connection, cases.get(connection, item.case_id), item.partner)
        _, network = self._parts.network.current()
        bucket = network.partner(item.partner).bucket
        found = self.slides(bucket, files)
        if not 1 <= grant.slide <= len(found):
            raise no_such()
        chosen = found[grant.slide - 1].files
        if _folder(chosen[0]) == SLIDE:
            source = self._source(bucket, chosen[0])
            return OpenSlide(chosen[0].key, source, read_pyramids(source, accept(source).code))
        levels = [self._instance(bucket, file) for file in chosen]
        joined = Joined([level.source for level in levels])
        volumes = [level.volume for level in levels if level.volume]
        pyramid = pyramid_of(volumes, [level.source.size for level in levels])
        return OpenSlide(chosen[0].key, joined, (pyramid,))

    def _source(self, bucket: str, file: PartnerFile) -> StoredSource:
        """The object, if it is the one that was sent."""
        there = self._parts.s3.head(bucket, file.key)
        if (there.size, there.sha256 or file.sha256) != (file.size, file.sha256):
            raise Conflict("a slide")
        return StoredSource(self.blocks, bucket, file.key, there.size, there.etag)


def _folder(file: PartnerFile) -> str:
    return PurePosixPath(file.key).parent.name


def _held(instance: Instance) -> int:
    """Bytes that it holds in memory, as good as."""
    volume = instance.volume
    return 1024 + (volume.offsets.nbytes + volume.counts.nbytes if volume else 0)


def _name(grant: Grant) -> tuple[object, ...]:
    return grant.organisation, grant.work_item_id, grant.slide


def no_such() -> Refusal:
    return Refusal(404, "not-found", "There is no such picture.", "Open the slides again from the work item.")


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong with a slide, as answers."""
    try:
        yield
    except (Conflict, Absent):
        raise Refusal(
            409, "file-differs", "The stored slide is not the one that was sent.", "Tell the region at once."
        ) from None
    except tiles.TooMuch:
        raise Refusal(
            422, "too-much", "The slide has no level small enough for this.", "Look closer."
        ) from None
    except Quarantine as error:
        raise NotAllowed(f"the slide cannot be shown ({error.code})") from None
