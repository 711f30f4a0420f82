"""The order file of a submission, completed from the folder: a clinic need not compute sizes and digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.uploads import at_once

ORDER_NAME = "order.json"
SCHEMA = "docs/order.schema.json (or /api/order.schema.json of the gateway) says what an order holds."


def read(file: Path) -> dict[str, Any]:
    """The order as written. Raises `Stop` if it is no JSON object."""
    try:
        order = json.loads(file.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise Stop(Exit.USAGE, f"{file} is not JSON (line {error.lineno}).", SCHEMA) from None
    if not isinstance(order, dict):
        raise Stop(Exit.USAGE, f"{file} holds no JSON object.", SCHEMA)
    return order


def complete(
    order: Mapping[str, Any],
    folder: Path,
    order_file: Path,
    digest: Callable[[Path], str],
    *,
    threads: int = 4,
) -> dict[str, Any]:
    """The order with every file's size and SHA-256; without `files`, all files of the folder (no hidden ones).

    What the order already says of a file must be true. Raises `Stop` with the list of what is not.
    """
    lines = _lines(order, folder, order_file)
    absent = [str(line["name"]) for line in lines if not (folder / str(line["name"])).is_file()]
    if absent:
        message = f"{len(absent)} of the files that the order names are not in {folder}."
        raise Stop(Exit.USAGE, message, "Put them there, or correct the names.", problems=tuple(absent))
    with at_once(threads) as pool:
        digests = pool.map(lambda line: digest(folder / line["name"]), lines)
        found = [
            {"name": line["name"], "size": (folder / line["name"]).stat().st_size, "sha256": told}
            for line, told in zip(lines, digests, strict=True)
        ]
    differing = tuple(
        f"{have['name']}: {part} differs"
        for line, have in zip(lines, found, strict=True)
        for part in ("size", "sha256")
        if line.get(part) not in (None, "", have[part])
    )
    if differing:
        todo = "Correct the order, or remove size and sha256 from it: they are computed here."
        raise Stop(
            Exit.USAGE, "The order says something else of its files than they are.", todo, problems=differing
        )
    merged = [{**line, **have} for line, have in zip(lines, found, strict=True)]
    return {**order, "files": merged}


def check(order: Mapping[str, Any]) -> None:
    """Raise `Stop` naming every part that is missing or wrong, never its value."""
    from pydantic import ValidationError

    from cases.order import Order, problems

    try:
        Order.model_validate_json(json.dumps(order))
    except ValidationError as error:
        raise Stop(Exit.USAGE, "The order is not complete.", SCHEMA, problems=problems(error)) from None


def unnamed(order: Mapping[str, Any], folder: Path, order_file: Path) -> list[str]:
    """Files of the folder that the order does not name, and that stay where they are."""
    named = {line["name"] for line in order["files"]}
    return [name for name in _all_files(folder, order_file) if name not in named]


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _lines(order: Mapping[str, Any], folder: Path, order_file: Path) -> Sequence[dict[str, Any]]:
    given = order.get("files")
    if not given:
        names = _all_files(folder, order_file)
        if not names:
            raise Stop(Exit.USAGE, f"There is no file in {folder}.", "Name the folder of the images.")
        return [{"name": name} for name in names]
    if not isinstance(given, list) or not all(_is_line(line) for line in given):
        raise Stop(Exit.USAGE, "files: must be a list of objects, each with a name below the folder.", SCHEMA)
    return given


def _is_line(line: object) -> bool:
    """Whether it names a file below the folder; the order's own check says more, this keeps us inside."""
    name = line.get("name") if isinstance(line, dict) else None
    return (
        isinstance(name, str) and bool(name) and not Path(name).is_absolute() and ".." not in Path(name).parts
    )


def _all_files(folder: Path, order_file: Path) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if (
            path.is_file()
            and not hidden
            and path.resolve() != order_file.resolve()
            and str(name) != ORDER_NAME
        ):
            found.append(name.as_posix())
    return found
