"""Workers that are killed are forked from a server that has loaded what they need: who starts it first decides what."""

import multiprocessing
from multiprocessing import forkserver

import pytest

from workers.child import PRELOADED


def pytest_collection_finish(session: pytest.Session) -> None:
    """Before any test: a stage's own children would start the server without what a whole worker needs (2 s each)."""
    if any("tests/faults/" in item.nodeid for item in session.items):
        multiprocessing.set_forkserver_preload([*PRELOADED, "workers.stage", "tests.faults.counting"])
        forkserver.ensure_running()
