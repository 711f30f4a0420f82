"""A clinic hands in an order with its files, and sees what becomes of it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import as_completed
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from teledx.client import Gateway, at
from teledx.commands import order_file, uploads
from teledx.commands.cases import ASIDE, show_drop, show_reason
from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.output import Out
from teledx.commands.progress import bar
from teledx.commands.session import Session
from teledx.commands.table import Command
from teledx.commands.words import size

if TYPE_CHECKING:
    from storage.s3 import S3

Found = TypeVar("Found")
POLL_SECONDS = 0.5
# The notice that the region writes into a drop's own prefix, and what it means to a script.
NOTICES = {"receipt.json": Exit.OK, "rejected.json": Exit.SET_ASIDE, "quarantined.json": Exit.SET_ASIDE}


class Way(StrEnum):
    """How the files reach the store."""

    LINKS = "links"
    DIRECT = "direct"


def submit(
    session: Session,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="The files' folder.")
    ],
    clinic: Annotated[
        str, typer.Option(metavar="ID", help="Your organisation; a wrong token is noticed by it.")
    ],
    order: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The order (JSON); without: order.json of the folder.")
    ] = None,
    s3: Annotated[
        Way, typer.Option(help="links: presigned by the gateway; direct: your own S3 identity.")
    ] = Way.LINKS,
    resume: Annotated[
        str | None, typer.Option(metavar="DROP", help="Carry on with a drop whose upload broke off.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the receipt.")
    ] = 60,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Parts on the way at once.")] = 4,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and complete the order; send nothing.")
    ] = False,
) -> int:
    """Hand in an order with its files, straight into the store, and wait for the receipt.

    Sizes and SHA-256 digests that the order lacks are computed here; an order without `files` gets every file of the
    folder. Parts that fail are sent again; after a break, --resume carries on where it was. Exit code 3 if the drop
    was sent back or set aside: why, and what to do, is printed.
    """
    file = order or folder / order_file.ORDER_NAME
    document = _completed(session.out, folder, file, parallel)
    if dry_run:
        session.out.answer(document, f"The order is complete: {_sum(document)}.")
        return Exit.OK
    for name in order_file.unnamed(document, folder, file):
        session.out.note(f"not named by the order, not sent: {name}")
    if s3 is Way.DIRECT:
        return _direct(session, folder, clinic, document, resume, wait, parallel)
    with session.region() as gateway:
        _require_clinic(gateway, clinic)
        drop = _send(session.out, gateway, folder, document, resume, parallel)
        return _follow(session.out, gateway, drop, wait)


def _completed(out: Out, folder: Path, file: Path, threads: int) -> dict[str, Any]:
    written = order_file.read(file)
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    with bar("Reading", total, quiet=out.as_json) as advance:

        def digest(path: Path) -> str:
            found = order_file.sha256(path)
            advance(path.stat().st_size)
            return found

        document = order_file.complete(written, folder, file, digest, threads=threads)
    order_file.check(document)
    return document


def _require_clinic(gateway: Gateway, clinic: str) -> None:
    home = gateway.get(at("me"))["organisation"]["id"]
    if home != clinic:
        raise Stop(
            Exit.NOT_ALLOWED, f"This token acts for {home}, not for {clinic}.", "Use that clinic's own token."
        )


def _send(
    out: Out, gateway: Gateway, folder: Path, document: Mapping[str, Any], resume: str | None, parallel: int
) -> str:
    """Begin the drop or carry on with one, send what is missing, and complete it; returns its number."""
    links = (
        gateway.get(at("drops", resume, "upload"))
        if resume
        else gateway.post(at("drops"), {"order": document})
    )
    drop: str = links["drop"]
    files = uploads.planned(links, folder)
    left = sum(part.length for upload in files for part in upload.missing)
    out.note(f"drop {drop}: sending {size(left)} in {len(files)} files")
    with bar("Sending", left, quiet=out.as_json) as advance:
        try:
            uploads.send(gateway, drop, files, parallel=parallel, advance=advance)
        except BaseException:
            out.note(f"It broke off; carry on later with --resume {drop}")
            raise
    uploads.patiently(lambda: gateway.post(at("drops", drop, "complete")))
    return drop


def _follow(out: Out, gateway: Gateway, drop: str, seconds: float) -> int:
    """Wait until the drop has ended, and say how."""
    found = _until(lambda: gateway.get(at("drops", drop)), _has_ended, seconds)
    out.answer(found, lambda out: _show_end(out, found))
    return Exit.SET_ASIDE if found["state"] in ASIDE else Exit.OK


def _has_ended(drop: Mapping[str, Any]) -> bool:
    return drop["state"] not in ("arriving", "complete")


def _show_end(out: Out, drop: dict[str, Any]) -> None:
    show_drop(out, drop)
    if drop["receipt"]:
        out.line(
            f"Received with {len(drop['receipt']['files'])} files. Follow it: teledx status {drop['case_id']}"
        )
    elif drop["state"] in ("arriving", "complete"):
        out.line(f"It is not received yet. Follow it: teledx status {drop['drop']}")


def _direct(
    session: Session,
    folder: Path,
    clinic: str,
    document: Mapping[str, Any],
    resume: str | None,
    seconds: float,
    parallel: int,
) -> int:
    """Write into the inbox as the clinic's own identity, the order last; what is there already is not sent again."""
    s3 = session.store
    name = resume or secrets.token_urlsafe(12)
    prefix = f"{clinic}/{name}/"
    lines = document["files"]
    with bar("Sending", sum(f["size"] for f in lines), quiet=session.out.as_json) as advance:

        def put(line: Mapping[str, Any]) -> None:
            uploads.patiently(lambda: _put_once(s3, f"{prefix}{line['name']}", folder / line["name"], line))
            advance(line["size"])

        try:
            with uploads.at_once(parallel) as pool:
                for done in as_completed([pool.submit(put, line) for line in lines]):
                    done.result()
        except BaseException:
            session.out.note(f"It broke off; carry on later with --resume {name}")
            raise
    content = json.dumps(document, ensure_ascii=False, indent=1).encode()
    uploads.patiently(
        lambda: s3.replace("inbox", f"{prefix}{order_file.ORDER_NAME}", content, "application/json")
    )
    return _await_notice(session.out, s3, prefix, name, seconds)


def _put_once(s3: S3, key: str, path: Path, line: Mapping[str, Any]) -> None:
    from storage.s3 import Absent

    try:
        held = s3.head("inbox", key)
        if held.size == line["size"] and held.sha256 == line["sha256"]:
            return
    except Absent:
        pass
    s3.upload("inbox", key, str(path), "application/octet-stream", line["sha256"])


def _await_notice(out: Out, s3: S3, prefix: str, name: str, seconds: float) -> int:
    """Wait for the region's notice beside the drop: a receipt, or why there is none."""

    def look() -> str | None:
        there = {found.key.removeprefix(prefix) for found in s3.listing("inbox", prefix)}
        return next((notice for notice in NOTICES if notice in there), None)

    notice = _until(look, bool, seconds)
    if notice is None:
        words = f"Sent as {name}; there is no receipt yet. It will lie beside it as receipt.json."
        out.answer({"prefix_name": name, "notice": None}, words)
        return Exit.OK
    said = json.loads(s3.get("inbox", f"{prefix}{notice}"))
    out.answer(
        {"prefix_name": name, "notice": notice.removesuffix(".json"), **said},
        lambda out: _show_notice(out, said),
    )
    return NOTICES[notice]


def _show_notice(out: Out, said: dict[str, Any]) -> None:
    out.facts((("drop", said.get("drop")), ("case", said.get("case")), ("received", said.get("received_at"))))
    show_reason(out, {"detail": "", **said} if "what" in said else None)
    for problem in (*said.get("problems", ()), *(f"missing: {name}" for name in said.get("missing", ()))):
        out.line(f"  - {problem}")


def _until(look: Callable[[], Found], enough: Callable[[Found], bool], seconds: float) -> Found:
    """What `look` finds once it is enough, or after so many seconds as it is."""
    deadline = time.monotonic() + seconds
    found = look()
    while not enough(found) and time.monotonic() < deadline:
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        found = look()
    return found


def _sum(document: Mapping[str, Any]) -> str:
    files = document["files"]
    return f"{len(files)} files, {size(sum(f['size'] for f in files))}"


COMMANDS = (
    Command(
        words="submit",
        run=submit,
        panel="Clinics",
        signed_in=True,
        examples=(
            "teledx submit images/ --clinic jiangshan --order order.json",
            "teledx submit images/ --clinic jiangshan --order order.json --resume K7QX-3M9D",
            "teledx submit images/ --clinic jiangshan --s3 direct --json",
        ),
    ),
)
