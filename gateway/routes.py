"""A door as a row: method, path, the function behind it, and the action of `cases.access` that it asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Route:
    """`action` None: open to anybody who reaches the port, or if `granted`, to who holds the grant in its path.

    `media_type`: of what is not JSON; empty for nothing. `streams`: its body is never held whole, and may be as large
    as a study.
    """

    method: str
    path: str
    endpoint: Callable[..., Any]
    action: str | None = None
    tag: str = ""
    status: int = 200
    media_type: str | None = None
    hidden: bool = False
    granted: bool = False
    streams: bool = False
