"""The network file as frozen models: who asks, who scans, who reads, with what, when, how fast and for whom.

`load` is the only way in; what it returns hangs together (`cases.network_check`). Every key carries its meaning, and
`docs/network.md` is generated from these models.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from cases.calendar import Calendar, IsWorkday, parse_spans
from cases.network_check import check
from cases.network_errors import NetworkInvalid, Problem, from_validation
from cases.order import Priority, Purpose

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])$")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
Bucket = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")]
# PS3.5 6.2: no backslash, no control; blanks at its ends count for nothing
AeTitle = Annotated[str, StringConstraints(pattern=r"^([!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?)?$")]
Within = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}(m|h|d)$")]
Language = Literal["en", "zh"]
Family = Literal["dicom", "slides"]
OrganisationRole = Literal["requesting", "scanning", "reading", "centre"]
AccountRole = Literal["clinic", "reader", "manager", "operator"]
ReadingMode = Literal["primary", "double", "check"]
Measure = Literal["turnaround", "reading"]
Clock = Literal["wall", "working"]

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("no such time zone; write an IANA name such as Asia/Shanghai")
    return name


def _day(texts: tuple[str, ...]) -> tuple[str, ...]:
    parse_spans(texts)
    return texts


DayHours = Annotated[tuple[str, ...], AfterValidator(_day)]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hours(_Row):
    """Weekly hours. A make-up workday on a weekend keeps Monday's hours."""

    weekdays: DayHours = Field(
        (), description="spans of Monday to Friday, such as ['08:00-12:00', '13:30-17:00']"
    )
    monday: DayHours | None = Field(None, description="Monday, where it differs from `weekdays`")
    tuesday: DayHours | None = Field(None, description="Tuesday, where it differs from `weekdays`")
    wednesday: DayHours | None = Field(None, description="Wednesday, where it differs from `weekdays`")
    thursday: DayHours | None = Field(None, description="Thursday, where it differs from `weekdays`")
    friday: DayHours | None = Field(None, description="Friday, where it differs from `weekdays`")
    saturday: DayHours = Field((), description="Saturday; closed if empty")
    sunday: DayHours = Field((), description="Sunday; closed if empty")
    holidays: DayHours = Field((), description="a public holiday from Monday to Friday; closed if empty")
    always: bool = Field(False, description="open day and night, every day, in place of all other keys")

    def calendar(self, zone: str, is_workday: IsWorkday) -> Calendar:
        """These hours as working time in `zone`."""
        if self.always:
            texts: tuple[tuple[str, ...], ...] = (("00:00-24:00",),) * 8
        else:
            own = (getattr(self, day) for day in _WEEKDAYS)
            days = (self.weekdays if hours is None else hours for hours in own)
            texts = (*days, self.saturday, self.sunday, self.holidays)
        *week, holidays = (parse_spans(spans) for spans in texts)
        return Calendar(zone=ZoneInfo(zone), week=tuple(week), holidays=holidays, is_workday=is_workday)

    @property
    def is_empty(self) -> bool:
        return not self.always and not any(v for k, v in self.model_dump(exclude={"always"}).items())


class Organisation(_Row):
    """A hospital, clinic or laboratory; requesting, scanning and reading are separate roles of it."""

    id: Slug = Field(description="name in keys and addresses: lower case, digits and hyphens")
    name: Name = Field(description="name in English")
    name_zh: Name = Field(description="name in Chinese")
    city: Name = Field(description="city or district")
    phone: Name = Field(description="whom to ring about a case")
    roles: tuple[OrganisationRole, ...] = Field(
        min_length=1,
        description="requesting (orders), scanning (makes the images), reading, centre (runs the network)",
    )
    services: tuple[str, ...] = Field((), description="ids of the services that it may request")
    laboratory: str | None = Field(
        None, description="scanning organisation of its slides, unless the order names one"
    )
    ae_title: AeTitle = Field("", description="AE title that its modalities and PACS call to store here")


class Service(_Row):
    """Something that a clinic can order."""

    id: Slug = Field(description="name in orders")
    name: Name = Field(description="name in English")
    name_zh: Name = Field(description="name in Chinese")
    family: Family = Field(description="dicom (studies) or slides (whole-slide files)")
    modalities: tuple[str, ...] = Field(
        min_length=1, description="DICOM modalities that belong to it; SM for slides"
    )
    subspecialty: Slug = Field(description="what a reading organisation must be able to read")
    lowest_priority: Priority = Field(
        "routine", description="an order of lower priority is raised to this one"
    )


class Station(_Row):
    """One piece of equipment, for the figures of its use."""

    id: Slug = Field(description="name in figures")
    clinic: str = Field(description="id of the organisation where it stands")
    name: Name = Field(description="name in English")
    name_zh: Name = Field(description="name in Chinese")
    modality: Name = Field(description="DICOM modality, SM for a slide scanner")
    station_name: Name = Field(
        description="DICOM Station Name (0008,1010) or scanner serial number that it writes"
    )
    ae_title: Annotated[str, StringConstraints(max_length=16)] = Field(
        "", description="DICOM application entity title"
    )
    staffed: Hours = Field(description="when somebody works at it")


class Capacity(_Row):
    """How much a reading organisation takes."""

    at_once: int = Field(ge=1, le=100_000, description="open work items at which it counts as full")
    per_day: int = Field(ge=1, le=100_000, description="readings that it finishes in one working day")


class Partner(_Row):
    """The reading side of an organisation."""

    id: str = Field(description="id of an organisation with the role reading")
    services: tuple[str, ...] = Field(min_length=1, description="ids of the services that it reads")
    subspecialties: tuple[Slug, ...] = Field(min_length=1, description="what its readers can read")
    hours: Hours = Field(description="when it reads")
    on_call: Hours | None = Field(None, description="when it also reads stat cases")
    capacity: Capacity = Field(description="how much it takes")
    bucket: Bucket = Field(description="its bucket in the object store, which no other partner has")
    accepting: bool = Field(True, description="false sends it no new cases")


class Rule(_Row):
    """One routing rule: the first whose conditions all hold decides; an absent condition always holds."""

    id: Slug = Field(description="name in the reasons of a decision")
    clinics: tuple[str, ...] = Field((), description="requesting organisations")
    services: tuple[str, ...] = Field((), description="services")
    priorities: tuple[Priority, ...] = Field((), description="priorities")
    purposes: tuple[Purpose, ...] = Field((), description="purposes of the order")
    wished: tuple[str, ...] = Field((), description="partners that the order wishes")
    body_sites: tuple[Name, ...] = Field((), description="words, one of which the order's body site contains")
    age_from: float | None = Field(None, ge=0, le=150, description="years, from this age on")
    age_below: float | None = Field(None, ge=0, le=150, description="years, younger than this")
    prefer: tuple[str, ...] = Field((), description="partners, the preferred first")
    weights: tuple[int, ...] = Field(
        (), description="shares of the preferred partners, in place of their order"
    )
    honour_wish: bool = Field(
        True, description="whether the order's wished partner comes before the preferred ones"
    )
    others: bool = Field(True, description="whether a partner not listed may stand in if no listed one can")


class ReadingPolicy(_Row):
    """Who reads how often: the first row that fits decides; without one a case is read once."""

    services: tuple[str, ...] = Field((), description="services; all if empty")
    priorities: tuple[Priority, ...] = Field((), description="priorities; all if empty")
    purposes: tuple[Purpose, ...] = Field((), description="purposes of the order; all if empty")
    mode: ReadingMode = Field(
        description="primary (once), double (twice), check (of the clinic's first diagnosis)"
    )
    blinded: bool = Field(False, description="whether a reader sees the other reading only after signing")


class ServiceLevel(_Row):
    """How fast: the first row that fits decides, so the last one names neither services nor priorities."""

    id: Slug = Field(description="name in figures")
    services: tuple[str, ...] = Field((), description="services; all if empty")
    priorities: tuple[Priority, ...] = Field((), description="priorities; all if empty")
    within: Within = Field(description="'30m', '4h' or '1d' (in working time a day is one working day)")
    clock: Clock = Field(description="wall (every hour counts) or working (hours of working_hours count)")
    measures: Measure = Field(
        description="turnaround (receipt to returned report) or reading (worklist to signature)"
    )

    def duration(self, working_day: timedelta) -> timedelta:
        """`within` as time on this level's clock."""
        number, unit = int(self.within[:-1]), self.within[-1]
        day = working_day if self.clock == "working" else timedelta(days=1)
        return number * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": day}[unit]


class Account(_Row):
    """A person of the demonstration; a real deployment creates its own."""

    id: Slug = Field(description="sign-in name")
    name: Name = Field(description="name in Latin letters")
    name_zh: Name = Field(description="name in Chinese")
    organisation: str = Field(description="id of the person's organisation")
    role: AccountRole = Field(description="clinic, reader, manager or operator")
    languages: tuple[Language, ...] = Field(
        ("zh",), min_length=1, description="en and zh, the preferred first"
    )
    licence: Name | None = Field(None, description="number of the medical licence; a reader has one")
    subspecialties: tuple[Slug, ...] = Field(
        (), description="what a reader reads; all that the partner reads if empty"
    )


class Retention(_Row):
    """How long objects are kept, in days."""

    inbox_days: int = Field(7, ge=1, description="a drop after its receipt")
    quarantine_days: int = Field(180, ge=1, description="what a person looked at")
    partner_days: int = Field(
        90, ge=1, description="de-identified files in a partner's bucket after the report"
    )
    deidentified_days: int = Field(365, ge=1, description="de-identified files in the region")
    identified_days: int = Field(5475, ge=1, description="original files (15 years)")
    reports_days: int = Field(10950, ge=1, description="reports (30 years)")
    audit_days: int = Field(10950, ge=1, description="audit log (30 years)")


class Network(_Row):
    """The whole network. Its lookups raise KeyError for a name that it does not have."""

    version: Literal["1"] = Field(description="version of this file's format")
    name: Name = Field(description="name of the region in English")
    name_zh: Name = Field(description="name of the region in Chinese")
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        description="IANA time zone of all hours in this file"
    )
    working_hours: Hours = Field(description="hours that count for service levels with the clock working")
    organisations: tuple[Organisation, ...] = Field(min_length=1, description="all organisations")
    services: tuple[Service, ...] = Field(min_length=1, description="what can be ordered")
    stations: tuple[Station, ...] = Field((), description="equipment")
    partners: tuple[Partner, ...] = Field(min_length=1, description="the reading organisations' side")
    rules: tuple[Rule, ...] = Field(min_length=1, description="routing rules, in order")
    reading_policies: tuple[ReadingPolicy, ...] = Field((), description="reading policies, in order")
    service_levels: tuple[ServiceLevel, ...] = Field(min_length=1, description="service levels, in order")
    accounts: tuple[Account, ...] = Field((), description="people of the demonstration")
    retention: Retention = Field(Retention(), description="how long objects are kept")

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex of what the file says, whatever its comments and layout."""
        said = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        return hashlib.sha256(said.encode()).hexdigest()

    @cached_property
    def _organisations(self) -> dict[str, Organisation]:
        return {o.id: o for o in self.organisations}

    @cached_property
    def _services(self) -> dict[str, Service]:
        return {s.id: s for s in self.services}

    @cached_property
    def _partners(self) -> dict[str, Partner]:
        return {p.id: p for p in self.partners}

    def organisation(self, organisation_id: str) -> Organisation:
        return self._organisations[organisation_id]

    def service(self, service_id: str) -> Service:
        return self._services[service_id]

    def partner(self, partner_id: str) -> Partner:
        return self._partners[partner_id]

    def account(self, account_id: str) -> Account:
        return {a.id: a for a in self.accounts}[account_id]

    def with_role(self, role: OrganisationRole) -> tuple[Organisation, ...]:
        """All organisations of a role, in the order of the file."""
        return tuple(o for o in self.organisations if role in o.roles)

    @property
    def clinics(self) -> tuple[Organisation, ...]:
        """The requesting organisations: whoever may drop."""
        return self.with_role("requesting")

    def may_request(self, clinic: str, service: str) -> bool:
        found = self._organisations.get(clinic)
        return found is not None and "requesting" in found.roles and service in found.services

    def priority(self, service: str, asked: Priority) -> Priority:
        """The priority of a case: the order's, raised to the lowest that its service knows."""
        ladder: tuple[Priority, ...] = ("stat", "urgent", "routine")
        return min(asked, self.service(service).lowest_priority, key=ladder.index)

    def service_level(self, service: str, priority: str) -> ServiceLevel:
        """The first row that fits; `load` has made sure that there is one."""
        return next(
            level
            for level in self.service_levels
            if (not level.services or service in level.services)
            and (not level.priorities or priority in level.priorities)
        )

    def reading_policy(self, service: str, priority: str, purpose: str) -> ReadingPolicy:
        """The first row that fits, else one primary reading."""
        for row in self.reading_policies:
            asked = ((row.services, service), (row.priorities, priority), (row.purposes, purpose))
            if all(not allowed or value in allowed for allowed, value in asked):
                return row
        return ReadingPolicy(mode="primary")

    def station(self, clinic: str, station_name: str, modality: str) -> Station | None:
        """The equipment that wrote `station_name`, or the clinic's only one of the modality; None if neither."""
        there = [s for s in self.stations if s.clinic == clinic]
        named = [s for s in there if s.station_name == station_name]
        alike = [s for s in there if s.modality == modality]
        return named[0] if named else alike[0] if len(alike) == 1 and not station_name else None

    def recipients(self, clinic: str, service: str, scanning_site: str | None = None) -> tuple[str, ...]:
        """Who gets the report: the requester, and the laboratory if another organisation scanned."""
        site = scanning_site
        if site is None and self.service(service).family == "slides":
            site = self.organisation(clinic).laboratory
        return (clinic,) if site is None or site == clinic else (clinic, self.organisation(site).id)

    def working_calendar(self, is_workday: IsWorkday) -> Calendar:
        """The hours that service levels count."""
        return self.working_hours.calendar(self.time_zone, is_workday)

    def partner_calendar(self, partner: str, is_workday: IsWorkday) -> Calendar:
        return self.partner(partner).hours.calendar(self.time_zone, is_workday)

    def on_call_calendar(self, partner: str, is_workday: IsWorkday) -> Calendar | None:
        hours = self.partner(partner).on_call
        return None if hours is None else hours.calendar(self.time_zone, is_workday)


def load(text: str) -> Network:
    """The network that a TOML text describes. Raises `NetworkInvalid` with everything that is wrong with it."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        unreadable = Problem(key="network", value=None, wrong="not TOML", remedy=f"correct it: {error}")
        raise NetworkInvalid([unreadable]) from error
    try:
        network = Network.model_validate(told)
    except ValidationError as error:
        raise NetworkInvalid(from_validation(error, Network)) from error
    problems = check(network)
    if problems:
        raise NetworkInvalid(problems)
    return network
