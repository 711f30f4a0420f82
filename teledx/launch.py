"""Becomes another program, after what can only be done from inside the new process.

Run by path with `python -I -S`, so it imports nothing of the project and costs some 15 ms:
`launch.py PARENT DEATH_SIGNAL NICE UID GID PROGRAM ARGUMENT...` (UID and GID -1: stay who we are).

The order matters: the kernel forgets the death signal when the identity changes (prctl(2), PR_SET_PDEATHSIG), and
Python ignores SIGPIPE, which would be handed on through exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def become(parent: int, death_signal: int, nice: int, uid: int, gid: int, argv: list[str]) -> None:
    """Replace this process by `argv`. Returns only by raising OSError."""
    if nice:
        os.nice(nice)
    if uid >= 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl PR_SET_PDEATHSIG")
    if os.getppid() != parent:  # it died before the kernel knew that we care
        sys.exit(1)
    os.execvp(argv[0], argv)  # noqa: S606 -- that is the point


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:6]]
    become(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], sys.argv[6:])
