"""What became of a file, as it is told: loads nothing, for whoever only passes it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["clean", "withheld", "left-out"]


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What became of one file. `name` is the source's path and may carry identity: the report is its owner's.

    `named` is where the clean file stands below the destination. `reasons` are (code, detail) without identity.
    A slide of several files has one report, by the file that opens it: `size` and `sha256` are of all its files one
    after the other, its own folder's in the order of their names behind the settings.
    `converted` says by what the file was converted before, if it had to be.
    """

    name: str
    verdict: Verdict
    format: str = ""
    named: str = ""
    size: int = 0
    sha256: str = ""
    reasons: tuple[tuple[str, str], ...] = ()
    actions: Mapping[str, int] = field(default_factory=dict)
    converted: str = ""

    def as_json(self) -> dict[str, Any]:
        """The report's own fields, for a JSON file."""
        return asdict(self)
