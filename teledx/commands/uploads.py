"""Putting a drop's files straight into the store by presigned parts, several at once, each tried again if it fails."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cases.errors import TeledxError, Transient
from teledx.client import Away, Gateway, Refused, at, client
from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.progress import Advance

if TYPE_CHECKING:
    import httpx

CHUNK = 1 << 18
ATTEMPTS = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0


class StoreRefused(TeledxError):
    """The store answered a part with something that trying again does not change."""


@dataclass(frozen=True)
class Part:
    """Bytes `offset` to `offset + length` of a file, to be PUT to `url`."""

    path: Path
    number: int
    url: str
    offset: int
    length: int


@dataclass
class Upload:
    """One file of the drop: `etags` by part number, as far as the store has answered."""

    name: str
    upload_id: str
    parts: Sequence[Part]
    etags: dict[int, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[Part]:
        return [part for part in self.parts if part.number not in self.etags]


def planned(links: Mapping[str, Any], folder: Path) -> list[Upload]:
    """What is still to be sent of a drop, from the gateway's answer (`gateway.shapes.NewDrop`).

    Raises `Stop` naming the files that are not as large any more as when the drop was begun.
    """
    changed = tuple(f["name"] for f in links["files"] if (folder / f["name"]).stat().st_size != f["size"])
    if changed:
        message = "Files have changed since the drop was begun."
        raise Stop(Exit.USAGE, message, "Submit them as a new drop, without --resume.", problems=changed)
    return [_upload(told, folder) for told in links["files"] if not told.get("done")]


def send(gateway: Gateway, drop: str, files: Sequence[Upload], *, parallel: int, advance: Advance) -> None:
    """PUT every missing part and complete every file; raises the first error that trying again did not heal."""
    if not files:
        return
    url = next(part.url for upload in files for part in upload.parts)
    with client(_origin(url)) as store, at_once(parallel) as pool:
        work = [
            pool.submit(_send_part, store, upload, part, advance)
            for upload in files
            for part in upload.missing
        ]
        for future in as_completed(work):
            future.result()
    for upload in (u for u in files if u.upload_id):
        parts = [{"number": n, "etag": etag} for n, etag in sorted(upload.etags.items())]
        body = {"name": upload.name, "upload_id": upload.upload_id, "parts": parts}
        patiently(lambda body=body: gateway.post(at("drops", drop, "files"), body))


@contextmanager
def at_once(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more once something went wrong, or Ctrl-C was pressed."""
    with ThreadPoolExecutor(threads, thread_name_prefix="files") as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def patiently(call: Any) -> Any:
    """The answer of a call that may be repeated, tried again while something is away."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except (Away, Transient):
            if attempt == ATTEMPTS:
                raise
        except Refused as error:
            if error.status not in (429, 502, 503, 504) or attempt == ATTEMPTS:
                raise
        _pause(attempt)
    raise AssertionError("the last attempt returns or raises")


def _upload(told: Mapping[str, Any], folder: Path) -> Upload:
    path, step = folder / told["name"], told["part_size"]
    parts = [
        Part(
            path=path,
            number=part["number"],
            url=part["url"],
            offset=(part["number"] - 1) * step,
            length=min(step, told["size"] - (part["number"] - 1) * step),
        )
        for part in told["parts"]
    ]
    held = {part["number"]: part["etag"] for part in told["parts"] if part.get("etag")}
    return Upload(name=told["name"], upload_id=told["upload_id"], parts=parts, etags=held)


def _send_part(store: httpx.Client, upload: Upload, part: Part, advance: Advance) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        sent = _Sent(part, advance)
        try:
            upload.etags[part.number] = _put(store, part, sent)
        except Transient:
            sent.take_back()
            if attempt == ATTEMPTS:
                raise
            _pause(attempt)
        else:
            return


def _put(store: httpx.Client, part: Part, sent: _Sent) -> str:
    """The part's ETag. Raises `Transient` for what may pass, `StoreRefused` for what does not; no URL in either."""
    import httpx

    headers = {"Content-Length": str(part.length)}
    try:
        answer = store.put(part.url, content=sent.chunks(), headers=headers)
    except httpx.TransportError as error:
        raise Transient(f"the store does not answer ({type(error).__name__})") from None
    if answer.status_code >= 500 or answer.status_code in (408, 429):
        raise Transient(f"the store answers {answer.status_code}")
    if not answer.is_success:
        raise StoreRefused(
            f"the store refused a part with {answer.status_code}; is the link older than a day?"
        )
    return answer.headers.get("ETag", "").strip('"')


class _Sent:
    """The bytes of one part on their way, counted so that a failed attempt does not count twice."""

    def __init__(self, part: Part, advance: Advance) -> None:
        self._part = part
        self._advance = advance
        self._count = 0

    def chunks(self) -> Iterator[bytes]:
        with self._part.path.open("rb") as file:
            file.seek(self._part.offset)
            left = self._part.length
            while left > 0:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    raise StoreRefused(f"{self._part.path.name} became shorter while it was sent")
                left -= len(chunk)
                yield chunk
                self._count += len(chunk)
                self._advance(len(chunk))

    def take_back(self) -> None:
        self._advance(-self._count)


def _pause(attempt: int) -> None:
    time.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
