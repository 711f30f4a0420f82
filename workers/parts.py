"""What a worker process is made of, wired together by `teledx.bootstrap` and passed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from cases.network import Network
from cases.order import Order
from cases.ports import Progress, Vault
from imaging.slides.convert import Conversion
from storage.cases import Case
from storage.database import Database
from storage.network import NetworkRows
from storage.objects import RunObjects
from storage.runs import Run
from storage.s3 import S3, go_on
from workers.child import Child


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Seconds and counts by which a worker is held; tests shorten them."""

    lease: float = 60.0
    heartbeat: float = 10.0
    slice: float = 300.0
    lost_attempts: int = 3
    transient_delay: float = 2.0
    transient_delay_max: float = 300.0
    arrival_patience: float = 1800.0
    study_quiet: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The ports and settings that stages run on."""

    database: Database
    s3: S3
    vault: Vault
    network: NetworkRows
    child: Child
    is_workday: Callable[[date], bool]
    scratch: Path
    limits: Limits = Limits()
    conversion: Conversion = field(default_factory=Conversion)
    step_aside: Callable[[], None] = go_on


@dataclass(frozen=True, kw_only=True)
class Work:
    """The frozen value that a stage takes: its run, its case, and what the stages before it found.

    `facts` holds what only this stage needs (`workers.facts`); `now` is the database's clock.
    """

    run: Run
    case: Case
    order: Order
    documents: Mapping[str, Any]
    network: Network
    facts: Any
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a stage may touch: the store, the vault, a killable child, its own scratch folder, and its progress."""

    objects: RunObjects
    vault: Vault
    child: Child
    progress: Progress
    scratch: Path
    is_workday: Callable[[date], bool]
    conversion: Conversion


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A slice of long work ended with work left: the run waits for its next slice, and no attempt is counted."""

    why: str = "slice ended"
