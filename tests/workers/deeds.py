"""What the killable child is told to do in tests: it crosses the process border by name."""

import os
import signal
import time


def add(one: int, other: int) -> int:
    return one + other


def never_return() -> None:
    while True:
        time.sleep(1)


def want_memory() -> int:
    return len(bytearray(8 << 30))


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def be_stopped() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
