"""STOW-RS (PS3.18 10.5): a clinic's instances into its inbox, where they wait for their order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from gateway.arriving import NotKept, Spool, keep, spooled
from gateway.dicomweb.accept import RELATED, choose
from gateway.dicomweb.forms import DICOM
from gateway.dicomweb.incoming import Incoming, Related, content_type
from gateway.dicomweb.retrieve import JSON
from gateway.refusals import Refusal
from gateway.signin import Caller
from gateway.signin import Signed as SignedIn
from imaging.dicom.read import Inspection


async def studies(asking: SignedIn, request: Request) -> Response:
    """Store instances of any study in the clinic's inbox (STOW-RS); they become a case when their order is there."""
    return await _store(asking, request)


async def study(asking: SignedIn, request: Request, study: str) -> Response:
    """Store instances of this study alone; those of another one are refused."""
    return await _store(asking, request, study)


@dataclass
class _Report:
    """What became of each part, as a Store Instances Response Module (PS3.18 Table I.1-1)."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, instance: Inspection) -> None:
        # nothing is retrieved where identity is
        self.kept.append(_reference(instance) | {"00081190": {"vr": "UR"}})

    def refuse(self, why: NotKept) -> None:
        reason = {"00081197": {"vr": "US", "Value": [why.status]}}
        if why.instance is None:
            self.unreadable.append(reason)
        else:
            self.refused.append(_reference(why.instance) | reason)

    @property
    def status(self) -> int:
        """200: all were stored; 202: some; 409: none (PS3.18 Table 10.5.3-1)."""
        if not self.refused and not self.unreadable:
            return 200
        return 202 if self.kept else 409

    def content(self) -> bytes:
        told: dict[str, Any] = {"00081190": {"vr": "UR"}}
        rows = (("00081198", self.refused), ("00081199", self.kept), ("0008119A", self.unreadable))
        told |= {tag: {"vr": "SQ", "Value": items} for tag, items in rows if items}
        return json.dumps(told, separators=(",", ":")).encode()


def _reference(instance: Inspection) -> dict[str, Any]:
    """PS3.3 Table 10-11."""
    uids = {"00081150": instance.sop_class_uid, "00081155": instance.sop_instance_uid}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}


async def _store(asking: Caller, request: Request, study: str | None = None) -> Response:
    """Each part is durable before the next one is read. A store that is away ends it all with 503: sending the same
    again stores what was not stored."""
    chosen = choose(request, JSON, related=None)
    report = _Report()
    async for part in _parts(request):
        if part.media_type not in (DICOM, ""):
            raise _unsupported()
        with spooled(asking.parts) as spool:
            async for piece in part.content:
                spool.write(piece)
            await run_in_threadpool(_keep, asking, spool, study, report)
    if not (report.kept or report.refused or report.unreadable):
        raise Refusal(400, "unreadable", "There is no instance in the request.", "Send one part for each.")
    await run_in_threadpool(_audit, asking, report)
    return Response(report.content(), report.status, headers={"Content-Type": chosen.form.label})


def _keep(asking: Caller, spool: Spool, study: str | None, report: _Report) -> None:
    try:
        report.keep(keep(asking.parts, asking.who.organisation, spool.whole(), study))
    except NotKept as why:
        report.refuse(why)


def _audit(asking: Caller, report: _Report) -> None:
    with asking.transaction() as connection:
        asking.audit(connection, "drop.create", note=f"STOW-RS, instances stored: {len(report.kept)}")


def _parts(request: Request) -> AsyncIterator[Incoming]:
    """The parts of the body; raises `Refusal` (415) unless they are instances, as they alone are taken."""
    header = content_type(request.headers.get("content-type", ""))
    boundary = header.get_boundary()
    if header.get_content_type() != RELATED or not boundary or str(header.get_param("type")).lower() != DICOM:
        raise _unsupported()
    return Related(_body(request), boundary).parts()


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise Refusal(400, "unreadable", "The request was broken off.", "Send it again.") from None


def _unsupported() -> Refusal:
    return Refusal(
        415,
        "unsupported",
        "Instances are taken as DICOM files (PS3.10) alone.",
        'Send multipart/related; type="application/dicom" with a boundary.',
    )
