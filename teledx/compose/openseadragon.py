"""`python openseadragon.py LOCK FOLDER PIP...`: put OpenSeadragon into FOLDER, verified.

openslide-python, which the lock pins by hash, carries OpenSeadragon's own release among its sources. So the viewer
comes from the index that everything else comes from, by PIP (such as `python3 -m pip`). Standard library alone: it runs
in a bare environment. Pip reads the sources' name with setuptools, which must be in the environment of PIP.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "openslide-python"
MEMBER = "examples/deepzoom/static/openseadragon.js"
# OpenSeadragon 6.1.1 as its project released it.
SHA256 = "86b60a9088c8c162bef278bbf22e070958ded16acf4627a73e206c95ea42831e"


def pin(lock: str) -> str:
    """The lock's lines of the package: its version and the hashes of its files."""
    lines = lock.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(f"{PACKAGE}=="))
    last = next(n for n in range(first, len(lines)) if not lines[n].endswith("\\"))
    return "\n".join(lines[first : last + 1]) + "\n"


def taken_out(sources: Path) -> bytes:
    """The viewer out of the package's sources. ValueError if it is not the release that is expected."""
    with tarfile.open(sources) as archive:
        member = next(m for m in archive if m.name.partition("/")[2] == MEMBER)
        opened = archive.extractfile(member)
        assert opened is not None, "a file's member can be read"
        content = opened.read()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(
            f"{sources.name} carries another OpenSeadragon: look at it and change its digest here"
        )
    return content


def main(lock: str, folder: str, *pip: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        pinned = Path(made) / "pin.txt"
        pinned.write_text(pin(Path(lock).read_text(encoding="utf-8")), encoding="utf-8")
        options = ("--no-deps", "--no-build-isolation", "--no-binary", PACKAGE, "--require-hashes")
        command = (*pip, "download", "--quiet", *options, "--requirement", str(pinned), "--dest", made)
        subprocess.run(command, check=True)
        content = taken_out(next(Path(made).glob("*.tar.gz")))
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "openseadragon.js").write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
