"""Whatever is done to a file: no crash, no leak, bounded time and memory. What goes wrong is told as seed/number."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.imaging.deid import fuzzing
from workers.child import Child


def test_what_is_changed_says_who_the_patient_is():
    assert all(fuzzing.SAID.search(original.body) for original in fuzzing.originals())


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["network", "basic"])
@pytest.mark.parametrize("seed", range(2))
def test_no_changed_file_crashes_hangs_fills_the_memory_or_passes_unread(seed, profile):
    with closing(Child(memory=3 << 30)) as child:
        found = child.run_for(240, fuzzing.fuzz, seed, 300, profile)
    assert found.wrong == ()
    assert found.slowest < 5
    assert found.grown < 128 << 20
    # the changes are neither so small that all come out nor so large that none is read
    assert found.ends["clean"] > 10
    assert found.ends["file-damaged"] > 10
    assert sum(found.ends.values()) == 300
