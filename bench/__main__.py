"""`script/bench [NAME...]`: run the benchmarks named, or all, and write their tables into docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import time

from bench import page
from bench.sizes import FULL, TINY, Size
from bench.table import BENCHMARKS
from teledx import bootstrap
from teledx.settings import Settings
from teledx.supervisor import signals_interrupt


def main(arguments: list[str]) -> int:
    """Measure; the exit code is 0 if every benchmark came to its end."""
    listed = "\n".join(f"  {b.name:<10} {b.what}" for b in BENCHMARKS.values())
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description=__doc__,
        epilog=listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all unless named")
    parser.add_argument(
        "--tiny", action="store_true", help="the smallest sizes, to see that it runs; implies --print"
    )
    parser.add_argument(
        "--print", action="store_true", dest="only_print", help="show the tables, leave the page alone"
    )
    told = parser.parse_args(arguments)
    unknown = [name for name in told.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    bootstrap.logging_to_stderr(Settings(log_level="error"))
    size = TINY if told.tiny else FULL
    with signals_interrupt():
        for name in told.names or BENCHMARKS:
            _measure(name, size, keep=not (told.tiny or told.only_print))
    return 0


def _measure(name: str, size: Size, *, keep: bool) -> None:
    began = time.monotonic()
    content = BENCHMARKS[name].run(size)
    print(f"{name}, {time.monotonic() - began:.0f} s\n\n{content}", flush=True)
    if keep:
        page.write(name, content)
        page.write("machine", page.machine())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
