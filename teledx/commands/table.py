"""A command as a row: its words, the function behind it, whose door it speaks to, and examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

# Headings of `teledx --help`, in this order.
PANELS = ("Clinics", "Readers", "Operators", "Setting up", "Programs")
Panel = Literal["Clinics", "Readers", "Operators", "Setting up", "Programs"]


@dataclass(frozen=True, kw_only=True)
class Command:
    """`run(session, ...)` returns an exit code, or None for 0; its other parameters are the command's own.

    `signed_in`: it speaks to a gateway as a person, so it has `--token-file` and `--gateway`. `answers`: it prints
    an answer, so it has `--json`. `default` is the command of a group that needs no word of its own (`report CASE`).
    """

    words: str
    run: Callable[..., int | None]
    panel: Panel
    examples: tuple[str, ...]
    signed_in: bool = False
    answers: bool = True
    default: bool = False

    @property
    def group(self) -> str:
        """The first of two words, '' for a command of one word."""
        return self.words.rpartition(" ")[0]

    @property
    def name(self) -> str:
        return self.words.rpartition(" ")[2]
