"""Order, images, pseudonym and report stay bound: what was changed or exchanged on the way never reaches a clinic.

Each row of the tables is one thing that somebody (or a defect) changes behind the network's back, in the database as
its owner or in the store as its administrator.
"""

import hashlib
import json
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.types.json import Jsonb

from cases.order import Order
from teledx.samples import orders, studies
from teledx.samples.slide import make_slide
from tests.faults.way import advance_to, sign
from workers.receive import content_sha256

OURS, OTHER = orders.PATIENTS[0], orders.PATIENTS[3]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def ct(patient, number=1):
    return studies.single("CT_small.dcm", patient, station="CT1", at=AT, InstanceNumber=number)


def order(patient, content, number, **changes):
    return orders.order(
        "ct", patient, [orders.file_line("a.dcm", content)], accession_number=f"CT-{number}", **changes
    )


def drop(region, patient, number=1):
    content = ct(patient)
    region.drop("jiangshan", order(patient, content, number), {"a.dcm": content})


class Hand:
    """What somebody with every right can do: the owner's connection, the administrator's store, and two cases."""

    def __init__(self, region, connection):
        self.region = region
        self.execute = connection.execute
        rows = connection.execute("SELECT case_id, patient_id FROM vault.case_order").fetchall()
        ids = {patient: case for case, patient in rows}
        self.ours, self.other = ids[OURS.id], ids.get(OTHER.id)

    def put(self, zone, key, content):
        """Another object in the place of this one, declared as a careful writer would."""
        self.region.s3.delete(zone, [key])
        sha256 = hashlib.sha256(content).hexdigest()
        self.region.s3.put_new(zone, key, content, "application/octet-stream", sha256)

    def key(self, zone, ending):
        (found,) = [f.key for f in self.region.s3.listing(zone, f"{self.ours}/") if f.key.endswith(ending)]
        return found

    def order_of(self, case):
        return self.execute(
            "SELECT order_document FROM vault.case_order WHERE case_id = %s", (case,)
        ).fetchone()[0]


def exchange_orders(hand):
    ours, other = hand.order_of(hand.ours), hand.order_of(hand.other)
    for case, document in ((hand.ours, other), (hand.other, ours)):
        hand.execute(
            "UPDATE vault.case_order SET order_document = %s WHERE case_id = %s", (Jsonb(document), case)
        )


def rename_the_patient(hand):
    """Carefully: the order's digest is made anew."""
    document = hand.order_of(hand.ours)
    document["patient"] |= {"name": OTHER.name, "name_latin": OTHER.name_latin}
    _replace_order(hand, document)


def renumber_the_patient(hand):
    """Carefully: the order's digest is made anew."""
    document = hand.order_of(hand.ours)
    document["patient"]["identifiers"][0]["value"] = OTHER.id
    _replace_order(hand, document)


def _replace_order(hand, document):
    digest = content_sha256(Order.model_validate(document))
    hand.execute(
        "UPDATE vault.case_order SET order_document = %s, content_sha256 = %s WHERE case_id = %s",
        (Jsonb(document), digest, hand.ours),
    )


def alter_a_word_of_the_order(hand):
    document = hand.order_of(hand.ours) | {"side": "left"}
    hand.execute(
        "UPDATE vault.case_order SET order_document = %s WHERE case_id = %s", (Jsonb(document), hand.ours)
    )


def alter_a_word_of_the_report(hand):
    hand.execute(
        "UPDATE report_version v SET body = jsonb_set(body, '{conclusion}', '\"恶性\"') FROM report r"
        " WHERE r.id = v.report_id AND r.case_id = %s",
        (hand.ours,),
    )


def exchange_reports(hand):
    """Bodies and digests together change places."""
    hand.execute(
        "UPDATE report_version v SET body = o.body, body_sha256 = o.body_sha256 FROM report r, report_version o"
        " WHERE r.id = v.report_id AND o.report_id <> v.report_id",
    )


def exchange_pseudonyms(hand):
    hand.execute("UPDATE cases SET pseudonym = 'P-' || pseudonym WHERE id = %s", (hand.ours,))


def exchange_briefs(hand):
    hand.execute(
        "UPDATE cases c SET brief = jsonb_set(c.brief, '{age}', '\"003Y\"') WHERE id = %s", (hand.ours,)
    )


def renumber_in_the_vault(hand):
    hand.execute("UPDATE vault.patient SET pseudonym = pseudonym || 'x' WHERE patient_id = %s", (OURS.id,))


def replace_the_image_by_another_patients(hand):
    hand.put("identified", f"{hand.ours}/receive/00000", ct(OTHER))


def replace_the_image_by_another_of_the_patient(hand):
    hand.put("identified", f"{hand.ours}/receive/00000", ct(OURS, 2))


def change_the_manifest(hand):
    bucket, key = "partner-yinzhou2", hand.key("partner-yinzhou2", "manifest.json")
    manifest = json.loads(hand.region.s3.get(bucket, key))
    manifest["brief"]["side"] = "left"
    hand.put(bucket, key, json.dumps(manifest, ensure_ascii=False, indent=1).encode())


def another_partner_signs(hand):
    hand.execute("UPDATE report_version SET partner = 'beijing-pathology'")


BEFORE_RETURN = {
    exchange_orders: {"binding-broken"},
    rename_the_patient: {"identity-mismatch"},
    renumber_the_patient: {"binding-broken"},
    alter_a_word_of_the_order: {"binding-broken"},
    alter_a_word_of_the_report: {"binding-broken"},
    exchange_reports: {"binding-broken"},
    exchange_pseudonyms: {"binding-broken"},
    exchange_briefs: {"binding-broken"},
    renumber_in_the_vault: {"binding-broken"},
    replace_the_image_by_another_patients: {"binding-broken"},
    replace_the_image_by_another_of_the_patient: {"binding-broken"},
    change_the_manifest: {"binding-broken"},
    another_partner_signs: {"binding-broken"},
}


def end_of(region, case):
    return region.one("SELECT state, reason_code FROM cases WHERE id = %s", case)


@pytest.mark.parametrize("change", BEFORE_RETURN, ids=lambda c: c.__name__)
def test_a_report_is_withheld_when_what_binds_it_was_changed(region, change):
    drop(region, OURS, 1)
    drop(region, OTHER, 2)
    region.settle()
    assert sign(region) == 2
    with psycopg.connect(region.database.owner_url, autocommit=True) as connection:
        hand = Hand(region, connection)
        change(hand)
    region.settle()
    end = end_of(region, hand.ours)
    assert end["state"] == "quarantined"
    assert end["reason_code"] in BEFORE_RETURN[change]
    assert not list(region.s3.listing("reports", f"{hand.ours}/")), "no form of the report was written"


def replace_what_may_leave(hand):
    key = next(
        f.key for f in hand.region.s3.listing("deidentified", f"{hand.ours}/") if f.key.endswith(".dcm")
    )
    hand.put("deidentified", key, ct(OURS))


def stand_in_the_way_at_the_partner(hand):
    key = next(
        f.key for f in hand.region.s3.listing("deidentified", f"{hand.ours}/") if f.key.endswith(".dcm")
    )
    version = hand.execute("SELECT version FROM cases WHERE id = %s", (hand.ours,)).fetchone()[0]
    folder = f"{hand.ours}/deliver/{version:03d}"
    hand.put("partner-yinzhou2", f"{folder}/{'/'.join(key.split('/')[-2:])}", ct(OURS))


def add_a_file_at_the_partner(hand):
    version = hand.execute("SELECT version FROM cases WHERE id = %s", (hand.ours,)).fetchone()[0]
    hand.put("partner-yinzhou2", f"{hand.ours}/deliver/{version:03d}/dicom/1.2.3.dcm", ct(OURS))


# (before which stage, what is changed) -> the reason
ON_THE_WAY = {
    ("preprocess", replace_the_image_by_another_patients): "binding-broken",
    ("preprocess", replace_the_image_by_another_of_the_patient): "binding-broken",
    ("deidentify", replace_the_image_by_another_patients): "binding-broken",
    ("deidentify", replace_the_image_by_another_of_the_patient): "binding-broken",
    ("deliver", replace_what_may_leave): "delivery-differs",
    ("deliver", stand_in_the_way_at_the_partner): "delivery-differs",
    ("deliver", add_a_file_at_the_partner): "delivery-differs",
}


@pytest.mark.parametrize(("stage", "change"), ON_THE_WAY, ids=lambda v: getattr(v, "__name__", v))
def test_a_case_is_set_aside_when_a_file_changes_between_two_stages(region, stage, change):
    drop(region, OURS)
    region.settle(most=0)
    advance_to(region, stage)
    with psycopg.connect(region.database.owner_url, autocommit=True) as connection:
        hand = Hand(region, connection)
        change(hand)
    region.settle()
    assert end_of(region, hand.ours) == {"state": "quarantined", "reason_code": ON_THE_WAY[stage, change]}
    assert not region.fetch("SELECT 1 FROM work_item"), "nothing reached a worklist"


def test_a_slide_that_was_replaced_before_it_is_deidentified_is_set_aside(region, tmp_path):
    made = [
        make_slide(
            tmp_path / f"{seed}.svs", size=1_000_000, pathology_number="S26-01234", block="A1", stain="HE",
            patient_name=OURS.name_latin, seed=seed,
        ).read_bytes()
        for seed in (1, 2)
    ]  # fmt: skip
    line = orders.slide_line("a.svs", pathology_number="S26-01234", block="A1", stain="HE")
    wanted = orders.order(
        "histology", OURS, [orders.file_line("a.svs", made[0])], accession_number="P-1", slides=[line]
    )
    region.drop("jiangshan", wanted, {"a.svs": made[0]})
    region.settle(most=0)
    advance_to(region, "deidentify")
    with psycopg.connect(region.database.owner_url, autocommit=True) as connection:
        hand = Hand(region, connection)
        hand.put("identified", f"{hand.ours}/receive/00000", made[1])
    region.settle()
    assert end_of(region, hand.ours) == {"state": "quarantined", "reason_code": "binding-broken"}
