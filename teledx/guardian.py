"""Ends what a supervisor leaves behind when it dies without a word (kill -9, out of memory).

Run by path with `python -I -S`. It reads its standard input, which only the supervisor holds open:
`+GROUP SECONDS` names a process group to end, `-GROUP` one that has ended. At end of input the supervisor is gone:
the kernel has by then asked every program to stop (`launch.py`), so each group is given its seconds and then killed.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

PAUSE_SECONDS = 0.05


def groups_left(lines: Iterable[str]) -> dict[int, float]:
    """Process groups still alive at the end of `lines`, with the seconds that each may take to stop."""
    groups: dict[int, float] = {}
    for line in lines:
        words = line.split()
        group = int(words[0][1:])
        if words[0][0] == "+":
            groups[group] = float(words[1])
        else:
            groups.pop(group, None)
    return groups


def is_alive(pid: int) -> bool:
    """Whether the process exists; a zombie that nobody has collected does not count."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 -- pathlib would double our start-up time
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(groups: dict[int, float]) -> None:
    """Wait for the groups' leaders to stop, each for its seconds, then kill what is left of each group."""
    started = time.monotonic()
    while groups:
        for leader, seconds in list(groups.items()):
            if not is_alive(leader) or time.monotonic() - started > seconds:
                del groups[leader]
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(leader, signal.SIGKILL)
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end(groups_left(sys.stdin))
