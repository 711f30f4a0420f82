"""This machine: versions, native parts, folders, keys."""

from __future__ import annotations

import importlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from storage.vault import Keyring
from teledx.commands.checks.finding import Examined, Finding, right, skipped, warning, wrong
from teledx.commands.words import size

OLDEST_PYTHON = (3, 11)
# Parts with native code, which an installation may lack or break.
NATIVE = ("pydicom", "openslide", "imagecodecs", "hyperscan", "zxingcpp", "onnxruntime", "cv2", "psycopg")
SHOWN = ("teledx", "dramatiq", "pika", "psycopg", "minio", "pydicom", "fastapi", "streamlit")
# Free space of a folder that a slide of several gigabytes passes through.
LITTLE, TOO_LITTLE = 20 << 30, 4 << 30


def versions(_examined: Examined) -> Iterator[Finding]:
    """Python and what stands on it."""
    python = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        yield wrong("Python", python, "Use Python 3.11 or newer.")
    shown = [f"{name} {version}" for name in SHOWN if (version := _version(name))]
    yield right("versions", f"Python {python}, {', '.join(shown)}")


def native(_examined: Examined) -> Iterator[Finding]:
    """Whether what is compiled can be loaded here."""
    broken = []
    for name in NATIVE:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            broken.append(f"{name} ({type(error).__name__})")
    if broken:
        yield wrong(
            "native parts", f"cannot be loaded: {', '.join(broken)}", "Install requirements.lock again."
        )
    else:
        yield right("native parts", f"{len(NATIVE)} load")


def scratch(examined: Examined) -> Iterator[Finding]:
    """The folder of files in flight: writable, and room in it."""
    yield from _folder("scratch folder", examined.settings.scratch, "TELEDX_SCRATCH")


def keyring(examined: Examined) -> Iterator[Finding]:
    """The region's keys: readable by us alone, whole, and all that patients were given keys of."""
    folder = examined.settings.keyring
    if folder is None:
        yield skipped(
            "keyring", "TELEDX_KEYRING is not set; workers need it, gateways and the partner side do not"
        )
        return
    if examined.is_partner_side:
        yield wrong(
            "keyring",
            "the partner side holds the region's keys",
            "Unset TELEDX_KEYRING here; move the files.",
        )
        return
    try:
        ring = Keyring.read(folder)
    except (OSError, ValueError) as error:
        said = f"{folder}: {error.strerror}" if isinstance(error, OSError) else f"{folder}: {error}"
        yield wrong(
            "keyring", said, "Restore it from the backup; only a new region makes one: teledx keys new"
        )
        return
    open_files = [path.name for path in (folder, *folder.glob("*.key")) if path.stat().st_mode & _OTHERS]
    if open_files:
        yield wrong("keyring's files", f"others can read {', '.join(open_files)}", f"chmod -R go= {folder}")
    yield from _lost_keys(examined, ring)


_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def _lost_keys(examined: Examined, ring: Keyring) -> Iterator[Finding]:
    """Keys that patients in the vault were given, and that are not there any more."""
    known = f"{', '.join(sorted(ring.secrets))}; new patients get '{ring.current}'"
    if examined.connection is None:
        yield right("keyring", known)
        return
    rows = examined.connection.execute(
        "SELECT key_id, count(*) AS patients FROM vault.patient GROUP BY key_id"
    ).fetchall()
    lost = [
        f"'{row['key_id']}' of {row['patients']} patients"
        for row in rows
        if row["key_id"] not in ring.secrets
    ]
    if lost:
        yield wrong("keyring", f"key {', '.join(lost)} is not there", "Restore its file from the backup.")
    else:
        yield right("keyring", known)


def _folder(what: str, folder: Path, name: str) -> Iterator[Finding]:
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield wrong(what, f"{folder} cannot be written", f"Give this account the folder, or set {name}.")
        return
    free = shutil.disk_usage(nearest).free
    said = f"{folder}, {size(free)} free"
    if free < TOO_LITTLE:
        yield wrong(what, said, f"Make room, or set {name}: a slide needs several gigabytes.")
    elif free < LITTLE:
        yield warning(what, said, f"Make room, or set {name}.")
    else:
        yield right(what, said)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
