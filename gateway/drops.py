"""A clinic hands in an order and its files: the order here, the files straight to the store by presigned parts."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cases.documents import Document
from cases.fitness import unfit
from cases.order import ORDER_NAME, FileName, Order
from gateway import words
from gateway.chinese import all_zh
from gateway.parts import Parts
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.shapes import DropLine, DropLines, DropState, NewDrop, PartUrl, UploadFile
from gateway.signin import Caller, Signed
from storage import drops, uploads
from storage.cases import UnknownCase
from storage.database import Connection
from storage.drops import Drop
from storage.s3 import MIB, S3, Absent
from storage.uploads import FileUpload, Upload

# S3 takes at most 10,000 parts.
PARTS_MAX = 10_000


class NewOrder(BaseModel):
    """An order as in /api/order.schema.json."""

    model_config = ConfigDict(extra="forbid")
    order: Order


class DonePart(Document):
    """A part as the store answered for it; without `etag` the store is asked."""

    number: int = Field(ge=1, le=PARTS_MAX)
    etag: str = ""


class DoneFile(Document):
    name: FileName
    upload_id: str = ""
    parts: tuple[DonePart, ...] = ()


def create(asking: Signed, body: NewOrder) -> NewDrop:
    """Hand in an order; the answer says where to PUT each part of each file.

    A file of one part needs its PUT alone; one of several parts is then completed by `POST /api/drops/{drop}/files`.
    """
    clinic, parts = asking.who.organisation, asking.parts
    problems = tuple(unfit(body.order, asking.network, clinic))
    if problems:
        raise Refusal(
            422,
            "order-incomplete",
            "The order does not fit the network.",
            "Correct the parts listed.",
            problems=problems,
        )
    prefix = f"{clinic}/{secrets.token_urlsafe(12)}/"
    files = {f.name: _start(parts, f"{prefix}{f.name}", f.size) for f in body.order.files}
    document = body.order.model_dump(mode="json", exclude_unset=True)
    with asking.transaction() as connection:
        drop = uploads.begin(connection, clinic=clinic, prefix=prefix, lifetime=parts.upload_lifetime)
        uploads.keep(connection, drop, asking.who.account, document, files)
        asking.audit(connection, "drop.create", drop.id)
    return _links(parts, drop, files)


def _start(parts: Parts, key: str, size: int) -> FileUpload:
    """A plain PUT for what fits into one part; else a multipart upload, its parts in whole MiB."""
    part_size = max(
        parts.part_size, -(-size // PARTS_MAX // MIB) * MIB + MIB if size > parts.part_size * PARTS_MAX else 0
    )
    upload_id = parts.s3.start_upload("inbox", key) if size > part_size else ""
    return FileUpload(size=size, part_size=part_size, upload_id=upload_id)


def _links(parts: Parts, drop: Drop, files: Mapping[str, FileUpload]) -> NewDrop:
    shown = tuple(
        _file_links(parts.s3, parts, f"{drop.prefix}{name}", name, told) for name, told in files.items()
    )
    expires = datetime.now(UTC) + parts.upload_lifetime
    return NewDrop(drop=drop.id, prefix=drop.prefix, expires_at=expires, files=shown)


def _file_links(s3: S3, parts: Parts, key: str, name: str, told: FileUpload, **known: Any) -> UploadFile:
    """A file's links; `etags` of parts that the store holds already, `done` if the object is there."""
    etags: Mapping[int, str] = known.get("etags", {})
    numbers = range(1, told.parts + 1)
    if told.upload_id:
        urls = [s3.presigned_part("inbox", key, told.upload_id, n, parts.upload_lifetime) for n in numbers]
    else:
        urls = [s3.presigned_put("inbox", key, parts.upload_lifetime)]
    return UploadFile(
        name=name,
        size=told.size,
        upload_id=told.upload_id,
        part_size=told.part_size,
        parts=tuple(
            PartUrl(number=n, url=url, etag=etags.get(n)) for n, url in zip(numbers, urls, strict=True)
        ),
        done=known.get("done", False),
    )


def resume(asking: Signed, drop_id: str) -> NewDrop:
    """What of an upload is in the store, and new links for the rest: for carrying on after a break."""
    s3, parts = asking.parts.s3, asking.parts
    with asking.transaction() as connection:
        drop, upload = _own_upload(connection, asking, drop_id, lock=True)
        present = _present(s3, drop)
        shown, files = [], dict(upload.files)
        for name, told in upload.files.items():
            key, done = f"{drop.prefix}{name}", present.get(name) == told.size
            files[name], etags = (told, {}) if done else _still_open(s3, key, told)
            shown.append(_file_links(s3, parts, key, name, files[name], etags=etags, done=done))
        uploads.replace_files(connection, drop_id, files)
        if upload.completed_at is None:
            uploads.carry_on(connection, drop, parts.upload_lifetime)
    expires = datetime.now(UTC) + parts.upload_lifetime
    return NewDrop(drop=drop.id, prefix=drop.prefix, expires_at=expires, files=tuple(shown))


def _still_open(s3: S3, key: str, told: FileUpload) -> tuple[FileUpload, dict[int, str]]:
    """The file's upload with the parts that the store holds; a new one where the store has given the old one up."""
    if not told.upload_id:
        return told, {}
    try:
        return told, dict(s3.uploaded_parts("inbox", key, told.upload_id))
    except Absent:
        return replace(told, upload_id=s3.start_upload("inbox", key)), {}


def finish_file(asking: Signed, drop_id: str, body: DoneFile) -> DropState:
    """All parts of a file were PUT: the store puts them together. Doing it twice is doing it once."""
    with asking.transaction() as connection:
        drop, upload = _own_upload(connection, asking, drop_id)
    told = upload.files.get(body.name)
    if told is None or told.upload_id != body.upload_id:
        raise Refusal(
            404, "not-found", "The order names no such file, or it has another upload.", "Begin again."
        )
    s3, key = asking.parts.s3, f"{drop.prefix}{body.name}"
    if not _is_there(s3, key, told.size):
        if told.upload_id:
            s3.finish_upload("inbox", key, told.upload_id, _all_parts(s3, key, told, body))
        if not _is_there(s3, key, told.size):
            raise _not_whole()
    return DropState(drop=drop_id, state=drop.state)


def _all_parts(s3: S3, key: str, told: FileUpload, body: DoneFile) -> list[tuple[int, str]]:
    """The parts as the caller names them, or as the store does. A store would put together what is incomplete, too."""
    given = [(part.number, part.etag) for part in body.parts]
    if not all(etag for _, etag in given):
        given = []
    found = given or s3.uploaded_parts("inbox", key, told.upload_id)
    if [number for number, _ in found] != list(range(1, told.parts + 1)):
        raise _not_whole()
    return found


def _not_whole() -> Refusal:
    return Refusal(
        409, "files-missing", "The file is not whole in the store.", "PUT its missing parts again."
    )


def complete(asking: Signed, drop_id: str) -> DropState:
    """Every file is there: order.json is written last, and the drop is noticed. Doing it twice is doing it once."""
    with asking.transaction() as connection:
        drop, upload = _own_upload(connection, asking, drop_id, lock=True)
        if upload.completed_at is None:
            _require_all(asking.parts.s3, drop, upload)
            uploads.complete(connection, drop_id)
            _write_order(asking.parts.s3, drop, upload.order_document)
            asking.audit(connection, "drop.create", drop_id, note="complete")
            drops.hint(connection, drop.clinic, drop.prefix)
    return DropState(drop=drop_id, state=drop.state)


def _require_all(s3: S3, drop: Drop, upload: Upload) -> None:
    present = _present(s3, drop)
    missing = [name for name, told in upload.files.items() if present.get(name) != told.size]
    if missing:
        raise Refusal(
            409,
            "files-missing",
            "Not every file of the order is in the store.",
            "Upload the files listed.",
            problems=missing,
        )


def _present(s3: S3, drop: Drop) -> dict[str, int]:
    """Sizes of the objects below the drop's prefix, by name."""
    return {found.key.removeprefix(drop.prefix): found.size for found in s3.listing("inbox", drop.prefix)}


def _write_order(s3: S3, drop: Drop, document: dict[str, Any]) -> None:
    """Once and never again: an order written anew would be another drop."""
    key = f"{drop.prefix}{ORDER_NAME}"
    try:
        s3.head("inbox", key)
    except Absent:
        s3.replace(
            "inbox", key, json.dumps(document, ensure_ascii=False, indent=1).encode(), "application/json"
        )


def _is_there(s3: S3, key: str, size: int) -> bool:
    try:
        return s3.head("inbox", key).size == size
    except Absent:
        return False


def _own_upload(
    connection: Connection, asking: Caller, drop_id: str, *, lock: bool = False
) -> tuple[Drop, Upload]:
    """Raises `UnknownCase` for another clinic's drop, and for one that did not come through the gateway."""
    drop = drops.get(connection, drop_id)
    if drop.clinic != asking.who.organisation:
        raise UnknownCase(f"no drop {drop_id}")
    return drop, uploads.get(connection, drop_id, lock=lock)


def show(asking: Signed, drop_id: str) -> DropLine:
    """What became of a drop: what is missing, what is wrong with it, its receipt, its case."""
    with asking.transaction() as connection:
        drop = drops.get(connection, drop_id)
        if asking.scope("drop.see") not in (None, drop.clinic):
            raise UnknownCase(f"no drop {drop_id}")
        asking.audit(connection, "drop.see", drop_id)
    return _line(asking, drop)


def list_drops(asking: Signed, state: str | None = None, clinic: str | None = None) -> DropLines:
    """Drops, the newest first: a clinic's own; operators name the clinic."""
    of = asking.scope("drop.see") or clinic
    if of is None:
        raise Refusal(422, "invalid", "Whose drops?", "Name the clinic.", problems=["clinic: is missing"])
    with asking.transaction() as connection:
        found = drops.of_clinic(connection, of, state)
        asking.audit(connection, "drop.see", note=" ".join(d.id for d in found))
    return DropLines(drops=tuple(_line(asking, drop) for drop in found))


def _line(asking: Caller, drop: Drop) -> DropLine:
    own = drop.clinic == asking.who.organisation
    return DropLine(
        drop=drop.id,
        clinic=drop.clinic,
        state=drop.state,
        case_id=drop.case_id,
        first_seen_at=drop.first_seen_at,
        received_at=drop.ended_at if drop.state == "received" else None,
        missing=tuple(drop.missing) if own else (),
        missing_count=len(drop.missing),
        problems=tuple(drop.problems),
        problems_zh=all_zh(drop.problems),
        reason=words.reason(
            drop.reason_code, drop.reason_detail, clinic=own, held=drop.state == "quarantined"
        ),
        receipt=drop.receipt if own else None,
    )


def order_schema() -> dict[str, Any]:
    """The JSON Schema of an order."""
    return Order.model_json_schema()


ROUTES = (
    Route("GET", "/api/order.schema.json", order_schema, tag="drops"),
    Route("POST", "/api/drops", create, action="drop.create", tag="drops", status=201),
    Route("GET", "/api/drops", list_drops, action="drop.see", tag="drops"),
    Route("GET", "/api/drops/{drop_id}", show, action="drop.see", tag="drops"),
    Route("GET", "/api/drops/{drop_id}/upload", resume, action="drop.create", tag="drops"),
    Route("POST", "/api/drops/{drop_id}/files", finish_file, action="drop.create", tag="drops"),
    Route("POST", "/api/drops/{drop_id}/complete", complete, action="drop.create", tag="drops"),
)
