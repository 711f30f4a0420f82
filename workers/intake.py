"""Watching the inbox: which drops are there, which are complete, which waited too long; and clearing what was received.

The store's events are hints; this listing is the truth, so that any S3 store serves.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from pydantic import ValidationError

from cases.errors import NotAllowed, Transient
from cases.fitness import unfit
from cases.network import Network
from cases.order import ORDER_NAME, Order, problems
from cases.reasons import HELD, REASONS
from storage import drops
from storage.database import Database
from storage.drops import Drop
from storage.s3 import S3, Absent, Found
from workers.parts import Parts

log = structlog.get_logger()

# What we write into a drop's prefix for clinics that only speak S3.
NOTICES = ("receipt.json", "rejected.json", "quarantined.json")
ORDER_SIZE_MAX = 16 << 20
# Drops asked about in one question, and drops of one clinic that become complete in one go while others wait.
BATCH = 256
AT_ONCE = 32
# Drops cleared in one go.
CLEARED_AT_ONCE = 20


@dataclass(frozen=True, kw_only=True)
class Sighted:
    """One drop's prefix as listed: its clinic and what lies below it, by name."""

    clinic: str
    prefix: str
    files: dict[str, Found]

    @property
    def version(self) -> tuple[str, str, datetime | None]:
        """What tells this drop from another one under the same prefix."""
        found = self.files.get(ORDER_NAME)
        return self.prefix, found.etag if found else "", found.modified_at if found else None

    @property
    def newest_at(self) -> datetime:
        return max(f.modified_at for f in self.files.values())


def look(parts: Parts, told: str, *, at_most: int | None = None) -> int:
    """Look where a notice on `drops.CHANNEL` says; returns how many drops became complete."""
    clinic = told.rstrip("/")
    if told == clinic:
        return scan(parts, f"{clinic}/", at_most=at_most)
    with parts.database.transaction() as connection:
        prefixes = drops.hinted(connection, clinic)
    return sum(scan(parts, prefix, at_most=at_most) for prefix in prefixes)


def scan(parts: Parts, under: str = "", *, at_most: int | None = None) -> int:
    """Look through the inbox, or what lies `under` a prefix of it; returns how many drops became complete.

    With `at_most`, so many drops of one clinic become complete now and its inbox is looked at again soon, so that a
    clinic that drops hundreds at once does not keep the others waiting.
    """
    if not under:
        return sum(scan(parts, clinic, at_most=at_most) for clinic in _clinics(parts))
    _, network = parts.network.current()
    completed: Counter[str] = Counter()
    left: set[str] = set()
    for sighted in _new(parts, _sighted(parts.s3, under)):
        if at_most is not None and completed[sighted.clinic] >= at_most:
            left.add(sighted.clinic)
            continue
        try:
            completed[sighted.clinic] += _look(parts, network, sighted)
        except Transient:
            raise
        except (NotAllowed, Absent) as error:
            log.info("drop_changed_meanwhile", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 -- one drop that we cannot look at must not stand before the others
            log.error("drop_not_looked_at", error=type(error).__name__)
    if left:
        _come_again(parts, left)
    return completed.total()


def _clinics(parts: Parts) -> Iterator[str]:
    """The prefixes of all clinics that have anything in the inbox; steps aside before each."""
    for found in parts.s3.listing("inbox", "", recursive=False):
        if found.key.endswith("/"):
            parts.step_aside()
            yield found.key


def _come_again(parts: Parts, clinics: Iterable[str]) -> None:
    with parts.database.transaction() as connection:
        for clinic in clinics:
            drops.look_again(connection, clinic)


def _new(parts: Parts, sighted: Iterator[Sighted]) -> Iterator[Sighted]:
    """Those that are not drops yet or still wait for files; one question to the database for many."""
    while batch := list(itertools.islice(sighted, BATCH)):
        with parts.database.transaction() as connection:
            passed = drops.passed(connection, [(*s.version, s.newest_at) for s in batch])
        yield from (s for s in batch if s.version not in passed)


def _sighted(s3: S3, prefix: str) -> Iterator[Sighted]:
    def home(found: Found) -> tuple[str, str]:
        clinic, _, rest = found.key.partition("/")
        return clinic, rest.partition("/")[0]

    for (clinic, name), group in itertools.groupby(s3.listing("inbox", prefix), key=home):
        start = f"{clinic}/{name}/"
        files = {f.key.removeprefix(start): f for f in group if f.key.startswith(start)}
        files = {k: v for k, v in files.items() if k and k not in NOTICES}
        if files:
            yield Sighted(clinic=clinic, prefix=start, files=files)


def _look(parts: Parts, network: Network, sighted: Sighted) -> bool:
    """Bring one drop's row up to date; True if the drop became complete."""
    found = sighted.files.get(ORDER_NAME)
    prefix, etag, order_at = sighted.version
    with parts.database.transaction() as connection:
        drop = drops.sight(
            connection,
            clinic=sighted.clinic,
            prefix=prefix,
            order_etag=etag,
            order_at=order_at,
            newest_at=sighted.newest_at,
        )
    if drop.state != "arriving":
        return False
    if sighted.clinic not in {c.id for c in network.clinics}:
        with parts.database.transaction() as connection:
            drops.set_aside(connection, drop.id, "unknown-clinic", "")
        return False
    if found is None:
        return _wait(parts, drop, [ORDER_NAME])
    order, wrong = read_order(parts.s3, sighted.prefix, found)
    if order is None:
        return _reject(parts, drop, "order-invalid", wrong)
    if wrong := tuple(unfit(order, network, drop.clinic)):
        return _reject(parts, drop, "order-incomplete", wrong)
    missing = [
        f.name for f in order.files if f.name not in sighted.files or sighted.files[f.name].size != f.size
    ]
    if missing:
        return _wait(parts, drop, missing)
    with parts.database.transaction() as connection:
        service = network.service(order.service)
        priority = network.priority(order.service, order.priority)
        drops.complete(connection, drop, family=service.family, priority=priority)
    log.info("drop_complete", drop=drop.id, clinic=drop.clinic, files=len(order.files))
    return True


def read_order(s3: S3, prefix: str, found: Found) -> tuple[Order | None, tuple[str, ...]]:
    """The order as listed, or None and what is wrong with it in words. Raises `Absent` if it was replaced."""
    if found.size > ORDER_SIZE_MAX:
        return None, (f"order.json has more than {ORDER_SIZE_MAX >> 20} MiB",)
    content = s3.get("inbox", f"{prefix}{ORDER_NAME}", etag=found.etag)
    return parse_order(content)


def parse_order(content: bytes) -> tuple[Order | None, tuple[str, ...]]:
    """The order that these bytes are, or None and what is wrong in words that repeat no value of it."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None, ("order.json is not JSON in UTF-8",)
    try:
        return Order.model_validate_json(json.dumps(value)), ()
    except ValidationError as error:
        return None, problems(error)


def _wait(parts: Parts, drop: Drop, missing: list[str]) -> bool:
    patience = timedelta(seconds=parts.limits.arrival_patience)
    if datetime.now(UTC) - drop.last_seen_at > patience:
        with parts.database.transaction() as connection:
            drops.reject(connection, drop.id, "files-missing", missing=missing)
        log.info(
            "drop_rejected", drop=drop.id, clinic=drop.clinic, code="files-missing", missing=len(missing)
        )
    elif drop.missing != missing:
        with parts.database.transaction() as connection:
            drops.show_missing(connection, drop.id, missing)
            # what came between the listing and now was no news yet: the store's events count for drops that are known
            drops.hint(connection, drop.clinic, drop.prefix)
    return False


def _reject(parts: Parts, drop: Drop, code: str, wrong: tuple[str, ...] = ()) -> bool:
    with parts.database.transaction() as connection:
        drops.reject(connection, drop.id, code, problems=wrong)
    log.info("drop_rejected", drop=drop.id, code=code, problems=len(wrong))
    return False


def clear(parts: Parts) -> int:
    """Write the notices of ended drops into the inbox and take received files out of it; returns how many drops."""
    with parts.database.transaction() as connection:
        ended = drops.uncleared(connection, CLEARED_AT_ONCE)
    for drop in ended:
        parts.step_aside()
        try:
            _clear_one(parts.database, parts.s3, drop)
        except Transient:
            raise
        except Exception as error:  # noqa: BLE001 -- as above: the others are cleared
            log.error("drop_not_cleared", drop=drop.id, error=type(error).__name__)
    return len(ended)


def _clear_one(database: Database, s3: S3, drop: Drop) -> None:
    notice = {"received": "receipt.json", "quarantined": "quarantined.json"}.get(drop.state, "rejected.json")
    content = drop.receipt if drop.state == "received" else _reason_notice(drop)
    s3.delete("inbox", [f"{drop.prefix}{name}" for name in NOTICES if name != notice])
    s3.replace(
        "inbox",
        f"{drop.prefix}{notice}",
        json.dumps(content, ensure_ascii=False).encode(),
        "application/json",
    )
    if drop.state == "received":
        _take_out(s3, drop)
    with database.transaction() as connection:
        drops.cleared(connection, drop.id)


def _take_out(s3: S3, drop: Drop) -> None:
    """Delete the files that the receipt names, unless the clinic has dropped another order here since."""
    try:
        order = s3.head("inbox", f"{drop.prefix}{ORDER_NAME}")
    except Absent:
        return
    if order.etag.strip('"') != drop.order_etag or drop.receipt is None:
        return
    received = {f"{drop.prefix}{f['name']}" for f in drop.receipt["files"]} | {f"{drop.prefix}{ORDER_NAME}"}
    # a file that came after the drop was complete belongs to the next one
    there = [f for f in s3.listing("inbox", drop.prefix) if f.modified_at <= drop.last_seen_at]
    s3.delete("inbox", [f.key for f in there if f.key in received])


def _reason_notice(drop: Drop) -> dict[str, object]:
    reason = REASONS[drop.reason_code or "order-invalid"]
    todo, todo_zh = HELD if drop.state == "quarantined" else (reason.back, reason.back_zh)
    return {
        "drop": drop.id,
        "reason": reason.code,
        "what": reason.what,
        "todo": todo,
        "what_zh": reason.what_zh,
        "todo_zh": todo_zh,
        "problems": drop.problems,
        "missing": drop.missing,
    }
