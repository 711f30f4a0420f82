"""The JSON of the slide viewer. Nothing here can hold a patient's identity."""

from __future__ import annotations

from datetime import datetime

from pydantic import ConfigDict

from gateway.shapes import Shape


class Viewing(Shape):
    """`page` is the viewer's address with the ticket in its fragment, which no server is ever sent."""

    ticket: str
    page: str
    ends_at: datetime


class ViewedSlide(Shape):
    """A slide of the case by its replaced identifiers. `number` counts from 1."""

    number: int
    name: str
    specimen: str
    block: str
    stain: str


class ViewedSlides(Shape):
    """`ticket` is a fresh one, to go on with."""

    case_id: str
    pseudonym: str
    slides: tuple[ViewedSlide, ...]
    ticket: str
    ends_at: datetime


class SlideImage(Shape):
    """One scanned image: pixels of its base level, of its tiles, and microns for a pixel, null where unknown.

    `deep_zoom` is the address of its Deep Zoom descriptor, `iiif` that of the image in the IIIF Image API 3.
    """

    width: int
    height: int
    tile: int
    microns: float | None
    deep_zoom: str
    iiif: str


class OpenedSlide(Shape):
    """`grant` opens the tiles until `ends_at`."""

    number: int
    grant: str
    ends_at: datetime
    images: tuple[SlideImage, ...]


class Before(Shape):
    """`before`: the grant that this one is to go on from, in the same viewing; it may have ended a little ago."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    before: str = ""
