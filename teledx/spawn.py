"""Starting a program tied to us, and ending it with everything that it started."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from teledx.program import Program

LAUNCH = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.05
DYING_SECONDS = 10.0


def spawn(program: Program, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """The running program, leader of a process group of its own; it ends with the calling thread (`launch.py`).

    Its output goes to `output`, or into the pipe `stdout` where the program has a `log_line`.
    """
    account = program.account
    who = (str(account.uid), str(account.gid)) if account else ("-1", "-1")
    launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(program.stop_signal))]
    return subprocess.Popen(
        [*launch, str(program.nice), *who, *program.argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if program.log_line else output,
        stderr=subprocess.STDOUT,
        cwd=program.cwd,
        env={**os.environ, **program.env},
        process_group=0,
    )


def end(process: subprocess.Popen[bytes], program: Program, hurry: threading.Event) -> bool:
    """Ask it to stop, wait, then kill whatever its group still holds; False if it did not stop by itself in time."""
    obeyed = True
    if process.poll() is None:
        process.send_signal(program.stop_signal)
        deadline = time.monotonic() + program.stop_seconds
        while process.poll() is None and time.monotonic() < deadline:
            if hurry.wait(POLL_SECONDS):
                break
        obeyed = process.poll() is not None
    kill(process)
    return obeyed


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the whole process group; returns when nothing of it runs: what does still holds its memory and ports.

    A member that the kernel cannot end at once (it waits for a disk) is waited for `DYING_SECONDS`.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + DYING_SECONDS
    while _has_members(process.pid) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _has_members(group: int) -> bool:
    """Whether a process of the group runs; one that waits to be reaped does not (proc(5), fields 3 and 5 of stat)."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, members_of = file.read_text().rpartition(")")[2].split()[:3]
            if int(members_of) == group and state != "Z":
                return True
    return False


def how_it_ended(code: int) -> str:
    """A return code in words: `exit code 3`, `signal SIGKILL`."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
