"""Event channels (PS3.18 8.10): what subscribers are told of workitems, over a WebSocket that they open.

What happens while none is open is not kept: who opens one again asks for the workitems, or subscribes once more, which
tells the present states. A channel that may have missed something is closed, so that nobody takes silence for quiet.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg
import structlog
from fastapi import WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool

from cases.errors import TeledxError, Transient
from gateway.dicomweb.subscribers import checked
from gateway.dicomweb.workitem_model import event
from gateway.refusals import Refusal, answered
from gateway.signin import Caller, signed_in
from storage import accounts, subscriptions, ups
from storage.database import Database, say_alive

log = structlog.get_logger()

# Seconds between two signs of life to the database, and for which a channel waits until the database is listened to.
BEAT, PATIENCE = 5.0, 10.0
# Events that a slow client may be behind, and channels of one partner in a process.
WAITING_MOST, CHANNELS_MOST = 10_000, 100
_RESTART = 1012  # RFC 6455: come again


@dataclass(eq=False)
class Channel:
    """One open WebSocket. `None` in its queue ends it."""

    partner: str
    aetitle: str
    account: str
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)

    def put(self, text: str | None) -> None:
        """From any thread; who is too far behind is ended."""
        behind = self.queue.qsize() >= WAITING_MOST
        self.loop.call_soon_threadsafe(self.queue.put_nowait, None if behind else text)


class Channels:
    """Those of one gateway process. While there are any, a thread listens to what the database tells of work items."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: set[Channel] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._hearing = threading.Event()
        self._numbers = itertools.count(1)

    def open(self, channel: Channel) -> None:
        """From its return on the channel is told everything. Raises `Transient` or `Refusal`."""
        with self._lock:
            if sum(other.partner == channel.partner for other in self._open) >= CHANNELS_MOST:
                raise Refusal(503, "busy", "Too many channels are open.", "Close some of them.")
            self._open.add(channel)
            if self._thread is None:
                self._hearing.clear()
                self._thread = threading.Thread(target=self._listen, name="work items", daemon=True)
                self._thread.start()
        if not self._hearing.wait(PATIENCE):
            self.close(channel)
            raise Transient("the database is not heard")

    def close(self, channel: Channel) -> None:
        with self._lock:
            self._open.discard(channel)

    def _listen(self) -> None:
        try:
            self._hear()
        except (psycopg.Error, TeledxError) as error:
            log.warning("channels_ended", error=type(error).__name__)
            self._end()
        except Exception:
            self._end()
            raise

    def _hear(self) -> None:
        with self._database.listening(subscriptions.CHANNEL) as connection:
            self._hearing.set()
            while self._wanted():
                for note in connection.notifies(timeout=BEAT, stop_after=1):
                    self._told(note.payload)
                say_alive(connection)

    def _wanted(self) -> bool:
        with self._lock:
            if not self._open:
                self._thread = None
            return bool(self._open)

    def _end(self) -> None:
        """End every channel: something may have been missed."""
        with self._lock:
            self._thread = None
            ended, self._open = self._open, set()
        _put(ended, None)

    def _told(self, payload: str) -> None:
        """Hand what the database told to the partner's channels that subscribe to it."""
        partner, work_item, kind, state, alone = subscriptions.read(payload)
        with self._lock:
            ours = [channel for channel in self._open if channel.partner == partner]
        if not ours:
            return
        with self._database.transaction(tenant=partner) as connection:
            told = {alone} if alone else set(subscriptions.subscribers(connection, work_item))
            wanted = [channel for channel in ours if channel.aetitle in told]
            if not wanted:
                return
            number = next(self._numbers) % (1 << 16)
            told_of = event(ups.step(connection, work_item), kind, state, number)
            gone = {c.account for c in wanted if not accounts.may_sign_in(connection, c.account)}
        text = json.dumps(told_of, ensure_ascii=False)
        _put((c for c in wanted if c.account not in gone), text)
        _put((c for c in wanted if c.account in gone), None)


def _put(channels: Iterable[Channel], text: str | None) -> None:
    for channel in channels:
        channel.put(text)


async def channel(websocket: WebSocket, aetitle: str) -> None:
    """Open the channel of an AE title's subscriptions; each event is a data set in DICOM JSON."""
    channels: Channels = websocket.app.state.channels
    try:
        asking, title = await run_in_threadpool(_caller, websocket), checked(aetitle)
        opened = Channel(asking.who.organisation, title, asking.who.account, asyncio.get_running_loop())
        await run_in_threadpool(channels.open, opened)
    except TeledxError as error:
        await websocket.send_denial_response(answered(error))
        return
    try:
        await websocket.accept()
        log.info("channel_opened", account=opened.account)
        await _serve(websocket, opened)
    finally:
        channels.close(opened)
        log.info("channel_closed", account=opened.account)


def _caller(websocket: WebSocket) -> Caller:
    """Who opens the channel, if the role may see the worklist. Raises `UnknownToken` or `Refusal`."""
    scheme, _, token = websocket.headers.get("authorization", "").partition(" ")
    asking = signed_in(websocket.app.state, token.strip() if scheme.lower() == "bearer" else "")
    if asking.reach("worklist.see") is None:
        raise Refusal(403, "not-permitted", "Your role may not do this.", "Ask somebody whose role may.")
    return asking


async def _serve(websocket: WebSocket, opened: Channel) -> None:
    """Send what is told until the client goes, or the channel is ended."""
    going = asyncio.ensure_future(_gone(websocket))
    try:
        while True:
            telling = asyncio.ensure_future(opened.queue.get())
            await asyncio.wait((telling, going), return_when=asyncio.FIRST_COMPLETED)
            if going.done():
                telling.cancel()
                return
            if (text := telling.result()) is None:
                await websocket.close(_RESTART)
                return
            await websocket.send_text(text)
    except WebSocketDisconnect:
        return
    finally:
        going.cancel()


async def _gone(websocket: WebSocket) -> None:
    """Done when the client has closed; what it says meanwhile means nothing."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        continue
