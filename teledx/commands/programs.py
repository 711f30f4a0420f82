"""The programs of the network: all of them at once, or each on its own machine."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from teledx.commands.session import Session
from teledx.commands.table import Command

HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
# What the dashboard is told: addresses, and no key to anything.
DASHBOARD_SETTINGS = (
    "gateway_url",
    "partner_gateway_url",
    "gateway_public_url",
    "partner_gateway_public_url",
)
# Streamlit's own options: it asks nobody at start, sends no figures, and opens no browser.
STREAMLIT = (
    "--server.headless=true",
    "--browser.gatherUsageStats=false",
    "--server.fileWatcherType=none",
    "--client.toolbarMode=minimal",
    "--client.showErrorDetails=none",
)


class Role(StrEnum):
    """The lanes that a worker serves (`teledx.worker.ROLES`)."""

    EXPRESS = "express"
    BULK = "bulk"
    ALL = "all"


class Side(StrEnum):
    """Whose gateway it is."""

    REGION = "region"
    PARTNER = "partner"


def worker(
    session: Session,
    role: Annotated[Role, typer.Option(help="express: stat and returns; bulk: the rest; all: both.")],
) -> int:
    """A worker: it takes runs of its lanes from the database.

    One that serves the stat lanes (express, all) also leads the region's duties if nobody does: a region needs one.

    It stops at SIGTERM or Ctrl-C when what it runs has ended. Exit code 75: a stage is stuck, start it again.
    """
    from teledx import bootstrap
    from teledx.worker import run

    bootstrap.logging_to_stderr(session.settings)
    return run(session.settings, role.value)


def gateway(
    session: Session,
    side: Annotated[Side, typer.Option(help="region: clinics, managers, operators; partner: readers.")],
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    behind_proxy: Annotated[
        bool,
        typer.Option(
            "--behind-proxy", help="Believe X-Forwarded-* of a proxy on this machine, which ends TLS."
        ),
    ] = False,
) -> None:
    """A gateway of one side: the HTTP API and its pages. Behind a proxy that speaks TLS, outside of one machine."""
    from gateway import serve
    from teledx import bootstrap

    bootstrap.logging_to_stderr(session.settings)
    app = bootstrap.gateway_app(session.settings, side.value)
    try:
        serve.server(app, host=host, port=port, behind_proxy=behind_proxy).run()
    finally:
        app.state.parts.child.close()
        app.state.parts.database.close()


def dimse(
    session: Session,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 11112,
) -> None:
    """The door for modalities and PACS: C-STORE and C-ECHO into the inbox of the clinic whose AE title is called.

    It stops at SIGTERM or Ctrl-C. Over TLS if TELEDX_DIMSE_CERTIFICATE and TELEDX_DIMSE_KEY are set.
    """
    from teledx import modalities

    modalities.run(session.settings, host=host, port=port)


def dashboard(
    session: Session,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
) -> None:
    """The dashboard for clinics, readers, managers and operators. It is told the two gateways and nothing else."""
    settings = session.settings
    environment = {n: v for n, v in os.environ.items() if not n.startswith("TELEDX_")}
    environment |= {f"TELEDX_{name.upper()}": getattr(settings, name) for name in DASHBOARD_SETTINGS}
    app = Path(__file__).parents[2] / "dashboard" / "app.py"
    arguments = ("-m", "streamlit", "run", str(app), *STREAMLIT)
    where = (f"--server.address={host}", f"--server.port={port}")
    os.execve(sys.executable, (sys.executable, *arguments, *where), environment)  # noqa: S606 - same process, so signals reach it


def up(
    session: Session,
    network: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Network file; without: the sample's.")
    ] = None,
) -> int:
    """Everything on this machine with one command: database, store, gateways, workers, dashboard, on loopback.

    Nothing is installed on the system. Data and logs are in the folder TELEDX_STATE (`var`); what dies is started
    again; Ctrl-C stops all of it and leaves no process behind.
    """
    from teledx import house

    return house.run(session.settings, network.read_text("utf-8") if network else None)


def demo(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help="End when every case has come to rest.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write what was seen.")
    ] = None,
) -> int:
    """The whole network on sample cases: three clinics drop, readers sign, reports come back. Ctrl-C ends it.

    It makes the folder `demo` in TELEDX_STATE anew. With --once it exits 0 only if every case ended where it should.
    """
    from teledx.demo.run import main

    return main(session.settings.state / "demo", once=once, json_file=json_file)


COMMANDS = (
    Command(
        words="up",
        run=up,
        panel="Programs",
        answers=False,
        examples=("teledx up", "teledx up --network network.toml"),
    ),
    Command(
        words="demo",
        run=demo,
        panel="Programs",
        answers=False,
        examples=("teledx demo", "teledx demo --once --json seen.json"),
    ),
    Command(
        words="worker",
        run=worker,
        panel="Programs",
        answers=False,
        examples=("teledx worker --role express", "teledx worker --role bulk"),
    ),
    Command(
        words="gateway",
        run=gateway,
        panel="Programs",
        answers=False,
        examples=(
            "teledx gateway --side region --port 8080",
            "teledx gateway --side partner --port 8081 --behind-proxy",
        ),
    ),
    Command(
        words="dimse",
        run=dimse,
        panel="Programs",
        answers=False,
        examples=("teledx dimse --host 0.0.0.0 --port 11112",),
    ),
    Command(
        words="dashboard",
        run=dashboard,
        panel="Programs",
        answers=False,
        examples=("teledx dashboard --port 8501",),
    ),
)
