"""Errors of the shell: what is not set up, said to the person who sets it up."""

from __future__ import annotations

from collections.abc import Sequence

from cases.errors import TeledxError


class NotConfigured(TeledxError):
    """Settings that this command needs and that are empty."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"not set: {', '.join(names)}; see docs/operations.md")
