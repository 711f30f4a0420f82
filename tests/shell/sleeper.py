"""A program to be supervised: says that it is ready by a file, has a child, and obeys SIGTERM (or does not)."""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--ready", type=Path)
parser.add_argument("--diary", type=Path)
parser.add_argument("--name", default="sleeper")
parser.add_argument("--deaf", action="store_true")
parser.add_argument("--child", action="store_true")
parser.add_argument("--exit", type=int)
options = parser.parse_args()


def write(word: str) -> None:
    if options.diary:
        with options.diary.open("a") as diary:
            diary.write(f"{word} {options.name}\n")


def obey(_number: int, _frame: object) -> None:
    write("stop")
    sys.exit(0)


signal.signal(signal.SIGTERM, signal.SIG_IGN if options.deaf else obey)
if options.exit is not None:
    sys.exit(options.exit)
if options.child:
    subprocess.Popen(
        [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]
    )
write("start")
print("a line of output", flush=True)
if options.ready:
    options.ready.touch()
while True:
    time.sleep(600)
