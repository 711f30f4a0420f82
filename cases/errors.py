"""The three kinds of error a stage may raise; anything else is a bug, which is recorded, alerted and replayable."""

from __future__ import annotations

from cases.reasons import REASONS, Reason


class TeledxError(Exception):
    """Any error that the house raises on purpose."""


class Transient(TeledxError):
    """Something outside is away (a store, a database, a partner's line): the stage is tried again later."""


class SetAside(TeledxError):
    """The case leaves its way for a reason of `cases.reasons.REASONS`, named by `code`.

    `detail` says what was found, without any patient identity, because it is logged and shown to operators.
    `event` is what happens to the case (`cases.states.CASE`).
    """

    event = ""

    def __init__(self, code: str, detail: str = "") -> None:
        self.reason: Reason = REASONS[code]
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code)

    def __reduce__(self) -> tuple[type[SetAside], tuple[str, str]]:
        return type(self), (self.code, self.detail)


class Quarantine(SetAside):
    """The case cannot be trusted until a person has looked."""

    event = "quarantined"


class Reject(SetAside):
    """The material is inadequate and goes back to the clinic with advice."""

    event = "rejected"


class AskClinic(SetAside):
    """The clinic must answer before the case goes on: an unreadable slide label, for one."""

    event = "asked"


class NotAllowed(TeledxError):
    """The event is not possible in the state the thing is in; says both, and what is possible."""
