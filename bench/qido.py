"""`qido`: searches by a partner's own software over many studies, through the gateway, each kind many times."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
import psycopg

from bench import page
from bench.deployment import SERVERS, Deployment, deployed
from bench.sizes import Size
from storage import accounts
from teledx.house import DATABASE

PARTNER, READER, CLINIC = "yinzhou2", "lin", "jiangshan"
SERIES, IMAGES = 2, 3
_MODALITIES = "(ARRAY['CT', 'MR', 'DX', 'US'])[1 + n %% 4]"

# Everything that a study of a delivered case has; a patient has three of them, over five years.
_FILL = f"""
CREATE TEMPORARY TABLE made AS SELECT n, 'B' || n AS case_id, '1.2.826.' || n AS study_uid,
    'P-' || lpad((n / 3)::text, 6, '0') AS patient, 'p-' || lpad((n / 3)::text, 6, '0') AS folded,
    to_char(date '2020-01-01' + n %% 1826, 'YYYYMMDD') AS day, {_MODALITIES} AS modality
    FROM generate_series(1, %(studies)s) n;
INSERT INTO cases (id, clinic, scanning_site, service, family, priority, purpose, state, version, partner,
        network_version)
    SELECT case_id, %(clinic)s, %(clinic)s, 'ct', 'dicom', 'routine', 'diagnosis', 'delivered', 5, %(partner)s,
        (SELECT max(version) FROM network_version) FROM made;
INSERT INTO work_item (case_id, partner, purpose, state) SELECT case_id, %(partner)s, 'primary', 'SCHEDULED' FROM made;
INSERT INTO dicom_study (case_id, study_uid, partner, study_date, study_time, accession_number, patient_id,
        patient_name, patient_words, description, modalities, attributes)
    SELECT case_id, study_uid, %(partner)s, day, '101500', 'A' || n, patient, folded, ' ' || folded, 'HEAD',
        ARRAY[modality], jsonb_build_object(
            '00080020', jsonb_build_object('vr', 'DA', 'Value', jsonb_build_array(day)),
            '00080030', jsonb_build_object('vr', 'TM', 'Value', jsonb_build_array('101500')),
            '00080050', jsonb_build_object('vr', 'SH', 'Value', jsonb_build_array('A' || n)),
            '00100010', jsonb_build_object('vr', 'PN', 'Value',
                jsonb_build_array(jsonb_build_object('Alphabetic', patient))),
            '00100020', jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array(patient)),
            '0020000D', jsonb_build_object('vr', 'UI', 'Value', jsonb_build_array(study_uid)),
            '00280303', jsonb_build_object('vr', 'CS', 'Value', jsonb_build_array('MODIFIED'))) FROM made;
INSERT INTO dicom_series (case_id, study_uid, series_uid, partner, modality, series_number, instances,
        attributes)
    SELECT case_id, study_uid, study_uid || '.' || s, %(partner)s, modality, s::text, {IMAGES},
        jsonb_build_object('00080060', jsonb_build_object('vr', 'CS', 'Value', jsonb_build_array(modality)))
    FROM made, generate_series(1, {SERIES}) s;
INSERT INTO dicom_instance (case_id, study_uid, series_uid, sop_uid, partner, name, key, size, sop_class,
        transfer_syntax, instance_number, attributes, metadata, bulk)
    SELECT case_id, study_uid, study_uid || '.' || s, study_uid || '.' || s || '.' || i, %(partner)s, '', '', 1,
        '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', i::text,
        jsonb_build_object('00200013', jsonb_build_object('vr', 'IS', 'Value', jsonb_build_array(i))), '', '{{}}'
    FROM made, generate_series(1, {SERIES}) s, generate_series(1, {IMAGES}) i;
"""

Query = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of search: its address and parameters for a study of that number."""

    what: str
    of: Callable[[int], tuple[str, Query]]


def _studies(**query: str) -> tuple[str, Query]:
    return "studies", query


KINDS = (
    Kind(what="newest page", of=lambda n: _studies()),
    Kind(what="page further on", of=lambda n: _studies(offset=str(n % 1000))),
    Kind(what="one study by UID", of=lambda n: _studies(StudyInstanceUID=f"1.2.826.{n}")),
    Kind(what="a patient by ID", of=lambda n: _studies(PatientID=f"P-{n // 3:06d}")),
    Kind(what="an accession number", of=lambda n: _studies(AccessionNumber=f"A{n}")),
    Kind(what="names that begin so", of=lambda n: _studies(PatientName=f"P-{n // 3 // 100:04d}*")),
    Kind(what="names that contain it", of=lambda n: _studies(PatientName=f"*{n // 3:05d}*")),
    Kind(
        what="names by words (fuzzy)",
        of=lambda n: _studies(PatientName=f"p-{n // 3:05d}", fuzzymatching="true"),
    ),
    Kind(
        what="a month of one modality",
        of=lambda n: _studies(
            StudyDate=f"{2020 + n % 5}{1 + n % 12:02d}01-{2020 + n % 5}{1 + n % 12:02d}31",
            ModalitiesInStudy="CT",
        ),
    ),
    Kind(what="nothing, by a wildcard", of=lambda n: _studies(StudyDescription=f"*none{n}*")),
    Kind(what="series of a study", of=lambda n: (f"studies/1.2.826.{n}/series", {})),
    Kind(what="instances of a study", of=lambda n: (f"studies/1.2.826.{n}/instances", {})),
    Kind(what="series of a modality, newest", of=lambda n: ("series", {"Modality": "MR"})),
)


@dataclass
class _Measured:
    """Seconds and results of each search of a kind."""

    seconds: list[float] = field(default_factory=list)
    results: list[int] = field(default_factory=list)


def run(size: Size) -> str:
    """Fill the index, then search; returns the page's table."""
    with deployed((*SERVERS, "gateway-partner")) as house:
        began = time.monotonic()
        _fill(house, size.studies)
        filled = time.monotonic() - began
        with house.rows.transaction() as connection:
            token = accounts.issue(connection, READER, lifetime=timedelta(hours=1))
        at = f"{house.house.urls['partner']}/dicomweb"
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            measured = {kind.what: _search(client, at, kind, size) for kind in KINDS}
    rows = [_row(what, m) for what, m in measured.items()]
    everything = [s for m in measured.values() for s in m.seconds]
    head = ("search", "results, mean", "ms, mean", "ms, p95", "ms, longest")
    told = f"{size.studies} studies, filled in {filled:.0f} s; {size.searches} searches of each kind; load before"
    return (
        f"{told} {page.load_now():.1f}. p95 of all: {page.p95(everything) * 1000:.0f} ms.\n\n"
        + page.table(head, rows)
    )


def _fill(house: Deployment, studies: int) -> None:
    with house.rows.transaction() as connection:
        connection.execute("SET LOCAL statement_timeout = 0")
        values = {"studies": studies, "partner": PARTNER, "clinic": CLINIC}
        for statement in _FILL.split(";\n")[:-1]:
            connection.execute(statement.encode(), values)
    # what autovacuum does a minute later, and the owner alone may
    with psycopg.connect(house.house.postgres.dsn(DATABASE), autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")


def _search(client: httpx.Client, at: str, kind: Kind, size: Size) -> _Measured:
    chance, measured = random.Random(kind.what), _Measured()
    for turn in range(size.searches + 1):
        address, query = kind.of(chance.randint(1, size.studies))
        began = time.perf_counter()
        answer = client.get(f"{at}/{address}", params=query)
        took = time.perf_counter() - began
        answer.raise_for_status()
        if turn:  # the first of a kind warms up
            measured.seconds.append(took)
            measured.results.append(len(answer.json()) if answer.content else 0)
    return measured


def _row(what: str, measured: _Measured) -> tuple[object, ...]:
    times = [seconds * 1000 for seconds in measured.seconds]
    return (
        what,
        f"{page.mean([float(n) for n in measured.results]):.0f}",
        f"{page.mean(times):.0f}",
        f"{page.p95(times):.0f}",
        f"{max(times):.0f}",
    )
