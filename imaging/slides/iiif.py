"""The IIIF Image API 3.0, read and told: what a path asks of a slide, and the slide's info.json.

Offered: every form of region, size and quality but enlarging (`^`); rotation by quarter turns, mirrored too; JPEG, PNG.
Not claimed: a compliance level above 0, since those ask for answers to pages of other origins.
Source: https://iiif.io/api/image/3.0/ sections 4 and 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from PIL import Image

from imaging.slides.levels import Pyramid
from imaging.slides.tiles import Region, tile_side, top_level

# The largest picture given, along a side in pixels; a viewer asks for tiles.
LARGEST = 4096
FEATURES = (
    "mirroring", "regionByPct", "regionByPx", "regionSquare", "rotationBy90s", "sizeByConfinedWh", "sizeByH",
    "sizeByPct", "sizeByW", "sizeByWh",
)  # fmt: skip
KINDS = {"jpg": "JPEG", "png": "PNG"}
QUALITIES = ("default", "color", "gray", "bitonal")
# Pillow's mode by quality and format; JPEG knows no picture of one bit.
_MODES = {("gray", "JPEG"): "L", ("gray", "PNG"): "L", ("bitonal", "PNG"): "1"}
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
_PX = re.compile(r"(\d{1,8}),(\d{1,8}),(\d{1,8}),(\d{1,8})")
_PCT = re.compile(rf"pct:{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}")
_SIZE = re.compile(r"(!?)(\d{0,6}),(\d{0,6})")
_SIZE_PCT = re.compile(rf"pct:{_NUMBER}")
_ROTATION = re.compile(r"(!?)(\d{1,3})(?:\.0*)?")
_TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


class NotAsked(ValueError):
    """The path is none of the Image API's, or asks for what is not offered."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A picture as it is asked for. `kind` is Pillow's name of the format."""

    region: Region
    mirrored: bool
    degrees: int
    quality: str
    kind: str

    @property
    def plain(self) -> bool:
        """Whether it may be a stored tile as it is."""
        return (
            not self.mirrored
            and not self.degrees
            and self.quality in ("default", "color")
            and self.kind == "JPEG"
        )

    def turned(self, picture: Image.Image) -> Image.Image:
        """The composed region as it is asked for: mirrored, then turned clockwise, then its colours."""
        if self.mirrored:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.degrees:
            picture = picture.transpose(_TURNS[self.degrees])
        return (
            picture.convert(_MODES[self.quality, self.kind])
            if self.quality in ("gray", "bitonal")
            else picture
        )


def read(pyramid: Pyramid, region: str, size: str, rotation: str, last: str) -> Asked:
    """What `{region}/{size}/{rotation}/{quality}.{format}` asks for.

    :raises NotAsked:
    """
    quality, _, kind = last.partition(".")
    turn = _ROTATION.fullmatch(rotation)
    if turn is None or int(turn[2]) % 360 not in (0, *_TURNS) or int(turn[2]) > 360:
        raise NotAsked("rotation")
    if quality not in QUALITIES or kind not in KINDS or (quality, kind) == ("bitonal", "jpg"):
        raise NotAsked("quality or format")
    left, top, width, height = _region(pyramid, region)
    out = _size(size, width, height)
    return Asked(
        region=Region(left, top, width, height, *out),
        mirrored=bool(turn[1]),
        degrees=int(turn[2]) % 360,
        quality=quality,
        kind=KINDS[kind],
    )


def _region(pyramid: Pyramid, told: str) -> tuple[int, int, int, int]:
    """Left, top, width and height, cut at the slide's edges."""
    whole = pyramid.base.width, pyramid.base.height
    if told == "full":
        return 0, 0, *whole
    if told == "square":
        side = min(whole)
        return (whole[0] - side) // 2, (whole[1] - side) // 2, side, side
    pixels, share = _PX.fullmatch(told), _PCT.fullmatch(told)
    if pixels:
        left, top, width, height = (int(part) for part in pixels.groups())
    elif share:
        left, top, width, height = (
            round(float(part) / 100 * whole[at % 2]) for at, part in enumerate(share.groups())
        )
    else:
        raise NotAsked("region")
    width, height = min(width, whole[0] - left), min(height, whole[1] - top)
    if width <= 0 or height <= 0:
        raise NotAsked("region")
    return left, top, width, height


def _size(told: str, width: int, height: int) -> tuple[int, int]:
    """The size in pixels of a region's picture."""
    if told == "max":
        scale = min(1.0, LARGEST / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))
    share, sides = _SIZE_PCT.fullmatch(told), _SIZE.fullmatch(told)
    if share:
        out = round(width * float(share[1]) / 100), round(height * float(share[1]) / 100)
    elif sides and (sides[2] or sides[3]) and (not sides[1] or (sides[2] and sides[3])):
        out = _sides(sides[1] == "!", int(sides[2] or 0), int(sides[3] or 0), width, height)
    else:
        raise NotAsked("size")
    if not (0 < out[0] <= min(width, LARGEST) and 0 < out[1] <= min(height, LARGEST)):
        raise NotAsked("size")
    return out


def _sides(confined: bool, across: int, down: int, width: int, height: int) -> tuple[int, int]:
    if confined:
        scale = min(across / width, down / height, 1.0)
        return max(1, round(width * scale)), max(1, round(height * scale))
    return across or round(width * down / height), down or round(height * across / width)


def info(pyramid: Pyramid, address: str) -> dict[str, Any]:
    """The image's info.json.

    :param address: the image's own, without a slash at its end.
    """
    base, side = pyramid.base, tile_side(pyramid)
    factors = [1 << n for n in range(max(1, top_level(pyramid) - side.bit_length() + 2))]
    sizes = [(lv.width, lv.height) for lv in reversed(pyramid.levels) if max(lv.width, lv.height) <= LARGEST]
    return {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": address,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level0",
        "width": base.width,
        "height": base.height,
        "maxWidth": LARGEST,
        "maxHeight": LARGEST,
        "sizes": [{"width": width, "height": height} for width, height in sizes],
        "tiles": [{"width": side, "height": side, "scaleFactors": factors}],
        "extraFormats": ["png"],
        "extraQualities": ["color", "gray", "bitonal"],
        "extraFeatures": list(FEATURES),
    }
