"""A region for tests: a database, buckets of its own in the running store, the sample network, a worker in the test.

`settle()` does what relays and workers do, one run after the other, until nothing is left to do.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from minio.error import S3Error

from cases.order import Order
from cases.stages import LANES
from imaging.slides.convert import Conversion
from storage import network, runs
from storage.database import Database
from storage.network import NetworkRows
from storage.s3 import S3, S3Settings
from storage.vault import Keyring, PatientVault
from teledx import bootstrap
from teledx.workdays import is_chinese_workday
from tests.servers.object_store import ObjectStore
from tests.servers.postgres import TestDatabase
from workers import intake
from workers.child import Child
from workers.leases import Leases
from workers.parts import Limits, Parts
from workers.stage import Runner

COUNT = itertools.count(1)


def sample_network() -> str:
    return (resources.files("teledx") / "sample_network.toml").read_text(encoding="utf-8")


class Region:
    """Everything the region needs, on real servers, without processes of its own."""

    def __init__(
        self,
        database: TestDatabase,
        store: ObjectStore,
        scratch: Path,
        *,
        limits: Limits = Limits(),
        like: Region | None = None,
    ) -> None:
        """`like`: `database` is a copy of that region's; its buckets, keys and children are shared with this one."""
        self.database = database
        self.rows = Database(database.region_url)
        self.rows.open()
        self._like = like
        self._store = store
        self.prefix: str = like.prefix if like else f"t{next(COUNT)}-{secrets.token_hex(3)}-"
        self.s3 = S3(
            S3Settings(
                url=store.url,
                access_key=store.access_key,
                secret_key=store.secret_key,
                bucket_prefix=self.prefix,
            )
        )
        networks = NetworkRows(self.rows)
        if like is None:
            with self.rows.transaction() as connection:
                network.apply(connection, sample_network(), "tests")
        self.zones = (*bootstrap.REGION_ZONES, *(p.bucket for p in networks.current()[1].partners))
        if like is None:
            for zone in self.zones:
                self.s3.ensure_bucket(zone)
        self.keyring: Keyring = like.keyring if like else Keyring("k1", {"k1": secrets.token_bytes(32)})
        self.child: Child = like.child if like else Child()
        self.parts = Parts(
            database=self.rows,
            s3=self.s3,
            vault=PatientVault(self.rows, self.keyring, bootstrap.derive),
            network=networks,
            child=self.child,
            is_workday=is_chinese_workday,
            scratch=scratch,
            limits=limits,
        )
        self.runner = Runner(
            parts=self.parts, leases=Leases(self.rows, limits.heartbeat), owner="worker-of-the-test"
        )

    def close(self) -> None:
        if self._like is None:
            self.child.close()
            self._remove_buckets()
        self.rows.close()

    def _remove_buckets(self) -> None:
        """Each takes a volume of the store, and those are as many as the disk's free space gives."""
        self._store.start()
        for zone in self.zones:
            self.s3.delete(zone, [found.key for found in self.s3.listing(zone, "")])
            try:
                self._store.client().remove_bucket(self.s3.settings.bucket(zone))
            except S3Error as error:
                if error.code != "BucketNotEmpty":  # an empty folder may stay behind for a while
                    raise

    def with_limits(self, **changes: Any) -> None:
        self.parts = replace(self.parts, limits=replace(self.parts.limits, **changes))

    def with_conversion(self, conversion: Conversion) -> None:
        self.parts = replace(self.parts, conversion=conversion)
        self.runner = replace(self.runner, parts=self.parts)

    def drop(self, clinic: str, order: Order | bytes, files: Mapping[str, bytes], name: str = "") -> str:
        """Put files and order into the inbox as a clinic's S3 client does; returns the prefix."""
        prefix = f"{clinic}/{name or secrets.token_hex(4)}/"
        for file, content in files.items():
            self.s3.replace("inbox", f"{prefix}{file}", content, "application/octet-stream")
        content = order if isinstance(order, bytes) else order.model_dump_json().encode()
        self.s3.replace("inbox", f"{prefix}order.json", content, "application/json")
        return prefix

    def settle(self, *, most: int = 10_000) -> int:
        """Scan the inbox and run what waits until nothing does; returns how many runs."""
        intake.scan(self.parts)
        done = 0
        while done < most:
            with self.rows.transaction() as connection:
                wakes = runs.pick(connection, lanes=LANES, window=100, relay="relay-of-the-test")
            if not wakes:
                break
            for wake in wakes:
                self.runner.run(wake.case_id, wake.stage, wake.case_version)
                done += 1
        intake.clear(self.parts)
        return done

    def fetch(self, query: str, *values: object) -> list[dict]:
        with self.rows.transaction() as connection:
            return connection.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> dict:
        rows = self.fetch(query, *values)
        assert len(rows) == 1, rows
        return rows[0]
