"""What a command prints: one JSON value for machines, or lines and tables for people. Errors go to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from teledx.commands.faults import Said

if TYPE_CHECKING:
    from rich.console import Console

# Wide enough for every table where nobody looks: a pipe, a file.
WIDE = 200


def plain(value: object) -> str:
    """Text as a terminal may show it: what others typed cannot move its cursor or colour it."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in str("" if value is None else value))


class Out:
    """The two ways of answering. `answer` is called once by a command, with what there is to say."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def answer(self, value: Any, text: Callable[[Out], None] | str = "") -> None:
        """Print `value` as JSON, or call `text` (or print it), which says the same in words."""
        if self.as_json:
            json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=str)
            sys.stdout.write("\n")
        elif callable(text):
            text(self)
        else:
            self.line(text)

    def line(self, text: object = "") -> None:
        sys.stdout.write(plain(text) + "\n")

    def note(self, text: object) -> None:
        """Something for whoever looks on; it is no part of the answer and a script never sees it."""
        if not self.as_json:
            sys.stderr.write(plain(text) + "\n")

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Names and values, one line each; what is empty is left out."""
        shown = [(name, plain(value)) for name, value in pairs if value not in (None, "", (), [])]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self.line(f"{name.ljust(width)}  {value}")

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """A table; `empty` is said where there are no rows."""
        from rich.box import SIMPLE
        from rich.table import Table
        from rich.text import Text

        lines = [[Text(plain(cell)) for cell in row] for row in rows]
        if not lines:
            self.line(empty)
            return
        table = Table(*head, box=SIMPLE, pad_edge=False, header_style="bold")
        for line in lines:
            table.add_row(*line)
        console().print(table)

    def error(self, error: Said) -> None:
        """Say an error: as JSON in the gateway's own shape, or a sentence, the problems and what to do."""
        if self.as_json:
            shape: dict[str, Any] = {
                "error": {"code": error.code, "message": error.message, "todo": error.todo}
            }
            if error.problems:
                shape["problems"] = list(error.problems)
            sys.stderr.write(json.dumps(shape, ensure_ascii=False) + "\n")
            return
        lines = [error.message, *(f"  - {problem}" for problem in error.problems), error.todo]
        sys.stderr.write("".join(f"{plain(line)}\n" for line in lines if line))


def console(stream: TextIO | None = None) -> Console:
    """rich's console on standard output (or `stream`), as wide as the terminal, or wide where there is none."""
    from rich.console import Console

    target = stream or sys.stdout
    return Console(
        file=target, width=None if target.isatty() else WIDE, highlight=False, markup=False, emoji=False
    )
