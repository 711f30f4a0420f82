"""Answers of several parts (RFC 2387), streamed: no part is ever held whole."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fastapi.responses import StreamingResponse

from gateway.dicomweb.accept import RELATED, Form


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part: what it is, where it can be had by itself, and its bytes."""

    form: Form
    location: str
    content: Iterable[bytes]


def related(parts: Iterable[Part], media_type: str) -> StreamingResponse:
    """The parts as `multipart/related`; what fails before the first byte is still an answer of its own."""
    boundary = secrets.token_hex(16)
    kind = f'{RELATED}; type="{media_type}"; boundary={boundary}'
    return StreamingResponse(begun(_written(parts, boundary)), headers={"Content-Type": kind})


def single(content: Iterable[bytes], form: Form, *, status: int = 200, **headers: str) -> StreamingResponse:
    """One thing by itself. `headers`: names with `_` for `-`."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return StreamingResponse(begun(content), status, headers={"Content-Type": form.label, **told})


def begun(content: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, of which the first were asked for already."""
    rest = iter(content)
    return itertools.chain([next(rest, b"")], rest)


def _written(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    opening = f"--{boundary}\r\n"
    for part in parts:
        # the head goes out with the first bytes, for which the store has to answer first
        rest = begun(part.content)
        head = f"{opening}Content-Type: {part.form.label}\r\nContent-Location: {part.location}\r\n\r\n"
        yield head.encode("ascii") + next(rest)
        yield from rest
        opening = f"\r\n--{boundary}\r\n"
    yield f"\r\n--{boundary}--\r\n".encode("ascii")
