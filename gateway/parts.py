"""What a gateway process is made of, wired together by `teledx.bootstrap` and passed in."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from threading import BoundedSemaphore
from typing import Literal

from gateway.dicomweb.viewings import Viewings
from imaging.child import Child
from storage.database import Database
from storage.network import NetworkRows
from storage.s3 import MIB, S3

Side = Literal["region", "partner"]
# Pictures that are drawn or wait for it, each of up to 96 MiB: two for each child.
DRAWINGS = 4


def _pictures() -> Child:
    """Who draws pictures; started when the first one is asked for. `memory` is address space, libraries included."""
    return Child(workers=2, memory=2 << 30, preload=("imaging.dicom.rendered",))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The ports and settings of one gateway. `database` and `s3` are those of its side.

    `webhook_token` opens the store's event door (empty: closed), `metrics_token` closes `/metrics` to others.
    `ready_zone` is the bucket by which `/readyz` knows that the store answers. `viewing_key` signs grants to look at
    slides: processes that share it read each other's. `slide_memory`: bytes of slides that a process keeps. `child`
    decodes pictures, `drawings` of them at once; others wait `drawing_patience` seconds. `scratch`
    is the folder of instances on their way in, of `instance_max` bytes at most; `study_max` bounds one request that
    brings a study.
    """

    database: Database
    s3: S3
    network: NetworkRows
    is_workday: Callable[[date], bool]
    webhook_token: str = ""
    metrics_token: str = ""
    ready_zone: str = "inbox"
    reading_lease: timedelta = timedelta(minutes=30)
    upload_lifetime: timedelta = timedelta(hours=24)
    download_lifetime: timedelta = timedelta(minutes=15)
    part_size: int = 16 * MIB
    body_max: int = 32 * MIB
    study_max: int = 64 << 30
    instance_max: int = 4 << 30
    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    viewing_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    slide_memory: int = 256 * MIB
    viewings: Viewings = field(default_factory=Viewings)
    child: Child = field(default_factory=_pictures)
    drawings: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(DRAWINGS))
    drawing_patience: float = 5.0
