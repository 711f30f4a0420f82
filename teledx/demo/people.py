"""The people of the demonstration: clinics that drop and acknowledge, readers that claim and sign."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cases.order import ORDER_NAME, Order
from storage.s3 import S3, S3Settings
from teledx.demo.script import Scene
from teledx.house import House


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with an access token at one of the two gateways."""

    account: str
    organisation: str
    role: str
    token: str
    gateway: str

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.gateway,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            trust_env=False,
        )


class Clinic:
    """A clinic with its own S3 keys: drops with any S3 client, follows its cases over HTTP."""

    def __init__(self, house: House, person: Person) -> None:
        identity = house.identity(f"clinic-{person.organisation}")
        self.person = person
        self._s3 = S3(
            S3Settings(url=house.store.url, access_key=identity.access_key, secret_key=identity.secret_key)
        )
        self._http = person.client()

    def drop(self, scene: Scene, order: Order, folder: Path, progress: Callable[[int], None]) -> None:
        """Put the files, then the order, into the clinic's prefix of the inbox."""
        prefix = f"{scene.clinic}/{scene.name.replace(' ', '-')}/"
        for line in order.files:
            self._s3.upload(
                "inbox",
                f"{prefix}{line.name}",
                str(folder / line.name),
                "application/octet-stream",
                line.sha256,
            )
            progress(line.size)
        content = order.model_dump_json().encode()
        self._s3.replace("inbox", f"{prefix}{ORDER_NAME}", content, "application/json")

    def cases(self) -> list[dict[str, Any]]:
        answer = self._http.get("/api/cases", params={"limit": 200})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["cases"]
        return found

    def case(self, case_id: str) -> dict[str, Any]:
        answer = self._http.get(f"/api/cases/{case_id}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def acknowledge(self, case_id: str) -> None:
        self._http.post(f"/api/cases/{case_id}/acknowledge", json={}).raise_for_status()

    def report(self, case_id: str) -> bytes:
        answer = self._http.get(f"/api/cases/{case_id}/report.pdf")
        answer.raise_for_status()
        return answer.content


class Reader(threading.Thread):
    """A demonstration reader: claims what the script wants read, and signs it with the script's words."""

    def __init__(self, person: Person, wanted: Mapping[str, Scene], stop: threading.Event) -> None:
        super().__init__(name=f"reader-{person.account}", daemon=True)
        self._http = person.client()
        self._wanted = wanted
        self._halt = stop
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._halt.is_set():
                if not self._read_one():
                    self._halt.wait(0.3)
        except httpx.HTTPError as error:
            self.error = error

    def _read_one(self) -> bool:
        """Claim and sign one case of the script; False if none waits. `wanted` is by case id."""
        items = (
            self._http.get("/api/worklist", params={"state": "SCHEDULED"})
            .raise_for_status()
            .json()["work_items"]
        )
        mine = next((i for i in items if i["case_id"] in self._wanted), None)
        if mine is None:
            return False
        claimed = self._http.post(f"/api/work-items/{mine['work_item_id']}/claim")
        if claimed.status_code == httpx.codes.CONFLICT:
            return True
        claimed.raise_for_status()
        scene = self._wanted[mine["case_id"]]
        body = {"findings": scene.findings, "conclusion": scene.conclusion}
        self._http.post(
            f"/api/work-items/{mine['work_item_id']}/sign", json={"body": body}
        ).raise_for_status()
        return True


def wait_for(what: str, condition: Callable[[], bool], seconds: float) -> None:
    """Return when `condition` holds; TimeoutError naming `what` if it does not within `seconds`."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.2)
