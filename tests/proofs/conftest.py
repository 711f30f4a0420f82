"""Each test has a region on a database of its own; buckets, keys and warm children are shared within its module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.region import Region


@pytest.fixture(scope="module")
def home(postgres, object_store, tmp_path_factory) -> Iterator[Region]:
    """A region without cases, of which each test takes a copy."""
    database = postgres.new_database()
    home = Region(database, object_store, tmp_path_factory.mktemp("home"))
    home.rows.close()
    yield home
    home.close()
    postgres.start()
    postgres.drop(database)


@pytest.fixture
def region(home, postgres, object_store, tmp_path: Path) -> Iterator[Region]:
    """An empty region; only the buckets know of earlier tests, and nothing of theirs is in the inbox."""
    home.s3.delete("inbox", [found.key for found in home.s3.listing("inbox", "")])
    database = postgres.copy(home.database)
    region = Region(database, object_store, tmp_path / "scratch", like=home)
    yield region
    region.close()
    postgres.start()
    postgres.drop(database)
