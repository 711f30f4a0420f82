"""Fetching the files of a work item from the partner's own bucket, each verified by size and SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cases.errors import Transient
from teledx.client import client
from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.progress import bar
from teledx.commands.uploads import patiently


def download(files: Sequence[Mapping[str, Any]], folder: Path, *, quiet: bool) -> None:
    """Write each file below `folder`; what is there already and right is not fetched again. Raises `Stop`."""
    with bar("Fetching", sum(f["size"] for f in files), quiet=quiet) as advance:
        for file in files:
            target = _inside(folder, file["name"])
            if not _is_right(target, file):
                patiently(lambda file=file, target=target: _fetch(file, target))
            advance(file["size"])


def _fetch(file: Mapping[str, Any], target: Path) -> None:
    import httpx

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    origin, _, _ = file["url"].partition("?")
    try:
        with (
            client(origin) as store,
            store.stream("GET", file["url"]) as answer,
            partial.open("wb") as opened,
        ):
            if not answer.is_success:
                raise Transient(f"the store answers {answer.status_code}")
            for chunk in answer.iter_bytes(1 << 20):
                opened.write(chunk)
        if not _is_right(partial, file):
            raise Transient("a file arrived damaged")
        partial.replace(target)
    except httpx.TransportError as error:
        raise Transient(f"the store does not answer ({type(error).__name__})") from None
    finally:
        partial.unlink(missing_ok=True)


def _is_right(path: Path, file: Mapping[str, Any]) -> bool:
    if not path.is_file() or path.stat().st_size != file["size"]:
        return False
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file["sha256"]


def _inside(folder: Path, name: str) -> Path:
    """The file's place below the folder; a name that leads out of it is refused."""
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise Stop(Exit.FAILED, "A file's name leads out of the folder.", "Tell the region's operators.")
    return target
