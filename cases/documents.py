"""What each stage found and hands to the next: frozen values, kept as JSON in the region's `vault.document`.

Objects are named by zone (a bucket's role) and key. Nothing here but `Order`,
`Mismatch.seen` and `PlannedSlide.removed_values` may hold identity.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredObject(Document):
    """An object that is durable: `zone` is a bucket role (`identified`, `deidentified`, `partner-<id>`, ...)."""

    zone: str
    key: str
    size: int
    sha256: str
    media_type: str = "application/octet-stream"


class ReceivedFile(Document):
    """`name` is the clinic's path below its drop and may carry identity; the stored key never does."""

    name: str
    stored: StoredObject


class Received(Document):
    """receive: the drop's files as the region keeps them, verified against the order."""

    files: tuple[ReceivedFile, ...]
    total_bytes: int


FileKind = Literal["dicom", "slide", "document", "ignored"]


class InstanceFound(Document):
    """One DICOM instance: where its bytes are (`member` names the entry if the file is a ZIP archive)."""

    file: str
    member: str | None = None
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    frames: int = 1
    instance_number: int | None = None


class SeriesFound(Document):
    uid: str
    modality: str
    number: int | None = None
    description: str = ""
    instances: tuple[InstanceFound, ...]
    gaps: tuple[int, ...] = ()


class StudyFound(Document):
    uid: str
    started_at: datetime | None = None
    study_date: date | None = None
    series: tuple[SeriesFound, ...]


class PlannedPart(Document):
    """A range of what was received, or of the object that holds the bytes `made` anew; and the SHA-256 of that range.

    Plans of the release before have no digests of parts.
    """

    made: bool
    offset: int
    length: int
    sha256: str = ""


class PlannedFile(Document):
    """A file of a slide that is several: its `name` in the slide's folder, its parts and the SHA-256 of all of them."""

    name: str
    parts: tuple[PlannedPart, ...]
    sha256: str


class PlannedSlide(Document):
    """The slide as it may leave: `parts` one after the other, the SHA-256 of all of them, and the texts taken out.

    Each part but the last is long enough for a store to compose (S3: 5 MiB). Of a slide of several files these are the
    parts of the one that opens it, `folder` are the others, and `sources` the objects that the parts are ranges of,
    one after the other.
    """

    made: StoredObject
    parts: tuple[PlannedPart, ...]
    sha256: str
    removed_values: tuple[str, ...] = Field(repr=False)
    folder: tuple[PlannedFile, ...] = ()
    sources: tuple[StoredObject, ...] = ()


class ConvertedSlide(Document):
    """What a configured converter made of a slide in `source_format`: the object, and by what it was made, in words."""

    stored: StoredObject
    source_format: str
    by: str


class SlideFound(Document):
    """A slide that opened: microns per pixel (x, y), level sizes in pixels, tissue share and focus from 0 to 1.

    All of it is of what was `converted`, where something had to be; `file` names what was received. `plan` is absent
    for a slide of DICOM instances, which leave one by one.
    """

    file: str
    format: str
    mpp: tuple[float, float] | None
    levels: tuple[tuple[int, int], ...]
    tissue_share: float
    focus: float
    label: Literal["matches", "unreadable", "absent", "confirmed"]
    plan: PlannedSlide | None = None
    converted: ConvertedSlide | None = None


class StationUse(Document):
    """Use of one piece of equipment by this case, for the equipment figures; naive local times of the station."""

    station: str
    modality: str
    first_acquired_at: datetime | None
    last_acquired_at: datetime | None
    images: int


class Preview(Document):
    """A small picture. `identified` ones (labels) never leave the region."""

    of: str
    stored: StoredObject
    identified: bool


class Preprocessed(Document):
    """preprocess: what the drop holds, grouped and judged."""

    studies: tuple[StudyFound, ...] = ()
    slides: tuple[SlideFound, ...] = ()
    station_use: tuple[StationUse, ...] = ()
    previews: tuple[Preview, ...] = ()
    ignored: tuple[str, ...] = ()
    duplicates: int = 0
    bytes_read: int = 0


class EarlierExamination(Document):
    """An earlier examination of the same patient, by the interval a reader sees."""

    case_id: str
    service: str
    days_before: int


class SlideBrief(Document):
    """A slide as the reader knows it: replaced identifiers that still say which belong together."""

    name: str
    specimen: str
    block: str
    stain: str
    number: int
    of: int
    mpp: tuple[float, float] | None = None


class Brief(Document):
    """The order as a reader may see it: cleaned text, age instead of birth date, replaced identifiers.

    This is the only part of an order that a partner's database role can select.
    """

    pseudonym: str
    age: str
    sex: str
    service: str
    priority: str
    purpose: str
    procedure: str
    body_site: str
    side: str
    clinical_question: str
    history: str = ""
    allergies: tuple[str, ...] = ()
    contrast: str = ""
    first_diagnosis: str | None = None
    specimens: tuple[tuple[str, str], ...] = ()
    slides: tuple[SlideBrief, ...] = ()
    earlier: tuple[EarlierExamination, ...] = ()
    modalities: tuple[str, ...] = ()
    instances: int = 0
    blanked_instances: int = 0


class Area(Document):
    """A rectangle of an instance's pixels, right and bottom exclusive, in its frames `first` to `last`, from 0."""

    left: int
    top: int
    right: int
    bottom: int
    first: int = 0
    last: int = 0


class Finding(Document):
    """Something written in a picture: where, and `what` in words without identity.

    `known`: it is a name or a number of this very case, so nobody may say that it identifies nobody. `said` tells one
    text from another (the beginning of its SHA-256), or one sheet from another where nothing was read.
    """

    area: Area
    what: str
    known: bool
    said: str = ""


class DoubtfulPicture(Document):
    """A frame, or several one over the other, with what was found marked in it; it may show the patient's name.

    `instance` is the SHA-256 of the instance as the region holds it; of a slide, of the preview made of it.
    """

    instance: str
    findings: tuple[Finding, ...]
    stored: StoredObject


class Doubtful(Document):
    """deidentify, set aside: the pictures that a person must look at before anything of the case leaves."""

    pictures: tuple[DoubtfulPicture, ...]


PixelVerdict = Literal["leave", "blank"]


class PixelDecision(Document):
    """What a person decided about findings in one instance, and about nothing else: they stay, or are blanked."""

    instance: str
    verdict: PixelVerdict
    findings: tuple[Finding, ...]


class BlankedInstance(Document):
    """The areas that were blanked in an instance, by its UID outside the region."""

    sop_instance_uid: str
    areas: tuple[Area, ...]


class Deidentified(Document):
    """deidentify: the objects that may leave the region, and the brief that goes with them."""

    brief: Brief
    files: tuple[StoredObject, ...]
    previews: tuple[StoredObject, ...] = ()
    blanked: tuple[BlankedInstance, ...] = ()
    profile: str
    key_id: str
    total_bytes: int


class Alternative(Document):
    """A partner that was not chosen, or would have been next, and why, in words."""

    partner: str
    eligible: bool
    reasons: tuple[str, ...]
    reasons_zh: tuple[str, ...] = ()


class Routed(Document):
    """route: the decision with its reasons in words, and what would have happened otherwise."""

    partner: str
    rule: str
    reasons: tuple[str, ...]
    reasons_zh: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    due_at: datetime


class Delivered(Document):
    """deliver: what the partner's bucket holds now, verified by count and digest there."""

    partner: str
    subspecialty: str
    objects: tuple[StoredObject, ...]
    manifest_sha256: str


class ReportBody(Document):
    """What the reader wrote. No identity: the region adds the name when it returns the report."""

    findings: str
    conclusion: str
    recommendation: str = ""
    codes: tuple[tuple[str, str], ...] = ()


class Returned(Document):
    """return: the report's forms in the region's `reports` zone, for the requester and the laboratory."""

    pdf: StoredObject
    fhir: StoredObject
    recipients: tuple[str, ...]
