"""The brief: the order as a reader may see it. Text cleaned, age in place of the birth date, identifiers replaced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from cases.documents import Brief, EarlierExamination, Preprocessed, SlideBrief
from cases.errors import Quarantine
from cases.order import Order
from cases.ports import PatientKey
from imaging.deid import keys
from imaging.deid.dates import age_at
from imaging.deid.known import KnownIdentity
from imaging.deid.text import clean


class Earlier(Protocol):
    """An earlier case of the same patient of the same clinic, and the day of its examination."""

    @property
    def case_id(self) -> str: ...

    @property
    def service(self) -> str: ...

    @property
    def examined_on(self) -> date: ...


def make(
    order: Order,
    key: PatientKey,
    known: KnownIdentity,
    found: Preprocessed,
    *,
    priority: str,
    received_on: date,
    earlier: Sequence[Earlier] = (),
    blanked_instances: int = 0,
) -> Brief:
    """The brief of a case.

    :param received_on: the day that stands for the examination's where no study states one.
    :raises Quarantine: `reading-loss` if cleaning leaves no question, or the age cannot be told.
    """
    examined = min((s.study_date for s in found.studies if s.study_date), default=received_on)
    age, question = _needed(order, known, examined)
    first = order.first_diagnosis
    return Brief(
        pseudonym=key.pseudonym,
        age=age,
        sex=order.patient.sex,
        service=order.service,
        priority=priority,
        purpose=order.purpose,
        procedure=clean(order.procedure.text, known),
        body_site=clean(order.body_site.text, known),
        side=order.side,
        clinical_question=question,
        history=clean(order.history, known, reference=examined).strip(),
        allergies=tuple(clean(a, known) for a in order.allergies),
        first_diagnosis=clean(first.text, known, reference=examined) if first else None,
        specimens=tuple(
            (keys.token(key.secret, "specimen", s.id), clean(s.description, known)) for s in order.specimens
        ),
        slides=_slides(order, key, found),
        earlier=_intervals(earlier, examined),
        modalities=tuple(sorted({s.modality for st in found.studies for s in st.series})),
        instances=sum(len(s.instances) for st in found.studies for s in st.series),
        blanked_instances=blanked_instances,
    )


def _needed(order: Order, known: KnownIdentity, examined: date) -> tuple[str, str]:
    """The age and the question: no reading without them."""
    age = age_at(order.patient.birth_date, examined)
    question = clean(order.clinical_question, known, reference=examined).strip()
    if not age or not question:
        raise Quarantine("reading-loss", "the clinical question" if age else "the age")
    return age, question


def _intervals(earlier: Sequence[Earlier], examined: date) -> tuple[EarlierExamination, ...]:
    """Earlier examinations by the days before this one."""
    return tuple(
        EarlierExamination(case_id=e.case_id, service=e.service, days_before=(examined - e.examined_on).days)
        for e in earlier
        if e.examined_on <= examined
    )


def slide_name(key: PatientKey, pathology_number: str, block: str, stain: str, number: int) -> str:
    """What a slide is called outside: the same in its file's name and in the brief."""
    return keys.token(key.secret, "slide", f"{pathology_number}/{block}/{stain}/{number}")


def _slides(order: Order, key: PatientKey, found: Preprocessed) -> tuple[SlideBrief, ...]:
    scanned = {slide.file: slide for slide in found.slides}
    return tuple(
        SlideBrief(
            name=slide_name(key, line.pathology_number, line.block, line.stain, line.number),
            specimen=keys.token(key.secret, "specimen", line.specimen),
            block=keys.token(key.secret, "block", f"{line.pathology_number}/{line.block}"),
            stain=line.stain,
            number=line.number,
            of=line.of,
            mpp=scanned[line.file].mpp if line.file in scanned else None,
        )
        for line in order.slides
    )
