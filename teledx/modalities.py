"""The program behind `teledx dimse`: it listens until it is told to stop."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import structlog

from gateway.dimse import Tls, serve
from teledx import bootstrap
from teledx.settings import Settings

log = structlog.get_logger()


def run(settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises `NotConfigured`, and OSError if the port is taken."""
    tls = _tls(settings)
    bootstrap.logging_to_stderr(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    tempfile.tempdir = str(_own_folder(settings.scratch))
    parts = bootstrap.dimse_parts(settings)
    try:
        server = serve(parts, host=host, port=port, tls=tls)
        log.info("dimse_started", tls=tls is not None)
        stop.wait()
        server.shutdown()
        log.info("dimse_stopped")
    finally:
        parts.database.close()
        shutil.rmtree(tempfile.tempdir, ignore_errors=True)


def _tls(settings: Settings) -> Tls | None:
    certificate, key, authority = (
        settings.dimse_certificate,
        settings.dimse_key,
        settings.dimse_client_ca,
    )
    if certificate is None and key is None and authority is None:
        return None
    settings.needed("dimse_certificate", "dimse_key")
    assert certificate is not None, "checked in the line above"
    assert key is not None, "likewise"
    return Tls(certificate=certificate, key=key, client_ca=authority)


def _own_folder(scratch: Path) -> Path:
    """For instances on their way in; those of processes that are gone are deleted with what they held."""
    for folder in scratch.glob("dimse-*"):
        if not Path(f"/proc/{folder.name.rpartition('-')[2]}").exists():
            shutil.rmtree(folder, ignore_errors=True)
    own = scratch / f"dimse-{os.getpid()}"
    own.mkdir(parents=True, exist_ok=True, mode=0o700)
    return own
