"""/docs: the API on one page that loads nothing from elsewhere, which a hospital's network may not reach."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from gateway.routes import Route

CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "td{padding:.3rem 1rem .3rem 0;vertical-align:top;border-top:1px solid #ddd}code{font-size:13px}"
)


def page(request: Request) -> HTMLResponse:
    """Every address with what it does; the whole schema is at /openapi.json."""
    schema: dict[str, Any] = request.app.openapi()
    rows = "".join(
        f"<tr><td><code>{method.upper()}</code><td><code>{escape(path)}</code><td>{escape(told['summary'])}"
        for path, methods in schema["paths"].items()
        for method, told in methods.items()
    )
    title = escape(schema["info"]["title"])
    body = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>The whole schema: <a href=/openapi.json>/openapi.json</a>.<table>{rows}</table></html>"
    )
    return HTMLResponse(body, headers={"Content-Security-Policy": CSP})


ROUTES = (Route("GET", "/docs", page, tag="operating", media_type="text/html"),)
