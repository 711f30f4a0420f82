"""/slides/ID: the slide viewer, OpenSeadragon on this gateway's tiles.

The page holds nothing of the case and is open to anybody; what it shows it gets with the ticket in its fragment, or
after signing in. It loads nothing from elsewhere (CSP level 3). OpenSeadragon stands where `script/environment` put it.
"""

from __future__ import annotations

import gzip
import sys
from functools import cache
from pathlib import Path
from uuid import UUID

from fastapi import Request, Response

from gateway.page import Language, filled, read
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.slide_words import SPOKEN, WORDS

# What is served, and as what.
FILES = {"slides.js": "text/javascript", "panes.js": "text/javascript", "slides.css": "text/css"}
OPENSEADRAGON = "openseadragon.js"
VIEWERS = Path(sys.prefix) / "share" / "teledx"
# The digest is that of an empty style, which keeps OpenSeadragon from putting one of its own (`panes.js`).
CSP = (
    "default-src 'none'; script-src 'self'; worker-src 'self' blob:;"
    " style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; img-src 'self' data: blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(work_item_id: UUID, lang: Language = "zh") -> Response:
    """The slide viewer, in English or Chinese."""
    markup = filled("slides.html", WORDS[lang], SPOKEN, lang, work_item=str(work_item_id))
    return Response(markup, media_type="text/html", headers={"Content-Security-Policy": CSP})


def part(request: Request, name: str) -> Response:
    """A script or style of the viewer."""
    if name == OPENSEADRAGON:
        return _openseadragon(request)
    if name not in FILES:
        raise Refusal(404, "not-found", "There is no such address here.", "See /docs for what there is.")
    return Response(read(name), media_type=FILES[name])


def _openseadragon(request: Request) -> Response:
    """The same for everybody and of no case, so a browser may keep it for a day."""
    packed = _packed()
    headers = {"Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type="text/javascript", headers=headers | {"Content-Encoding": "gzip"})
    return Response(gzip.decompress(packed), media_type="text/javascript", headers=headers)


@cache
def _packed() -> bytes:
    file = VIEWERS / OPENSEADRAGON
    if not file.is_file():
        raise Refusal(503, "viewer-missing", WORDS["en"]["missing"], "Run script/environment.")
    return gzip.compress(file.read_bytes())


ROUTES = (
    Route("GET", "/slides/{work_item_id}", page, tag="slides", media_type="text/html"),
    Route("GET", "/viewer/{name}", part, tag="slides", media_type="text/javascript"),
)
