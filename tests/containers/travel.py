"""A clinic and a reader at the composition's published doors, and a look at its tables."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pydicom
from minio import Minio
from minio.error import S3Error
from psycopg.rows import dict_row

from teledx.samples import orders, studies
from teledx.samples.orders import PATIENTS
from tests.containers.composition import Composition
from tests.servers.server import until

CLINIC = "jiangshan"
PATIENT = PATIENTS[0]
PATIENCE = 90.0


class Traveller:
    """Drops as `clinic-jiangshan` over S3, follows as chen of that clinic, reads as lin of Yinzhou No.2 Hospital."""

    def __init__(self, composition: Composition) -> None:
        self.composition = composition
        self.clinic = self._client("REGION", "gateway-region", "chen")
        self.reader = self._client("PARTNER", "gateway-region", "lin")
        self._rows = psycopg.connect(self._database(), autocommit=True, row_factory=dict_row)
        self._numbers = 0

    def close(self) -> None:
        self.clinic.close()
        self.reader.close()
        self._rows.close()

    def keys(self, identity: str) -> dict[str, str]:
        """Access key and secret key, as the operator hands them out."""
        found: dict[str, str] = json.loads(
            (self.composition.secrets / "identities" / f"{identity}.json").read_text()
        )
        return found

    def s3(self, identity: str) -> Minio:
        """The S3 SDK with the keys that the operator hands to that identity's holder."""
        keys = self.keys(identity)
        endpoint = urlsplit(self.composition.url("S3")).netloc
        return Minio(
            endpoint,
            access_key=keys["access_key"],
            secret_key=keys["secret_key"],
            secure=False,
            region="us-east-1",
        )

    def drop(self, *, name: str, slices: int, rows: int = 128) -> str:
        """Hand in a CT with its order as any S3 client does; returns the prefix."""
        self._numbers += 1
        taken = datetime.now(ZoneInfo("Asia/Shanghai")) - timedelta(hours=2)
        files = dict(studies.ct_series(PATIENT, slices, station="CT1", at=taken, rows=rows))
        lines = [orders.file_line(file, content) for file, content in files.items()]
        order = orders.order("ct", PATIENT, lines, accession_number=f"CT-{self._numbers:03d}")
        prefix, s3 = f"{CLINIC}/{name}/", self.s3(f"clinic-{CLINIC}")
        for file, content in {**files, "order.json": order.model_dump_json().encode()}.items():
            s3.put_object("inbox", f"{prefix}{file}", io.BytesIO(content), len(content))
        return prefix

    def case_of(self, prefix: str) -> str:
        """The case that the drop became."""
        query = (
            "SELECT d.case_id AS n FROM vault.drops d JOIN cases c ON c.id = d.case_id WHERE d.prefix = %s"
        )
        until(
            lambda: bool(self.fetch(query, prefix)),
            seconds=PATIENCE,
            what=f"a case of the drop, {self._story(prefix)}",
        )
        return str(self.fetch(query, prefix)[0]["n"])

    def on_the_worklist(self, case_id: str) -> dict[str, Any]:
        """The case's one work item that waits for a reader."""
        until(lambda: case_id in self.worklist(), seconds=PATIENCE, what=f"{case_id} on the worklist")
        return self.worklist()[case_id]

    def worklist(self) -> dict[str, dict[str, Any]]:
        """Waiting work items by case; AssertionError if a case has two."""
        answer = self.reader.get("/api/worklist", params={"state": "SCHEDULED"}).raise_for_status().json()
        items = answer["work_items"]
        by_case = {item["case_id"]: item for item in items}
        assert len(by_case) == len(items), "a case has two waiting work items"
        return by_case

    def first_image(self, item: dict[str, Any]) -> pydicom.Dataset:
        """An image as the reader gets it, by a link signed for the published address."""
        files = (
            self.reader.get(f"/api/work-items/{item['work_item_id']}/files")
            .raise_for_status()
            .json()["files"]
        )
        dicom = next(file for file in files if file["media_type"] == "application/dicom")
        return pydicom.dcmread(io.BytesIO(httpx.get(dicom["url"]).raise_for_status().content))

    def sign(self, item: dict[str, Any], *, findings: str, conclusion: str) -> None:
        url = f"/api/work-items/{item['work_item_id']}"
        self.reader.post(f"{url}/claim").raise_for_status()
        body = {"body": {"findings": findings, "conclusion": conclusion}}
        self.reader.post(f"{url}/sign", json=body).raise_for_status()

    def in_state(self, case_id: str, state: str) -> None:
        """Return when the clinic sees its case in that state."""
        until(lambda: self._state(case_id) == state, seconds=PATIENCE, what=f"{case_id} {state}")

    def report(self, case_id: str) -> bytes:
        """The report under the real name, as PDF."""
        return self.clinic.get(f"/api/cases/{case_id}/report.pdf").raise_for_status().content

    def acknowledge(self, case_id: str) -> str:
        self.clinic.post(f"/api/cases/{case_id}/acknowledge", json={}).raise_for_status()
        return self._state(case_id)

    def busy_bulk_worker(self) -> str:
        """A container of worker-bulk that runs a stage at this moment."""
        by_host = {
            self.composition.inspect(container)["Config"]["Hostname"]: container
            for container in self.composition.containers("worker-bulk")
        }
        query = (
            "SELECT split_part(owner, ':', 1) AS host FROM stage_run WHERE outcome IS NULL"
            " AND owner IS NOT NULL AND stage IN ('preprocess', 'deidentify')"
        )
        found: list[str] = []

        def somebody_runs() -> bool:
            found[:] = [row["host"] for row in self.fetch(query) if row["host"] in by_host]
            return bool(found)

        until(somebody_runs, seconds=PATIENCE, what="a bulk worker at work")
        return by_host[found[0]]

    def lost_runs(self, container: str) -> int:
        """Runs that ended without an outcome at least once."""
        return self.count("SELECT count(*) AS n FROM stage_run WHERE lost > 0")

    def refused(self, identity: str, zone: str, prefix: str = "") -> bool:
        """Whether the identity may not list there."""
        try:
            list(self.s3(identity).list_objects(zone, prefix=prefix))
        except S3Error as error:
            return error.code == "AccessDenied"
        return False

    def opens(self, keys: dict[str, str], prefix: str) -> bool:
        """Whether these keys may list that part of the inbox."""
        client = Minio(
            urlsplit(self.composition.url("S3")).netloc,
            access_key=keys["access_key"],
            secret_key=keys["secret_key"],
            secure=False,
            region="us-east-1",
        )
        try:
            list(client.list_objects("inbox", prefix=prefix))
        except S3Error as error:
            if error.code != "InvalidAccessKeyId":
                raise
            return False
        return True

    def count(self, query: str, *values: object) -> int:
        return int(self.fetch(query, *values)[0]["n"])

    def fetch(self, query: str, *values: object) -> list[dict[str, Any]]:
        return self._rows.execute(query, values).fetchall()

    def _state(self, case_id: str) -> str:
        return str(self.clinic.get(f"/api/cases/{case_id}").raise_for_status().json()["state"])

    def _story(self, prefix: str) -> str:
        return (
            f"{self.fetch('SELECT state, reason_code, problems FROM vault.drops WHERE prefix = %s', prefix)}"
        )

    def _client(self, door: str, issuer: str, account: str) -> httpx.Client:
        answer = json.loads(
            self.composition.within(issuer, "teledx", "token", "issue", "--account", account, "--json")
        )
        headers = {"authorization": f"Bearer {answer['token']}"}
        return httpx.Client(base_url=self.composition.url(door), headers=headers, timeout=30)

    def _database(self) -> str:
        """The region's URL, by the address that the database's container has on this machine."""
        networks = self.composition.inspect(self.composition.container("postgres"))["NetworkSettings"][
            "Networks"
        ]
        address = networks[f"{self.composition.project}_region"]["IPAddress"]
        return (
            (self.composition.secrets / "region_database_url")
            .read_text()
            .replace("@postgres:", f"@{address}:")
        )
