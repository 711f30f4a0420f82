"""The three kinds of error a stage may raise; anything else is a bug, which is recorded, alerted and replayable."""

from __future__ import annotations

from cases.reasons import REASONS, Reason


class TeledxError(Exception):
    """Any error that the house raises on purpose."""


class Transient(TeledxError):
    """Something outside is away (a store, a database, a partner's line): the stage is tried again later."""


class Quarantine(TeledxError):
    """The case cannot be trusted until a person has looked.

    `code` is a row of `cases.reasons.REASONS`; `detail` says what was found, without any patient identity,
    because it is logged and shown to operators. All three cross a child process' border unchanged.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        self.reason: Reason = REASONS[code]
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code)

    def __reduce__(self) -> tuple[type[Quarantine], tuple[str, str]]:
        return type(self), (self.code, self.detail)


class Reject(TeledxError):
    """The material is inadequate and goes back to the clinic with advice; `code` and `detail` as in `Quarantine`."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.reason: Reason = REASONS[code]
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code)

    def __reduce__(self) -> tuple[type[Reject], tuple[str, str]]:
        return type(self), (self.code, self.detail)


class AskClinic(TeledxError):
    """The clinic must answer before the case goes on (an unreadable slide label, for one); `code` as above."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.reason: Reason = REASONS[code]
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code)

    def __reduce__(self) -> tuple[type[AskClinic], tuple[str, str]]:
        return type(self), (self.code, self.detail)


class NotAllowed(TeledxError):
    """The event is not possible in the state the thing is in; says both, and what is possible."""
