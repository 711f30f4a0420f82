"""Canary identities through everything: not one byte of them in what leaves the region or in what machines write down.

A CT, a slide and orders full of them go the whole way between real processes, and so do drops that end badly, because
errors talk. What was seen is kept by place; each test holds one place.
"""

import base64
import io
import os
import re
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pika
import psycopg
import pydicom
import pytest
from pydicom.dataset import Dataset

from cases.order import Order
from cases.ups import uid_of
from gateway.app import DOORS
from storage import accounts
from teledx.samples import orders, studies
from teledx.samples.slide import make_slide
from tests.faults.fleet import Fleet
from tests.proofs.canaries import (
    ACCESSION,
    ADDRESS,
    CANARIES,
    DOCTOR,
    EARLIER_ACCESSION,
    FREE_TEXT,
    INSURANCE,
    LANDLINE,
    MOBILE,
    MOTHER,
    NATIONAL_ID,
    PATHOLOGY_NUMBER,
    PATIENT,
    TECHNICIAN,
    forms,
    found_in,
)
from tests.region import Region
from tests.servers.server import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
REPORT = {"findings": "右肺上叶结节。", "conclusion": "建议随访。"}
PARTNERS = {"yinzhou2": "lin", "beijing-pathology": "wang", "shanghai-pathology": "gu"}
RABBITMQCTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"


@dataclass
class Seen:
    """What was seen, by place: name of the thing -> its bytes."""

    messages: dict = field(default_factory=dict)
    logs: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    urls: dict = field(default_factory=dict)
    keys: dict = field(default_factory=dict)
    partner_objects: dict = field(default_factory=dict)
    partner_answers: dict = field(default_factory=dict)
    partner_rows: dict = field(default_factory=dict)
    region_answers: dict = field(default_factory=dict)


# ---------------------------------------------------------------- what is dropped


def ct(patient=PATIENT):
    """CT_small with the canaries wherever DICOM has a place for them, and where it has none."""
    dataset = pydicom.dcmread(io.BytesIO(studies.single("CT_small.dcm", patient, station="CT1", at=AT)))
    dataset.AccessionNumber = ACCESSION
    dataset.OtherPatientIDs = [NATIONAL_ID, INSURANCE]
    dataset.PatientAddress = ADDRESS
    dataset.PatientTelephoneNumbers = [MOBILE, LANDLINE]
    dataset.PatientMotherBirthName = MOTHER
    dataset.ReferringPhysicianName = DOCTOR
    dataset.OperatorsName = TECHNICIAN
    dataset.PatientComments = FREE_TEXT
    dataset.StudyDescription = f"CT CHEST {patient.name_latin}"[:60]
    dataset.SeriesDescription = f"Chest {patient.name}"
    dataset.ImageComments = FREE_TEXT[:200]
    dataset.StudyID = PATIENT.id[:16]
    requested = Dataset()
    requested.RequestedProcedureID = PATIENT.id[:16]
    requested.ScheduledProcedureStepDescription = f"for {PATIENT.name_latin}"
    dataset.RequestAttributesSequence = [requested]
    block = dataset.private_block(0x0099, "CANARY DEVICE", create=True)
    block.add_new(0x01, "LO", PATIENT.name_latin)
    block.add_new(0x02, "OB", FREE_TEXT.encode("gb18030"))
    dataset.DataSetTrailingPadding = PATIENT.name.encode("gb18030") * 4
    out = io.BytesIO()
    dataset.preamble = f"{PATIENT.name_latin} {NATIONAL_ID}".encode().ljust(128, b"\0")
    dataset.file_meta.SourceApplicationEntityTitle = "OUYANGSHIQI"
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def patient_part():
    return {
        "identifiers": [
            {"value": PATIENT.id, "type": "MR"},
            {"value": NATIONAL_ID, "type": "national-id"},
            {"value": INSURANCE, "type": "insurance"},
        ],
        "name": PATIENT.name,
        "name_latin": PATIENT.name_latin,
        "sex": PATIENT.sex,
        "birth_date": PATIENT.birth_date.isoformat(),
    }


def order(service, files, *, number=ACCESSION, **changes):
    told = {
        "clinical_question": FREE_TEXT,
        "history": FREE_TEXT + " 既往体健。",
        "allergies": [f"青霉素({PATIENT.name}自述)"],
        "earlier_accession_numbers": [EARLIER_ACCESSION],
        "requesting_doctor": DOCTOR,
        "callback": {"name": DOCTOR, "phone": MOBILE},
        "consent": {"document_sha256": "0" * 64, "signer": MOTHER, "relation": "parent"},
        "first_diagnosis": {"text": FREE_TEXT, "doctor": DOCTOR, "made_at": "2026-11-20T08:00:00+08:00"},
    }
    lines = [orders.file_line(name, content) for name, content in files.items()]
    made = orders.order(service, PATIENT, lines, accession_number=number, **told | changes).model_dump(
        mode="json"
    )
    return Order.model_validate(made | {"patient": patient_part()})


def slide_bytes(folder):
    return make_slide(
        folder / "made.svs", size=1_000_000, pathology_number=PATHOLOGY_NUMBER, block="A1", stain="HE",
        patient_name=PATIENT.name_latin,
    ).read_bytes()  # fmt: skip


def drop_what_goes_well(region, chen, folder):
    """A CT over S3, another through the gateway, and a slide: three cases."""
    files = {f"{PATIENT.name}/{NATIONAL_ID}.dcm": ct()}
    region.drop("jiangshan", order("ct", files), files, f"{PATIENT.name}-19900307")
    content = ct()
    by_door = order("ct", {"ouyangshiqi.dcm": content}, number=f"{ACCESSION}-B", earlier_accession_numbers=[])
    made = chen.post("/api/drops", json={"order": by_door.model_dump(mode="json")}).raise_for_status().json()
    for part in made["files"][0]["parts"]:
        httpx.put(part["url"], content=content, timeout=30).raise_for_status()
    chen.post(f"/api/drops/{made['drop']}/complete", json={}).raise_for_status()
    slides = {"a.svs": slide_bytes(folder)}
    line = orders.slide_line("a.svs", pathology_number=PATHOLOGY_NUMBER, block="A1", stain="HE")
    specimen = {"id": PATHOLOGY_NUMBER, "description": FREE_TEXT[:100]}
    told = {"slides": [line | {"specimen": PATHOLOGY_NUMBER}], "specimens": [specimen]}
    region.drop("jiangshan", order("histology", slides, number=PATHOLOGY_NUMBER, **told), slides)


def drop_what_goes_wrong(region):
    """Drops that end badly: what is said of them repeats nothing of them."""
    other = {"a.dcm": ct(orders.PATIENTS[3])}
    region.drop("jiangshan", order("ct", other, number=f"{ACCESSION}-1"), other)
    cut = {f"{PATIENT.name}.dcm": ct()[:15_000]}
    region.drop("jiangshan", order("ct", cut, number=f"{ACCESSION}-2"), cut)
    text = {f"{MOBILE}.txt": FREE_TEXT.encode()}
    region.drop("jiangshan", order("ct", text, number=f"{ACCESSION}-3"), text)
    named = order("ct", {"a": b"a"}).model_dump(mode="json") | {
        PATIENT.name: NATIONAL_ID,
        "priority": FREE_TEXT,
    }
    region.drop("jiangshan", httpx.Request("POST", "http://x", json=named).content, {}, "named")
    region.drop("jiangshan", f"{{{FREE_TEXT}".encode("gb18030"), {}, MOBILE)
    reused = {"b.dcm": ct()}
    region.drop("jiangshan", order("ct", reused, side="left"), reused)


# ---------------------------------------------------------------- what is seen


class Tap:
    """A copy of every message that is published, by RabbitMQ's own tracing (`rabbitmqctl trace_on`)."""

    def __init__(self, rabbitmq):
        self._rabbitmq = rabbitmq
        self._control("trace_on")
        self._connection = pika.BlockingConnection(rabbitmq.parameters())
        self._channel = self._connection.channel()
        self._queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.queue_bind(self._queue, "amq.rabbitmq.trace", "publish.#")

    def drain(self):
        found: dict = {}
        while (got := self._channel.basic_get(self._queue, auto_ack=True))[0]:
            _, properties, body = got
            found[f"message {len(found)}"] = body + repr(properties.headers).encode()
        return found

    def close(self):
        self._connection.close()
        self._control("trace_off")

    def _control(self, command):
        told = self._rabbitmq.program.env
        subprocess.run(
            [RABBITMQCTL, "-n", told["RABBITMQ_NODENAME"], command],
            env={**os.environ, **told}, check=True, capture_output=True, timeout=60,
        )  # fmt: skip


def signed_in(region, url, account, seen):
    with region.rows.transaction() as connection:
        token = accounts.issue(connection, account)

    def keep(response):
        response.read()
        name = f"{response.request.method} {len(seen.partner_answers)} {response.request.url.path}"
        place = seen.partner_answers if account in PARTNERS.values() else seen.region_answers
        place[f"{account}: {name}"] = response.content + repr(response.headers.multi_items()).encode()
        if account in PARTNERS.values() and not response.request.extensions.get("asked badly"):
            seen.urls[f"{account}: {name}"] = str(response.request.url).encode()

    return httpx.Client(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
        event_hooks={"response": [keep]},
    )


def read_everything(reader, seen):
    """Whatever a reader can fetch, before and after signing; every link is followed."""
    for item in reader.get("/api/worklist", params={"state": "open"}).raise_for_status().json()["work_items"]:
        at = f"/api/work-items/{item['work_item_id']}"
        reader.post(f"{at}/claim").raise_for_status()
        reader.put(f"{at}/draft", json={"body": REPORT}).raise_for_status()
        reader.post(f"{at}/preliminary", json={"body": REPORT}).raise_for_status()
        crawl(reader, item, seen)
        reader.post(f"{at}/sign", json={"body": REPORT}).raise_for_status()
        crawl(reader, item, seen)


def crawl(reader, item, seen):
    ids = {"work_item_id": item["work_item_id"], "case_id": item["case_id"], "number": "1", "name": "x"}
    ids |= {"workitem": uid_of(UUID(item["work_item_id"]))}
    for route in DOORS["partner"]:
        if route.method == "GET":
            reader.get(re.sub(r"{(\w+)}", lambda found: ids.get(found[1], "1"), route.path))
    links = reader.get(f"/api/work-items/{item['work_item_id']}/files").json()["files"]
    assert links, "there are files to read"
    for link in links:
        seen.urls[link["url"]] = link["url"].encode()
        seen.partner_answers[link["url"]] = httpx.get(link["url"], timeout=60).raise_for_status().content


def ask_badly(client):
    """Requests that hold canaries where none belong: their errors are answered and logged."""
    bad = {"extensions": {"asked badly": True}}
    client.get(f"/api/cases/{PATIENT.name}", params={"name": PATIENT.name_latin}, **bad)
    client.get(f"/{PATIENT.name}/{NATIONAL_ID}", **bad)
    client.post("/api/drops", json={"order": {"patient": patient_part(), PATIENT.name: 1}}, **bad)
    client.post("/api/drops", content=FREE_TEXT.encode("gb18030"), **bad)
    client.get("/api/worklist", params={"state": PATIENT.name}, **bad)


def rows_of_the_partners_role(region):
    """Every column that the partners' database role can select, of every table, as each partner and as nobody."""
    found = {}
    with psycopg.connect(region.database.partner_url, autocommit=False) as connection:
        columns = connection.execute(
            "SELECT n.nspname, c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'v', 'm', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
            " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
            " AND has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, a.attnum, 'SELECT')"
        ).fetchall()
        for tenant in (*PARTNERS, ""):
            connection.execute("SELECT set_config('teledx.tenant', %s, false)", (tenant,))
            for schema, table, column in columns:
                rows = connection.execute(f'SELECT "{column}"::text FROM "{schema}"."{table}"').fetchall()
                text = "\n".join(str(row[0]) for row in rows)
                found[f"{tenant or 'nobody'}: {schema}.{table}.{column}"] = text.encode()
    return found


@pytest.fixture(scope="module")
def seen(postgres, object_store, rabbitmq, leash, tmp_path_factory):
    folder = tmp_path_factory.mktemp("canaries")
    database = postgres.new_database()
    region = Region(database, object_store, folder / "scratch")
    fleet = Fleet(region, folder, leash, broker_url=rabbitmq.url)
    tap = Tap(rabbitmq)
    seen = Seen()
    try:
        with ExitStack() as clients:
            travel(region, fleet, seen, folder, clients)
        collect(region, fleet, tap, seen)
        yield seen
    finally:
        tap.close()
        fleet.close()
        region.close()
        postgres.start()
        postgres.drop(database)


def travel(region, fleet, seen, folder, clients):
    """Everything that happens: three cases go the whole way and six drops end badly."""
    fleet.worker("worker")
    (_, region_url), (_, partner_url) = fleet.gateway("region"), fleet.gateway("partner")
    chen = clients.enter_context(signed_in(region, region_url, "chen", seen))
    drop_what_goes_well(region, chen, folder)

    def standing():
        return {
            r["state"]: r["n"] for r in region.fetch("SELECT state, count(*) AS n FROM cases GROUP BY state")
        }

    def rested(state, count):
        try:
            until(lambda: standing().get(state, 0) >= count, seconds=240, what=f"{count} cases {state}")
        except AssertionError:
            fleet._tell()
            raise

    rested("delivered", 3)
    drop_what_goes_wrong(region)
    readers = [
        clients.enter_context(signed_in(region, partner_url, account, seen)) for account in PARTNERS.values()
    ]
    for reader in readers:
        read_everything(reader, seen)
    for client in (chen, *readers):
        ask_badly(client)
    rested("returned", 3)
    open_drops = "SELECT 1 FROM vault.drops WHERE state IN ('arriving', 'complete')"
    until(lambda: not region.fetch(open_drops), seconds=240, what="the end of every drop")
    open_runs = "SELECT 1 FROM stage_run WHERE outcome IS NULL"
    until(lambda: not region.fetch(open_runs), seconds=240, what="the end of every run")
    for row in region.fetch("SELECT id FROM cases WHERE state = 'returned'"):
        chen.get(f"/api/cases/{row['id']}/report.json").raise_for_status()
        chen.post(f"/api/cases/{row['id']}/acknowledge", json={}).raise_for_status()
    for side, url in (("region", region_url), ("partner", partner_url)):
        seen.metrics[side] = httpx.get(f"{url}/metrics", timeout=30).raise_for_status().content


def collect(region, fleet, tap, seen):
    seen.messages.update(tap.drain())
    seen.logs.update({name: text.encode() for name, text in fleet.logs().items()})
    seen.partner_rows.update(rows_of_the_partners_role(region))
    for zone in region.zones:
        for found in region.s3.listing(zone, ""):
            if zone != "inbox":
                seen.keys[f"{zone}/{found.key}"] = found.key.encode()
            if zone.startswith("partner-"):
                seen.partner_objects[f"{zone}/{found.key}"] = region.s3.get(zone, found.key)


# ---------------------------------------------------------------- the proofs

PLACES = [name for name in Seen.__dataclass_fields__ if name != "region_answers"]
# What shows that the collection of a place was not empty: at least so many things, and this in one of them.
EXPECTED = {
    "messages": (18, b"preprocess"),
    "logs": (3, b"stage_ended"),
    "metrics": (2, b"teledx_"),
    "urls": (20, b"X-Amz-Signature"),
    "keys": (20, b"/return/"),
    "partner_objects": (8, b"DICM"),
    "partner_answers": (30, b"work_items"),
    "partner_rows": (40, b"pseudonym"),
}


@pytest.mark.parametrize("place", PLACES)
def test_not_one_byte_of_an_identity_is_in(seen, place):
    things = getattr(seen, place)
    least, shows = EXPECTED[place]
    assert len(things) >= least
    assert any(shows in content for content in things.values())
    assert {name: told for name, content in things.items() if (told := found_in(content))} == {}


def test_the_clinic_gets_the_report_under_the_real_name(seen):
    """The search finds what is there: the same words in the region's own answers."""
    told = {t for content in seen.region_answers.values() for t in found_in(content)}
    assert {"name, utf-8", "record number, utf-8"} <= told


def test_the_search_knows_each_way_of_writing():
    for form, told in forms().items():
        assert told in found_in(b"before " + form + b" after"), told
    for value in CANARIES.values():
        sentence = f"x{value}y"
        for content in (sentence.encode(), sentence.upper().encode("gb18030"), sentence.encode("utf-16")):
            assert found_in(content) or len(value) < 3, sentence
        for shift in range(3):
            coded = base64.b64encode(b"z" * shift + sentence.encode())
            assert found_in(coded) or len(value) < 3, sentence


def test_drops_that_ended_badly_were_among_what_was_seen(seen):
    logs = b"".join(seen.logs.values())
    for said in (
        b"identity-mismatch",
        b"file-damaged",
        b"no-images",
        b"order-invalid",
        b'"outcome": "quarantined"',
    ):
        assert said in logs, said
