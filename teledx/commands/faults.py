"""From an expected error to one sentence, what to do next, and an exit code. What is not in the table is a bug."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cases.errors import NotAllowed, TeledxError, Transient
from teledx.client import Away, Refused
from teledx.commands.exits import OF_STATUS, Exit
from teledx.errors import NotConfigured


@dataclass(frozen=True, kw_only=True)
class Said:
    """An error as it is shown: `problems` are the single things that are wrong, one sentence each."""

    exit: Exit
    code: str
    message: str
    todo: str = ""
    problems: tuple[str, ...] = ()


class Stop(TeledxError):
    """A command that cannot go on, in its own words."""

    def __init__(
        self, exit_code: Exit, message: str, todo: str = "", *, problems: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.said = Said(
            exit=exit_code,
            code=exit_code.name.lower().replace("_", "-"),
            message=message,
            todo=todo,
            problems=problems,
        )


def said(error: BaseException) -> Said | None:
    """How to say an expected error; None for a bug, whose traceback is what helps."""
    return next(filter(None, _ways(error)), None)


def _ways(error: BaseException) -> Iterator[Said | None]:
    yield error.said if isinstance(error, Stop) else None
    yield _of_gateway(error)
    yield _of_settings(error)
    yield _of_house(error)
    yield _of_system(error)


def _of_gateway(error: BaseException) -> Said | None:
    if isinstance(error, Away):
        todo = "Is it running, and is its address right? See TELEDX_GATEWAY_URL, TELEDX_PARTNER_GATEWAY_URL, --gateway."
        return Said(exit=Exit.AWAY, code="away", message=str(error), todo=todo)
    if isinstance(error, Refused):
        code = OF_STATUS.get(error.status, Exit.FAILED)
        return Said(
            exit=code, code=error.code, message=error.message, todo=error.todo, problems=error.problems
        )
    return None


def _of_settings(error: BaseException) -> Said | None:
    from pydantic import ValidationError

    if isinstance(error, NotConfigured):
        todo = "Set them in the environment, or as files in the secrets folder (TELEDX_SECRETS)."
        return Said(exit=Exit.USAGE, code="not-configured", message=str(error), todo=todo)
    if isinstance(error, ValidationError) and error.title == "Settings":
        wrong = tuple(
            f"TELEDX_{'.'.join(str(p) for p in e['loc']).upper()}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False, include_context=False)
        )
        message = "A setting has a value that it cannot have."
        todo = "Correct it in the environment; docs/operations.md lists all settings."
        return Said(exit=Exit.USAGE, code="not-configured", message=message, todo=todo, problems=wrong)
    return None


def _of_house(error: BaseException) -> Said | None:
    from cases.network_errors import NetworkInvalid
    from teledx.supervisor import InUse, NotReady

    if isinstance(error, InUse):
        todo = "Stop the other one, or give this one a folder of its own: TELEDX_STATE."
        return Said(exit=Exit.CONFLICT, code="in-use", message=_sentence(error), todo=todo)
    if isinstance(error, NotReady):
        return Said(
            exit=Exit.FAILED, code="not-ready", message=_sentence(error), todo="Read the logs that are named."
        )

    if isinstance(error, NetworkInvalid):
        problems = tuple(str(p) for p in error.problems)
        message = f"The network file has {len(problems)} problem{'s' if len(problems) != 1 else ''}."
        todo = "Correct what is listed; docs/network.md explains every key."
        return Said(exit=Exit.FAILED, code="network-invalid", message=message, todo=todo, problems=problems)
    if isinstance(error, Transient):
        return Said(exit=Exit.AWAY, code="away", message=_sentence(error), todo="Try again when it is back.")
    if isinstance(error, NotAllowed):
        return Said(
            exit=Exit.CONFLICT, code="not-possible", message=_sentence(error), todo="Look at its state again."
        )
    if isinstance(error, TeledxError):
        return Said(exit=Exit.FAILED, code="failed", message=_sentence(error))
    return None


def _of_system(error: BaseException) -> Said | None:
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror or type(error).__name__}."
        return Said(exit=Exit.USAGE, code="file", message=message, todo="Check the path and its permissions.")
    if isinstance(error, UnicodeDecodeError):
        return Said(
            exit=Exit.USAGE, code="file", message="A file is not UTF-8 text.", todo="Save it as UTF-8."
        )
    return None


def _sentence(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
