"""The clinic confirms slides whose labels nobody could read, each beside its picture."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict

from cases.documents import Preprocessed, StoredObject
from cases.errors import NotAllowed
from cases.order import Order
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.shapes import CaseState, LabelLine, Labels
from gateway.signin import Signed
from storage import cases, transition
from storage.database import Connection

_UNREAD = ("unreadable", "absent")


class LabelAnswers(BaseModel):
    """Numbers of slides in the order: what stands on the slide is what the order says, or it is not."""

    model_config = ConfigDict(extra="forbid")
    confirmed: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()


def list_labels(asking: Signed, case_id: str) -> Labels:
    """The slides whose labels could not be read, with what the order says of each."""
    with asking.transaction() as connection:
        asking.case(connection, case_id, "case.answer")
        asking.audit(connection, "case.answer", case_id, note="labels")
        return Labels(case_id=case_id, slides=_labels(connection, case_id))


def picture(asking: Signed, case_id: str, number: int) -> Response:
    """The picture of a slide's label; it may show the patient's name, and never leaves the region."""
    with asking.transaction() as connection:
        asking.case(connection, case_id, "case.answer")
        asking.audit(connection, "case.answer", case_id, note=f"label {number}")
        order, found = cases.order_of(connection, case_id), _preprocessed(connection, case_id)
    stored = _picture_of(order, found, number)
    if stored is None:
        raise Refusal(
            404, "not-found", "There is no picture of this slide's label.", "Look at the slide itself."
        )
    return Response(asking.parts.s3.get(stored.zone, stored.key), media_type=stored.media_type)


def answer(asking: Signed, case_id: str, body: LabelAnswers) -> CaseState:
    """Confirm slides, or say that they are not what the order says; after the last one the case goes on."""
    both = set(body.confirmed) & set(body.wrong)
    if both:
        raise Refusal(
            422,
            "invalid",
            "A slide is either confirmed or wrong.",
            problems=[f"slide {n} of the order" for n in both],
        )
    with asking.transaction() as connection:
        case = asking.case(connection, case_id, "case.answer", lock=True)
        if case.state != "awaiting_clinic":
            raise NotAllowed(f"the case is {case.state}; nothing is asked about it")
        known = {line.number for line in _labels(connection, case_id)}
        unknown = sorted({*body.confirmed, *body.wrong} - known)
        if unknown:
            raise Refusal(
                422,
                "invalid",
                "Nothing is asked about these slides.",
                problems=[f"slide {n} of the order" for n in unknown],
            )
        _keep(connection, case_id, body, asking.who.account)
        asking.audit(
            connection,
            "case.answer",
            case_id,
            note=f"{len(body.confirmed)} confirmed {len(body.wrong)} wrong",
        )
        if all(line.state != "asked" for line in _labels(connection, case_id)):
            case = cases.move(connection, case_id, "answered", actor=asking.who.account)
            transition.next_run(connection, case, "preprocess")
    return CaseState(case_id=case_id, state=case.state)


def _keep(connection: Connection, case_id: str, body: LabelAnswers, account: str) -> None:
    for number, confirmed in [*((n, True) for n in body.confirmed), *((n, False) for n in body.wrong)]:
        connection.execute(
            "INSERT INTO vault.label_answer (case_id, number, confirmed, account) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (case_id, number) DO UPDATE"
            " SET confirmed = excluded.confirmed, account = excluded.account, answered_at = clock_timestamp()",
            (case_id, number, confirmed, account),
        )


def _labels(connection: Connection, case_id: str) -> tuple[LabelLine, ...]:
    order, found = cases.order_of(connection, case_id), _preprocessed(connection, case_id)
    rows = connection.execute(
        "SELECT number, confirmed FROM vault.label_answer WHERE case_id = %s", (case_id,)
    ).fetchall()
    answers = {row["number"]: row["confirmed"] for row in rows}
    unread = {s.file for s in found.slides if s.label in _UNREAD} if found else set()
    numbers = {line.name: place for place, line in enumerate(order.files, 1)}
    return tuple(
        LabelLine(
            number=slide.number,
            file_number=numbers[slide.file],
            pathology_number=slide.pathology_number,
            block=slide.block,
            stain=slide.stain,
            state={None: "asked", True: "confirmed", False: "wrong"}[answers.get(slide.number)],
            picture=_address(case_id, order, found, slide.number),
        )
        for slide in order.slides
        if slide.file in unread or slide.number in answers
    )


def _address(case_id: str, order: Order, found: Preprocessed | None, number: int) -> str | None:
    return f"/api/cases/{case_id}/labels/{number}.png" if _picture_of(order, found, number) else None


def _picture_of(order: Order, found: Preprocessed | None, number: int) -> StoredObject | None:
    files = {slide.number: slide.file for slide in order.slides}
    pictures = {p.of: p.stored for p in found.previews if p.identified} if found else {}
    return pictures.get(files.get(number, ""))


def _preprocessed(connection: Connection, case_id: str) -> Preprocessed | None:
    document: Any = cases.documents(connection, case_id).get("preprocess")
    return Preprocessed.model_validate(document) if document else None


ROUTES = (
    Route("GET", "/api/cases/{case_id}/labels", list_labels, action="case.answer", tag="labels"),
    Route(
        "GET", "/api/cases/{case_id}/labels/{number}.png", picture, action="case.answer", tag="labels",
        media_type="image/png",
    ),
    Route("POST", "/api/cases/{case_id}/labels", answer, action="case.answer", tag="labels"),
)  # fmt: skip
