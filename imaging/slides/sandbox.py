"""Running a foreign program on a file: in a cell (`cell.py`), limited in time, memory and disk, and killed whole."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CELL = Path(__file__).with_name("cell.py")
# How often time and disk are looked at.
LOOK_SECONDS = 0.2
# For how long the kernel may take to end what was killed.
END_SECONDS = 30.0
# Looks empty in every cell: secrets stand there, and sockets of other programs.
HIDDEN = (Path("/run"),)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`seconds` by the clock and of processor time; `memory` of each process and `disk` of all files, in bytes."""

    seconds: float = 1800.0
    memory: int = 8 << 30
    disk: int = 64 << 30


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended: by itself with `code`, or killed for `why`. `closed`: it had no network."""

    code: int
    closed: bool
    why: Literal["", "time", "disk"] = ""


def run(command: tuple[str, ...], folder: Path, limits: Limits, hidden: tuple[Path, ...] = ()) -> Ended:
    """Run `command` with `folder` as its place; its output goes nowhere, because it may name a patient.

    :param command: the program's absolute path and its arguments.
    :param hidden: folders and files that look empty to it, where the kernel can do that.
    """
    told = {
        "command": list(command),
        "folder": str(folder),
        "hidden": [
            str(path.resolve())
            for path in (*HIDDEN, *hidden)
            if path.exists() and not folder.resolve().is_relative_to(path.resolve())
        ],
        "cpu": max(1, int(limits.seconds) * (os.cpu_count() or 1)),
        "memory": limits.memory,
        "file": limits.disk,
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(CELL), json.dumps(told)],
        cwd=folder,
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None, "a pipe was asked for"
        closed = process.stdout.readline() == b"closed\n"
        why = _watch(process, folder, limits)
    finally:
        _end(process)
    return Ended(code=process.returncode, closed=closed, why=why)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the cell kill all that runs in it, and wait for that; then whatever is left of its process group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _watch(process: subprocess.Popen[bytes], folder: Path, limits: Limits) -> Literal["", "time", "disk"]:
    """Wait until it ends or must be killed, and say why it must."""
    until = time.monotonic() + limits.seconds
    while True:
        try:
            process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        else:
            return "disk" if _size(folder) > limits.disk else ""
        if _size(folder) > limits.disk:
            return "disk"
        if time.monotonic() > until:
            return "time"


def _size(folder: Path) -> int:
    """The bytes that a folder's files take; what goes away meanwhile takes none."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(where, name).lstat().st_blocks * 512
    return total
