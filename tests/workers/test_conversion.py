"""A slide that cannot be taken goes the ordinary way once the operator names a converter; without one it waits."""

import sys

import openslide
import pytest

from imaging.slides.convert import Conversion, converters
from imaging.slides.sandbox import Limits
from teledx.samples import orders
from teledx.samples.slide import make_slide

PATIENT = orders.PATIENTS[0]
MARK = b"\xf1\x01\xee\xeeKFB\0" + bytes(56)
UNPACK = "import sys; open(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read()[64:])"


def with_converter(region, lines, *, seconds=60):
    command = (sys.executable, "-I", "-c", lines, "{source}", "{target}.svs")
    limits = Limits(seconds=seconds, memory=2 << 30, disk=256 << 20)
    region.with_conversion(Conversion(by_format=converters({"kfb": command}), limits=limits))


@pytest.fixture
def kfb(tmp_path):
    path = tmp_path / "a.svs"
    make_slide(
        path, size=12_000_000, pathology_number="S26-1", block="A1", stain="HE", patient_name="Wang Xiuying"
    )
    return MARK + path.read_bytes()


def drop(region, content):
    line = orders.slide_line("a.kfb", pathology_number="S26-1", block="A1", stain="HE")
    files = [orders.file_line("a.kfb", content)]
    order = orders.order("histology", PATIENT, files, accession_number="S-1", slides=[line])
    region.drop("jiangshan", order, {"a.kfb": content})
    region.settle()
    return region.one("SELECT id, state, partner, reason_code, reason_detail FROM cases")


def test_a_converted_slide_reaches_the_partner_without_label(region, kfb, tmp_path):
    with_converter(region, UNPACK)

    case = drop(region, kfb)

    assert case["state"] == "delivered", case
    zone = f"partner-{case['partner']}"
    (key,) = [found.key for found in region.s3.listing(zone, "") if found.key.endswith(".svs")]
    arrived = tmp_path / "b.svs"
    arrived.write_bytes(region.s3.get(zone, key))
    assert b"Wang" not in arrived.read_bytes()
    (tmp_path / "c.svs").write_bytes(kfb[len(MARK) :])
    with openslide.OpenSlide(arrived) as after, openslide.OpenSlide(tmp_path / "c.svs") as before:
        assert after.dimensions == before.dimensions
        assert set(after.associated_images) <= {"thumbnail"}
        where = ((1000, 1000), 0, (256, 256))
        assert after.read_region(*where).tobytes() == before.read_region(*where).tobytes()


def test_the_case_says_by_what_its_slide_was_converted(region, kfb):
    with_converter(region, UNPACK)

    case = drop(region, kfb)

    notes = [row["note"] for row in region.fetch("SELECT note FROM milestone WHERE case_id = %s", case["id"])]
    assert [n for n in notes if "1 converted: KFBIO KFB by python" in n], notes
    body = region.one("SELECT body FROM vault.document WHERE stage = 'preprocess'")["body"]
    (slide,) = body["slides"]
    assert (slide["format"], slide["converted"]["source_format"]) == ("svs", "kfb")
    kept = region.one(
        "SELECT claimed_at FROM object WHERE zone = 'identified' AND key = %s",
        slide["converted"]["stored"]["key"],
    )
    assert kept["claimed_at"] is not None


def test_without_a_converter_the_clinic_is_told_what_to_do(region, kfb):
    case = drop(region, kfb)

    assert (case["state"], case["reason_code"]) == ("quarantined", "slide-unsafe"), case
    assert "KFBIO KFB: In K-Viewer" in case["reason_detail"]


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("raise SystemExit(2)", "ended with code 2"),
        ("", "made no file"),
        ("import signal; signal.pause()", "longer than 3 s"),
        ("import sys; open(sys.argv[2], 'w').write('no slide')", "the result is no slide"),
    ],
    ids=["fails", "nothing", "hangs", "no slide"],
)
def test_a_converter_that_fails_sets_the_case_aside(region, kfb, lines, what):
    with_converter(region, lines, seconds=3)

    case = drop(region, kfb)

    assert (case["state"], case["reason_code"]) == ("quarantined", "conversion-failed"), case
    assert what in case["reason_detail"]
    assert case["reason_detail"].startswith("file 1 of the order: KFBIO KFB: ")
