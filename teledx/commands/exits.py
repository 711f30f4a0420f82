"""The exit codes of every command, in one table."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's exit code says to a script."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SET_ASIDE = 3
    NOT_FOUND = 4
    NOT_ALLOWED = 5
    AWAY = 6
    CONFLICT = 7
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "it failed, or something that was looked at is wrong; the message says what",
    Exit.USAGE: "the command, a setting or a file given to it is not right; nothing was changed",
    Exit.SET_ASIDE: "done, but something was withheld, set aside or sent back; the message says what and why",
    Exit.NOT_FOUND: "there is no such case, drop, work item or run, or it is not yours to see",
    Exit.NOT_ALLOWED: "not signed in, or your role may not do this",
    Exit.AWAY: "a server that this needs does not answer; the same command may work later",
    Exit.CONFLICT: "not possible any more: somebody else holds it, or it has moved on",
    Exit.INTERRUPTED: "stopped by Ctrl-C (`up` and `demo`, which run until then, end with 0)",
}

# What the gateway's answers mean to a script; a status that is not here is FAILED.
OF_STATUS: dict[int, Exit] = {
    400: Exit.USAGE,
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    413: Exit.USAGE,
    422: Exit.USAGE,
    429: Exit.AWAY,
    502: Exit.AWAY,
    503: Exit.AWAY,
    504: Exit.AWAY,
}
