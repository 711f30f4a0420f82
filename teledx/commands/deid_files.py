"""The files of `teledx deid`: each is treated in a child that is killed if it takes too long or too much memory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.progress import bar
from teledx.commands.uploads import at_once

if TYPE_CHECKING:
    from cases.order import Order
    from imaging.deid.report import FileReport
    from imaging.slides.convert import Conversion, Converter
    from workers.child import Child

FILE_SECONDS = 600.0
# Loaded once, by the server that forks the children, while this process loads nothing that treats images.
_PRELOADED = ("teledx.cli", "teledx.commands.deid_child")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How files are to be de-identified (`imaging.deid.folder.Run`), and the order whose patient's they must be."""

    secret: bytes = field(repr=False)
    clinic: str
    profile: str
    keep_names: bool
    order: Order | None


def found(source: Path, dest: Path) -> list[Path]:
    """Every file of the source (`files_below`). Raises `Stop` if the destination is no place of its own."""
    here, there = source.resolve(), dest.resolve()
    if there == here or there.is_relative_to(here) or here.is_relative_to(there):
        raise Stop(Exit.USAGE, "Source and destination lie in each other.", "Name a folder elsewhere.")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise Stop(
            Exit.USAGE, f"{dest} is not an empty folder.", "Name a new one: nothing is ever overwritten."
        )
    from imaging.slides.mirax_settings import files_below

    files = [source] if source.is_file() else files_below(source)
    if not files:
        raise Stop(Exit.USAGE, f"There is no file in {source}.", "Name the folder of the images.")
    return files


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is asked for: `source` into `dest`, `jobs` files at once, and which slides are converted before."""

    source: Path
    dest: Path
    asked: Asked
    conversion: Conversion | None
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
    with (
        closing(Child(workers=told.jobs, preload=_PRELOADED)) as child,
        tempfile.TemporaryDirectory(prefix=f".{told.dest.name}.", dir=told.dest.resolve().parent) as beside,
        bar("De-identifying", sum(sizes), quiet=quiet) as advance,
        at_once(told.jobs) as pool,
    ):
        reports = []
        for size, report in zip(sizes, pool.map(_Treatment(told, child, Path(beside)), files), strict=True):
            reports.append(report)
            advance(size)
        return reports


def one(file: Path, root: Path, dest: Path, beside: Path, asked: Asked) -> FileReport:
    """In the child: what became of one file."""
    from teledx.commands.deid_child import treat

    return treat(file, root, dest, beside, asked)


@dataclass(frozen=True)
class _Treatment:
    """How each file is treated; `beside` is the folder in which it becomes."""

    told: Told
    child: Child
    beside: Path

    def __call__(self, file: Path) -> FileReport:
        from cases.errors import Quarantine
        from imaging.deid.report import FileReport

        conversion, root = self.told.conversion, self.told.root
        name = str(file.relative_to(root))
        try:
            converter = conversion.of(file) if conversion else None
            if conversion and converter:
                return self._converted(file, name, conversion, converter)
            return self._one(file, root)
        except Quarantine as why:
            return FileReport(name=name, verdict="withheld", reasons=((why.code, why.detail),))
        except Exception as error:  # noqa: BLE001 - one file never costs the others' report; its text may quote a value
            return FileReport(name=name, verdict="withheld", reasons=(("defect", type(error).__name__),))

    def _one(self, file: Path, root: Path) -> FileReport:
        where = (file, root, self.told.dest, self.beside)
        return self.child.run_for(FILE_SECONDS, one, *where, self.told.asked)

    def _converted(self, file: Path, name: str, conversion: Conversion, converter: Converter) -> FileReport:
        """What became of the slide that the converter makes of `file`."""
        from imaging.slides.convert import check_made, converted

        folder = self.beside / f"converted-{hashlib.sha256(os.fsencode(name)).hexdigest()}"
        with converted(file, folder, converter, conversion.limits, conversion.hidden) as made:
            self.child.run_for(FILE_SECONDS, check_made, made.path, file, converter.code)
            renamed = folder / "named" / f"{name}{made.path.suffix}"
            renamed.parent.mkdir(parents=True)
            made.path.rename(renamed)
            report = self._one(renamed, folder / "named")
        return replace(report, name=name, converted=f"{converter.code} by {made.by}")
