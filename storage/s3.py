"""The S3 store through the `minio` SDK: one client with time limits, and what counts as 'the store is away'."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, urlsplit

import urllib3
from minio import Minio
from minio.datatypes import Part
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, S3Error, ServerError

from cases.errors import TeledxError, Transient

MIB = 1 << 20
# S3's smallest part anywhere but last, and the largest that one copy moves: a fraction of a second of the store's time.
PART_MIN = 5 * MIB
COPY_MAX = 8 * MIB
# Parts under way at once, since the store waits for its disk between two. Who steps aside writes one at a time: whoever
# comes then waits for the disk until all of them are written.
COPIES = 3

_AWAY_CODES = {
    "InternalError",
    "ServiceUnavailable",
    "SlowDown",
    "RequestTimeout",
    "OperationAborted",
    "XMinioServerNotInitialized",
}
_OTHER_CODES = {"PreconditionFailed", "InvalidRange"}
_ABSENT_CODES = {"NoSuchKey", "NoSuchBucket", "NoSuchUpload"}


def go_on() -> None:
    """What a process does between two parts unless it steps aside for others."""


class Absent(TeledxError):
    """No such object, or not with that ETag any more."""


class Refused(TeledxError):
    """The store does not let this identity do it, or does not do it at all; an operator mends it."""


class Conflict(TeledxError):
    """The key holds other bytes: objects are never overwritten, and a range of what was known may not be there."""


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """Where the store is and as whom to speak to it. `public_url` is what clinics and partners can reach."""

    url: str
    access_key: str
    secret_key: str
    public_url: str = ""
    bucket_prefix: str = ""
    timeout: float = 30.0

    def bucket(self, zone: str) -> str:
        return f"{self.bucket_prefix}{zone}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """An object as the store lists it; `sha256` is what its writer declared, if anything."""

    key: str
    size: int
    etag: str
    modified_at: datetime
    sha256: str = ""


class Piece(NamedTuple):
    """`length` bytes at `offset` of an object."""

    zone: str
    key: str
    offset: int
    length: int


def _cut(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Parts of at most COPY_MAX (the last of a piece a little more), none of them under PART_MIN."""
    for zone, key, offset, length in pieces:
        end = offset + length
        while end - offset > COPY_MAX + PART_MIN:
            yield Piece(zone, key, offset, COPY_MAX)
            offset += COPY_MAX
        yield Piece(zone, key, offset, end - offset)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the SDK's errors into ours. `what` names a zone, never a key: a clinic's key may carry identity."""
    try:
        yield
    except S3Error as error:
        if error.code in _AWAY_CODES or (error.response and error.response.status >= 500):
            raise Transient(f"the store is away ({what}: {error.code})") from None
        if error.code in _ABSENT_CODES or (error.response and error.response.status == 404):
            raise Absent(what) from None
        if error.code in _OTHER_CODES or (error.response and error.response.status in (412, 416)):
            raise Conflict(what) from None
        raise Refused(f"the store refused ({what}: {error.code})") from None
    except (urllib3.exceptions.HTTPError, InvalidResponseError, ServerError, OSError) as error:
        raise Transient(f"the store is away ({what}: {type(error).__name__})") from None


def _client(url: str, settings: S3Settings) -> Minio:
    parts = urlsplit(url)
    timeout = urllib3.Timeout(connect=5, read=settings.timeout)
    retry = urllib3.Retry(total=2, connect=1, read=0, backoff_factor=0.1, status_forcelist=())
    return Minio(
        parts.netloc,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        secure=parts.scheme == "https",
        region="us-east-1",
        http_client=urllib3.PoolManager(timeout=timeout, maxsize=32, retries=retry),
    )


class S3:
    """The calls that the house makes, by zone. Raises `Transient`, `Absent` or `Conflict`."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._minio = _client(settings.url, settings)
        self._public = _client(settings.public_url or settings.url, settings)

    def ping(self, zone: str) -> None:
        with _translated(zone):
            self._minio.bucket_exists(self.settings.bucket(zone))

    def ensure_bucket(self, zone: str) -> None:
        with _translated(zone):
            if not self._minio.bucket_exists(self.settings.bucket(zone)):
                self._minio.make_bucket(self.settings.bucket(zone))

    def head(self, zone: str, key: str) -> Found:
        with _translated(zone):
            stat = self._minio.stat_object(self.settings.bucket(zone), key)
        meta = {k.lower(): v for k, v in (stat.metadata or {}).items()}
        modified = stat.last_modified
        assert modified is not None, "HEAD answers with Last-Modified (RFC 9110 8.8.2)"
        return Found(
            key=key,
            size=stat.size or 0,
            etag=stat.etag or "",
            modified_at=modified,
            sha256=meta.get("x-amz-meta-sha256", ""),
        )

    def get(self, zone: str, key: str, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        if length == 0:
            return b""
        with _translated(zone):
            response = self._open(zone, key, offset, length, etag)
            try:
                content: bytes = response.read()
                return content
            finally:
                response.close()
                response.release_conn()

    def stream(
        self,
        zone: str,
        key: str,
        chunk: int = MIB,
        etag: str = "",
        offset: int = 0,
        length: int | None = None,
    ) -> Iterator[bytes]:
        with _translated(zone):
            response = self._open(zone, key, offset, length, etag)
            try:
                yield from response.stream(chunk)
            finally:
                response.close()
                response.release_conn()

    def _open(
        self, zone: str, key: str, offset: int, length: int | None, etag: str
    ) -> urllib3.BaseHTTPResponse:
        headers: dict[str, str | list[str] | tuple[str]] = {"If-Match": f'"{etag}"'} if etag else {}
        if offset or length is not None:
            end = "" if length is None else str(offset + length - 1)
            headers["Range"] = f"bytes={offset}-{end}"
        return self._minio._execute(
            "GET", self.settings.bucket(zone), key, headers=headers, preload_content=False
        )

    def put_new(self, zone: str, key: str, content: bytes, media_type: str, sha256: str) -> None:
        """Write one object unless the key exists (`If-None-Match: *`); raises `Conflict` if it does."""
        headers: dict[str, str | list[str] | tuple[str]] = {
            "If-None-Match": "*",
            "Content-Type": media_type,
            "x-amz-meta-sha256": sha256,
        }
        with _translated(zone):
            self._minio._execute("PUT", self.settings.bucket(zone), key, body=content, headers=headers)

    def replace(self, zone: str, key: str, content: bytes, media_type: str) -> None:
        """Write an object that may be written again: receipts and notices in a clinic's own inbox prefix."""
        with _translated(zone):
            self._minio.put_object(
                self.settings.bucket(zone), key, io.BytesIO(content), len(content), content_type=media_type
            )

    def put_stream(
        self, zone: str, key: str, stream: BinaryIO, size: int, media_type: str, sha256: str
    ) -> None:
        """Write `size` bytes from where the stream stands, in parts of 16 MiB; memory stays at a few parts."""
        with _translated(zone):
            self._minio.put_object(
                self.settings.bucket(zone),
                key,
                stream,
                size,
                content_type=media_type,
                metadata={"sha256": sha256},
                part_size=16 * MIB,
                num_parallel_uploads=2,
            )

    def upload(self, zone: str, key: str, source: str, media_type: str, sha256: str) -> None:
        """Write a file in parts of 16 MiB; memory stays at a few parts."""
        with _translated(zone):
            self._minio.fput_object(
                self.settings.bucket(zone),
                key,
                source,
                content_type=media_type,
                metadata={"sha256": sha256},
                part_size=16 * MIB,
                num_parallel_uploads=2,
            )

    def copy(
        self,
        source: tuple[str, str, int],
        target: tuple[str, str],
        *,
        media_type: str,
        sha256: str,
        etag: str = "",
        step_aside: Callable[[], None] = go_on,
    ) -> None:
        """Copy inside the store; `source` is (zone, key, size). With `etag`, only if the source still has it.

        `step_aside` is called between two parts.
        """
        zone, key, size = source
        if size > COPY_MAX:
            self.compose(
                [Piece(zone, key, 0, size)],
                target,
                media_type=media_type,
                sha256=sha256,
                etag=etag,
                step_aside=step_aside,
            )
            return
        headers: dict[str, str | list[str] | tuple[str]] = {
            "x-amz-copy-source": quote(f"/{self.settings.bucket(zone)}/{key}"),
            "x-amz-metadata-directive": "REPLACE",
            "x-amz-meta-sha256": sha256,
            "Content-Type": media_type,
        }
        if etag:
            headers["x-amz-copy-source-if-match"] = f'"{etag}"'
        with _translated(f"{zone} to {target[0]}"):
            self._minio._execute("PUT", self.settings.bucket(target[0]), target[1], headers=headers)

    def compose(
        self,
        pieces: Sequence[Piece],
        target: tuple[str, str],
        *,
        media_type: str,
        sha256: str,
        etag: str = "",
        step_aside: Callable[[], None] = go_on,
        proof: Callable[[], None] = go_on,
    ) -> None:
        """Write `target` from pieces of other objects, copied by the store; each but the last of at least PART_MIN.

        With `etag`, only while what they are pieces of still has it. `step_aside` is called before each part; who does
        step aside writes one part at a time. `proof` is called before the parts become an object; they do not if it
        raises.
        """
        bucket, key = self.settings.bucket(target[0]), target[1]
        with _translated(f"{pieces[0].zone} to {target[0]}"):
            headers = {"Content-Type": media_type, "x-amz-meta-sha256": sha256}
            upload = self._minio._create_multipart_upload(bucket, key, dict(headers))

            def one(number: int, piece: Piece) -> Part:
                step_aside()
                return self._part(piece, (bucket, key), upload, number, etag)

            at_once = COPIES if step_aside is go_on else 1
            pool = ThreadPoolExecutor(at_once, thread_name_prefix="compose")
            try:
                parts = list(pool.map(one, itertools.count(1), _cut(pieces)))
                proof()
                self._minio._complete_multipart_upload(bucket, key, upload, parts)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                self._minio._abort_multipart_upload(bucket, key, upload)
                raise
            finally:
                pool.shutdown()

    def _part(self, piece: Piece, target: tuple[str, str], upload: str, number: int, etag: str) -> Part:
        headers: dict[str, str | list[str] | tuple[str]] = {
            "x-amz-copy-source": quote(f"/{self.settings.bucket(piece.zone)}/{piece.key}"),
            "x-amz-copy-source-range": f"bytes={piece.offset}-{piece.offset + piece.length - 1}",
        }
        if etag:
            headers["x-amz-copy-source-if-match"] = f'"{etag}"'
        return Part(number, self._minio._upload_part_copy(*target, upload, number, headers)[0])

    def listing(self, zone: str, prefix: str, *, recursive: bool = True) -> Iterator[Found]:
        """Objects below `prefix`; with `recursive` False also the next level's prefixes, as keys that end in '/'."""
        with _translated(zone):
            for found in self._minio.list_objects(self.settings.bucket(zone), prefix, recursive=recursive):
                yield Found(
                    key=found.object_name or "",
                    size=found.size or 0,
                    etag=(found.etag or "").strip('"'),
                    modified_at=found.last_modified or datetime.min.replace(tzinfo=UTC),
                )

    def delete(self, zone: str, keys: Sequence[str]) -> None:
        with _translated(zone):
            failed = list(
                self._minio.remove_objects(self.settings.bucket(zone), (DeleteObject(k) for k in keys))
            )
        if failed:
            raise Transient(
                f"the store kept {len(failed)} of {len(keys)} objects that were to be deleted ({zone})"
            )

    def presigned_get(self, zone: str, key: str, expires: timedelta) -> str:
        return self._public.presigned_get_object(self.settings.bucket(zone), key, expires=expires)

    def start_upload(self, zone: str, key: str) -> str:
        with _translated(zone):
            return self._minio._create_multipart_upload(self.settings.bucket(zone), key, {})

    def presigned_part(self, zone: str, key: str, upload: str, number: int, expires: timedelta) -> str:
        query: dict[str, str | list[str] | tuple[str]] = {"partNumber": str(number), "uploadId": upload}
        return self._public.get_presigned_url(
            "PUT", self.settings.bucket(zone), key, expires=expires, extra_query_params=query
        )

    def presigned_put(self, zone: str, key: str, expires: timedelta) -> str:
        return self._public.get_presigned_url("PUT", self.settings.bucket(zone), key, expires=expires)

    def uploaded_parts(self, zone: str, key: str, upload: str) -> list[tuple[int, str]]:
        """(number, ETag) of the parts that the store holds, in order. Raises `Absent` if the upload has ended."""
        found: list[tuple[int, str]] = []
        with _translated(zone):
            while True:
                marker = str(found[-1][0]) if found else None
                page = self._minio._list_parts(
                    self.settings.bucket(zone), key, upload, max_parts=1000, part_number_marker=marker
                )
                found += [(part.part_number, part.etag) for part in page.parts]
                if not page.is_truncated or not page.parts:
                    return found

    def finish_upload(self, zone: str, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> None:
        with _translated(zone):
            self._minio._complete_multipart_upload(
                self.settings.bucket(zone), key, upload, [Part(n, etag) for n, etag in parts]
            )

    def abort_stale_uploads(self, zone: str, prefix: str, before: datetime) -> int:
        """Abort multipart uploads begun before `before`; returns how many."""
        bucket, count = self.settings.bucket(zone), 0
        with _translated(zone):
            for upload in self._minio._list_multipart_uploads(bucket, prefix=prefix).uploads:
                begun = upload.initiated_time
                if begun and begun < before:
                    self._minio._abort_multipart_upload(bucket, upload.object_name, upload.upload_id or "")
                    count += 1
        return count
