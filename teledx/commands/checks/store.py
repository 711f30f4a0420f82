"""The object store: it answers, the buckets are there, and our identity may do what it must and no more."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from cases.errors import TeledxError, Transient
from cases.network import load
from storage.s3 import S3, Absent
from teledx import bootstrap
from teledx.client import client
from teledx.commands.checks.database import skew
from teledx.commands.checks.finding import Examined, Finding, right, skipped, warning, wrong

TRY_CONTENT = b"teledx doctor was here"


def reachable(examined: Examined) -> Iterator[Finding]:
    """The store answers at its address and at the one that clinics are given, and its clock is right."""
    url = examined.settings.s3_url
    if not url:
        yield skipped("store", "TELEDX_S3_URL is not set; this process does without")
        return
    if examined.s3 is None:
        yield wrong(
            "store",
            "no identity",
            "Set TELEDX_S3_ACCESS_KEY and TELEDX_S3_SECRET_KEY.",
        )
        return
    yield from _answers("store", url, "TELEDX_S3_URL")
    public = examined.settings.s3_public_url
    if public and public != url:
        yield from _answers("store, public", public, "TELEDX_S3_PUBLIC_URL")


def buckets(examined: Examined) -> Iterator[Finding]:
    """Each bucket of our side is there; none of the other side lets us look."""
    s3 = examined.s3
    if s3 is None:
        return
    ours, foreign = _zones(examined)
    for zone in ours:
        yield _ours(s3, zone)
    for zone in foreign:
        if _looks(s3, zone):
            said = "the partner side's identity can look into a zone of the region"
            yield wrong(f"bucket {zone}", said, "Take its rights away at the store, then change its keys.")


def rights(examined: Examined) -> Iterator[Finding]:
    """With --deep: write, read back, and delete a small object in each zone that we should write to."""
    s3 = examined.s3
    if s3 is None or not examined.deep or examined.is_partner_side:
        return
    for zone in _zones(examined)[0]:
        key = f"teledx-doctor-{secrets.token_hex(8)}"  # without a slash no part of the inbox takes it for a drop
        try:
            s3.put_new(zone, key, TRY_CONTENT, "text/plain", hashlib.sha256(TRY_CONTENT).hexdigest())
            whole = s3.get(zone, key) == TRY_CONTENT
            s3.delete(zone, [key])
        except TeledxError as error:
            yield warning(f"rights in {zone}", str(error), "Right for a gateway; a worker must write here.")
        else:
            if whole:
                yield right(f"rights in {zone}", "written, read back, deleted")
            else:
                yield wrong(
                    f"rights in {zone}", "what was read is not what was written", "Look at the store's disks."
                )


def _answers(what: str, url: str, name: str) -> Iterator[Finding]:
    before = time.time()
    try:
        with client(url) as http:
            answer = http.get("/")
    except (httpx.HTTPError, TeledxError) as error:
        yield wrong(
            what,
            f"{url} does not answer ({type(error).__name__})",
            f"Check {name} and the store.",
        )
        return
    yield right(what, f"{url} answers")
    if date := answer.headers.get("Date"):
        middle = (before + time.time()) / 2
        # the header has whole seconds, rounded down
        seconds = (parsedate_to_datetime(date) - datetime.fromtimestamp(middle, UTC)).total_seconds() + 0.5
        yield skew(f"{what}'s clock", seconds, "the store's")


def _zones(examined: Examined) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(zones of our side, zones that we must not see)."""
    partners: tuple[str, ...] = ()
    if examined.connection is not None:
        known = examined.connection.execute(
            "SELECT to_regclass('network_version') IS NOT NULL AS there"
        ).fetchone()
        row = None
        if known and known["there"]:
            row = examined.connection.execute(
                "SELECT document FROM network_version ORDER BY version DESC LIMIT 1"
            ).fetchone()
        partners = tuple(p.bucket for p in load(row["document"]).partners) if row else ()
    if examined.is_partner_side:
        return partners, bootstrap.REGION_ZONES
    return (*bootstrap.REGION_ZONES, *partners), ()


def _ours(s3: S3, zone: str) -> Finding:
    what = f"bucket {zone}"
    try:
        _look(s3, zone)
    except Absent:
        return wrong(what, "is not there", "Run: teledx migrate --buckets")
    except Transient as error:
        return wrong(what, str(error), "Look at the store.")
    except TeledxError:
        return warning(
            what, "our identity may not look", "Right for a gateway's identity; a worker must see it."
        )
    return right(what, s3.settings.bucket(zone))


def _look(s3: S3, zone: str) -> None:
    """List the beginning of a zone; raises what the store says."""
    next(iter(s3.listing(zone, "", recursive=False)), None)


def _looks(s3: S3, zone: str) -> bool:
    """Whether a listing of the zone is allowed."""
    try:
        _look(s3, zone)
    except TeledxError:
        return False
    return True
