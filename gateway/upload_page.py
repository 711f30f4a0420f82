"""/upload: a clinic hands in an order, and its files go from the browser straight into the store, however large.

The page loads nothing from elsewhere and may speak to this gateway and the store alone (CSP level 3). The store must
answer browsers of this origin (CORS): PUT allowed, ETag exposed; without the ETag the gateway asks the store for it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request, Response

from gateway.page import Language, filled, read
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.upload_words import SPOKEN, WORDS

# What is served, and as what.
FILES = {"upload.js": "text/javascript", "hash.js": "text/javascript", "upload.css": "text/css"}
_CSP = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src data:;"
    " connect-src 'self' {store};"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(request: Request, lang: Language = "zh") -> Response:
    """The upload page, in English or Chinese."""
    markup = filled("upload.html", WORDS[lang], SPOKEN, lang, other_sex=WORDS[lang]["other"])
    settings = request.app.state.parts.s3.settings
    store = urlsplit(settings.public_url or settings.url)
    policy = _CSP.format(store=f"{store.scheme}://{store.netloc}")
    return Response(markup, media_type="text/html", headers={"Content-Security-Policy": policy})


def part(name: str) -> Response:
    """A script or style of the page."""
    if name not in FILES:
        raise Refusal(404, "not-found", "There is no such address here.", "See /docs for what there is.")
    headers = {"Content-Security-Policy": "default-src 'none'"} if name == "hash.js" else {}
    return Response(read(name), media_type=FILES[name], headers=headers)


ROUTES = (
    Route("GET", "/upload", page, tag="drops", media_type="text/html"),
    Route("GET", "/upload/{name}", part, tag="drops", media_type="text/javascript"),
)
