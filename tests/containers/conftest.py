"""A Docker daemon, the image built from the project's Dockerfile, and the composition brought up with it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from teledx.leash import Leash
from tests.containers import standins
from tests.containers.composition import ROOT, Composition
from tests.containers.daemon import PROGRAMS, Docker


@pytest.fixture(scope="session")
def docker(leash: Leash) -> Iterator[Docker]:
    """A private daemon that knows the images by the names that the project's files use."""
    _require_docker()
    with tempfile.TemporaryDirectory(prefix="teledx-docker-") as folder:  # short, for the socket's sake
        docker = Docker(Path(folder) / "docker", leash)
        docker.start()
        try:
            standins.make(docker, Path(folder))
            yield docker
        finally:
            docker.stop()


@pytest.fixture(scope="session")
def image(docker: Docker) -> str:
    """The project's own image, built as `docker compose build` does."""
    docker.build(ROOT, "teledx:latest")
    return "teledx:latest"


@pytest.fixture(scope="module")
def composition(
    docker: Docker, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composition]:
    """Everything up and healthy, with secrets made by the project's own script."""
    secrets = tmp_path_factory.mktemp("composition") / "secrets"
    made = Composition(docker, secrets)
    made.make_secrets()
    try:
        made.compose("up", "--detach", "--wait", "--no-build")
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout=5", check=False)


def _require_docker() -> None:
    """Skip on a laptop, fail where nothing may be missing (CI=true). `script/test` installs what it may."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        absent.append("being root, to run a daemon")
    if not absent:
        return
    why = f"the composition is not tried out, for want of: {', '.join(absent)}"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
