"""A client of the gateways' HTTP API: addresses and errors, and nothing of the domain.

Answers are the JSON that the gateway's OpenAPI document describes. Nothing is kept between calls.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx

Side = Literal["region", "partner"]
Json = dict[str, Any]

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0


class Away(Exception):
    """The gateway does not answer, or something between us and it does instead."""


class Refused(Exception):
    """The gateway answered, and not with what was asked for; the texts are its own and repeat no value."""

    def __init__(self, status: int, said: Json) -> None:
        """`said`: the answer's body, with texts in both languages."""
        error = said["error"]
        otherwise = {
            "message_zh": error["message"],
            "todo": "",
            "todo_zh": "",
            "problems": (),
            "problems_zh": (),
        }
        self.status = status
        self.code: str = error["code"]
        self.said: Json = {**otherwise, **said, **error}
        super().__init__(f"{status} {self.code}")


class Gateway:
    """One gateway, as the person that the token belongs to. Every method raises `Away` and `Refused`."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=not _on_this_machine(self.url),
        )

    def close(self) -> None:
        self._client.close()

    # --- who
    def me(self) -> Json:
        return self._json("GET", "/api/me")

    def network(self) -> Json:
        """Names and time zone of the network in force."""
        return self._json("GET", "/api/network")

    # --- a clinic's drops and cases
    def drops(self, state: str | None = None) -> list[Json]:
        return self._json("GET", "/api/drops", params=_given(state=state))["drops"]

    def cases(self, *, limit: int = 50, after: str | None = None, **filters: str | None) -> Json:
        """`{cases, next}`; filters: state, service, priority, open ("true")."""
        return self._json("GET", "/api/cases", params=_given(limit=str(limit), after=after, **filters))

    def case(self, case_id: str) -> Json:
        return self._json("GET", _at("cases", case_id))

    def route(self, case_id: str) -> Json:
        return self._json("GET", _at("cases", case_id, "route"))

    def report_pdf(self, case_id: str) -> bytes:
        return self._bytes(_at("cases", case_id, "report.pdf"))

    def report_fhir(self, case_id: str) -> bytes:
        return self._bytes(_at("cases", case_id, "report.json"))

    def acknowledge(self, case_id: str, report_version: int) -> Json:
        return self._json(
            "POST", _at("cases", case_id, "acknowledge"), json={"report_version": report_version}
        )

    def cancel(self, case_id: str, why: str) -> Json:
        return self._json("POST", _at("cases", case_id, "cancel"), json={"why": why})

    def labels(self, case_id: str) -> list[Json]:
        return self._json("GET", _at("cases", case_id, "labels"))["slides"]

    def answer_labels(self, case_id: str, confirmed: Sequence[int], wrong: Sequence[int]) -> Json:
        body = {"confirmed": list(confirmed), "wrong": list(wrong)}
        return self._json("POST", _at("cases", case_id, "labels"), json=body)

    def picture(self, address: str) -> bytes:
        """A picture at an address that an answer of this gateway named."""
        return self._bytes(address)

    # --- a reader's work items
    def worklist(self, state: str | None = None) -> list[Json]:
        return self._json("GET", "/api/worklist", params=_given(state=state))["work_items"]

    def work_item(self, work_item_id: str) -> Json:
        return self._json("GET", _at("work-items", work_item_id))

    def claim(self, work_item_id: str) -> Json:
        return self._json("POST", _at("work-items", work_item_id, "claim"), json={})

    def heartbeat(self, work_item_id: str) -> Json:
        return self._json("POST", _at("work-items", work_item_id, "heartbeat"), json={})

    def release(self, work_item_id: str, why: str) -> Json:
        return self._json("POST", _at("work-items", work_item_id, "release"), json={"why": why})

    def decline(self, work_item_id: str, why: str) -> Json:
        return self._json("POST", _at("work-items", work_item_id, "decline"), json={"why": why})

    def save_draft(self, work_item_id: str, body: Json) -> Json:
        return self._json("PUT", _at("work-items", work_item_id, "draft"), json={"body": body})

    def preliminary(self, work_item_id: str, body: Json) -> Json:
        return self._json("POST", _at("work-items", work_item_id, "preliminary"), json={"body": body})

    def sign(self, work_item_id: str, body: Json) -> Json:
        return self._json("POST", _at("work-items", work_item_id, "sign"), json={"body": body})

    def addendum(self, report_id: str, body: Json) -> Json:
        return self._json("POST", _at("reports", report_id, "addendum"), json={"body": body})

    def correction(self, report_id: str, body: Json, why: str) -> Json:
        return self._json("POST", _at("reports", report_id, "correction"), json={"body": body, "why": why})

    def files(self, work_item_id: str) -> list[Json]:
        return self._json("GET", _at("work-items", work_item_id, "files"))["files"]

    # --- figures
    def turnaround(self, days: int, service: str | None = None) -> Json:
        return self._json("GET", "/api/figures/turnaround", params=_given(days=str(days), service=service))

    def backlog(self) -> Json:
        return self._json("GET", "/api/figures/backlog")

    def breaches(self, days: int) -> list[Json]:
        return self._json("GET", "/api/figures/breaches", params={"days": days})["services"]

    def equipment(self, days: int) -> list[Json]:
        return self._json("GET", "/api/figures/equipment", params={"days": days})["stations"]

    # --- operating
    def quarantine(self) -> list[Json]:
        return self._json("GET", "/api/quarantine")["cases"]

    def quarantined(self, held_id: str) -> Json:
        return self._json("GET", _at("quarantine", held_id))

    def release_quarantined(self, held_id: str, why: str, pictures: str | None = None) -> Json:
        """`pictures`: "leave" or "blank" what is marked in them, where the case was set aside for pictures."""
        body = {"why": why, "pictures": pictures}
        return self._json("POST", _at("quarantine", held_id, "release"), json=body)

    def reject_quarantined(self, held_id: str, why: str) -> Json:
        return self._json("POST", _at("quarantine", held_id, "reject"), json={"why": why})

    def failed(self) -> list[Json]:
        return self._json("GET", "/api/failed")["runs"]

    def replay(self, run_id: int) -> Json:
        return self._json("POST", _at("failed", str(run_id), "replay"), json={})

    def _json(self, method: str, path: str, **options: Any) -> Any:
        answer = self._asked(method, path, **options)
        try:
            return answer.json()
        except ValueError:
            raise Away(self.url) from None

    def _bytes(self, path: str) -> bytes:
        return self._asked("GET", path).content

    def _asked(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.TransportError:
            raise Away(self.url) from None
        if not answer.is_success:
            raise _refusal(answer, self.url)
        return answer


def sign_in(addresses: dict[Side, str], token: str) -> tuple[Gateway, Json]:
    """The gateway at which this token is somebody, and who. Raises `Refused` if at none, `Away` if one is silent."""
    problem: Exception | None = None
    for url in addresses.values():
        gateway = Gateway(url, token)
        try:
            return gateway, gateway.me()
        except Away as away:
            gateway.close()
            problem = away
        except Refused as refused:
            gateway.close()
            problem = problem or refused
    raise problem or Away("")


def _at(*parts: str) -> str:
    """An address of the API from its parts, each quoted."""
    return "/".join(("/api", *(quote(part, safe="") for part in parts)))


def _given(**query: str | None) -> dict[str, str]:
    return {name: value for name, value in query.items() if value}


def _refusal(answer: httpx.Response, url: str) -> Exception:
    """The gateway's own words; `Away` if the answer is not a gateway's, as when a proxy answers in its place."""
    try:
        return Refused(answer.status_code, answer.json())
    except (ValueError, KeyError, TypeError):
        return Away(url)


def _on_this_machine(url: str) -> bool:
    """Whether no proxy can stand between: loopback is asked directly whatever the environment names."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
