"""The files of `teledx deid`: each is treated in a child that is killed if it takes too long or too much memory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.progress import bar
from teledx.commands.uploads import at_once

if TYPE_CHECKING:
    from cases.order import Patient
    from imaging.deid.folder import FileReport, Run
    from imaging.slides.convert import Conversion, Converter
    from workers.child import Child

FILE_SECONDS = 600.0
CHILD_MODULE = "teledx.commands.deid_child"


def found(source: Path, dest: Path) -> list[Path]:
    """Every file of the source; links are not followed. Raises `Stop` if the destination is no place of its own."""
    here, there = source.resolve(), dest.resolve()
    if there == here or there.is_relative_to(here) or here.is_relative_to(there):
        raise Stop(Exit.USAGE, "Source and destination lie in each other.", "Name a folder elsewhere.")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise Stop(
            Exit.USAGE, f"{dest} is not an empty folder.", "Name a new one: nothing is ever overwritten."
        )
    below = (path for path in sorted(source.rglob("*")) if path.is_file() and not path.is_symlink())
    files = [source] if source.is_file() else list(below)
    if not files:
        raise Stop(Exit.USAGE, f"There is no file in {source}.", "Name the folder of the images.")
    return files


@dataclass(frozen=True)
class Told:
    """What is asked for: `source` into `dest`, `jobs` files at once; all of `patient`, if there is one."""

    source: Path
    dest: Path
    run: Run
    patient: Patient | None
    conversion: Conversion
    jobs: int

    @property
    def root(self) -> Path:
        """The folder below which the source's files have their names."""
        return self.source if self.source.is_dir() else self.source.parent


def treated(files: Sequence[Path], told: Told, *, quiet: bool) -> list[FileReport]:
    """A report for each file, in order. Files become in a folder beside the destination, and move in once proved."""
    from workers.child import Child

    told.dest.mkdir(parents=True, exist_ok=True)
    sizes = [file.stat().st_size for file in files]
    child = Child(workers=told.jobs, preload=(CHILD_MODULE,))
    with (
        closing(child),
        tempfile.TemporaryDirectory(prefix=f".{told.dest.name}.", dir=told.dest.resolve().parent) as beside,
        bar("De-identifying", sum(sizes), quiet=quiet) as advance,
        at_once(told.jobs) as pool,
    ):
        reports = []
        for size, report in zip(sizes, pool.map(_Treatment(told, child, Path(beside)), files), strict=True):
            reports.append(report)
            advance(size)
        return reports


@dataclass(frozen=True)
class _Treatment:
    """How each file is treated; `beside` is the folder in which it becomes."""

    told: Told
    child: Child
    beside: Path

    def __call__(self, file: Path) -> FileReport:
        from cases.errors import Quarantine
        from imaging.deid.folder import FileReport

        root = self.told.root
        name = str(file.relative_to(root))
        try:
            converter = self.told.conversion.of(file)
            return self._converted(file, name, converter) if converter else self._one(file, root)
        except Quarantine as why:
            return FileReport(name=name, verdict="withheld", reasons=((why.code, why.detail),))

    def _one(self, file: Path, root: Path) -> FileReport:
        from teledx.commands.deid_child import one

        told = self.told
        where = (file, root, told.dest, self.beside)
        report: FileReport = self.child.run_for(FILE_SECONDS, one, *where, told.run, told.patient)
        return report

    def _converted(self, file: Path, name: str, converter: Converter) -> FileReport:
        """What became of the slide that the converter makes of `file`."""
        from imaging.slides.convert import check_made, converted

        told = self.told.conversion
        folder = self.beside / f"converted-{hashlib.sha256(os.fsencode(name)).hexdigest()}"
        with converted(file, folder, converter, told.limits, told.hidden) as made:
            self.child.run_for(FILE_SECONDS, check_made, made.path, file, converter.code)
            renamed = folder / "named" / f"{name}{made.path.suffix}"
            renamed.parent.mkdir(parents=True)
            made.path.rename(renamed)
            report = self._one(renamed, folder / "named")
        return replace(report, name=name, converted=f"{converter.code} by {made.by}")
