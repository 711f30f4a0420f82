"""`deid`: de-identifying a CT series beside plain copying, pydicom and other tools; and what each leaves behind.

Each figure is a process of its own over the same files; the tools take turns, round after round, and the median
counts. The other tools stand in an environment made from `bench/peers.lock` for the measurement, which goes with it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench import page
from bench.canaries import canary_file, leaks
from bench.drops import AT
from bench.sizes import Size
from imaging.deid.elements import dictionary_vr
from imaging.deid.profiles import table
from teledx.samples import orders, studies

ROOT = Path(__file__).parents[1]
LOCK, TOOLS = ROOT / "bench" / "peers.lock", ROOT / "bench" / "deid_tools.py"
MEMORY = Path("/dev/shm")
LIMIT_SECONDS = 900

# name in `deid_tools` | what stands on the page | installed from peers.lock | looked through for canaries
ROWS: tuple[tuple[str, str, str, bool], ...] = (
    ("copy", "plain copy", "", False),
    ("pydicom", "pydicom, read and write", "", True),
    ("first_pass", "**teledx, first pass**", "", True),
    ("both_passes", "**teledx, both passes**", "", True),
    ("command_1", "`teledx deid --jobs 1`", "", False),
    ("command_2", "`teledx deid --jobs 2`", "", False),
    ("dicognito", "dicognito", "dicognito", True),
    ("dicom_anonymizer", "dicom-anonymizer", "dicom-anonymizer", True),
    ("deid", "deid with a rule for each row of the table", "deid", True),
    ("dcmanon", "dcmanon", "dcmanon", True),
)
LARGE = ("copy", "pydicom", "first_pass", "both_passes")


@dataclass(frozen=True, kw_only=True)
class Series:
    """Files of one size, one beside them to warm up with, and what they weigh."""

    folder: Path
    warm: Path
    count: int
    size: int


class Took(NamedTuple):
    """Seconds by the clock, and of CPU in the process itself."""

    clock: float
    cpu: float


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run works; `peers` is the interpreter that has the other tools, or why there is none."""

    folder: Path
    recipe: Path
    peers: Path | str

    def timed(self, tool: str, series: Series, peer: bool) -> Took | str:
        """Seconds of one process over a series, or why it came to no end."""
        if peer and isinstance(self.peers, str):
            return self.peers
        with tempfile.TemporaryDirectory(dir=self.folder) as dest:
            return self.once(tool, series.folder, Path(dest), series.warm, peer)

    def once(self, tool: str, source: Path, dest: Path, warm: Path, peer: bool) -> Took | str:
        """As `timed`, and what came out stays in `dest`."""
        python = str(self.peers) if peer else sys.executable
        environment = {**os.environ, "PYTHONPATH": "" if peer else str(ROOT), "PYTHONWARNINGS": "ignore"}
        made = subprocess.run(
            [python, "-P", str(TOOLS), tool, str(source), str(dest), str(warm), str(self.recipe)],
            capture_output=True, text=True, env=environment, cwd=self.folder, timeout=LIMIT_SECONDS,
        )  # fmt: skip
        if made.returncode == 0:
            return Took(*(float(figure) for figure in made.stdout.split()[-2:]))
        return f"failed: {(made.stderr.strip().splitlines() or ['no message'])[-1][:120]}"


def run(size: Size) -> str:
    """Both tables of the page."""
    home = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-deid-", dir=home) as made:
        folder = Path(made)
        recipe = folder / "recipe.deid"
        recipe.write_text(full_recipe(), encoding="utf-8")
        place = Place(folder=folder, recipe=recipe, peers=_peers(folder / "peers"))
        small = _series(folder / "small", size.slices, size.rows)
        load = page.load_now()
        plain = _rounds(place, small, [(tool, bool(peer)) for tool, _, peer, _ in ROWS], size.rounds)
        table_of_tools = _beside_peers(place, small, plain)
        large = _series(folder / "large", max(size.slices // 10, 2), size.rows * 4)
        grown = _rounds(place, large, [(tool, False) for tool in LARGE], size.rounds)
        return f"{table_of_tools}\n{_growth(small, large, plain, grown)}\nLoad of the machine before: {load:.1f}.\n"


def full_recipe() -> str:
    """The basic column of the table in deid's language: one rule for each attribute."""
    lines = ["FORMAT dicom", "", "%header", ""]
    for row in table():
        if len(row.tag) != 8 or "x" in row.tag:
            continue
        code, vr = row.actions["basic"], dictionary_vr(int(row.tag, 16))
        if code == "U":
            lines.append(f"REPLACE {row.tag} deid_func:pydicom_uuid")
        elif code == "D" and vr in ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"):
            lines.append(f"REPLACE {row.tag} REMOVED")
        elif code == "Z" or code == "D":
            lines.append(f"{'REMOVE' if vr == 'SQ' else 'BLANK'} {row.tag}")
        else:
            lines.append(f"REMOVE {row.tag}")
    return "\n".join(lines) + "\n"


def _peers(folder: Path) -> Path | str:
    """An environment of exactly what `peers.lock` names, by hash; or why there is none."""
    python = folder / "bin" / "python"
    environment = dict(os.environ)
    if index := environment.get("PIP_INDEX_URL"):
        environment.setdefault("UV_DEFAULT_INDEX", index)
    uv = [sys.executable, "-m", "uv", "--quiet"]
    install = [
        "pip",
        "install",
        "--python",
        str(python),
        "--no-deps",
        "--require-hashes",
        "--requirement",
        str(LOCK),
    ]
    for command in (["venv", "--python", sys.executable, str(folder)], install):
        done = subprocess.run([*uv, *command], capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            return "could not be installed"
    return python


def _series(folder: Path, slices: int, rows: int) -> Series:
    """`slices` axial images of one patient, and one of another patient."""
    folder.mkdir()
    for name, content in studies.ct_series(orders.PATIENTS[0], slices, station="CT1", at=AT, rows=rows):
        (folder / Path(name).name).write_bytes(content)
    warm = folder.with_suffix(".warm")
    warm.write_bytes(next(studies.ct_series(orders.PATIENTS[1], 1, station="CT2", at=AT, rows=rows))[1])
    files = list(folder.iterdir())
    return Series(folder=folder, warm=warm, count=len(files), size=sum(f.stat().st_size for f in files))


def _rounds(
    place: Place, series: Series, tools: Sequence[tuple[str, bool]], repeat: int
) -> Mapping[str, list[Took] | str]:
    """What each tool took, round by round; the tools take turns. What fails once counts as failed."""
    found: dict[str, list[Took] | str] = {tool: [] for tool, _ in tools}
    for _ in range(repeat):
        for tool, peer in tools:
            before = found[tool]
            if isinstance(before, str):
                continue
            took = place.timed(tool, series, peer)
            found[tool] = took if isinstance(took, str) else [*before, took]
    return found


def _beside_peers(place: Place, series: Series, rounds: Mapping[str, list[Took] | str]) -> str:
    canaries = place.folder / "canaries"
    canaries.mkdir()
    count = canary_file(canaries / "canary.dcm")
    lines: list[list[object]] = []
    base = rounds["pydicom"]
    assert not isinstance(base, str), "pydicom reads what it wrote"
    for tool, said, peer, looked in ROWS:
        took = rounds[tool]
        said = f"{said}, {_version(peer)}" if peer else said
        if isinstance(took, str):
            lines.append([said, took, *["-"] * 6])
            continue
        clock = statistics.median(t.clock for t in took)
        cpu = statistics.median(t.cpu for t in took) / series.count * 1000
        ratios = [
            statistics.median(mine[n] / theirs[n] for mine, theirs in zip(took, base, strict=True))
            for n in (0, 1)
        ]
        alone = not tool.startswith("command")  # whose work other processes do
        left = _leaks_of(place, tool, bool(peer), canaries, series.warm) if looked else ("", "")
        lines.append([
            said, f"{series.count / clock:.0f}", f"{series.size / clock / 1e6:.0f}", f"{ratios[0]:.2f}",
            f"{cpu:.2f}" if alone else "", f"{ratios[1]:.2f}" if alone else "", *left,
        ])  # fmt: skip
    head = [
        "", "instances/s", "MB/s", "of pydicom's time", "CPU ms an instance", "of pydicom's CPU",
        f"leaks of {count}", "nested",
    ]  # fmt: skip
    return f"{series.count} instances, {series.size / 1e6:.0f} MB.\n\n{page.table(head, lines)}"


def _leaks_of(place: Place, tool: str, peer: bool, source: Path, warm: Path) -> tuple[object, object]:
    with tempfile.TemporaryDirectory(dir=place.folder) as dest:
        took = place.once(tool, source, Path(dest), warm, peer)
        return (took, "-") if isinstance(took, str) else leaks(Path(dest) / "canary.dcm")


def _version(package: str) -> str:
    """The version that peers.lock pins."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith(f"{package}=="))


def _growth(
    small: Series,
    large: Series,
    plain: Mapping[str, list[Took] | str],
    grown: Mapping[str, list[Took] | str],
) -> str:
    """CPU milliseconds an instance of both sizes, and what each megabyte more costs."""
    names = {tool: said for tool, said, _, _ in ROWS}

    def cpu(rounds: Mapping[str, list[Took] | str], tool: str, series: Series) -> float:
        took = rounds[tool]
        assert not isinstance(took, str), f"{tool} came to its end"
        return statistics.median(t.cpu for t in took) / series.count * 1000

    weights = [series.size / series.count / 1e6 for series in (small, large)]
    lines = []
    for tool in LARGE:
        here, there = cpu(plain, tool, small), cpu(grown, tool, large)
        a_megabyte = (there - here) / (weights[1] - weights[0])
        lines.append([names[tool], f"{here:.2f}", f"{there:.2f}", f"{a_megabyte:.2f}"])
    return page.table(["CPU ms an instance", *(f"{w:.1f} MB" for w in weights), "a MB more"], lines)
