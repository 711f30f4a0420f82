"""Ends what a supervisor leaves behind when it dies without a word (kill -9, out of memory).

Run by path with `python -I -S`. It reads its standard input, which only the supervisor holds open:
`+GROUP SECONDS` names a process group to end, `-GROUP` one that has ended. At end of input the supervisor is gone:
the kernel has by then asked every program to stop (`launch.py`), so each group is given its seconds and then killed.
"""

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


def is_alive(group: int) -> bool:
    """Whether any process of the group exists."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end(groups: dict[int, float]) -> None:
    """Wait for the groups to stop, each for its seconds, and kill what has not."""
    started = time.monotonic()
    while groups:
        for group, seconds in list(groups.items()):
            if not is_alive(group):
                del groups[group]
            elif time.monotonic() - started > seconds:
                os.killpg(group, signal.SIGKILL)
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end(groups_left(sys.stdin))
