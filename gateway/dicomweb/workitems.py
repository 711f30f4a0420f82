"""UPS-RS (PS3.18 section 11): the worklist as workitems, for partners with reading software of their own.

A view on the work items of `storage.readings`, by the same functions as a reader's own doors; what the standard lets
one ask in which state is the table of `cases.ups` (docs/decisions/0034).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from anyio import from_thread
from fastapi import Request, Response
from pydicom.datadict import tag_for_keyword

from cases.states import WORK_ITEM_STATES
from cases.texts import in_lines
from cases.ups import DONE, OUTCOMES, is_uid, outcome, work_item_of
from gateway.dicomweb.accept import choose
from gateway.dicomweb.retrieve import JSON
from gateway.dicomweb.workitem_model import told
from gateway.refusals import Refusal
from gateway.signin import Caller, permits
from gateway.signin import Signed as SignedIn
from storage import readings, subscriptions, ups
from storage.database import Connection
from storage.dicom_search import Unmatchable
from storage.readings import HeldByAnother, UnknownWorkItem, WorkItem
from storage.ups import KEYS

_USUAL, _MOST = 100, 1000
_WORDS_MOST = 1000
_PERCENT = re.compile(r"\d{1,3}(?:\.\d{1,3})?")
_MORE = "299 teledx: There are more results: ask with a larger offset."
_LITERAL = (
    "299 teledx: The fuzzymatching parameter is not supported. Only literal matching has been performed."
)
_UNSUPPORTED = "299 teledx: Requested optional Attributes are not supported."
_TRANSACTION, _STATE, _REASON, _PROGRESS = "00081195", "00741000", "00741238", "00741002"


def search(asking: SignedIn, request: Request) -> Response:
    """Search workitems, in the order in which they should be read: attributes as `Keyword=` or `ggggeeee=`,
    `includefield=`, `limit=`, `offset=`."""
    chosen = choose(request, JSON, related=None)
    values, numbers, whole = _asked(request)
    limit = min(numbers["limit"], _MOST)
    try:
        with asking.transaction() as connection:
            rows = ups.search(connection, values, limit, numbers["offset"])
            more, rows = len(rows) > limit, rows[:limit]
            series = [ups.input_of(connection, row) if whole else None for row in rows]
            asking.audit(connection, "worklist.see", note=" ".join(row["case_id"] for row in rows))
    except Unmatchable as unmatchable:
        raise _invalid([str(unmatchable)]) from None
    warnings = [_MORE] * more + [_LITERAL] * (request.query_params.get("fuzzymatching") == "true")
    headers = {"Warning": ", ".join(warnings)} if warnings else {}
    if not rows:
        return Response(status_code=204, headers=headers)
    answer = [told(request, row, of) for row, of in zip(rows, series, strict=True)]
    return Response(_written(answer), headers={"Content-Type": chosen.form.label, **headers})


def show(asking: SignedIn, request: Request, workitem: str) -> Response:
    """One workitem, with the series that are to be read. The transaction UID is told to nobody."""
    chosen = choose(request, JSON, related=None)
    with asking.transaction() as connection:
        row = ups.step(connection, named(workitem))
        series = ups.input_of(connection, row)
        asking.audit(connection, "case.see-brief", row["case_id"])
    return Response(_written([told(request, row, series)]), headers={"Content-Type": chosen.form.label})


def change_state(asking: SignedIn, request: Request, workitem: str) -> Response:
    """Claim a workitem (IN PROGRESS, with a transaction UID of one's own), give it back (CANCELED: another one takes
    its place), or ask whether it is COMPLETED, which signing the report makes it."""
    body = _payload(request)
    with asking.transaction() as connection:
        found, kept = ups.locked(connection, named(workitem))
        state, given = _text(body, _STATE), _uid(_text(body, _TRANSACTION))
        if state not in WORK_ITEM_STATES:
            raise _invalid([f"ProcedureStepState: is one of {', '.join(_CHANGES)}"])
        code = outcome(state, found.state, given, kept)
        _require_holder(asking, found, code)
        if code == DONE:
            _CHANGES[state](connection, asking, found, given)
    return _answer(code)


def update(asking: SignedIn, request: Request, workitem: str) -> Response:
    """Tell one's progress in a workitem that one has claimed, which keeps the claim; `?TRANSACTION-UID`."""
    body = _payload(request)
    with asking.transaction() as connection:
        found, kept = ups.locked(connection, named(workitem))
        code = outcome("update", found.state, _transaction_of(request, body), kept)
        _require_holder(asking, found, code)
        if code != DONE:
            return _answer(code)
        progress, others = _progress_of(body)
        lease = asking.parts.reading_lease
        ups.keep_progress(connection, found.id, asking.who.account, progress, lease=lease)
    return Response(status_code=200, headers={"Warning": _UNSUPPORTED} if others else {})


def request_cancel(asking: SignedIn, request: Request, workitem: str) -> Response:
    """Ask that a workitem be canceled: one that nobody holds is declined for the whole organisation; of one that is
    held its subscribers are told, and the holder decides."""
    body = _payload(request)
    with asking.transaction() as connection:
        found, _ = ups.locked(connection, named(workitem))
        code, reason = outcome("cancel request", found.state, "", None), _words(body, _REASON)
        if code == DONE and found.state == "SCHEDULED":
            readings.decline(connection, found.id, asking.who.account, reason)
            asking.audit(connection, "work-item.decline", found.case_id)
        elif code == DONE and subscriptions.subscribers(connection, found.id):
            ups.request_cancel(connection, found.id, asking.who.account, reason)
            asking.audit(connection, "work-item.decline", found.case_id, note="requested")
        elif code == DONE:
            code = "C313"
    return _answer(code, accepted=True)


def named(uid: str) -> UUID:
    """The work item of a workitem's UID. Raises `UnknownWorkItem`."""
    found = work_item_of(uid)
    if found is None:
        raise UnknownWorkItem("no such workitem")
    return found


def _claim(connection: Connection, asking: Caller, found: WorkItem, given: str) -> None:
    ups.claim(connection, found.id, asking.who.account, given, lease=asking.parts.reading_lease)
    asking.audit(connection, "work-item.claim", found.case_id)


def _release(connection: Connection, asking: Caller, found: WorkItem, given: str) -> None:
    permits("work-item.release")(asking)
    reason = (ups.step(connection, found.id)["progress"] or {}).get("reason", "")
    readings.release(connection, found.id, asking.who.account, reason)
    asking.audit(connection, "work-item.release", found.case_id)


def _complete(connection: Connection, asking: Caller, found: WorkItem, given: str) -> None:
    """A reading is complete when its report is signed, which is done elsewhere and completes it by itself."""
    raise _refused("C304", "Its report is not signed.", "Sign the final report; that completes the workitem.")


# What the table lets a request do; nothing becomes SCHEDULED.
_CHANGES = {"IN PROGRESS": _claim, "COMPLETED": _complete, "CANCELED": _release}


def _require_holder(asking: Caller, found: WorkItem, code: str) -> None:
    """A transaction UID is a claim's and no key to it: who changes a claimed workitem holds it, too."""
    if code == DONE and found.state == "IN PROGRESS" and found.reader != asking.who.account:
        raise HeldByAnother("another reader holds this work item")


def _answer(code: str, *, accepted: bool = False) -> Response:
    """The answer that a code of the table asks for."""
    answer = OUTCOMES[code]
    if answer.status >= 400:
        raise _refused(code)
    headers = {"Warning": f"299 teledx: {answer.warning}"} if answer.warning else {}
    return Response(status_code=202 if accepted else answer.status, headers=headers)


def _refused(
    code: str, message: str = "", todo: str = "Retrieve the workitem and look at its state."
) -> Refusal:
    answer = OUTCOMES[code]
    headers = {"Warning": f"299 teledx: {answer.warning}"}
    return Refusal(answer.status, "ups-refused", message or answer.warning, todo, headers=headers)


def _payload(request: Request) -> Mapping[str, Any]:
    """The one data set of a request in DICOM JSON, by itself or in a list; nothing is as empty. Raises `Refusal`."""
    content = from_thread.run(request.body)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content and kind not in ("application/dicom+json", "application/json"):
        raise Refusal(415, "unreadable", "Workitems are taken as DICOM JSON.", "Send application/dicom+json.")
    try:
        body = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        raise _invalid(["the request: is no JSON"]) from None
    if isinstance(body, list) and len(body) == 1:
        (body,) = body
    if not isinstance(body, dict):
        raise _invalid(["the request: is one data set in DICOM JSON"])
    return body


def _first(body: Mapping[str, Any], tag: str) -> object:
    """The first value of an attribute; None if it has none."""
    attribute = body.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _text(body: Mapping[str, Any], tag: str) -> str:
    value = _first(body, tag)
    return value.strip() if isinstance(value, str) else ""


def _words(body: Mapping[str, Any], tag: str) -> str:
    """A text of several lines, within bounds."""
    text = _text(body, tag)
    try:
        return in_lines(text[:_WORDS_MOST])
    except ValueError as error:
        raise _invalid([f"{tag}: {error}"]) from None


def _uid(text: str) -> str:
    if text and not is_uid(text):
        raise _invalid(["TransactionUID: is a UID"])
    return text


def _transaction_of(request: Request, body: Mapping[str, Any]) -> str:
    """The transaction UID of an update: the query itself (PS3.18 11.6.1), a parameter, or in the data set."""
    bare = [name for name in request.query_params if is_uid(name)]
    asked = request.query_params.get("transaction-uid", "")
    return _uid((bare or [asked or _text(body, _TRANSACTION)])[0])


def _progress_of(body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Progress, its words and a reason for canceling, and whether there was more, which is not kept.

    What an update may not change (PS3.4 Table CC.2.5-3) is refused.
    """
    if set(body) & {_STATE, "00080016", "00080018"}:
        raise _invalid(["ProcedureStepState, SOPClassUID, SOPInstanceUID: no update changes them"])
    inner = _first(body, _PROGRESS)
    item = inner if isinstance(inner, dict) else {}
    kept: dict[str, Any] = {}
    if "00741004" in item:
        percent = str(_first(item, "00741004")).strip()
        if not _PERCENT.fullmatch(percent) or float(percent) > 100:
            raise _invalid(["ProcedureStepProgress: is a number from 0 to 100"])
        kept["percent"] = float(percent)
    kept |= {
        name: _words(item, tag) for name, tag in (("words", "00741006"), ("reason", _REASON)) if tag in item
    }
    others = set(body) - {_PROGRESS, _TRANSACTION} or set(item) - {"00741004", "00741006", _REASON}
    return kept, bool(others)


def _asked(request: Request) -> tuple[list[tuple[str, str]], dict[str, int], bool]:
    """Attributes with values, `limit` and `offset`, and whether the series are wanted. Raises `Refusal` (400)."""
    values, problems, whole = [], [], False
    numbers = {"limit": _USUAL, "offset": 0}
    for place, (name, value) in enumerate(request.query_params.multi_items(), 1):
        if name in numbers and value.isascii() and value.isdigit() and len(value) < 10:
            numbers[name] = int(value)
        elif name == "includefield":
            whole = whole or bool({"all", "00404021", "InputInformationSequence"} & set(value.split(",")))
        elif name in ("accept", "fuzzymatching"):
            continue
        elif (tag := _tag(name)) in KEYS:
            values.append((tag, value.strip()))
        else:
            said = name if name in numbers or tag else f"parameter {place}"
            problems.append(f"{said}: no attribute that can be searched by; these can: {', '.join(KEYS)}")
    if problems:
        raise _invalid(problems)
    return [(tag, value) for tag, value in values if value.strip("*")], numbers, whole


def _tag(name: str) -> str:
    """`ggggeeee` of a tag or keyword; empty if it is neither."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return name.upper()
    tag = tag_for_keyword(name)
    return "" if tag is None else f"{tag:08X}"


def _written(answer: list[dict[str, Any]]) -> str:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def _invalid(problems: list[str]) -> Refusal:
    return Refusal(
        400, "invalid", "The request cannot be understood.", "Correct the parts listed.", problems=problems
    )
