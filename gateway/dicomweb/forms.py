"""In which media type pixel data of each transfer syntax is given (PS3.18 Tables 8.7.3-2 to 8.7.3-5)."""

from __future__ import annotations

from gateway.dicomweb.accept import OCTETS, Form

DICOM = "application/dicom"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
_SYNTAX = "1.2.840.10008.1.2."

# media type of one frame | the last components of its transfer syntaxes
_FRAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("image/jpeg", ("4.50", "4.51", "4.57", "4.70")),
    ("image/dicom-rle", ("5",)),
    ("image/jls", ("4.80", "4.81")),
    ("image/jp2", ("4.90", "4.91")),
    ("image/jpx", ("4.92", "4.93")),
    ("image/jphc", ("4.201", "4.202", "4.203")),
    ("image/jxl", ("4.110", "4.111", "4.112")),
)
# media type of a whole video, which has no frames of its own | the same
_VIDEOS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("video/mpeg", ("4.100", "4.100.1", "4.101", "4.101.1")),
    ("video/mp4", ("4.102", "4.102.1", "4.103", "4.103.1", "4.104", "4.104.1", "4.105", "4.105.1", "4.106", "4.106.1")),
    ("video/H265", ("4.107", "4.108")),
)  # fmt: skip
FRAMES = {_SYNTAX + last: media_type for media_type, syntaxes in _FRAMES for last in syntaxes}
VIDEOS = {_SYNTAX + last: media_type for media_type, syntaxes in _VIDEOS for last in syntaxes}
NATIVE = (Form(media_type=OCTETS, syntax=EXPLICIT),)


def of_pixels(syntax: str, *, encapsulated: bool) -> tuple[Form, ...]:
    """The forms of a frame that is stored in `syntax`. Native ones are little-endian, whatever the object is."""
    if not encapsulated:
        return NATIVE
    typed = {**FRAMES, **VIDEOS}.get(syntax)
    bare = Form(media_type=OCTETS, syntax=syntax, named=typed is not None)
    return (Form(media_type=typed, syntax=syntax), bare) if typed else (bare,)
