"""A slide case on a reader's worklist, with the slides that are told in the partner's bucket."""

import hashlib
from pathlib import Path

from psycopg.types.json import Jsonb

from storage.database import Database
from storage.s3 import S3
from tests.storage.filled import delivered

MICRONS = 0.252


def slide_case(
    region: Database, s3: S3, slides: list[Path], partner: str = "yinzhou2", number: int = 1
) -> str:
    """A delivered case whose files are these slides, each with a line in the brief; returns its id."""
    case_id = delivered(region, number=number, partner=partner)
    rows, lines = [], []
    for at, path in enumerate(slides, 1):
        name, content = f"S-{at}-A1-HE", path.read_bytes()
        folder = "dicom" if path.suffix == ".dcm" else "slide"
        key, digest = (
            f"{case_id}/deliver/005/{folder}/{name}{path.suffix}",
            hashlib.sha256(content).hexdigest(),
        )
        s3.put_new(f"partner-{partner}", key, content, "image/tiff", digest)
        rows.append((case_id, partner, key, "file", len(content), digest, "image/tiff"))
        lines.append(
            {"name": name, "specimen": "S-A", "block": "A1", "stain": "HE", "number": at, "of": len(slides),
             "mpp": [MICRONS, MICRONS]}
        )  # fmt: skip
    with region.transaction() as connection:
        connection.execute("DELETE FROM partner_object WHERE case_id = %s AND role = 'file'", (case_id,))
        connection.cursor().executemany(
            "INSERT INTO partner_object VALUES (%s, %s, %s, %s, %s, %s, %s)", rows
        )
        connection.execute(
            "UPDATE cases SET family = 'slides', brief = brief || %s WHERE id = %s",
            (Jsonb({"slides": lines}), case_id),
        )
    return case_id
