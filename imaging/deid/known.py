"""What is known of a case's identity: raw values, from its order and from the headers of its files.

Both passes are given these values; each works out the written forms on its own. Never shown: the repr is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from cases.order import Order
from imaging.deid.dates import read_date
from imaging.deid.elements import DataSet
from imaging.dicom import charsets

_CHARSET = 0x00080005
_PATIENT_NAMES = frozenset({0x00100010, 0x00101001, 0x00101005, 0x00101060, 0x00102297})
_NUMBERS = frozenset({
    0x00100020, 0x00101000, 0x00101090, 0x00080050, 0x00200010, 0x00380010, 0x00380060, 0x00402016, 0x00402017,
    0x00401001, 0x00400009, 0x00400253, 0x0040050A, 0x00400512, 0x00400551, 0x004006FA, 0x00120040, 0x00101050,
    0x22000005,
})  # fmt: skip
_PHONES = frozenset({0x00102154, 0x00080094, 0x00401103, 0x00402010})
_ADDRESSES = frozenset({0x00101040, 0x00080092, 0x00401102, 0x00080081})
_PLACES = frozenset({0x00080080, 0x00081040, 0x00102299, 0x0040A027})
_BIRTH_DATES = frozenset({0x00100030})
_WORDLESS = re.compile(r"[\s^=\-_.,*?]*")


@dataclass(frozen=True, kw_only=True)
class KnownIdentity:
    """Identity by kind, sorted, each value as it was written: the patient's names, people (physicians, operators,
    callers), identifiers, phones, addresses, places (institutions), and the patient's birth dates."""

    names: tuple[str, ...] = field(default=(), repr=False)
    people: tuple[str, ...] = field(default=(), repr=False)
    identifiers: tuple[str, ...] = field(default=(), repr=False)
    phones: tuple[str, ...] = field(default=(), repr=False)
    addresses: tuple[str, ...] = field(default=(), repr=False)
    places: tuple[str, ...] = field(default=(), repr=False)
    birth_dates: tuple[date, ...] = field(default=(), repr=False)

    def union(self, other: KnownIdentity) -> KnownIdentity:
        """What either knows."""
        return KnownIdentity(
            names=_both(self.names, other.names),
            people=_both(self.people, other.people),
            identifiers=_both(self.identifiers, other.identifiers),
            phones=_both(self.phones, other.phones),
            addresses=_both(self.addresses, other.addresses),
            places=_both(self.places, other.places),
            birth_dates=tuple(sorted({*self.birth_dates, *other.birth_dates})),
        )

    def values(self) -> tuple[str, ...]:
        """Every value but the dates, for searching bytes."""
        kinds = (self.names, self.people, self.identifiers, self.phones, self.addresses, self.places)
        return tuple(value for kind in kinds for value in kind)


def _both(mine: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*mine, *others}))


def _texts(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({v.strip() for v in values if v and not _WORDLESS.fullmatch(v)}))


def from_order(order: Order) -> KnownIdentity:
    """Every identity value of an order."""
    patient, first = order.patient, order.first_diagnosis
    return KnownIdentity(
        names=_texts((patient.name, patient.name_latin)),
        people=_texts((
            order.requesting_doctor, order.callback.name, order.consent.signer, first.doctor if first else None,
        )),
        identifiers=_texts((
            *(i.value for i in patient.identifiers), order.accession_number, *order.earlier_accession_numbers,
            *(s.id for s in order.specimens), *(s.pathology_number for s in order.slides),
        )),
        phones=_texts((order.callback.phone,)),
        places=_texts((order.scanning_site,)),
        birth_dates=(patient.birth_date,),
    )  # fmt: skip


def from_data_set(elements: DataSet) -> KnownIdentity:
    """Every identity value in the attributes that hold identity, at every level of a data set."""
    found: dict[str, set[str]] = {
        k: set() for k in ("names", "people", "identifiers", "phones", "addresses", "places")
    }
    born: set[date] = set()
    stack: list[tuple[DataSet, tuple[str, ...]]] = [(elements, ())]
    while stack:
        level, declared = stack.pop()
        declared = declared_charset(level) or declared
        for element in level:
            if element.items:
                stack.extend((item, declared) for item in element.items)
            elif (kind := _KINDS.get(element.tag) or (element.vr == "PN" and "people")) and len(
                element.value
            ):
                texts = charsets.decode(bytes(element.value), declared).text.split("\\")
                found[kind].update(texts)
            elif element.tag in _BIRTH_DATES and (day := read_date(bytes(element.value).decode("latin-1"))):
                born.add(day)
    return KnownIdentity(
        birth_dates=tuple(sorted(born)), **{kind: _texts(values) for kind, values in found.items()}
    )


_KINDS = {
    tag: kind
    for kind, tags in (
        ("places", _PLACES), ("addresses", _ADDRESSES), ("phones", _PHONES), ("identifiers", _NUMBERS),
        ("names", _PATIENT_NAMES),
    )
    for tag in tags
}  # fmt: skip


def declared_charset(elements: DataSet) -> tuple[str, ...]:
    """The values of Specific Character Set (0008,0005) of this very data set; empty if it declares none."""
    for element in elements:
        if element.tag == _CHARSET:
            return tuple(bytes(element.value).decode("latin-1").strip(" \0").split("\\"))
        if element.tag > _CHARSET:
            break
    return ()
