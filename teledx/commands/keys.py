"""The region's keyring: files of secret keys, and the name of the one that new patients get.

A key is never taken away: the patients that were given it need it for as long as their cases are kept.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from teledx.commands.exits import Exit
from teledx.commands.faults import Stop
from teledx.commands.session import Session
from teledx.commands.table import Command

if TYPE_CHECKING:
    from storage.vault import Keyring

FolderOption = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help="Where, if not in TELEDX_KEYRING.")
]
LEAST_BYTES = 32
BACK_UP = "Copy the folder to the backup before it is used: no report returns without its patient's key."


def new(session: Session, folder: FolderOption = None) -> None:
    """Make a keyring of one new key, unless there is one: pseudonyms, date shifts and UIDs are derived from it.

    Copy the folder to the backup at once (docs/operations.md): without a patient's key no report can be returned.
    """
    from teledx import bootstrap

    target = folder_of(session, folder)
    existed = (target / "current").exists()
    if not existed and any(target.glob("*.key")):
        raise Stop(
            Exit.FAILED, f"{target} holds keys and no 'current'.", "Say which it is: teledx keys use ID"
        )
    bootstrap.new_keyring(target)
    words = (
        f"There is a keyring in {target} already; nothing changed."
        if existed
        else f"A new keyring is in {target}."
    )
    session.out.answer(
        {"folder": str(target), "new": not existed}, words if existed else f"{words}\n{BACK_UP}"
    )


def add(session: Session, folder: FolderOption = None) -> None:
    """Add a new key that nobody uses yet.

    Copy it to the backup and to every machine with workers, then run `teledx keys use` on each.
    """
    target = folder_of(session, folder)
    ring = read(target)
    numbers = [int(found[1]) for name in ring.secrets if (found := re.fullmatch(r"k(\d+)", name))]
    name = f"k{max(numbers, default=0) + 1}"
    file = target / f"{name}.key"
    file.touch(mode=0o600, exist_ok=False)
    file.write_text(secrets.token_hex(32) + "\n")
    session.out.answer(
        {"folder": str(target), "key": name},
        f"Key {name} is in {target}; '{ring.current}' stays in use.\n{BACK_UP}",
    )


def use(
    session: Session,
    key: Annotated[
        str, typer.Argument(metavar="ID", help="The key's id: the name of its file without '.key'.")
    ],
    folder: FolderOption = None,
) -> None:
    """Give new patients this key from the workers' next start on. Those who have a key keep it."""
    target = folder_of(session, folder)
    if not (target / f"{key}.key").exists() or "/" in key:
        known = ", ".join(sorted(path.stem for path in target.glob("*.key"))) or "none"
        raise Stop(Exit.NOT_FOUND, f"There is no key '{key}' in {target}.", f"There are: {known}.")
    partial = target / ".current"
    partial.write_text(f"{key}\n")
    partial.replace(target / "current")
    read(target)
    session.out.answer(
        {"folder": str(target), "key": key}, f"New patients get key {key} once the workers are restarted."
    )


def show(session: Session, folder: FolderOption = None) -> None:
    """The ids of the keys, and which one new patients get; no key is shown."""
    target = folder_of(session, folder)
    ring = read(target)
    rows = [(name, "new patients" if name == ring.current else "") for name in sorted(ring.secrets)]
    value = {"folder": str(target), "keys": sorted(ring.secrets), "current": ring.current}
    session.out.answer(value, lambda out: out.table(("key", "for"), rows, empty="There is no key."))


def folder_of(session: Session, given: Path | None) -> Path:
    if given is None:
        session.settings.needed("keyring")
        assert session.settings.keyring is not None, "checked in the line above"
        return session.settings.keyring
    return given


def of_file(file: Path) -> bytes:
    """The key that one file holds, as a keyring's `.key` files do. Raises `Stop` if it holds none."""
    try:
        secret = bytes.fromhex(file.read_text("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) < LEAST_BYTES:
        raise Stop(
            Exit.USAGE,
            f"{file} holds no key of {2 * LEAST_BYTES} hexadecimal digits.",
            "openssl rand -hex 32",
        )
    return secret


def read(folder: Path) -> Keyring:
    from storage.vault import Keyring

    try:
        return Keyring.read(folder)
    except FileNotFoundError:
        raise Stop(
            Exit.NOT_FOUND, f"There is no keyring in {folder}.", "Restore it, or make one: teledx keys new"
        ) from None
    except ValueError as error:
        raise Stop(Exit.FAILED, f"{folder}: {error}.", "Restore the file from the backup.") from None


COMMANDS = (
    Command(
        words="keys new",
        run=new,
        panel="Setting up",
        examples=("teledx keys new", "teledx keys new --folder /etc/teledx/keys"),
    ),
    Command(words="keys show", run=show, panel="Setting up", examples=("teledx keys show --json",)),
    Command(words="keys add", run=add, panel="Setting up", examples=("teledx keys add",)),
    Command(words="keys use", run=use, panel="Setting up", examples=("teledx keys use k2",)),
)
