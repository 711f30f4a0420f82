"""The only place that wires parts together: from settings to the values that the rooms work with."""

from __future__ import annotations

import logging
import secrets
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dramatiq
import structlog

from imaging.deid import keys
from imaging.slides import sandbox
from imaging.slides.convert import Conversion, converters
from queues import broker
from queues.timers import NEVER, Duty
from storage import readings, uploads
from storage.database import Database
from storage.drops import CHANNEL as INBOX
from storage.network import NetworkRows
from storage.s3 import S3, S3Settings
from storage.vault import Keyring, PatientVault
from teledx.settings import Settings
from teledx.workdays import is_chinese_workday
from workers import arrivals, intake, reaper, rescue, withdrawal
from workers.child import Child
from workers.parts import Limits, Parts

if TYPE_CHECKING:
    from fastapi import FastAPI

    from gateway.parts import Parts as GatewayParts
    from gateway.parts import Side

# The region's own buckets; each partner has one more, which the network file names.
REGION_ZONES = ("inbox", "identified", "quarantine", "deidentified", "reports")


class Wordless(logging.Formatter):
    """Level, logger and kind of exception: what a library says in words, or in an exception's, may name a patient."""

    def format(self, record: logging.LogRecord) -> str:
        kind = record.exc_info[0] if record.exc_info else None
        return f"{record.levelname} {record.name}{f' {kind.__name__}' if kind else ''}"


def logging_to_stderr(settings: Settings) -> None:
    """Static event names with keyword fields, one line each; the standard library's loggers are kept to warnings."""
    level = getattr(logging, settings.log_level.upper())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Wordless())
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def database(settings: Settings, *, pool_size: int = 10) -> Database:
    """The database as this process's role, with its pool open."""
    settings.needed("database_url")
    opened = Database(settings.database_url.get_secret_value(), pool_size=pool_size)
    opened.open()
    return opened


def s3(settings: Settings) -> S3:
    """The store as this process's identity."""
    settings.needed("s3_url", "s3_access_key", "s3_secret_key")
    return S3(
        S3Settings(
            url=settings.s3_url,
            access_key=settings.s3_access_key.get_secret_value(),
            secret_key=settings.s3_secret_key.get_secret_value(),
            public_url=settings.s3_public_url,
            bucket_prefix=settings.s3_bucket_prefix,
        )
    )


def worker_parts(settings: Settings) -> Parts:
    """Everything that stages run on."""
    settings.needed("keyring")
    assert settings.keyring is not None, "checked in the line above"
    rows = database(settings, pool_size=3 * settings.worker_threads + 6)
    scratch = settings.scratch / f"{socket.gethostname()}"
    return Parts(
        database=rows,
        s3=s3(settings),
        vault=PatientVault(rows, Keyring.read(settings.keyring), derive),
        network=NetworkRows(rows),
        child=Child(workers=settings.worker_threads),
        is_workday=is_chinese_workday,
        scratch=scratch,
        limits=Limits(
            lease=settings.lease_seconds,
            heartbeat=settings.heartbeat_seconds,
            arrival_patience=settings.arrival_minutes * 60,
            study_quiet=settings.study_quiet_seconds,
        ),
        conversion=conversion(settings),
    )


def conversion(settings: Settings) -> Conversion:
    """The operator's converters, which do not see the keys."""
    return Conversion(
        by_format=converters(settings.slide_converters),
        limits=sandbox.Limits(
            seconds=settings.converter_minutes * 60,
            memory=settings.converter_memory_gb << 30,
            disk=settings.converter_disk_gb << 30,
        ),
        hidden=(settings.keyring,) if settings.keyring else (),
    )


def worker_broker(settings: Settings) -> dramatiq.Broker:
    """RabbitMQ where URLs are given, else the broker inside this process."""
    urls = settings.broker_urls.split()
    return broker.LaneBroker(urls, quorum=settings.broker_quorum) if urls else broker.in_process()


def watch(parts: Parts) -> tuple[Duty, ...]:
    """A clinic's inbox is looked at when the store tells of a drop, apart from all else: it may be a stat case."""

    def look(told: str) -> int:
        return intake.look(parts, told, at_most=intake.AT_ONCE)

    return (Duty("inbox events", NEVER, look, channel=INBOX, first=NEVER),)


def poll(parts: Parts, settings: Settings) -> tuple[Duty, ...]:
    """The whole inbox is listed for what no event told of; with a backlog that takes seconds."""

    def look(_payload: str) -> int:
        return intake.scan(parts, at_most=intake.AT_ONCE)

    return (Duty("inbox", settings.inbox_poll_seconds, look),)


def duties(parts: Parts, settings: Settings) -> Sequence[Duty]:
    """What the region does again and again, by name, seconds and what wakes it early."""
    zones = REGION_ZONES[1:]

    def clear(_payload: str) -> int:
        return intake.clear(parts)

    def expire(_payload: str) -> None:
        with parts.database.transaction() as connection:
            readings.expire_leases(connection)

    def give_up(_payload: str) -> None:
        with parts.database.transaction() as connection:
            uploads.give_up(connection, timedelta(seconds=parts.limits.arrival_patience))
        # What a clinic began long ago and may still carry on is aborted much later than our own.
        reaper.abort_uploads(parts.s3, ("inbox",), older=timedelta(days=7))

    def abort_stale(_payload: str) -> int:
        partners = (p.bucket for p in parts.network.current()[1].partners)
        return reaper.abort_uploads(parts.s3, (*zones, *partners))

    return (
        Duty("clear inbox", 2.0, clear),
        Duty("arrived studies", 2.0, lambda _: arrivals.assemble(parts)),
        # after an outage of the database every lease looks lapsed until the workers have beaten once
        Duty(
            "reclaim",
            max(settings.lease_seconds / 6, 0.5),
            lambda _: rescue.reclaim(parts),
            first=settings.heartbeat_seconds * 1.5,
        ),
        Duty("reading leases", 15.0, expire),
        Duty("withdrawal", 60.0, lambda _: withdrawal.withdraw(parts)),
        Duty("reaper", 600.0, lambda _: reaper.reap(parts)),
        Duty("reaper of arrivals", 600.0, lambda _: arrivals.reap(parts)),
        Duty("stale uploads", 3600.0, abort_stale),
        Duty("broken-off drops", 600.0, give_up),
    )


def gateway_app(settings: Settings, side: Side) -> FastAPI:
    """The gateway of one side with its parts opened.

    Whoever runs it closes `app.state.parts.child` and `app.state.parts.database` after it. A worker has no use for
    FastAPI, so it is imported here.
    """
    from gateway import app, parts

    rows = database(settings)
    network = NetworkRows(rows)
    # A partner's identity sees no bucket of the region, so readiness is asked of a bucket that it may read.
    zone = "inbox" if side == "region" else network.current()[1].partners[0].bucket
    made = parts.Parts(
        database=rows,
        s3=s3(settings),
        network=network,
        is_workday=is_chinese_workday,
        webhook_token=settings.webhook_token.get_secret_value(),
        metrics_token=settings.metrics_token.get_secret_value(),
        ready_zone=zone,
        reading_lease=timedelta(minutes=settings.reading_lease_minutes),
        viewing_key=settings.viewing_key.get_secret_value().encode() or secrets.token_bytes(32),
        slide_memory=settings.slide_memory_mb << 20,
        scratch=settings.scratch,
    )
    return app.create(side, made)


def dimse_parts(settings: Settings) -> GatewayParts:
    """What the door for modalities needs of the region's gateway."""
    from gateway import parts

    rows = database(settings)
    return parts.Parts(
        database=rows,
        s3=s3(settings),
        network=NetworkRows(rows),
        is_workday=is_chinese_workday,
        scratch=settings.scratch,
    )


def derive(secret: bytes, clinic: str, patient_id: str) -> tuple[str, int, bytes]:
    """What stands for a patient outside: pseudonym, shift in days, and the secret for its own UIDs and tokens."""
    return (
        keys.pseudonym(secret, clinic, patient_id),
        keys.shift_days(secret, clinic, patient_id),
        keys.patient_secret(secret, clinic, patient_id),
    )


def new_keyring(folder: Path) -> None:
    """Make a keyring of one new key, unless there is one; files are readable by us alone."""
    if (folder / "current").exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = "k1"
    key = folder / f"{name}.key"
    key.touch(mode=0o600)
    key.write_text(secrets.token_hex(32) + "\n")
    (folder / "current").write_text(name + "\n")
