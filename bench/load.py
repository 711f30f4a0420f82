"""Readers that ask for tiles over HTTP: each on a connection of its own, one request after the other."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PATIENCE = 60.0


@dataclass(kw_only=True)
class Load:
    """What readers met: seconds of each answer, seconds of all together, and answers other than 200."""

    took: list[float] = field(default_factory=list)
    seconds: float = 0.0
    failed: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.took) / self.seconds if self.seconds else 0.0


class Connection:
    """HTTP/1.1 on one socket, as little of it as a measurement needs: a client must not cost what it measures."""

    def __init__(self, url: str) -> None:
        told = urlsplit(url)
        self._host = told.netloc
        self._socket = socket.create_connection((told.hostname, told.port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body. The answer must say its length."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head, _, body = self._until(b"\r\n\r\n").partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self._received()
        body, self._left = body[:length], body[length:]
        return int(lines[0].split(b" ")[1]), body

    def _until(self, end: bytes) -> bytes:
        while end not in self._left:
            self._left += self._received()
        return self._left

    def _received(self) -> bytes:
        content = self._socket.recv(1 << 16)
        if not content:
            raise ConnectionError("the server closed the connection")
        return content

    def close(self) -> None:
        self._socket.close()


def readers(url: str, paths: Sequence[Sequence[str]], pause: float = 0.0, field: int = 1) -> Load:
    """One reader for each sequence of paths, all at once; after each `field` paths one pauses so many seconds."""

    def read(own: Sequence[str]) -> Load:
        connection, load = Connection(url), Load()
        for number, path in enumerate(own, 1):
            begun = time.perf_counter()
            status, _ = connection.get(path)
            load.took.append(time.perf_counter() - begun)
            load.failed += status != 200
            if pause and not number % field:
                time.sleep(pause)
        connection.close()
        return load

    begun = time.perf_counter()
    with ThreadPoolExecutor(len(paths)) as pool:
        each = list(pool.map(read, paths))
    return Load(
        took=[seconds for load in each for seconds in load.took],
        seconds=time.perf_counter() - begun,
        failed=sum(load.failed for load in each),
    )
