"""Driving one case along its way by hand, and everything that can be seen of it afterwards, comparable."""

from __future__ import annotations

import json
import re
from datetime import timedelta

from cases.documents import ReportBody
from storage import readings, signing
from tests.region import Region
from workers import intake, reaper

BODY = ReportBody(findings="未见异常", conclusion="正常")
MILESTONES = (
    "dropped", "received", "preprocessed", "deidentified", "routed", "delivered", "claimed", "reported", "returned",
)  # fmt: skip
# partner -> an account of the sample network that reads there
READERS = {"yinzhou2": "lin", "beijing-pathology": "wang", "shanghai-pathology": "gu"}

# What differs from run to run without meaning anything: whose attempt it was, and by which number it went.
_OF_THE_ATTEMPT = {
    "stage_run": {"id", "attempt", "lost", "owner", "error", "published_by", "progress"},
    "milestone": {"id"},
    "object": {"run_id"},
    "work_item": {"id"},
    "dicom_study": {"number"},
    "dicom_series": {"number"},
    "dicom_instance": {"number"},
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:T| )\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?")


def sign(region: Region) -> int:
    """What readers do between delivery and return; returns how many reports they signed."""
    waiting = region.fetch("SELECT id, partner FROM work_item WHERE state = 'SCHEDULED'")
    for item in waiting:
        reader = READERS[item["partner"]]
        with region.rows.transaction() as connection:
            readings.claim(connection, item["id"], reader)
            signing.sign(connection, item["id"], reader, BODY)
    return len(waiting)


def next_run(region: Region) -> tuple[str, str, int] | None:
    """The one run that waits, as (case, stage, version); None if the case is at rest."""
    rows = region.fetch("SELECT case_id, stage, case_version FROM stage_run WHERE outcome IS NULL")
    assert len(rows) <= 1, rows
    return (rows[0]["case_id"], rows[0]["stage"], rows[0]["case_version"]) if rows else None


def advance_to(region: Region, stage: str) -> tuple[str, str, int]:
    """Run everything before `stage`; returns its run."""
    while (waiting := next_run(region)) is None or waiting[1] != stage:
        if waiting is None:
            assert sign(region), (
                f"nothing leads to {stage}: {region.fetch('SELECT state, reason_code FROM cases')}"
            )
        else:
            region.runner.run(*waiting)
    return waiting


def objects(region: Region, *, inbox: bool = False) -> dict[tuple[str, str], str]:
    """Every object in every bucket of the region and its partners, by zone and key, with its ETag."""
    zones = [zone for zone in region.zones if inbox or zone != "inbox"]
    return {(zone, found.key): found.etag for zone in zones for found in region.s3.listing(zone, "")}


def unfinished_uploads(region: Region) -> list[str]:
    """Multipart uploads that nobody ended, as keys."""
    client, settings = region.s3._minio, region.s3.settings
    return [
        upload.object_name
        for zone in region.zones
        for upload in client._list_multipart_uploads(settings.bucket(zone)).uploads
    ]


def tidy(region: Region) -> None:
    """What the region's timers do again and again, at once and whatever the age."""
    intake.clear(region.parts)
    reaper.reap(region.parts, older=timedelta(seconds=-1))
    reaper.abort_uploads(region.s3, region.zones, older=timedelta(seconds=-60))


def rows(region: Region) -> dict[str, list[str]]:
    """Every row of every table as text without moments and without what belongs to one attempt, sorted."""
    tables = region.fetch(
        "SELECT table_schema AS schema, table_name AS name FROM information_schema.tables"
        " WHERE table_schema IN ('public', 'vault') AND table_type = 'BASE TABLE' ORDER BY 1, 2"
    )
    seen = {}
    for table in tables:
        left_out = _OF_THE_ATTEMPT.get(table["name"], set())
        found = region.fetch(f'SELECT to_jsonb(t) AS row FROM "{table["schema"]}"."{table["name"]}" t')
        kept = [{k: v for k, v in f["row"].items() if k not in left_out} for f in found]
        seen[f"{table['schema']}.{table['name']}"] = sorted(
            _MOMENT.sub("(moment)", json.dumps(row, sort_keys=True, ensure_ascii=False)) for row in kept
        )
    return seen
