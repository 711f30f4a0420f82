"""What the gateway answers when it cannot do what was asked: one table from errors to answers, in one shape.

`{"error": {"code", "message", "todo"}, "problems": [...]}`; no answer and no log line repeats a value that was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cases.errors import NotAllowed, TeledxError, Transient
from gateway.chinese import all_zh, zh
from storage.accounts import UnknownToken
from storage.cases import UnknownCase
from storage.database import NotStorable
from storage.dicom_instances import UnknownInstance
from storage.readings import HeldByAnother, UnknownWorkItem
from storage.s3 import Absent
from storage.signing import UnknownReport
from storage.subscriptions import UnknownSubscription


class Refusal(TeledxError):
    """An answer other than the one that was asked for."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        todo: str = "",
        *,
        problems: Sequence[str] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.todo = todo
        self.problems = tuple(problems)
        self.headers = headers


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    code: str
    message: str  # empty: the error's own words, which name no value
    todo: str


# error | status | code | message | what to do
_ROWS: tuple[tuple[type[Exception], int, str, str, str], ...] = (
    (UnknownToken, 401, "not-signed-in", "The access token is not in force.", "Ask an operator for a new token."),
    (UnknownCase, 404, "not-found", "There is no such case or drop.", "Check its number."),
    (UnknownWorkItem, 404, "not-found", "There is no such work item.", "Look at the worklist again."),
    (UnknownReport, 404, "not-found", "There is no such report.", "Check its number."),
    (UnknownInstance, 404, "not-found", "There is no such instance or frame.", "Search for what there is."),
    (UnknownSubscription, 404, "not-found", "There is no such subscription.", "Subscribe first."),
    (Absent, 404, "not-found", "The file is not there.", "Look again; it may have been replaced or cleared away."),
    (HeldByAnother, 409, "held-by-another", "Another reader holds this work item.", "Choose another one."),
    (NotAllowed, 409, "not-possible", "", "Look at its state again; it may have moved on."),
    (NotStorable, 422, "invalid", "A value holds characters that cannot be kept.", "Leave out control characters."),
    (Transient, 503, "away", "Something that this needs is away.", "Try again in a few seconds."),
)  # fmt: skip
ANSWERS: dict[type[Exception], Answer] = {
    kind: Answer(status=status, code=code, message=message, todo=todo)
    for kind, status, code, message, todo in _ROWS
}
# What the framework refuses by itself: status -> (code, message, what to do)
_HTTP: dict[int, tuple[str, str, str]] = {
    400: ("unreadable", "The request cannot be read.", "Send JSON in UTF-8."),
    404: ("not-found", "There is no such address here.", "See /docs for what there is."),
    405: ("no-such-method", "This address does not take that method.", "See /docs for what there is."),
    413: ("too-large", "The request is too large.", "Send files straight to the store."),
}


def install(app: FastAPI) -> None:
    """Register the handlers of every error that is an answer."""
    app.add_exception_handler(Refusal, _answered)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for kind in ANSWERS:
        app.add_exception_handler(kind, _answered)


def shaped(
    status: int, code: str, message: str, todo: str = "", problems: Sequence[str] = (), **headers: str
) -> JSONResponse:
    """An error in the API's one shape."""
    words = {"message": message, "message_zh": zh(message), "todo": todo, "todo_zh": zh(todo)}
    content: dict[str, Any] = {"error": {"code": code, **words}}
    if problems:
        content["problems"] = list(problems)
        content["problems_zh"] = list(all_zh(problems))
    return JSONResponse(content, status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def sentences(errors: Sequence[Any]) -> tuple[str, ...]:
    """What is wrong with a body or a parameter, one sentence for each part; names parts, never their values."""
    lines = []
    for error in errors:
        part = ".".join(str(p) for p in error["loc"][1:]) or str(error["loc"][0])
        wrong = "is missing" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
        lines.append(f"{part}: {wrong}")
    return tuple(lines)


def answered(error: Exception) -> JSONResponse:
    """The answer that an error of the house is. Raises StopIteration for one that is none."""
    if isinstance(error, Refusal):
        headers = dict(error.headers) | _of_status(error.status)
        return shaped(error.status, error.code, error.message, error.todo, error.problems, **headers)
    answer = next(a for kind, a in ANSWERS.items() if isinstance(error, kind))
    headers = ({"Retry_After": "5"} if answer.status == 503 else {}) | _of_status(answer.status)
    return shaped(answer.status, answer.code, answer.message or str(error), answer.todo, **headers)


def _of_status(status: int) -> dict[str, str]:
    return {"WWW_Authenticate": "Bearer"} if status == 401 else {}


def _answered(request: Request, error: Exception) -> JSONResponse:
    return answered(error)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return shaped(
        422,
        "invalid",
        "The request does not have the form that is asked for.",
        "Correct the parts listed.",
        sentences(error.errors()),
    )


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return shaped(error.status_code, *_HTTP.get(error.status_code, _HTTP[400]))
