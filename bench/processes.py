"""What programs take from the machine, read from /proc (Linux, proc(5)): CPU seconds and resident memory of a tree."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class _Stat:
    """One process: parent, and CPU ticks of itself and of the children that it has waited for."""

    parent: int
    ticks: int


def _stats() -> dict[int, _Stat]:
    found = {}
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # after the command in brackets: state, ppid, ..., utime is field 14, cstime field 17
            rest = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(folder.name)] = _Stat(parent=int(rest[1]), ticks=sum(map(int, rest[11:15])))
    return found


def _tree(root: int, stats: dict[int, _Stat]) -> list[int]:
    members = [root]
    for pid in members:
        members += [p for p, s in stats.items() if s.parent == pid]
    return members


def cpu_seconds(root: int) -> float:
    """CPU that the process and all its descendants have used so far."""
    stats = _stats()
    return sum(stats[p].ticks for p in _tree(root, stats) if p in stats) / TICKS


def peak_bytes(pid: int) -> int:
    """The largest resident set that the process ever had (VmHWM); 0 if it is gone."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
    return int(kilobytes) * 1024


@dataclass
class MemoryWatch:
    """Between enter and exit looks at a program four times a second; `own` and `child` are peaks in bytes.

    The peak is the kernel's own, so nothing is missed between two looks but a child that lives shorter than that.
    """

    root: int
    child: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def own(self) -> int:
        return peak_bytes(self.root)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            children = _tree(self.root, _stats())[1:]
            self.child = max([self.child, *map(peak_bytes, children)])
            if self._stop.wait(0.25):
                return
