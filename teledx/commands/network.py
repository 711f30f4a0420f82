"""The network file: check it, put it into force. Applying speaks to the database, because it may be the first step."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from teledx.commands.session import Session
from teledx.commands.table import Command

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The network file (TOML).")]


def check(session: Session, file: FileArgument) -> None:
    """Say everything that is wrong with a network file, each by its key, its value and what to do about it.

    It asks no server. Exit code 1 if anything is wrong; a notice is not.
    """
    from cases.network import load
    from cases.network_check import notices

    network = load(file.read_text("utf-8"))
    counts = {
        name: len(getattr(network, name))
        for name in (
            "organisations",
            "services",
            "stations",
            "partners",
            "rules",
            "service_levels",
            "accounts",
        )
    }
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    told = [str(notice) for notice in notices(network)]
    value = {"name": network.name, "digest": network.digest, **counts, "notices": told}
    lines = [f"{network.name}: {said}. It hangs together.", *(f"Note: {notice}" for notice in told)]
    session.out.answer(value, "\n".join(lines))


def apply(
    session: Session,
    file: FileArgument,
    by: Annotated[str, typer.Option(help="Who applies it; kept with the version.")] = "",
) -> None:
    """Put a network file into force. Every version is kept; cases that are under way keep theirs.

    It speaks to the database as the region's role (TELEDX_DATABASE_URL). The same file again changes nothing.
    Buckets of new partners are made by `teledx migrate --buckets`.
    """
    from storage import network as rows

    text = file.read_text("utf-8")
    with session.database() as database, database.transaction() as connection:
        version, is_new = rows.apply(connection, text, by or getpass.getuser())
    words = (
        f"Version {version} is in force."
        if is_new
        else f"Version {version} was in force already; nothing changed."
    )
    session.out.answer({"version": version, "new": is_new}, words)


COMMANDS = (
    Command(
        words="network check",
        run=check,
        panel="Setting up",
        examples=("teledx network check network.toml", "teledx network check network.toml --json"),
    ),
    Command(
        words="network apply",
        run=apply,
        panel="Setting up",
        examples=("teledx network apply network.toml --by lin",),
    ),
)
