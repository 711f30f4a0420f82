"""Root file systems made from Debian's packages, kept as archives: a second run of the tests does not make them again.

`python` is what `python:3.11-slim` is in essence (Debian 12's Python is 3.11); `servers` adds PostgreSQL, RabbitMQ,
HAProxy and busybox. The mirror is the one that this machine's own apt uses.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CACHE = Path("/var/cache/teledx-tests")
SUITE = "bookworm"
BESIDES = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/lib/apt/lists",
    "var/cache/apt/archives",
)
RECIPE = "2"  # counts changes of how roots are made, so that older archives are not used


@dataclass(frozen=True, kw_only=True)
class Root:
    """A root by name: what debootstrap puts in, and what apt adds to it."""

    name: str
    base: tuple[str, ...]
    packages: tuple[str, ...] = ()

    @property
    def archive(self) -> Path:
        """Where it is kept; the name changes with what is in it."""
        recipe = " ".join((RECIPE, SUITE, *self.base, "+", *self.packages))
        return CACHE / f"{self.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"


PYTHON = Root(name="python", base=("ca-certificates", "python3", "python3-pip", "python3-venv"))
SERVERS = Root(
    name="servers",
    base=("ca-certificates",),
    packages=("postgresql-15", "rabbitmq-server", "haproxy", "busybox", "iproute2", "python3-minimal"),
)


def kept(root: Root) -> Path:
    """The root's archive, made now if there is none yet."""
    if not root.archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            _make(root, Path(folder))
    return root.archive


def _make(root: Root, folder: Path) -> None:
    tree, unfinished = folder / "root", folder / "unfinished.tar"
    include = f"--include={','.join(root.base)}"
    _run(folder, "debootstrap", "--variant=minbase", include, SUITE, str(tree), _mirror())
    if root.packages:
        _install(folder, tree, root.packages)
    for besides in BESIDES:
        shutil.rmtree(tree / besides, ignore_errors=True)
    _run(
        folder,
        "tar",
        "--create",
        "--numeric-owner",
        "--one-file-system",
        f"--file={unfinished}",
        f"--directory={tree}",
        ".",
    )
    unfinished.replace(root.archive)


def _install(folder: Path, tree: Path, packages: tuple[str, ...]) -> None:
    """Packages whose services are not started, because there is nothing to start them on."""
    policy = tree / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    with _mounted(tree):
        _run(
            folder,
            "chroot",
            str(tree),
            "apt-get",
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            *packages,
        )
    policy.unlink()


@contextmanager
def _mounted(tree: Path) -> Iterator[None]:
    """The root's /proc, which packages ask while they are installed."""
    subprocess.run(["mount", "-t", "proc", "proc", tree / "proc"], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", tree / "proc"], check=True)


def _mirror() -> str:
    """Debian's mirror that this machine uses for its own release."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages", "Component: main"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = [
        uri for uri, _, codename in (line.partition(" ") for line in listed.splitlines()) if codename == SUITE
    ]
    assert found, f"this machine's apt knows no mirror of Debian {SUITE}"
    return found[0]


def _run(folder: Path, *words: str) -> None:
    log = folder / "log"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with log.open("ab") as output:
        done = subprocess.run(words, stdout=output, stderr=output, env=environment, check=False)
    assert done.returncode == 0, f"{words[0]} failed: {log.read_text(errors='replace')[-3000:]}"
