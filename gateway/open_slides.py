"""The slides that a gateway process has open: found by one query, their directories parsed once, all of it bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from cases.errors import NotAllowed, Quarantine
from gateway.grants import Grant
from gateway.parts import Parts
from gateway.refusals import Refusal
from imaging.slides import iiif, tiles
from imaging.slides.formats import accept
from imaging.slides.levels import Pyramid, read_pyramids
from storage import readings, worklist
from storage.blocks import Blocks, StoredSource
from storage.database import Connection
from storage.kept import Kept
from storage.s3 import Absent, Conflict
from storage.worklist import PartnerFile

# Slides open at once, and bytes that all their directories take.
MOST_OPEN = 50
DIRECTORY_BYTES = 256 << 20
# Of `Parts.slide_memory`, what holds composed pictures; the rest holds blocks of the store's objects.
COMPOSED_SHARE = 0.25
FOLDER = "slide"


@dataclass(frozen=True, slots=True, eq=False)
class OpenSlide:
    """A slide's object in the partner's bucket and its scanned images."""

    key: str
    source: StoredSource
    images: tuple[Pyramid, ...]


def slides_of(connection: Connection, case_id: str, partner: str) -> list[PartnerFile]:
    """The case's slides in the partner's bucket, by name."""
    found = worklist.files(connection, case_id, partner, "file")
    return [f for f in found if PurePosixPath(f.key).parent.name == FOLDER]


class OpenSlides:
    """One process's. Raises `Refusal`, and `Transient` if the store or the database is away."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        composed = int(parts.slide_memory * COMPOSED_SHARE)
        self.blocks = Blocks(parts.s3, parts.slide_memory - composed)
        self.composed: Kept[bytes] = Kept(composed, len)
        self.opened: Kept[OpenSlide] = Kept(
            DIRECTORY_BYTES, lambda slide: sum(p.held for p in slide.images), MOST_OPEN
        )

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
            found = slides_of(connection, item.case_id, item.partner)
        if not 1 <= grant.slide <= len(found):
            raise no_such()
        file = found[grant.slide - 1]
        _, network = self._parts.network.current()
        bucket = network.partner(item.partner).bucket
        there = self._parts.s3.head(bucket, file.key)
        if (there.size, there.sha256 or file.sha256) != (file.size, file.sha256):
            raise Conflict("a slide")
        source = StoredSource(self.blocks, bucket, file.key, there.size, there.etag)
        return OpenSlide(key=file.key, source=source, images=read_pyramids(source, accept(source).code))


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
