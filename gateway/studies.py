"""Orders of studies whose instances come through a modality's door, and what waits for its other half."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from cases.fitness import unfit
from cases.order import StudyOrder
from gateway.refusals import Refusal
from gateway.routes import Route
from gateway.shapes import Shape
from gateway.signin import Caller, Signed
from storage import arrivals
from storage.arrivals import Waiting

# PS3.5 9.1
Uid = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+$", max_length=64)]


class NewStudyOrder(BaseModel):
    """An order as in /api/order.schema.json, without `files`. Without `study` it is for the study that carries its
    accession number (0008,0050)."""

    model_config = ConfigDict(extra="forbid")
    study: Uid | None = None
    order: StudyOrder


class StudyLine(Shape):
    """A study that arrives, an order that waits for its study (no `instances` yet), or both while the study grows.

    `study` and `accession_number` are empty as long as nothing says them.
    """

    study: str
    accession_number: str
    instances: int
    size: int
    last_at: datetime | None
    ordered: bool


class StudyLines(Shape):
    studies: tuple[StudyLine, ...]


def order(asking: Signed, body: NewStudyOrder) -> StudyLines:
    """Order a study whose instances came, or will come, through a modality's door; the answer is what waits of it.

    It becomes a drop when nothing new of the study came for a while. A second order for the same study replaces the
    first until then.
    """
    clinic = asking.who.organisation
    problems = _problems(asking, body.order)
    if problems:
        raise Refusal(
            422,
            "order-incomplete",
            "The order does not fit the network.",
            "Correct the parts listed.",
            problems=problems,
        )
    document = body.order.model_dump(mode="json", exclude_unset=True)
    with asking.transaction() as connection:
        arrivals.keep_order(connection, clinic, body.study or "", asking.who.account, document)
        asking.audit(connection, "drop.create", note="order of a study")
        found = arrivals.waiting(connection, clinic)
    number = body.order.accession_number
    return _lines(
        line
        for line in found
        if (line.study_uid == body.study if body.study else line.accession_number == number)
    )


def _problems(asking: Caller, told: StudyOrder) -> tuple[str, ...]:
    problems = tuple(unfit(told, asking.network, asking.who.organisation))
    if not problems and asking.network.service(told.service).family == "slides":
        return ("service: an order of slides names its files: hand it in with them",)
    return problems


def list_studies(asking: Signed) -> StudyLines:
    """One's own studies without an order, and orders without a study."""
    with asking.transaction() as connection:
        found = arrivals.waiting(connection, asking.who.organisation)
        asking.audit(connection, "drop.create", note="studies that wait")
    return _lines(found)


def _lines(found: Iterable[Waiting]) -> StudyLines:
    return StudyLines(
        studies=tuple(
            StudyLine(
                study=line.study_uid,
                accession_number=line.accession_number,
                instances=line.instances,
                size=line.size,
                last_at=line.last_at,
                ordered=line.ordered,
            )
            for line in found
        )
    )


ROUTES = (
    Route("POST", "/api/studies", order, action="drop.create", tag="drops", status=202),
    Route("GET", "/api/studies", list_studies, action="drop.create", tag="drops"),
)
