"""A reader's doors to slides: a viewing, its slides, and their tiles by Deep Zoom and by the IIIF Image API 3.

Three steps, each narrower. A signed-in reader gets a ticket for a work item; the ticket lists its slides and opens one,
which is the row in the audit log; the grant that opening gives serves tiles without asking the database again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from cases.documents import Brief
from gateway.grants import Grant, Grants
from gateway.open_slides import OpenSlides, files_of, no_such
from gateway.parts import Parts
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.signin import Caller, Signed
from gateway.slide_shapes import Before, OpenedSlide, SlideImage, ViewedSlide, ViewedSlides, Viewing
from imaging.slides import iiif
from imaging.slides.tiles import tile_side
from storage import accounts, readings
from storage.accounts import Principal, UnknownToken
from storage.cases import Case
from storage.database import Connection
from storage.readings import UnknownWorkItem, WorkItem
from storage.worklist import OPEN

# A viewer asks for the next grant well before one ends; within the grace it is still the same viewing.
LIFETIME = timedelta(minutes=10)
GRACE = timedelta(minutes=10)
JPEG = "image/jpeg"
_DZI = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpg"'
    ' Overlap="0" TileSize="{side}"><Size Width="{width}" Height="{height}"/></Image>\n'
)


class Viewings:
    """What one gateway process needs to let people look at slides."""

    def __init__(self, parts: Parts) -> None:
        self.grants = Grants(parts.viewing_key)
        self.slides = OpenSlides(parts)


def view(request: Request, asking: Signed, work_item_id: UUID) -> Viewing:
    """A ticket for the slides of a work item, and the address of the viewer with it; good for ten minutes."""
    with asking.transaction() as connection:
        _case(connection, asking, work_item_id)
    ticket, ends_at = _signed(request, asking, work_item_id, 0, _until(request))
    return Viewing(ticket=ticket, page=f"/slides/{work_item_id}#ticket={ticket}", ends_at=ends_at)


def show(request: Request, ticket: str) -> ViewedSlides:
    """The slides of a viewing, by their replaced identifiers, and a fresh ticket to go on with while the work item is
    open."""
    asking, grant = _ticket(request, ticket)
    with asking.transaction() as connection:
        _require_staff(connection, asking)
        item, case = _case(connection, asking, grant.work_item_id)
        files = files_of(connection, case, asking.who.organisation)
        brief = _brief(connection, case.id)
    told = {slide.name: slide for slide in brief.slides}
    names = [slide.name for slide in _viewings(request).slides.slides(_bucket(asking), files)]
    lines = tuple(
        ViewedSlide(
            number=number,
            name=name,
            specimen=told[name].specimen if name in told else "",
            block=told[name].block if name in told else "",
            stain=told[name].stain if name in told else "",
        )
        for number, name in enumerate(names, 1)
    )
    fresh, ends_at = _signed(request, asking, item.id, 0, _goes_on_until(request, item, grant))
    return ViewedSlides(
        case_id=case.id, pseudonym=brief.pseudonym, slides=lines, ticket=fresh, ends_at=ends_at
    )


def open_slide(request: Request, ticket: str, number: int, body: Before) -> OpenedSlide:
    """Open a slide: one row in the audit log for a viewing, however long it is gone on with."""
    asking, told = _ticket(request, ticket)
    with asking.transaction() as connection:
        _require_staff(connection, asking)
        item, case = _case(connection, asking, told.work_item_id)
        files = files_of(connection, case, asking.who.organisation)
        microns = {slide.name: slide.mpp[0] for slide in _brief(connection, case.id).slides if slide.mpp}
    found = _viewings(request).slides.slides(_bucket(asking), files)
    if not 1 <= number <= len(found):
        raise no_such()
    if not _goes_on(request, asking, told.work_item_id, number, body.before):
        with asking.transaction() as connection:
            asking.audit(connection, "images.see", case.id, note=f"slide {number}")
    text, ends_at = _signed(request, asking, item.id, number, _goes_on_until(request, item, told))
    opened = _viewings(request).slides.of(_viewings(request).grants.read(text))
    chosen = found[number - 1]
    images = tuple(
        SlideImage(
            width=pyramid.base.width,
            height=pyramid.base.height,
            tile=tile_side(pyramid),
            microns=microns.get(chosen.name, chosen.microns),
            deep_zoom=f"/tiles/{text}/{at}.dzi",
            iiif=f"/iiif/{text}/{at}",
        )
        for at, pyramid in enumerate(opened.images)
    )
    return OpenedSlide(number=number, grant=text, ends_at=ends_at, images=images)


def descriptor(request: Request, grant: str, image: int) -> Response:
    """The Deep Zoom descriptor of a slide's image; tiles are the slide's own, without overlap."""
    _, pyramid = _viewings(request).slides.image(_granted(request, grant), image)
    size = {"side": tile_side(pyramid), "width": pyramid.base.width, "height": pyramid.base.height}
    return Response(_DZI.format(**size), media_type="application/xml")


async def tile(request: Request) -> Response:
    """A Deep Zoom tile."""
    # read here and not by the framework, which takes as long for it as for all else: a field of view is dozens of tiles
    path = request.path_params
    try:
        image, level, column, row = (int(path[name]) for name in ("image", "level", "column", "row"))
    except ValueError:
        raise no_such() from None
    told, slides = _granted(request, path["grant"]), _viewings(request).slides
    content = slides.at_hand(told, image, level, column, row)
    if content is None:
        content = await run_in_threadpool(slides.tile, told, image, level, column, row)
    return Response(content, media_type=JPEG)


def iiif_base(request: Request, grant: str, image: int) -> Response:
    """Where the image's info.json is."""
    _granted(request, grant)
    return RedirectResponse(f"/iiif/{grant}/{image}/info.json", status_code=303)


def iiif_info(request: Request, grant: str, image: int) -> JSONResponse:
    """What the IIIF Image API 3 offers of a slide's image."""
    _, pyramid = _viewings(request).slides.image(_granted(request, grant), image)
    address = f"{str(request.base_url).rstrip('/')}/iiif/{grant}/{image}"
    kind = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'
    return JSONResponse(iiif.info(pyramid, address), media_type=kind)


def iiif_image(
    request: Request, grant: str, image: int, region: str, size: str, rotation: str, last: str
) -> Response:
    """A part of a slide's image by the IIIF Image API 3; `last` is quality and format."""
    told, slides = _granted(request, grant), _viewings(request).slides
    content, kind = slides.asked(told, image, (region, size, rotation, last))
    return Response(content, media_type=f"image/{kind.lower()}")


def _viewings(request: Request) -> Viewings:
    found: Viewings = request.app.state.viewings
    return found


def _granted(request: Request, text: str) -> Grant:
    """The grant of one slide; a ticket is none."""
    grant = _viewings(request).grants.read(text)
    if not grant.slide:
        raise no_such()
    request.state.account = grant.account
    return grant


def _ticket(request: Request, text: str) -> tuple[Caller, Grant]:
    """Who holds the ticket, as the network in force knows them. Raises `UnknownToken`."""
    grant = _viewings(request).grants.read(text)
    if grant.slide:
        raise no_such()
    parts: Parts = request.app.state.parts
    _, network = parts.network.current()
    try:
        person = network.account(grant.account)
    except KeyError:
        raise UnknownToken(f"account {grant.account} is not in the network in force") from None
    who = Principal(account=person.id, organisation=person.organisation, role=person.role)
    request.state.account = who.account
    return Caller(who=who, person=person, network=network, parts=parts, side=request.app.state.side), grant


def _require_staff(connection: Connection, asking: Caller) -> None:
    if not accounts.may_sign_in(connection, asking.who.account):
        raise UnknownToken("the account has no token in force")


def _case(connection: Connection, asking: Caller, work_item_id: UUID) -> tuple[WorkItem, Case]:
    """The work item and its case, if the asker may see its images by this very work item."""
    item = readings.get(connection, work_item_id)
    case = asking.case(connection, item.case_id, "images.see")
    if item.state == "CANCELED":
        raise UnknownWorkItem(f"no work item {work_item_id}")
    return item, case


def _bucket(asking: Caller) -> str:
    return asking.network.partner(asking.who.organisation).bucket


def _brief(connection: Connection, case_id: str) -> Brief:
    row = connection.execute("SELECT brief FROM cases WHERE id = %s", (case_id,)).fetchone()
    assert row is not None, "the caller has seen the case"
    return Brief.model_validate(row["brief"])


def _goes_on(request: Request, asking: Caller, work_item_id: UUID, number: int, before: str) -> bool:
    """Whether `before` is a grant of this very viewing."""
    if not before:
        return False
    try:
        earlier = _viewings(request).grants.read(before, grace=int(GRACE.total_seconds()))
    except Refusal:
        return False
    return earlier.continues(_grant(asking, work_item_id, number, 0))


def _grant(asking: Caller, work_item_id: UUID, slide: int, ends: int) -> Grant:
    return Grant(
        account=asking.who.account,
        organisation=asking.who.organisation,
        work_item_id=work_item_id,
        slide=slide,
        ends=ends,
    )


def _signed(
    request: Request, asking: Caller, work_item_id: UUID, slide: int, ends: int
) -> tuple[str, datetime]:
    grant = _grant(asking, work_item_id, slide, ends)
    return _viewings(request).grants.sign(grant), datetime.fromtimestamp(ends, UTC)


def _until(request: Request) -> int:
    return _viewings(request).grants.until(LIFETIME.total_seconds())


def _goes_on_until(request: Request, item: WorkItem, ticket: Grant) -> int:
    """When the next grant ends: with its ticket, unless the work item is open and the viewing goes on."""
    return _until(request) if item.state in OPEN else ticket.ends


_VIEWING, _TILES, _IIIF = "/api/viewings/{ticket}", "/tiles/{grant}/{image}", "/iiif/{grant}/{image}"
ROUTES = (
    Route("GET", f"{_TILES}_files/{{level}}/{{column}}_{{row}}.jpg", tile, tag="slides", media_type=JPEG, granted=True),
    Route("POST", "/api/work-items/{work_item_id}/viewing", view, action="images.see", tag="slides"),
    Route("GET", f"{_VIEWING}/slides", show, tag="slides", granted=True),
    Route("POST", f"{_VIEWING}/slides/{{number}}", open_slide, tag="slides", granted=True),
    Route("GET", f"{_TILES}.dzi", descriptor, tag="slides", media_type="application/xml", granted=True),
    Route("GET", _IIIF, iiif_base, tag="slides", status=303, granted=True),
    Route("GET", f"{_IIIF}/info.json", iiif_info, tag="slides", media_type="application/ld+json", granted=True),
    Route(
        "GET",
        f"{_IIIF}/{{region}}/{{size}}/{{rotation}}/{{last}}",
        iiif_image,
        tag="slides",
        media_type=JPEG,
        granted=True,
    ),
)  # fmt: skip
