"""requirements.lock is what pyproject.toml asks for, by hash, from wherever an installation gets its packages."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def name_of(requirement: str) -> str:
    """The normalised name (PEP 503) of a requirement."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def pins() -> dict[str, str]:
    """Each pinned name and the block of the lock that belongs to it."""
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK)
    return {name_of(block): block for block in blocks}


def asked_for() -> list[str]:
    groups = PROJECT["dependency-groups"]
    lists = [PROJECT["project"]["dependencies"], *groups.values()]
    return sorted({name_of(each) for one in lists for each in one if isinstance(each, str)})


@pytest.mark.parametrize("name", asked_for())
def test_everything_asked_for_is_pinned_by_hash(name: str) -> None:
    block = pins()[name]
    assert re.match(r"\S+==\S+ .*\\\n    --hash=sha256:", block)


def test_the_lock_names_no_place_to_download_from() -> None:
    assert not re.search(r"://|--index|--find-links| @ ", LOCK)


def test_nothing_needs_the_systems_libgl() -> None:
    assert "opencv-python-headless" in pins()
    assert "opencv-python" not in pins()
