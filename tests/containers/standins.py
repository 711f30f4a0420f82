"""The images that the Dockerfile and docker-compose.yml name, under their names, on a machine that can pull none.

They prove the Dockerfile, the wiring, the health checks and the behaviour under failure. They do not prove the upstream
images themselves (docs/deployment.md says which of their habits the composition relies on).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from teledx.embedded.seaweedfs import weed_binary
from tests.containers import roots
from tests.containers.daemon import Docker

HERE = Path(__file__).parent / "standins"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_CONFIGURATION = Path("/etc/pip.conf")

# The name that the project's files use -> the stand-in's stage in standins/Dockerfile.
IMAGES = {
    "python:3.11-slim": "python",
    "postgres:17": "postgres",
    "rabbitmq:4": "rabbitmq",
    "haproxy:3.0-alpine": "haproxy",
    "chrislusf/seaweedfs:4.48": "seaweedfs",
}


def make(docker: Docker, folder: Path) -> None:
    """Import the roots and build every stand-in."""
    docker.import_root(roots.kept(roots.PYTHON), "teledx-test:python")
    docker.import_root(roots.kept(roots.SERVERS), "teledx-test:servers")
    context = _context(folder)
    for image, stage in IMAGES.items():
        docker.build(context, image, target=stage)


def _context(folder: Path) -> Path:
    context = shutil.copytree(HERE, folder / "standins")
    (context / "certificates").mkdir()
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, context / "certificates")
    (context / "pip.conf").write_text(_pip_configuration())
    shutil.copy(weed_binary(), context / "weed")
    return context


def _pip_configuration() -> str:
    """The machine's own, so that a build in a container finds packages as the machine does."""
    told = PIP_CONFIGURATION.read_text() if PIP_CONFIGURATION.exists() else "[global]\n"
    index = os.environ.get("PIP_INDEX_URL")
    return told.replace("[global]\n", f"[global]\nindex-url = {index}\n", 1) if index else told
