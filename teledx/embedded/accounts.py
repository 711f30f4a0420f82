"""PostgreSQL refuses to run as root, so there it runs as another account, in a place that this account may enter."""

import hashlib
import os
import pwd
import shutil
from pathlib import Path

from teledx.program import Account

CANDIDATES = ("postgres", "nobody")
ROOT_HOME = Path("/var/lib/teledx")


def unprivileged() -> Account | None:
    """The account to run PostgreSQL as; None when we are not root and may run it ourselves.

    No account is created: nothing is installed on the system.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise LookupError(
        f"running as root, and none of the accounts {', '.join(CANDIDATES)} exists: run as a plain user"
    )


def may_enter(path: Path, account: Account) -> bool:
    """Whether the account may traverse every folder down to `path`, by mode bits; those that do not exist count not."""
    for folder in [path, *path.parents]:
        if not folder.exists():
            continue
        status = folder.stat()
        bit = 0o100 if status.st_uid == account.uid else 0o010 if status.st_gid == account.gid else 0o001
        if not status.st_mode & bit:
            return False
    return True


def home_for(state: Path, account: Account | None) -> Path:
    """Where a server of `account` keeps its files: `state`, or a place under /var/lib that stands for it.

    The second is for root's own folders, which nobody else may enter. `state` then holds a symbolic link to it; a
    place without its link belonged to a state folder that somebody has deleted, and is deleted too.
    """
    state.parent.mkdir(parents=True, exist_ok=True)
    if account is None or (may_enter(state.parent, account) and not state.is_symlink()):
        return state
    place = ROOT_HOME / hashlib.sha256(str(state.parent.resolve() / state.name).encode()).hexdigest()[:16]
    if not state.is_symlink():
        if place.exists():
            shutil.rmtree(place)
        state.symlink_to(place)
    place.mkdir(parents=True, exist_ok=True)
    for folder in (ROOT_HOME, place):
        folder.chmod(0o755)
    return place


def open_to_all(folder: Path) -> None:
    """Let everyone read the tree and run what its owner may run."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
