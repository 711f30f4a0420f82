"""UPS-RS subscriptions (PS3.18 11.10 to 11.12): who of a partner's systems is told of which workitems."""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

from fastapi import Request, Response

from cases.ups import FILTERED_WORKLIST, WORKLIST
from gateway.dicomweb.found import ROOT
from gateway.dicomweb.workitems import named
from gateway.refusals import Refusal
from gateway.signin import Signed as SignedIn
from storage import readings, subscriptions
from storage.subscriptions import UnknownSubscription

# Where a channel is opened, as a WebSocket (`gateway.dicomweb.channels`).
CHANNEL = f"{ROOT}/subscribers/{{aetitle}}"
_LONGEST = 16


def subscribe(asking: SignedIn, request: Request, workitem: str, aetitle: str) -> Response:
    """Subscribe to a workitem, or to the worklist (1.2.840.10008.5.1.4.34.5); Content-Location is where events come."""
    title, subject = checked(aetitle), _subject(workitem)
    with asking.transaction() as connection:
        if subject is not None:
            readings.get(connection, subject)
        subscriptions.subscribe(connection, asking.who.organisation, title, subject)
        asking.audit(connection, "worklist.see", note="subscribed")
    return Response(status_code=201, headers={"Content-Location": _channel(request, title)})


def unsubscribe(asking: SignedIn, workitem: str, aetitle: str) -> Response:
    """Subscribe no more to a workitem, or to the worklist and all that came with it."""
    title, subject = checked(aetitle), _subject(workitem)
    with asking.transaction() as connection:
        subscriptions.unsubscribe(connection, asking.who.organisation, title, subject)
    return Response(status_code=200)


def suspend(asking: SignedIn, workitem: str, aetitle: str) -> Response:
    """Subscribe to no workitem that comes from now on; those that are subscribed to stay so."""
    title = checked(aetitle)
    if _subject(workitem) is not None:
        raise UnknownSubscription("the worklist alone can be suspended")
    with asking.transaction() as connection:
        subscriptions.suspend(connection, title)
    return Response(status_code=200)


def not_upgraded(asking: SignedIn, aetitle: str) -> Response:
    """Where a system opens the channel of its subscriptions, as a WebSocket; each event is a data set in DICOM JSON."""
    raise Refusal(
        426,
        "upgrade-required",
        "Events come over a WebSocket.",
        "Open this address as one.",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )


def checked(aetitle: str) -> str:
    """An AE title (PS3.5 6.2). Raises `Refusal` (400)."""
    title = aetitle.strip()
    if not 0 < len(title) <= _LONGEST or not title.isascii() or not title.isprintable() or "\\" in title:
        raise Refusal(400, "invalid", "An AE title has 1 to 16 plain characters.", "Choose another one.")
    return title


def _subject(workitem: str) -> UUID | None:
    """The work item, None for the worklist. Raises `UnknownWorkItem`, or `Refusal` (403) for a filter."""
    if workitem == FILTERED_WORKLIST:
        told = "Filtered Worklist Subscriptions are not supported."
        headers = {"Warning": f"299 teledx: {told}"}
        raise Refusal(
            403, "not-supported", told, "Subscribe to the worklist, or a workitem.", headers=headers
        )
    return None if workitem == WORKLIST else named(workitem)


def _channel(request: Request, title: str) -> str:
    base = str(request.base_url).rstrip("/")
    return f"ws{base.removeprefix('http')}{CHANNEL.format(aetitle=quote(title))}"
