"""A supervisor in a process of its own, to be interrupted or killed: three sleepers, one deaf with a deaf child, and
PostgreSQL. Writes the word `ready` when all are."""

import sys
from pathlib import Path
from typing import Any

from teledx.embedded.postgres import postgres
from teledx.program import Program
from teledx.supervisor import Supervisor, signals_interrupt

folder = Path(sys.argv[1])
sleeper = (sys.executable, str(Path(__file__).with_name("sleeper.py")))


def sleeping(name: str, *arguments: str, **more: Any) -> Program:
    ready = folder / name
    return Program(name=name, argv=(*sleeper, "--ready", str(ready), *arguments), ready=ready.exists, **more)


programs = [
    sleeping("plain"),
    sleeping("parent", "--child", after=("plain",)),
    sleeping("deaf", "--deaf", "--child", stop_seconds=0.5),
    postgres(folder / "postgres").program,
]
try:
    with signals_interrupt(), Supervisor(programs, logs=folder / "log") as supervisor:
        supervisor.wait_ready(60)
        print("ready", flush=True)
        supervisor.wait(tied_to_parent="--tied" in sys.argv)
except KeyboardInterrupt:
    sys.exit(130)
