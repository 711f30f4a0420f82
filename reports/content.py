"""Everything that a returned report says, as one frozen value; `reports.pdf` and `reports.fhir` only write it down.

Identity stands here in full: a content is made inside the region, for the clinic, after the binding was checked.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cases.order import Coded, Name, PatientIdentifier, Sex, Sha256, Side

Language = Literal["zh", "en", "both"]
Status = Literal[
    "registered", "preliminary", "final", "amended", "corrected", "appended", "cancelled", "entered-in-error"
]
Uid = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)+$", max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Organisation(_Part):
    """A clinic, laboratory or partner: its id in the network file and its names in English and Chinese."""

    id: Name
    name: Name
    name_zh: Name


class Person(_Part):
    """The patient, as the order states it; `age` at the examination, in words or as DICOM writes it (`058Y`)."""

    name: Name
    identifiers: tuple[PatientIdentifier, ...] = Field(min_length=1)
    sex: Sex
    birth_date: date
    age: str


class Signer(_Part):
    """Who signed: a name, the licence under which, and for which organisation; `account` is the stable id."""

    account: Name
    name: Name
    licence: str = ""
    organisation: Organisation


class CoSignature(_Part):
    """A signature beside the responsible one: a clinic's first diagnosis, a second reading, an adjudication."""

    role: Literal["first-diagnosis", "primary", "secondary", "adjudication"]
    name: Name
    licence: str = ""
    signed_at: AwareDatetime


class SpecimenRead(_Part):
    """A specimen by the laboratory's own number."""

    id: Name
    description: str


class SlideRead(_Part):
    """A slide by the laboratory's own numbers; `number` of `of` counts the case's slides."""

    pathology_number: Name
    specimen: Name
    block: Name
    stain: Name
    number: int = Field(ge=1)
    of: int = Field(ge=1)


class Milestone(_Part):
    """Something that happened on the case's way, by the clock of whom it happened to."""

    name: Name
    name_zh: Name
    at: AwareDatetime


class Binding(_Part):
    """What ties report, order and images together, by SHA-256.

    Of the order as received, of the manifest of the images as delivered, and of the report's body as it was signed.
    """

    order_sha256: Sha256
    images_manifest_sha256: Sha256
    pseudonym: Name
    report_sha256: Sha256 | None = None


class ReportContent(_Part):
    """A report as the clinic gets it back.

    `version` counts from 1. `codes` are (code, text) as the reader gave them; a code may name its system before a
    bar, as in a FHIR token: `http://hl7.org/fhir/sid/icd-10|C50.9`. `study_uids` are the clinic's own, not the
    replaced ones. Times are aware; the page shows them in `timezone`.
    """

    case_id: Name
    report_id: Name
    version: int = Field(ge=1)
    status: Status
    accession_number: Name
    signed_at: AwareDatetime
    change_reason: str = ""

    patient: Person
    clinic: Organisation
    laboratory: Organisation | None = None
    requesting_doctor: Name

    service: Name
    service_name: Name
    service_name_zh: Name
    family: Literal["dicom", "slides"]
    modalities: tuple[str, ...] = ()
    procedure: Coded
    body_site: Coded
    side: Side
    clinical_question: str
    received_at: AwareDatetime
    examined_on: date | None = None
    study_uids: tuple[Uid, ...] = ()
    specimens: tuple[SpecimenRead, ...] = ()
    slides: tuple[SlideRead, ...] = ()

    findings: str
    conclusion: str
    recommendation: str = ""
    codes: tuple[tuple[str, str], ...] = ()
    critical_findings: tuple[str, ...] = ()

    reader: Signer
    co_signatures: tuple[CoSignature, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    binding: Binding
    timezone: Name = "Asia/Shanghai"

    def local(self, at: datetime) -> datetime:
        """`at` (aware) on the clinic's clock."""
        return at.astimezone(ZoneInfo(self.timezone))
