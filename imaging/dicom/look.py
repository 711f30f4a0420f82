"""How a frame is wanted as a picture; whoever asks needs no decoder loaded, the child that draws it has them."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}
# The VOI LUT functions by their names in a query (PS3.18 8.3.5.1.4).
FUNCTIONS = ("linear", "linear-exact", "sigmoid")
# The most that a viewport may ask for, a side: pictures beyond are read as frames.
SIDE_MOST = 8192
_QUALITY = 90


@dataclass(frozen=True, kw_only=True)
class Window:
    """A VOI LUT function by its centre and width (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    centre: float
    width: float
    function: str = "linear"


@dataclass(frozen=True, kw_only=True)
class Viewport:
    """The size to fit the picture into, and the part of the frame to show: left, top, width, height in its pixels.

    A negative width or height of the part mirrors it; zeros show all.
    """

    width: int
    height: int
    part: tuple[float, float, float, float] = (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How the picture is wanted."""

    media_type: str
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = _QUALITY


def drawn(begin: bytes, frame: bytes, number: int, look: Look) -> bytes:
    """`imaging.dicom.rendered.render`, loaded where it is called: in a child."""
    from imaging.dicom.rendered import render

    return render(begin, frame, number, look)
