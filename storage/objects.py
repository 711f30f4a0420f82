"""The object store as one stage run sees it: an intent row before each write, nothing overwritten, nothing orphaned."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cases.documents import StoredObject
from cases.errors import Quarantine
from cases.ports import Range
from storage.database import Connection, Database
from storage.runs import Run
from storage.s3 import MIB, S3, Absent, Conflict, Found, Piece, go_on

_INTEND = """
INSERT INTO object (zone, key, case_id, run_id)
SELECT zone, key, %(case_id)s, %(run_id)s FROM unnest(%(zones)s::text[], %(keys)s::text[]) AS o(zone, key)
ON CONFLICT (zone, key) DO UPDATE SET run_id = excluded.run_id, intended_at = clock_timestamp()
WHERE object.claimed_at IS NULL
"""
_CLAIM = """
UPDATE object SET claimed_at = clock_timestamp(), size = o.size, sha256 = o.sha256, media_type = o.media_type
FROM unnest(%(zones)s::text[], %(keys)s::text[], %(sizes)s::bigint[], %(digests)s::text[], %(types)s::text[])
     AS o(zone, key, size, sha256, media_type)
WHERE object.zone = o.zone AND object.key = o.key AND object.case_id = %(case_id)s
"""


class RunObjects:
    """`cases.ports.Objects` for one run. Keys must begin with the run's case id.

    `step_aside` is called before what it writes, and between two blocks that it reads or that the store copies.
    """

    def __init__(self, s3: S3, database: Database, run: Run, step_aside: Callable[[], None] = go_on) -> None:
        self._s3 = s3
        self._database = database
        self._run = run
        self._step_aside = step_aside
        self._intended: set[tuple[str, str]] = set()
        self.bytes_in = 0
        self.bytes_out = 0

    def intend(self, targets: Sequence[tuple[str, str]]) -> None:
        """State that these (zone, key) are about to be written; one transaction for many."""
        new = [t for t in targets if t not in self._intended]
        if not new:
            return
        for _, key in new:
            if not key.startswith(f"{self._run.case_id}/"):
                raise ValueError("an object's key begins with its case")
        with self._database.transaction() as connection:
            connection.execute(
                _INTEND,
                {
                    "case_id": self._run.case_id,
                    "run_id": self._run.id,
                    "zones": [t[0] for t in new],
                    "keys": [t[1] for t in new],
                },
            )
        self._intended.update(new)

    def read(self, stored: StoredObject, offset: int = 0, length: int | None = None) -> bytes:
        self._step_aside()
        content = self._s3.get(stored.zone, stored.key, offset, length)
        self.bytes_in += len(content)
        return content

    def read_at(self, zone: str, key: str) -> bytes:
        """A whole object by its place alone; for small ones of our own."""
        content = self._s3.get(zone, key)
        self.bytes_in += len(content)
        return content

    def stream(self, stored: StoredObject, chunk: int = MIB) -> Iterator[bytes]:
        for block in self._s3.stream(stored.zone, stored.key, chunk):
            self.bytes_in += len(block)
            yield block
            self._step_aside()

    def download(self, stored: StoredObject, target: Path) -> None:
        """Raises `Quarantine("binding-broken")` if the store holds other bytes than the case was given."""
        digest = hashlib.sha256()
        with target.open("wb") as out:
            for block in self.stream(stored, 4 * MIB):
                digest.update(block)
                out.write(block)
        if digest.hexdigest() != stored.sha256:
            raise _replaced(stored)

    def require_same(self, stored: StoredObject) -> None:
        """By size and by the digest that its writer declared, for what is too large to be read whole again.

        Raises `Quarantine("binding-broken")` if the store holds another object than the case was given.
        """
        try:
            self._expect_same(stored)
        except (Absent, Conflict):
            raise _replaced(stored) from None

    def write(self, zone: str, key: str, content: bytes, media_type: str) -> StoredObject:
        done = StoredObject(
            zone=zone,
            key=key,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            media_type=media_type,
        )
        self.intend([(zone, key)])
        self._step_aside()
        try:
            self._s3.put_new(zone, key, content, media_type, done.sha256)
            self.bytes_out += done.size
        except Conflict:
            self._expect_same(done)
        return done

    def upload(self, zone: str, key: str, source: Path, media_type: str) -> StoredObject:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        done = StoredObject(
            zone=zone, key=key, size=source.stat().st_size, sha256=digest, media_type=media_type
        )
        if done.size <= 16 * MIB:
            return self.write(zone, key, source.read_bytes(), media_type)
        self.intend([(zone, key)])
        if not self._present(done):
            self._s3.upload(zone, key, str(source), media_type, digest)
            self.bytes_out += done.size
        return done

    def copy(self, source: StoredObject, zone: str, key: str) -> StoredObject:
        done = StoredObject(
            zone=zone, key=key, size=source.size, sha256=source.sha256, media_type=source.media_type
        )
        self.intend([(zone, key)])
        if not self._present(done):
            self._s3.copy(
                (source.zone, source.key, source.size),
                (zone, key),
                media_type=source.media_type,
                sha256=source.sha256,
                step_aside=self._step_aside,
            )
        return done

    def take(self, source: StoredObject, etag: str, zone: str, key: str) -> StoredObject:
        """Copy what a clinic dropped, if it is still what was listed (`etag`); raises `Absent` or `Conflict`."""
        self.intend([(zone, key)])
        self._s3.copy(
            (source.zone, source.key, source.size),
            (zone, key),
            media_type=source.media_type,
            sha256=source.sha256,
            etag=etag,
            step_aside=self._step_aside,
        )
        return source.model_copy(update={"zone": zone, "key": key})

    def compose(
        self,
        ranges: Sequence[Range],
        zone: str,
        key: str,
        media_type: str,
        sha256: str,
        proof: Callable[[], None] = go_on,
    ) -> StoredObject:
        """Put together inside the store; each range but the last has at least 5 MiB (S3's smallest part).

        `proof` is called when all parts are copied: if it raises there never is an object.
        """
        done = StoredObject(
            zone=zone, key=key, size=sum(r.length for r in ranges), sha256=sha256, media_type=media_type
        )
        self.intend([(zone, key)])
        if self._present(done):
            proof()
        else:
            pieces = [Piece(r.stored.zone, r.stored.key, r.offset, r.length) for r in ranges]
            told = {"media_type": media_type, "sha256": sha256}
            self._s3.compose(pieces, (zone, key), **told, step_aside=self._step_aside, proof=proof)
        return done

    def listing(self, zone: str, prefix: str) -> Iterator[Found]:
        return self._s3.listing(zone, prefix)

    def _present(self, expected: StoredObject) -> bool:
        """True if an earlier attempt wrote the object; raises `Conflict` if the key holds something else."""
        try:
            self._expect_same(expected)
        except Absent:
            return False
        return True

    def _expect_same(self, expected: StoredObject) -> None:
        found = self._s3.head(expected.zone, expected.key)
        if found.size != expected.size or found.sha256 != expected.sha256:
            raise Conflict(f"{expected.zone}/{expected.key} holds other bytes")


def _replaced(stored: StoredObject) -> Quarantine:
    return Quarantine("binding-broken", f"an object in {stored.zone} is not the one that was written")


def claim(connection: Connection, case_id: str, objects: Sequence[StoredObject]) -> None:
    """Mark objects as belonging to the case for good, in the transaction that commits the stage that wrote them."""
    if not objects:
        return
    found = connection.execute(
        _CLAIM,
        {
            "case_id": case_id,
            "zones": [o.zone for o in objects],
            "keys": [o.key for o in objects],
            "sizes": [o.size for o in objects],
            "digests": [o.sha256 for o in objects],
            "types": [o.media_type for o in objects],
        },
    ).rowcount
    if found != len({(o.zone, o.key) for o in objects}):
        raise RuntimeError("an object without an intent row, or of another case, cannot be claimed")


@dataclass(frozen=True, kw_only=True)
class Intent:
    """An object that was intended and never claimed."""

    zone: str
    key: str


def unclaimed(connection: Connection, older: timedelta, limit: int) -> list[Intent]:
    """Intents older than `older` whose run has ended, so that nothing can claim them any more."""
    rows = connection.execute(
        "SELECT o.zone, o.key FROM object o LEFT JOIN stage_run r ON r.id = o.run_id"
        " WHERE o.claimed_at IS NULL AND o.intended_at < clock_timestamp() - %s"
        " AND (r.id IS NULL OR r.outcome <> 'failed')"  # a failed run may be replayed
        " ORDER BY o.intended_at LIMIT %s FOR UPDATE OF o SKIP LOCKED",
        (older, limit),
    )
    return [Intent(zone=r["zone"], key=r["key"]) for r in rows.fetchall()]


def forget(connection: Connection, intents: Sequence[Intent]) -> None:
    """Remove the rows of deleted objects, unless somebody intends them again or claimed them meanwhile."""
    connection.execute(
        "DELETE FROM object USING unnest(%s::text[], %s::text[]) AS o(zone, key)"
        " WHERE object.zone = o.zone AND object.key = o.key AND object.claimed_at IS NULL",
        ([i.zone for i in intents], [i.key for i in intents]),
    )
