"""What runs on this machine, read from /proc."""

from pathlib import Path


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def mentioning(text: str) -> dict[int, str]:
    """Living processes with `text` in their command line, environment or working directory: pid and command line.

    PostgreSQL's children rewrite their command line, but they stay in the cluster's folder.
    """
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or not alive(int(folder.name)):
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes().decode(errors="replace")
            place = str((folder / "cwd").readlink())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if text in command or text in environment or text in place:
            found[int(folder.name)] = command
    return found
