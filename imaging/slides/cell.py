"""The cell in which a foreign program runs; started by path with `python -I -S`, and imports nothing of ours.

Its argument is JSON: `command`, `folder` (the only place that may be written), `hidden` (folders and files that look
empty), `cpu` (seconds), `memory` and `file` (bytes). It says `closed` or `open` on standard output, then runs the
command and ends with its code, 128 and more for a signal. Closed: namespaces of its own, so that there is no network,
no other process, and nothing to write but the folder; whatever it starts ends with it (namespaces(7),
mount_setattr(2)). On SIGTERM it kills all of that, and ends when nothing of it is left.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys

USER, NETWORK, PROCESSES, MOUNTS, IPC = 0x1000_0000, 0x4000_0000, 0x2000_0000, 0x2_0000, 0x800_0000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
AT_CWD, AT_RECURSIVE, SYS_MOUNT_SETATTR = -100, 0x8000, 442
PR_DEATHSIG, PR_CAPBSET_DROP, PR_NO_NEW_PRIVS, LAST_CAPABILITY = 1, 24, 38, 63
libc = ctypes.CDLL(None, use_errno=True)


def called(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "refused by the kernel")


def mount(what: str | None, where: str, kind: str | None, flags: int, told: str | None = None) -> None:
    coded = [None if text is None else text.encode() for text in (what, where, kind, told)]
    called(libc.mount(coded[0], coded[1], coded[2], ctypes.c_ulong(flags), coded[3]))


def read_only(where: str, *, yes: bool) -> None:
    """A mount, and if `yes` all below it, read-only or not."""
    change = (ctypes.c_uint64 * 4)(MS_RDONLY if yes else 0, 0 if yes else MS_RDONLY, 0, 0)
    called(
        libc.syscall(
            ctypes.c_long(SYS_MOUNT_SETATTR), AT_CWD, where.encode(), AT_RECURSIVE if yes else 0,
            ctypes.byref(change), ctypes.c_size_t(ctypes.sizeof(change)),
        )
    )  # fmt: skip


def close(folder: str, hidden: list[str]) -> None:
    """Leave the machine's namespaces. Raises `OSError` where the kernel does not allow it."""
    user, group = os.getuid(), os.getgid()
    called(libc.unshare(USER | NETWORK | PROCESSES | MOUNTS | IPC))
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 -- pathlib would double our start-up time
            file.write(line)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount(folder, folder, None, MS_BIND)
    read_only("/", yes=True)
    read_only(folder, yes=False)
    for path in hidden:
        if os.path.isdir(path):  # noqa: PTH112 -- as above
            mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0500")
        else:
            mount("/dev/null", path, None, MS_BIND)
    os.chdir(folder)


def fork() -> int:
    """A child that is killed when we end."""
    child = os.fork()
    if child == 0:
        libc.prctl(PR_DEATHSIG, signal.SIGKILL)
    return child


def wait(child: int) -> int:
    """Wait for everything until `child` ends; its code, or 128 and its signal."""
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def execute(told: dict[str, object]) -> None:
    """Become the command: limited, without privileges, and with no word to our log."""
    for limit, name in (
        (resource.RLIMIT_CPU, "cpu"),
        (resource.RLIMIT_AS, "memory"),
        (resource.RLIMIT_FSIZE, "file"),
    ):
        value = int(str(told[name]))
        resource.setrlimit(limit, (value, value))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    called(libc.prctl(PR_NO_NEW_PRIVS, 1, 0, 0, 0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nothing, handle)
    command = told["command"]
    assert isinstance(command, list), "checked by who started us"
    os.execve(command[0], command,  # noqa: S606 -- the operator's program, never a shell
              {"PATH": "/usr/bin:/bin", "HOME": str(told["folder"]),
                                    "TMPDIR": str(told["folder"]), "LANG": "C.UTF-8"})  # fmt: skip


def main() -> int:
    """Close the cell, say so, and run the command in it: 127 if there is no such command."""
    libc.prctl(PR_DEATHSIG, signal.SIGKILL)
    told = json.loads(sys.argv[1])
    try:
        close(told["folder"], told["hidden"])
        closed = True
    except OSError:
        closed = False
    os.write(1, b"closed\n" if closed else b"open\n")
    first = fork()
    if first:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGKILL))
        return wait(first)
    with contextlib.suppress(OSError):  # where /proc is masked, the machine's stays: it shows numbers alone
        if closed:
            mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    second = fork()
    if second:
        os._exit(wait(second))
    try:
        execute(told)
    finally:
        os._exit(127)


if __name__ == "__main__":
    sys.exit(main())
