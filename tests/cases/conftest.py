"""The sample network, and a way to change its text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cases.network import Network, load
from cases.network_errors import NetworkInvalid

SAMPLE = Path(__file__).parents[2] / "teledx" / "sample_network.toml"


@pytest.fixture(scope="session")
def sample_text() -> str:
    return SAMPLE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def network(sample_text: str) -> Network:
    return load(sample_text)


@pytest.fixture
def changed(sample_text: str) -> Callable[..., Network]:
    """The sample with pieces of its text replaced, each of which must occur."""

    def change(*pairs: tuple[str, str]) -> Network:
        text = sample_text
        for old, new in pairs:
            assert old in text, f"the sample no longer holds {old!r}"
            text = text.replace(old, new, 1)
        return load(text)

    return change


@pytest.fixture
def complaints(changed: Callable[..., Network]) -> Callable[..., list[str]]:
    """What is said about such a change."""

    def complain(*pairs: tuple[str, str]) -> list[str]:
        with pytest.raises(NetworkInvalid) as caught:
            changed(*pairs)
        return [str(problem) for problem in caught.value.problems]

    return complain
