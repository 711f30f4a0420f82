"""A body of several parts (RFC 2046 5.1, RFC 2387), read as it comes: never more than two pieces of it are held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser

from gateway.refusals import Refusal

# Bytes of one part's header fields, far above what any sender writes.
_HEAD_LONGEST = 16 << 10
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """One part: its media type without parameters (empty if it names none), and its bytes, to be read once."""

    media_type: str
    content: AsyncIterator[bytes]


def content_type(value: str) -> Message:
    """A Content-Type with its parameters."""
    message = Message()
    message["Content-Type"] = value
    return message


class Related:
    """The parts of a body, one after the other. What is left of a part when the next is asked for is passed over."""

    def __init__(self, pieces: AsyncIterator[bytes], boundary: str) -> None:
        self._pieces = pieces
        self._delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
        self._held = b"\r\n"  # the first delimiter may open the body

    async def parts(self) -> AsyncIterator[Incoming]:
        """Raises `Refusal` (400) for a body that ends before its last delimiter."""
        await _passed_over(self._content())
        while not await self._ends():
            part = Incoming(media_type=await self._media_type(), content=self._content())
            yield part
            await _passed_over(part.content)

    async def _content(self) -> AsyncIterator[bytes]:
        """What stands before the next delimiter, which is taken, too."""
        tail = len(self._delimiter) - 1
        while (at := self._held.find(self._delimiter)) < 0:
            if len(self._held) > tail:
                piece, self._held = self._held[:-tail], self._held[-tail:]
                yield piece
            await self._more()
        piece, self._held = self._held[:at], self._held[at + len(self._delimiter) :]
        yield piece

    async def _ends(self) -> bool:
        """Whether the delimiter just taken is the last one."""
        while len(self._held) < 2:
            await self._more()
        return self._held.startswith(b"--")

    async def _media_type(self) -> str:
        """Takes what is left of the delimiter's line, and the part's header."""
        while (at := self._held.find(_END_OF_HEAD)) < 0:
            if len(self._held) > _HEAD_LONGEST:
                break
            await self._more()
        if not 0 <= at <= _HEAD_LONGEST:
            raise _unreadable("A part's header is too long.")
        head, self._held = self._held[:at], self._held[at + len(_END_OF_HEAD) :]
        padding, _, fields = head.partition(b"\r\n")
        if padding.strip(b" \t"):
            raise _unreadable("Something stands behind a part's boundary.")
        header = BytesHeaderParser().parsebytes(fields)
        return header.get_content_type() if "Content-Type" in header else ""

    async def _more(self) -> None:
        piece = await anext(self._pieces, None)
        if piece is None:
            raise _unreadable("The body ends before its last boundary.")
        self._held += piece


async def _passed_over(content: AsyncIterator[bytes]) -> None:
    async for _ in content:
        pass


def _unreadable(message: str) -> Refusal:
    return Refusal(400, "unreadable", message, "Send multipart/related as in RFC 2387.")
