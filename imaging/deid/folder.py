"""De-identifying files and folders outside the network: what is clean goes to the destination, nothing else ever does.

A file is written beside the destination, looked through by the second pass, and only then moved in.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cases.errors import Quarantine
from cases.ports import PatientKey
from imaging.deid import dicom, keys, second_pass
from imaging.deid.known import KnownIdentity
from imaging.deid.objects import LeftOut
from imaging.deid.report import FileReport
from imaging.ocr import Engine
from imaging.slides import deid as slide_deid
from imaging.slides.formats import SUFFIXES, recognise
from imaging.slides.mirax_settings import files_below
from imaging.slides.plan import write
from imaging.slides.written import require_no_text


@dataclass(frozen=True, kw_only=True)
class Run:
    """One call's settings. `secret` has at least 16 bytes; `clinic` keeps equal patient IDs of two places apart."""

    secret: bytes = field(repr=False)
    clinic: str = ""
    profile: str = "network"
    keep_names: bool = False
    known: KnownIdentity = field(default_factory=KnownIdentity)

    def key_of(self, patient_id: str) -> PatientKey:
        """The key of a patient of this place, as the network derives it."""
        return PatientKey(
            pseudonym=keys.pseudonym(self.secret, self.clinic, patient_id),
            shift_days=keys.shift_days(self.secret, self.clinic, patient_id),
            key_id="",
            secret=keys.patient_secret(self.secret, self.clinic, patient_id),
        )


def deidentify_tree(source: Path, dest: Path, run: Run) -> Iterator[FileReport]:
    """De-identifies `source`, a file or a folder, into the folder `dest`; one report for each file, in order.

    Links are not followed. A name that is taken in `dest` withholds the file.

    :raises ValueError: if one of the two folders lies in the other.
    """
    root = source if source.is_dir() else source.parent
    here, there = root.resolve(), dest.resolve()
    if source.is_dir() and (here == there or here in there.parents or there in here.parents):
        raise ValueError("source and destination must not lie in each other")
    files = files_below(source) if source.is_dir() else [source]
    dest.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{dest.name}.", dir=there.parent) as beside:
        for file in files:
            yield deidentify_one(file, root=root, dest=dest, run=run, beside=Path(beside))


def deidentify_one(file: Path, *, root: Path, dest: Path, run: Run, beside: Path) -> FileReport:
    """One file into `dest`, or the reason why not. Never raises for what is in the file."""
    name = str(file.relative_to(root))
    own = beside / hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    own.mkdir()
    try:
        made = _dicom(file, own / "part", run) if _is_dicom(file) else _slide(file, own, run, name)
        named = Path(name) if run.keep_names else made.named
        size, sha256 = _of_all(made.files)
        _move_in(made.files, dest / named)
    except LeftOut as why:
        return FileReport(name=name, verdict="left-out", reasons=(("left-out", str(why)),))
    except Quarantine as why:
        return FileReport(name=name, verdict="withheld", reasons=((why.code, why.detail),))
    except FileExistsError:
        return FileReport(
            name=name, verdict="withheld", reasons=(("name-taken", "the destination has such a file"),)
        )
    finally:
        shutil.rmtree(own)
    return FileReport(
        name=name,
        verdict="clean",
        format=made.format,
        named=str(named),
        size=size,
        sha256=sha256,
        actions=made.actions,
    )


def _of_all(files: Sequence[Path]) -> tuple[int, str]:
    """Bytes and SHA-256 of the files one after the other."""
    running = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: running)
    return sum(file.stat().st_size for file in files), running.hexdigest()


def _move_in(files: Sequence[Path], target: Path) -> None:
    """The file that opens a slide comes last, and the folder of its others must be new."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if len(files) > 1:
        if target.exists():
            raise FileExistsError(target)
        target.with_suffix("").mkdir()
    for file in files[1:]:
        (target.with_suffix("") / file.name).hardlink_to(file)
    target.hardlink_to(files[0])


@dataclass(frozen=True, kw_only=True)
class _Made:
    files: tuple[Path, ...]
    format: str
    named: Path
    actions: Mapping[str, int]


def _is_dicom(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _dicom(file: Path, part: Path, run: Run) -> _Made:
    key = run.key_of(dicom.patient_of(file))
    done = dicom.deidentify_file(file, part, key, run.known, run.profile, engine=_engine())
    second_pass.check(
        file, part, run.known, key.shift_days, run.profile, engine=_engine(), blanked=done.blanked
    )
    named = Path(done.study_uid or "study", done.series_uid or "series", f"{done.sop_instance_uid}.dcm")
    return _Made(files=(part,), format="dicom", named=named, actions=done.actions)


def _slide(file: Path, own: Path, run: Run, name: str) -> _Made:
    found = recognise(file)
    if found is None:
        raise Quarantine("format-unknown", "neither DICOM nor a slide")
    plan = slide_deid.plan_slide(file)
    part = own / f"part{SUFFIXES[found.code]}"
    written = write(plan, file, part)
    slide_deid.check_written(part, identity_values=(*plan.removed_values, *run.known.values()))
    require_no_text(part, identity_values=run.known.values())
    named = Path(f"{keys.token(run.secret, 'slide', f'{run.clinic}/{name}')}{SUFFIXES[found.code]}")
    return _Made(
        files=written,
        format=found.code,
        named=named,
        actions=dict.fromkeys(plan.removed, 1),
    )


@functools.cache
def _engine() -> Engine:
    return Engine()
