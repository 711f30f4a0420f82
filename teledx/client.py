"""A client of the gateways' HTTP API, for the commands. It knows addresses and errors, and nothing of the domain."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from cases.errors import TeledxError

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0


class Away(TeledxError):
    """The gateway does not answer, or something between us and it."""


class Refused(TeledxError):
    """The gateway answered, and not with what was asked for; `code`, `message` and `todo` are its own."""

    def __init__(
        self, status: int, code: str, message: str, todo: str = "", problems: Sequence[str] = ()
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.todo = todo
        self.problems = tuple(problems)


def at(*parts: object) -> str:
    """An address of the API from its parts, each quoted: at('cases', 'A/B') is '/api/cases/A%2FB'."""
    return "/".join(("/api", *(quote(str(part), safe="") for part in parts)))


class Gateway:
    """One gateway, as the person that the token belongs to. Raises `Away` and `Refused`."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._client = client(self.url, headers={"Authorization": f"Bearer {token}"})

    def get(self, path: str, **query: object) -> Any:
        """The JSON answer; parameters that are None or empty are not sent."""
        return self._asked("GET", path, params=_given(query))

    def post(self, path: str, body: object = None, **query: object) -> Any:
        return self._asked("POST", path, json={} if body is None else body, params=_given(query))

    def put(self, path: str, body: object) -> Any:
        return self._asked("PUT", path, json=body)

    def download(self, path: str, target: Path) -> int:
        """Write the answer's bytes to `target`, which appears whole or not at all; returns how many."""
        partial = target.with_name(f".{target.name}.part")
        try:
            with _reached(self.url), self._client.stream("GET", path) as answer, partial.open("wb") as file:
                if not answer.is_success:
                    answer.read()
                    raise _refused(answer)
                for chunk in answer.iter_bytes(1 << 20):
                    file.write(chunk)
                size = file.tell()
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return size

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _asked(self, method: str, path: str, **options: Any) -> Any:
        with _reached(self.url):
            answer = self._client.request(method, path, **options)
        if not answer.is_success:
            raise _refused(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise Away(f"{self.url} answers, but not as a gateway does.") from None


def client(url: str, *, headers: dict[str, str] | None = None) -> httpx.Client:
    """An HTTP client for `url` with time limits; no proxy stands between us and our own machine."""
    import httpx

    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise Away(f"'{url}' is no address; it begins with http:// or https://.")
    return httpx.Client(
        base_url=url,
        headers=headers,
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        trust_env=not _is_this_machine(urlsplit(url).hostname or ""),
        follow_redirects=False,
    )


@contextmanager
def _reached(url: str) -> Iterator[None]:
    """Whatever goes wrong on the way is `Away`; the text names the gateway's address, never what was asked."""
    import httpx

    try:
        yield
    except httpx.TransportError as error:
        raise Away(f"The gateway at {url} does not answer ({type(error).__name__}).") from None
    except httpx.InvalidURL:
        raise Away(f"'{url}' is no address; it begins with http:// or https://.") from None


def _refused(answer: httpx.Response) -> Refused:
    """The gateway's own words; a proxy's page has none, so its status must do."""
    try:
        body = answer.json()
        error = body["error"]
        problems = body.get("problems", error.get("problems", ()))
        return Refused(answer.status_code, error["code"], error["message"], error.get("todo", ""), problems)
    except (ValueError, KeyError, TypeError, AttributeError):
        status = answer.status_code
        return Refused(status, f"http-{status}", f"The gateway answered {status} {answer.reason_phrase}.")


def _given(query: dict[str, object]) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value not in (None, "")
    }


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
