"""`teledx doctor`: look at everything that this process is told to use, and say what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from teledx.commands.exits import Exit
from teledx.commands.output import Out
from teledx.commands.session import Session
from teledx.commands.table import Command

if TYPE_CHECKING:
    from teledx.commands.checks.finding import Finding


def doctor(
    session: Session,
    deep: Annotated[bool, typer.Option("--deep", help="Also write to the store and delete again.")] = False,
) -> int:
    """Look at every setting and server that this process is told to use: what is wrong, and what to do.

    Run it with a program's own environment, for that program's rights. What is not set up is skipped and said. Exit
    code 1 if anything is wrong; a warning alone is 0.
    """
    from teledx.commands.checks.table import all_of

    findings = all_of(session.settings, deep=deep)
    value = {"findings": [f.as_json() for f in findings]}
    session.out.answer(value, lambda out: _show(out, findings))
    return Exit.FAILED if any(f.standing == "wrong" for f in findings) else Exit.OK


def _show(out: Out, findings: Sequence[Finding]) -> None:
    out.table(
        ("", "what", "found", "what to do"),
        [(f.standing, f.what, f.said, f.todo) for f in findings],
        empty="",
    )


COMMANDS = (
    Command(
        words="doctor",
        run=doctor,
        panel="Operators",
        examples=("teledx doctor", "teledx doctor --deep --json"),
    ),
)
