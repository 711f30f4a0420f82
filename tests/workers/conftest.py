from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.region import Region


@pytest.fixture
def region(database, object_store, tmp_path: Path) -> Iterator[Region]:
    """A region on real servers, worked by the test itself."""
    region = Region(database, object_store, tmp_path / "scratch")
    yield region
    region.close()
