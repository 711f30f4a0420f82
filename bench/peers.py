"""The tools that are measured beside ours: an environment of their own, of exactly what a lock names, by hash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def installed(lock: Path, folder: Path) -> Path | str:
    """The interpreter of a new environment in `folder`; or why there is none."""
    python = folder / "bin" / "python"
    environment = dict(os.environ)
    if index := environment.get("PIP_INDEX_URL"):
        environment.setdefault("UV_DEFAULT_INDEX", index)
    uv = [sys.executable, "-m", "uv", "--quiet"]
    options = ["--no-deps", "--require-hashes", "--requirement", str(lock)]
    for command in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(python), *options],
    ):
        done = subprocess.run([*uv, *command], capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            return "could not be installed"
    return python


def version(lock: Path, package: str) -> str:
    """The version that the lock pins."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith(f"{package}=="))
