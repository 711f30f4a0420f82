"""WADO-RS (PS3.18 10.4): instances, metadata, frames and bulk data, as they are stored."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from gateway.dicomweb import found
from gateway.dicomweb.accept import OCTETS, Chosen, Form, choose
from gateway.dicomweb.forms import DEFLATED, DICOM, NATIVE, VIDEOS, of_pixels
from gateway.dicomweb.multipart import Part, begun, related, single
from gateway.refusals import Refusal
from gateway.signin import Caller
from gateway.signin import Signed as SignedIn
from storage import dicom_instances
from storage.dicom_instances import METADATA_AT_ONCE, Instance

JSON = (Form(media_type="application/dicom+json"), Form(media_type="application/json"))
_RANGE = re.compile(r"(?i:bytes)=([0-9]{0,18})-([0-9]{0,18})")
_PIXELS = re.compile(r"7FE000(08|09|10)")
# How a path stands in what is stored of the metadata, and how many frames one request may name.
_BULK = b'"BulkDataURI":"'
_FRAMES_MOST = 10_000


def study(asking: SignedIn, request: Request, study: str) -> Response:
    """All instances of a study, as they are stored."""
    return _instances(request, asking, found.found(asking, study))


def series(asking: SignedIn, request: Request, study: str, series: str) -> Response:
    """All instances of a series, as they are stored."""
    return _instances(request, asking, found.found(asking, study, series))


def instance(asking: SignedIn, request: Request, study: str, series: str, instance: str) -> Response:
    """One instance, as it is stored."""
    return _instances(request, asking, found.found(asking, study, series, instance))


def study_metadata(asking: SignedIn, request: Request, study: str) -> Response:
    """The attributes of all instances of a study, as DICOM JSON; large values by address."""
    return _metadata(request, asking, found.found(asking, study))


def series_metadata(asking: SignedIn, request: Request, study: str, series: str) -> Response:
    """The attributes of all instances of a series, as DICOM JSON; large values by address."""
    return _metadata(request, asking, found.found(asking, study, series))


def instance_metadata(asking: SignedIn, request: Request, study: str, series: str, instance: str) -> Response:
    """The attributes of one instance, as DICOM JSON; large values by address."""
    return _metadata(request, asking, found.found(asking, study, series, instance))


def frames(
    asking: SignedIn, request: Request, study: str, series: str, instance: str, numbers: str
) -> Response:
    """Frames by their numbers from 1 (`1` or `1,3,5`), each cut from the store by one range, as they are stored."""
    of = found.one(asking, study, series, instance)
    wanted = chosen_frames(of, numbers)
    encapsulated = of.pixels is not None and not of.pixels.bits
    chosen = choose(request, of_pixels(of.transfer_syntax, encapsulated=encapsulated), related=True)
    parts = _frames(request, asking, of, wanted, chosen.form)
    if chosen.related:
        return related(parts, chosen.form.media_type)
    if len(wanted) > 1:
        raise Refusal(
            406, "not-acceptable", "Several frames come as multipart/related.", "Accept that, or ask for one."
        )
    return single(next(parts).content, chosen.form)


def bulk(asking: SignedIn, request: Request, study: str, series: str, instance: str, path: str) -> Response:
    """A large value by the path that the metadata names; a Range gives a part of it."""
    of = found.one(asking, study, series, instance)
    place = (of.bulk or {}).get(path)
    if place is None:
        raise Refusal(
            404, "not-found", "There is no such bulk data.", "Take its address from the instance's metadata."
        )
    if _PIXELS.fullmatch(path) and of.pixels is not None and not of.pixels.bits:
        return _all_frames(request, asking, of)
    chosen = choose(request, NATIVE if _PIXELS.fullmatch(path) else (Form(media_type=OCTETS),), related=False)
    return _value(request, asking, of, place, chosen)


def chosen_frames(of: Instance, numbers: str) -> list[int]:
    """The frames that are asked for, from 0. Raises `Refusal` where there is none, or no such one."""
    if not re.fullmatch(r"[1-9]\d{0,8}(?:,[1-9]\d{0,8})*", numbers):
        raise Refusal(400, "invalid", "Frames are numbers from 1, with commas between.", "Correct the list.")
    wanted = [int(number) - 1 for number in numbers.split(",")]
    if len(wanted) > _FRAMES_MOST:
        raise Refusal(400, "invalid", f"More than {_FRAMES_MOST} frames at once.", "Ask for fewer.")
    if of.pixels is None:
        raise Refusal(404, "not-found", "The instance has no pixel data.", "Look at its metadata.")
    if of.transfer_syntax in VIDEOS:
        raise Refusal(406, "not-acceptable", "A video has no frames of its own.", "Retrieve its bulk data.")
    if max(wanted) >= of.pixels.frames:
        raise Refusal(
            404, "not-found", f"The instance has {of.pixels.frames} frames.", "Ask for one of them."
        )
    return wanted


def frame_bytes(asking: Caller, of: Instance, wanted: Sequence[int]) -> Iterator[Iterator[bytes]]:
    """The bytes of each of these frames (from 0) of an instance with pixels."""
    assert of.pixels is not None, "whoever chose frames saw that there are some"
    spans: Sequence[tuple[int, int] | None] = [None] * len(wanted)
    if not of.pixels.bits:
        with asking.transaction() as connection:
            spans = dicom_instances.spans(connection, of, wanted)
    objects = found.objects(asking)
    for number, span in zip(wanted, spans, strict=True):
        yield objects.frame(of, of.pixels, number, span)


def _frames(
    request: Request, asking: Caller, of: Instance, wanted: Sequence[int], form: Form
) -> Iterator[Part]:
    at = found.address_of(request, of)
    for number, content in zip(wanted, frame_bytes(asking, of, wanted), strict=True):
        yield Part(form=form, location=f"{at}/frames/{number + 1}", content=content)


def _all_frames(request: Request, asking: Caller, of: Instance) -> Response:
    """Encapsulated pixel data: a part for each frame, or the one stream of a video."""
    assert of.pixels is not None, "the caller looked"
    count = 1 if of.transfer_syntax in VIDEOS else of.pixels.frames
    forms = of_pixels(of.transfer_syntax, encapsulated=True)
    chosen = choose(request, forms, related=count > 1)
    parts = _frames(request, asking, of, range(count), chosen.form)
    if chosen.related or count > 1:
        return related(parts, chosen.form.media_type)
    return single(next(parts).content, chosen.form)


def _value(
    request: Request, asking: Caller, of: Instance, place: tuple[int, int, int], chosen: Chosen
) -> Response:
    offset, length, swap = place
    objects = found.objects(asking)
    if chosen.related:
        part = Part(
            form=chosen.form, location=str(request.url), content=objects.range(of, offset, length, swap)
        )
        return related([part], chosen.form.media_type)
    asked = _asked_range(request)
    if not asked or swap or of.transfer_syntax == DEFLATED:
        content = objects.range(of, offset, length, swap)
        ranges = "none" if swap or of.transfer_syntax == DEFLATED else "bytes"
        return single(content, chosen.form, Content_Length=str(length), Accept_Ranges=ranges)
    first, last = _part_of(asked, length)
    content = objects.range(of, offset + first, last + 1 - first)
    told = {"Content_Length": str(last + 1 - first), "Content_Range": f"bytes {first}-{last}/{length}"}
    return single(content, chosen.form, status=206, **told)


def _asked_range(request: Request) -> str:
    """The Range in bytes. One in other units is as none, and so is one with a condition, since nothing here has a
    validator by which it could hold (RFC 9110 14.2, 13.1.5)."""
    asked = request.headers.get("range", "").strip()
    return asked if asked[:6].lower() == "bytes=" and "if-range" not in request.headers else ""


def _part_of(asked: str, length: int) -> tuple[int, int]:
    """The first and last byte of a Range (RFC 9110 14.1.2) of one part. Raises `Refusal`."""
    match = _RANGE.fullmatch(asked)
    if match and (match[1] or match[2]):
        first = int(match[1]) if match[1] else max(length - int(match[2]), 0)
        last = min(int(match[2]), length - 1) if match[1] and match[2] else length - 1
        if first <= last:
            return first, last
    raise Refusal(
        416,
        "no-such-range",
        f"There are {length} bytes.",
        "Ask for one range within them.",
        headers={"Content-Range": f"bytes */{length}"},
    )


def _instances(request: Request, asking: Caller, instances: Sequence[Instance]) -> Response:
    """As `multipart/related`, or the one instance by itself. All must be acceptable: nothing is left out in silence."""
    syntaxes = list(dict.fromkeys(i.transfer_syntax for i in instances))
    choices = {s: choose(request, (Form(media_type=DICOM, syntax=s),), related=True) for s in syntaxes}
    objects = found.objects(asking)
    if not all(choice.related for choice in choices.values()):
        if len(instances) > 1:
            raise Refusal(
                406, "not-acceptable", "Several instances come as multipart/related.", "Accept that."
            )
        (of,) = instances
        form = choices[of.transfer_syntax].form
        return single(objects.whole(of), form, Content_Length=str(of.size))
    parts = (
        Part(
            form=choices[i.transfer_syntax].form,
            location=found.address_of(request, i),
            content=objects.whole(i),
        )
        for i in instances
    )
    return related(parts, DICOM)


def _metadata(request: Request, asking: Caller, instances: Sequence[Instance]) -> Response:
    chosen = choose(request, JSON, related=None)
    content = begun(_told(request, asking, instances))
    return StreamingResponse(content, headers={"Content-Type": chosen.form.label})


def _told(request: Request, asking: Caller, instances: Sequence[Instance]) -> Iterator[bytes]:
    opening = b"["
    for at in range(0, len(instances), METADATA_AT_ONCE):
        with asking.transaction() as connection:
            rows = list(dicom_instances.metadata(connection, instances[at : at + METADATA_AT_ONCE]))
        for instance, folded in rows:
            yield opening + whole_addresses(found.address_of(request, instance), folded)
            opening = b","
    yield b"]"


def whole_addresses(instance: str, folded: bytes) -> bytes:
    """Metadata with whole addresses below that of the instance in place of paths, in items of sequences too.

    Within a JSON string a quote is escaped, so that what is replaced is never a part of a value.
    """
    return zlib.decompress(folded).replace(_BULK, f'"BulkDataURI":"{instance}/bulkdata/'.encode("ascii"))
