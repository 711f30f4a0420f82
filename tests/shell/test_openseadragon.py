"""The slide viewer's script: of the release that was looked at, or not at all."""

import hashlib
import io
import re
import tarfile
from pathlib import Path

import pytest

from gateway.slide_page import OPENSEADRAGON, VIEWERS
from teledx.compose import openseadragon

LOCK = (Path(__file__).parents[2] / "requirements.lock").read_text("utf-8")


def sources(folder: Path, content: bytes) -> Path:
    path = folder / "openslide_python-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("README.md", openseadragon.MEMBER):
            member = tarfile.TarInfo(f"openslide_python-1.0/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_the_pin_is_the_locks_own_with_the_hashes_of_its_sources() -> None:
    pinned = openseadragon.pin(LOCK)
    assert pinned in LOCK
    assert re.match(r"openslide-python==[\d.]+ \\\n", pinned)
    assert "--hash=sha256:" in pinned.splitlines()[-1]


def test_another_release_than_the_one_looked_at_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another OpenSeadragon"):
        openseadragon.taken_out(sources(tmp_path, b"alert('me')"))


def test_the_expected_release_is_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openseadragon, "SHA256", hashlib.sha256(b"viewer").hexdigest())
    assert openseadragon.taken_out(sources(tmp_path, b"viewer")) == b"viewer"


def test_what_is_installed_is_the_expected_release(viewer_installed: None) -> None:
    installed = (VIEWERS / OPENSEADRAGON).read_bytes()
    assert hashlib.sha256(installed).hexdigest() == openseadragon.SHA256
