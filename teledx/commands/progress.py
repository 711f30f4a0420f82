"""Progress bars on standard error, for people at a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]


@contextmanager
def bar(words: str, total: int, *, quiet: bool) -> Iterator[Advance]:
    """A bar of `total` bytes; what is yielded moves it on and may be called from any thread."""
    if quiet or not sys.stderr.isatty():
        yield lambda _bytes: None
        return
    from rich import progress

    from teledx.commands.output import console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console(sys.stderr)) as shown:
        line = shown.add_task(words, total=total)
        yield lambda count: shown.advance(line, count)
