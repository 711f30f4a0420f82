"""The order: what a clinic asks, of whom, for which patient and with which files (`order.json` in a drop).

Its JSON Schema is generated from these models into `docs/order.schema.json`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from cases.texts import in_lines, in_one_line, is_control


def _text(
    check: Callable[[str], str], shortest: int, longest: int
) -> tuple[StringConstraints, AfterValidator]:
    bounds = StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)
    return bounds, AfterValidator(check)


# The file that makes a prefix in the inbox a drop.
ORDER_NAME = "order.json"

Name = Annotated[str, *_text(in_one_line, 1, 200)]
Text = Annotated[str, *_text(in_lines, 1, 4000)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sex = Literal["male", "female", "other", "unknown"]
Side = Literal["left", "right", "both", "none"]
Priority = Literal["stat", "urgent", "routine"]
Purpose = Literal["diagnosis", "check", "second-opinion"]


def _plain_path(name: str) -> str:
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or any(p in ("", ".", "..") for p in parts):
        raise ValueError("a file name is a relative path without '..', '//' or backslashes")
    if any(is_control(c) for c in name):
        raise ValueError("a file name holds no control characters or line breaks")
    return name


FileName = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_plain_path)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PatientIdentifier(_Part):
    """One number of the patient; `type` says which (HL7 table 0203: MR is the clinic's own record number)."""

    value: Name
    type: Literal["MR", "national-id", "insurance", "passport", "other"] = "MR"


class Patient(_Part):
    """`name` as on the identity card; `name_latin` if the modality writes it so (else pinyin is derived)."""

    identifiers: tuple[PatientIdentifier, ...] = Field(min_length=1)
    name: Name
    name_latin: Name | None = None
    sex: Sex
    birth_date: date

    @property
    def id(self) -> str:
        """The identifier under which the clinic knows the patient: its record number, else the first given."""
        return next((i.value for i in self.identifiers if i.type == "MR"), self.identifiers[0].value)


class Coded(_Part):
    """A text and, where the clinic has one, its code and the code's system."""

    text: Text
    code: Name | None = None
    system: Name | None = None


class Consent(_Part):
    """The signed consent: the digest of its document, who signed and what they are to the patient."""

    document_sha256: Sha256
    signer: Name
    relation: Literal["self", "parent", "guardian", "spouse", "child", "other"]


class Specimen(_Part):
    """One specimen, as the laboratory numbers it."""

    id: Name
    description: Text
    body_site: Coded | None = None
    side: Side = "none"
    collected_on: date | None = None
    fixation: Name | None = None


class SlideLine(_Part):
    """One slide of the order: which file, and what its label must say. `number` of `of` counts the case's slides."""

    file: FileName
    pathology_number: Name
    specimen: Name
    block: Name
    stain: Name
    number: int = Field(ge=1)
    of: int = Field(ge=1)


class FirstDiagnosis(_Part):
    """The community's own reading, which the centre checks."""

    text: Text
    doctor: Name
    made_at: datetime


class Callback(_Part):
    """Whom the reader rings up."""

    name: Name
    phone: Annotated[str, *_text(in_one_line, 3, 40)]


class FileLine(_Part):
    """One file of the drop: its path below the drop's prefix, size in bytes and SHA-256 in hex."""

    name: FileName
    size: int = Field(ge=0)
    sha256: Sha256


class StudyOrder(_Part):
    """An order whose files are what arrives of a study through a modality's door."""

    version: Literal["1"] = "1"
    accession_number: Annotated[str, *_text(in_one_line, 1, 64)]
    service: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{2,40}$")]
    priority: Priority
    purpose: Purpose
    procedure: Coded
    body_site: Coded
    side: Side
    clinical_question: Annotated[str, *_text(in_lines, 0, 4000)]
    history: Annotated[str, *_text(in_lines, 0, 8000)] = ""
    allergies: tuple[Text, ...] = ()
    earlier_accession_numbers: tuple[Name, ...] = ()
    requesting_doctor: Name
    callback: Callback
    wished_partner: Name | None = None
    scanning_site: Name | None = None
    patient: Patient
    consent: Consent
    specimens: tuple[Specimen, ...] = ()
    slides: tuple[SlideLine, ...] = ()
    first_diagnosis: FirstDiagnosis | None = None


class Order(StudyOrder):
    """A whole order. `clinical_question` may be empty here: preprocess then gives advice instead of a schema error."""

    files: tuple[FileLine, ...] = Field(min_length=1, max_length=20_000)

    @model_validator(mode="after")
    def _hangs_together(self) -> Order:
        names = [f.name for f in self.files]
        if len(set(names)) != len(names):
            raise ValueError("files: each file is named once")
        if ORDER_NAME in names:
            raise ValueError("files: order.json does not name itself")
        specimens = {s.id for s in self.specimens}
        for slide in self.slides:
            if slide.file not in names:
                raise ValueError(f"slides: slide {slide.number} names a file that is not among files")
            if slide.specimen not in specimens:
                raise ValueError(f"slides: slide {slide.number} names a specimen that is not among specimens")
            if slide.number > slide.of:
                raise ValueError(f"slides: slide {slide.number} of {slide.of}")
        return self


# pydantic's error type -> what is wrong, in words; the others keep pydantic's own sentence
_WORDS: dict[str, str] = {
    "missing": "is missing",
    "string_too_short": "is empty or too short",
    "string_too_long": "is too long",
    "too_short": "needs at least one",
    "string_type": "must be a text",
    "model_type": "must be an object with its parts",
    "model_attributes_type": "must be an object with its parts",
    "tuple_type": "must be a list",
    "string_pattern_mismatch": "is not written as it must be; see docs/order.schema.json",
}


def problems(error: ValidationError) -> tuple[str, ...]:
    """What is wrong with an order, one sentence for each part, naming the part but never its value.

    A part that does not exist is not named either: its name is whatever the sender wrote.
    """
    lines = []
    for found in error.errors(include_input=False, include_url=False, include_context=False):
        loc, wrong = found["loc"], _WORDS.get(found["type"])
        if found["type"] == "extra_forbidden":
            near = get_close_matches(str(loc[-1]), _part_names(), n=1)
            wrong = f"holds a part that does not exist{f'; did you mean {near[0]!r}?' if near else ''}"
            loc = loc[:-1]
        part = ".".join(str(p) for p in loc) or "order"
        lines.append(
            f"{part}: {wrong or found['msg'].removeprefix('Value error, ').replace('Input should', 'must')}"
        )
    return tuple(lines)


def _part_names() -> list[str]:
    parts: list[type[BaseModel]] = [*_Part.__subclasses__(), Order]
    return sorted({name for part in parts for name in part.model_fields})
