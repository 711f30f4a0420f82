"""Objects put together inside the real store, and what has to be proved before one is there."""

import random
import threading

import pytest

from cases.errors import Quarantine
from storage.s3 import PART_MIN, S3, Absent, Piece, S3Settings

SIZE = 3 * PART_MIN + 4321


@pytest.fixture(scope="module")
def s3(object_store):
    store = S3(
        S3Settings(
            url=object_store.url,
            access_key=object_store.access_key,
            secret_key=object_store.secret_key,
            bucket_prefix="compose-",
        )
    )
    for zone in ("identified", "deidentified"):
        store.ensure_bucket(zone)
    return store


@pytest.fixture(scope="module")
def content(s3):
    made = random.Random(5).randbytes(SIZE)
    s3.replace("identified", "slide", made, "image/tiff")
    return made


PIECES = [
    Piece("identified", "slide", 100, PART_MIN),
    Piece("identified", "slide", 2 * PART_MIN, PART_MIN + 4321),
]


def test_an_object_is_there_once_the_proof_has_returned(s3, content):
    before = threading.Event()

    def proof():
        with pytest.raises(Absent):
            s3.head("deidentified", "proved")
        before.set()

    s3.compose(PIECES, ("deidentified", "proved"), media_type="image/tiff", sha256="0" * 64, proof=proof)

    assert before.is_set()
    expected = content[100 : 100 + PART_MIN] + content[2 * PART_MIN :]
    assert s3.get("deidentified", "proved") == expected


def test_what_is_not_proved_never_becomes_an_object_and_leaves_no_parts(s3, content):
    def proof():
        raise Quarantine("identity-left", "a name")

    with pytest.raises(Quarantine, match="a name"):
        s3.compose(
            PIECES, ("deidentified", "withheld"), media_type="image/tiff", sha256="0" * 64, proof=proof
        )

    with pytest.raises(Absent):
        s3.head("deidentified", "withheld")
    unfinished = s3._minio._list_multipart_uploads(s3.settings.bucket("deidentified"))
    assert [u.object_name for u in unfinished.uploads] == []
