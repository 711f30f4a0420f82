"""Rendered frames and thumbnails (PS3.18 10.4.1.1.3 and 10.4.1.1.4): JPEG or PNG, decoded in a killable child."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fastapi import Request, Response

from cases.errors import Quarantine
from gateway.dicomweb import found
from gateway.dicomweb.accept import Form, choose
from gateway.dicomweb.forms import DEFLATED, EXPLICIT
from gateway.dicomweb.retrieve import chosen_frames, frame_bytes
from gateway.parts import Parts
from gateway.refusals import Refusal
from gateway.signin import Caller
from gateway.signin import Signed as SignedIn
from imaging.deid.part10 import written_head
from imaging.dicom.look import FORMATS, FUNCTIONS, SIDE_MOST, Look, Viewport, Window, drawn
from storage.dicom_instances import Instance

PICTURES = tuple(Form(media_type=media_type) for media_type in FORMATS)
_THUMBNAIL = Viewport(width=256, height=256)
_SECONDS = 60.0
_FRAME_MOST = 64 << 20
_KNOWN = ("accept", "quality", "viewport", "window")
# What stands before the pixel data is read whole: functional groups of 20,000 frames take this much.
_BEGIN_MOST = 32 << 20
_NUMBER = re.compile(r"[+\-]?(?:\d{1,9}(?:\.\d{0,6})?|\.\d{1,6})")


def instance(asking: SignedIn, request: Request, study: str, series: str, instance: str) -> Response:
    """The instance's middle frame as a picture; `viewport=`, `window=`, `quality=` as PS3.18 8.3.5 has them."""
    of = found.one(asking, study, series, instance)
    return _picture(request, asking, of, _middle(of), None)


def frame(
    asking: SignedIn, request: Request, study: str, series: str, instance: str, numbers: str
) -> Response:
    """One frame as a picture, by its number from 1; `viewport=`, `window=`, `quality=`."""
    of = found.one(asking, study, series, instance)
    return _picture(request, asking, of, numbers, None)


def study_thumbnail(asking: SignedIn, request: Request, study: str) -> Response:
    """A small picture that stands for a study; `viewport=`."""
    return _thumbnail(request, asking, found.representative(asking, study))


def series_thumbnail(asking: SignedIn, request: Request, study: str, series: str) -> Response:
    """A small picture that stands for a series; `viewport=`."""
    return _thumbnail(request, asking, found.representative(asking, study, series))


def instance_thumbnail(
    asking: SignedIn, request: Request, study: str, series: str, instance: str
) -> Response:
    """A small picture of the instance's middle frame; `viewport=`."""
    return _thumbnail(request, asking, found.one(asking, study, series, instance))


def frame_thumbnail(
    asking: SignedIn, request: Request, study: str, series: str, instance: str, numbers: str
) -> Response:
    """A small picture of one frame; `viewport=`."""
    of = found.one(asking, study, series, instance)
    return _picture(request, asking, of, numbers, _THUMBNAIL)


def _thumbnail(request: Request, asking: Caller, of: Instance) -> Response:
    return _picture(request, asking, of, _middle(of), _THUMBNAIL)


def _middle(of: Instance) -> str:
    return str(of.pixels.frames // 2 + 1) if of.pixels else "1"


def _picture(
    request: Request, asking: Caller, of: Instance, numbers: str, viewport: Viewport | None
) -> Response:
    look = _look(request, choose(request, PICTURES, related=None).form.media_type, viewport)
    number, *others = chosen_frames(of, numbers)
    if others:
        raise Refusal(400, "invalid", "A picture is of one frame.", "Ask for one.")
    assert of.pixels is not None, "frames were chosen"
    if "7FE00010" not in (of.bulk or {}) or of.pixels.header > _BEGIN_MOST:
        raise Refusal(406, "not-acceptable", "No picture can be made of this.", "Retrieve the instance.")
    with _turn(asking.parts):
        picture = _drawn(asking, of, number, look)
    return Response(picture, media_type=look.media_type)


@contextmanager
def _turn(parts: Parts) -> Iterator[None]:
    """So many pictures at once: what each is drawn from is in memory until a child takes it. Raises `Refusal` (503)."""
    if not parts.drawings.acquire(timeout=parts.drawing_patience):
        raise Refusal(
            503, "busy", "Too many pictures are asked for at once.", "Try again in a few seconds.",
            headers={"Retry-After": "5"},
        )  # fmt: skip
    try:
        yield
    finally:
        parts.drawings.release()


def _drawn(asking: Caller, of: Instance, number: int, look: Look) -> bytes:
    """The picture. Raises `Refusal` (406) if none can be made."""
    assert of.pixels is not None, "frames were chosen"
    begin, content = found.objects(asking).begin(of, of.pixels), bytearray()
    if of.transfer_syntax == DEFLATED:
        begin = written_head(of.sop_class, of.sop_uid, EXPLICIT) + begin
    for piece in next(frame_bytes(asking, of, [number])):
        content += piece
        if len(content) > _FRAME_MOST:
            raise Refusal(406, "not-acceptable", "The frame is too large to be drawn.", "Retrieve the frame.")
    try:
        return asking.parts.child.run_for(_SECONDS, drawn, begin, bytes(content), number, look)
    except Quarantine:
        raise Refusal(
            406, "not-acceptable", "No picture can be made of this.", "Retrieve the instance."
        ) from None


def _look(request: Request, media_type: str, viewport: Viewport | None) -> Look:
    """The query's words, checked. Raises `Refusal` (400)."""
    asked = request.query_params
    problems = [f"parameter {at}: is unknown" for at, name in enumerate(asked, 1) if name not in _KNOWN]
    window = _window(asked, problems)
    chosen = _viewport(asked, problems) or viewport
    quality = asked.get("quality", "90")
    if not re.fullmatch(r"[1-9][0-9]?|100", quality):
        problems.append("quality: is a number from 1 to 100")
    if problems:
        raise Refusal(
            400,
            "invalid",
            "How to draw it cannot be understood.",
            "Correct the parts listed.",
            problems=problems,
        )
    return Look(media_type=media_type, window=window, viewport=chosen, quality=int(quality))


def _window(asked: Mapping[str, str], problems: list[str]) -> Window | None:
    if "window" not in asked:
        return None
    centre, width, function = (asked["window"] + ",,").split(",")[:3]
    function = function or "linear"
    if _NUMBER.fullmatch(centre) and _NUMBER.fullmatch(width) and float(width) > 0 and function in FUNCTIONS:
        return Window(centre=float(centre), width=float(width), function=function)
    problems.append(f"window: is centre,width and one of {', '.join(FUNCTIONS)}, with commas between")
    return None


def _viewport(asked: Mapping[str, str], problems: list[str]) -> Viewport | None:
    """Width and height, then perhaps the part of the frame (PS3.18 8.3.5.1.3)."""
    if "viewport" not in asked:
        return None
    words = asked["viewport"].split(",")
    if len(words) in (2, 6) and all(_NUMBER.fullmatch(word) for word in words):
        width, height, *part = (float(word) for word in words)
        left, top, across, down = part or (0.0, 0.0, 0.0, 0.0)
        sides = (width, height, abs(across), abs(down))
        inside = min(width, height) >= 1 and max(sides) <= SIDE_MOST and min(left, top) >= 0
        if inside and max(left, top) <= 1 << 20 and math.isfinite(sum(sides)):
            return Viewport(width=int(width), height=int(height), part=(left, top, across, down))
    problems.append(
        f"viewport: is width,height, perhaps with left,top,width,height of a part; a side is {SIDE_MOST} at most"
    )
    return None
