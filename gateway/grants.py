"""Signed grants: what one authorised request found out about its asker, good for some minutes without the database.

A grant names the asker, a work item, one of its slides (or 0: the work item alone) and when it ends; HMAC-SHA-256 binds
them. Whoever holds it may look until it ends, so it is short; docs/decisions/0031-viewing-grants.md says what follows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from gateway.refusals import Refusal

_DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Grant:
    """`slide` counts from 1 over the slides of the work item; `ends` in seconds since 1970."""

    account: str
    organisation: str
    work_item_id: UUID
    slide: int
    ends: int

    def continues(self, other: Grant) -> bool:
        """Whether this is `other` at a later time: the same viewing."""
        return self._what() == other._what()

    def _what(self) -> tuple[object, ...]:
        return self.account, self.organisation, self.work_item_id, self.slide


class Grants:
    """Signs grants and reads them back. Processes that share a key read each other's."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.new(key, digestmod=hashlib.sha256)
        self._clock = clock

    def sign(self, grant: Grant) -> str:
        """The grant as text that may stand in a path."""
        told = [grant.account, grant.organisation, grant.work_item_id.hex, grant.slide, grant.ends]
        content = json.dumps(told, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._digest(content) + content).rstrip(b"=").decode()

    def read(self, text: str, *, grace: int = 0) -> Grant:
        """The grant that was signed; with `grace`, one that ended up to so many seconds ago too.

        :raises Refusal: if it was not signed with this key, or has ended.
        """
        try:
            signed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _over() from None
        digest, content = signed[:_DIGEST_BYTES], signed[_DIGEST_BYTES:]
        if not hmac.compare_digest(digest, self._digest(content)):
            raise _over()
        account, organisation, work_item, slide, ends = json.loads(content)
        if ends + grace <= self._clock():
            raise _over()
        return Grant(
            account=account, organisation=organisation, work_item_id=UUID(work_item), slide=slide, ends=ends
        )

    def until(self, seconds: float) -> int:
        """When a grant ends that is signed now for so many seconds."""
        return int(self._clock() + seconds)

    def _digest(self, content: bytes) -> bytes:
        running = self._key.copy()
        running.update(content)
        return running.digest()


def _over() -> Refusal:
    return Refusal(403, "viewing-over", "This viewing is over.", "Open the slides again from the work item.")
