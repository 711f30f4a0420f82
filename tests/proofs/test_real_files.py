"""Real files in every transfer syntax that the sample packages carry, through every stage to the partner's bucket.

Each is re-labelled with the order's patient and travels as a case of its own. It arrives and is read there by pydicom
with the pixels that it had, or it is withheld for the reason that `WITHHELD` states.
"""

import io
from dataclasses import dataclass
from datetime import date

import numpy as np
import openslide
import pydicom
import pytest
from pydicom.errors import InvalidDicomError
from pydicom.uid import generate_uid

from storage import cases, transition
from teledx.samples import orders, studies
from teledx.samples.orders import SamplePatient
from tests.imaging.dicom.samples import SHARED, all_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENT = orders.PATIENTS[0]
LARGEST = 1_000_000
SYNTAXES = 12
# A sample's modality -> the service that it is dropped for. Others (OT, NM, none) are dropped as computed radiography.
SERVICES = {"CT": "ct", "MR": "mr", "CR": "xray", "DX": "xray", "US": "ultrasound"}

# sample -> (how its case ends, reason): what must not or cannot be passed on
WITHHELD: dict[str, tuple[str, str]] = {
    # the name is written eight times over, as nobody is called
    "gb18030_truncated.dcm": ("quarantined", "identity-mismatch"),
    # the hospital's name, which the header has too, stands in the picture itself
    "US1_J2KI.dcm": ("quarantined", "pixels-doubtful"),
    "US1_J2KR.dcm": ("quarantined", "pixels-doubtful"),
    "examples_jpeg2k.dcm": ("quarantined", "pixels-doubtful"),
    "examples_palette.dcm": (
        "quarantined",
        "pixels-doubtful",
    ),  # cut from a larger picture, whose regions it names
    # its frame is a whole JP2 file, which the standard forbids
    "GDCMJ2K_TextGBR.dcm": ("quarantined", "pixels-doubtful"),
    # its one frame is opened by no decoder
    "JPEG2000-embedded-sequence-delimiter.dcm": ("quarantined", "file-damaged"),
}


@dataclass(frozen=True)
class Sample:
    """One sample file, and the same under the order's patient."""

    name: str
    syntax: str
    service: str
    content: bytes


def relabelled(path):
    """The sample as a clinic's own: the patient, new UIDs and, where it has none of ours, a modality."""
    dataset = pydicom.dcmread(path)
    modality = dataset.get("Modality")
    changes = {} if modality in SERVICES else {"Modality": "CR"}
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    content = studies.instance(path, PATIENT, **uids, **changes)
    return Sample(path.name, dataset.file_meta.TransferSyntaxUID, SERVICES.get(modality, "xray"), content)


def chosen():
    """Of each kind (transfer syntax, modality, samples of a pixel) one sample, and one of those that are withheld."""
    kinds: dict = {}
    for path in all_files():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        syntax = header.file_meta.get("TransferSyntaxUID")
        if syntax is None or "Rows" not in header or path.stat().st_size > LARGEST:
            continue
        if header.get("Modality") in ("RTDOSE", "SEG"):
            continue
        kind = (syntax, header.get("Modality"), header.SamplesPerPixel, path.name in WITHHELD)
        kinds.setdefault(kind, path)
    return sorted(kinds.values())


def drop(region, number, service, files, patient=PATIENT, **changes):
    lines = [orders.file_line(name, content) for name, content in files.items()]
    order = orders.order(service, patient, lines, accession_number=f"R-{number}", **changes)
    region.drop("jiangshan", order, files, f"drop-{number:04d}")


def ends(region):
    """How each case stands, by its accession number."""
    rows = region.fetch(
        "SELECT o.accession_number AS number, c.id, c.state, c.reason_code, c.reason_detail FROM cases c"
        " JOIN vault.case_order o ON o.case_id = c.id"
    )
    return {row["number"]: row for row in rows}


def arrived(region, case, ending):
    """The contents of the case's files in the bucket of the partner that it went to."""
    zones = [zone for zone in region.zones if zone.startswith("partner-")]
    return [
        region.s3.get(zone, found.key)
        for zone in zones
        for found in region.s3.listing(zone, f"{case}/")
        if found.key.endswith(ending)
    ]


def pixels(content):
    return pydicom.dcmread(io.BytesIO(content)).pixel_array


def what_differs(sample, end, contents):
    """'' if the sample ended as it should, else what is wrong in words."""
    if sample.name in WITHHELD or end["state"] != "delivered":
        how = (end["state"], end["reason_code"])
        return "" if how == WITHHELD.get(sample.name) else f"{how} {end['reason_detail']}"
    if len(contents) != 1:
        return f"{len(contents)} files arrived"
    before, after = (pydicom.dcmread(io.BytesIO(content)) for content in (sample.content, contents[0]))
    if (
        before.PixelData == after.PixelData
        and before.file_meta.TransferSyntaxUID == after.file_meta.TransferSyntaxUID
    ):
        return ""
    old, new = before.pixel_array, after.pixel_array
    if old.shape != new.shape:
        return f"{old.shape} became {new.shape}"
    blanked = sample.service == "ultrasound" and np.array_equal(old[new != 0], new[new != 0])
    return "" if np.array_equal(old, new) or blanked else "other pixels"


def test_every_transfer_syntax_of_the_samples_arrives_readable_or_is_withheld_for_a_stated_reason(region):
    samples = [relabelled(path) for path in chosen()]
    assert len({s.syntax for s in samples}) == SYNTAXES
    for number, sample in enumerate(samples):
        drop(region, number, sample.service, {"a.dcm": sample.content})
    region.settle()
    found = ends(region)
    assert len(found) == len(samples), "each drop became a case"
    wrong = {}
    for number, sample in enumerate(samples):
        end = found[f"R-{number}"]
        told = what_differs(sample, end, arrived(region, end["id"], ".dcm"))
        if told:
            wrong[sample.name] = f"{sample.syntax.name}: {told}"
    assert not wrong, "\n".join(f"{name}: {told}" for name, told in wrong.items())
    passed = {s.syntax for s in samples if s.name not in WITHHELD}
    assert passed == {s.syntax for s in samples}, "of each syntax at least one arrived"


def charset_patient(path):
    """Whose the file is, as its maker wrote it: the name in its rarest form is four-byte GB18030."""
    name = {"gb18030_4byte.dcm": "𠮷㐀㐁", "gb18030_truncated.dcm": "张三丰" * 8}.get(path.name, "张三丰")
    return SamplePatient(
        id="P310101196102031234",
        name=name,
        name_latin="Zhang Sanfeng",
        sex="other",
        birth_date=date(1961, 2, 3),
    )


CHARSETS = sorted((SHARED / "chinese-charsets").glob("*.dcm"))


@pytest.mark.skipif(not CHARSETS, reason="the shared samples are not here")
def test_every_chinese_character_set_arrives_readable_and_without_the_patient(region):
    for number, path in enumerate(CHARSETS):
        content = path.read_bytes()
        drop(region, number, "ct", {"a.dcm": content}, charset_patient(path))
    region.settle()
    found = ends(region)
    wrong = {}
    for number, path in enumerate(CHARSETS):
        end = found[f"R-{number}"]
        if (end["state"], end["reason_code"]) != WITHHELD.get(path.name, ("delivered", None)):
            wrong[path.name] = (end["state"], end["reason_code"], end["reason_detail"])
    assert not wrong, "\n".join(f"{name}: {told}" for name, told in wrong.items())
    for number, path in enumerate(CHARSETS):
        if path.name in WITHHELD:
            continue
        (content,) = arrived(region, found[f"R-{number}"]["id"], ".dcm")
        assert np.array_equal(pixels(content), pixels(path.read_bytes())), path.name
        name = charset_patient(path).name
        for written in (name, name[1:]):
            for encoding in ("utf-8", "gb18030"):
                assert written.encode(encoding) not in content, path.name
        assert b"310101196102031234" not in content


def confirm_labels(region):
    """What the clinic answers beside the pictures of its labels."""
    for row in region.fetch("SELECT id FROM cases WHERE state = 'awaiting_clinic'"):
        with region.rows.transaction() as connection:
            connection.execute(
                "INSERT INTO vault.label_answer (case_id, number, confirmed, account) VALUES (%s, 1, true, 'chen')",
                (row["id"],),
            )
            case = cases.move(connection, row["id"], "answered", actor="chen")
            transition.next_run(connection, case, "preprocess")
    region.settle()


@pytest.mark.skipif(not (SHARED / "slides").is_dir(), reason="the shared samples are not here")
def test_the_real_aperio_slide_arrives_readable_by_openslide_without_label_and_macro(region, tmp_path):
    content = (SHARED / "slides" / "CMU-1-Small-Region.svs").read_bytes()
    line = orders.slide_line("a.svs", pathology_number="S26-01234", block="A1", stain="HE")
    drop(region, 1, "histology", {"a.svs": content}, slides=[line])
    region.settle()
    confirm_labels(region)
    end = ends(region)["R-1"]
    assert end["state"] == "delivered", end
    (came,) = arrived(region, end["id"], ".svs")
    before, after = tmp_path / "before.svs", tmp_path / "after.svs"
    before.write_bytes(content)
    after.write_bytes(came)
    with openslide.OpenSlide(before) as old, openslide.OpenSlide(after) as new:
        assert new.dimensions == old.dimensions
        assert new.properties["openslide.mpp-x"] == old.properties["openslide.mpp-x"]
        assert set(new.associated_images) & {"label", "macro"} == set()
        ours, theirs = (np.asarray(s.read_region((500, 700), 0, (700, 600))) for s in (old, new))
        assert np.array_equal(ours, theirs)
    for identifying in (b"ScanScope ID", b"Filename", b"User"):
        assert identifying + b" = " not in came


@pytest.mark.skipif(not (SHARED / "dicom-slide").is_dir(), reason="the shared samples are not here")
def test_the_real_dicom_slide_arrives_readable_by_openslide_without_label_and_overview(region, tmp_path):
    files = {p.name: p.read_bytes() for p in sorted((SHARED / "dicom-slide").glob("*.dcm"))}
    line = orders.slide_line("volume.dcm", pathology_number="S26-01234", block="A1", stain="HE")
    drop(region, 1, "histology", files, slides=[line])
    region.settle()
    confirm_labels(region)
    end = ends(region)["R-1"]
    assert end["state"] == "delivered", end
    came = arrived(region, end["id"], ".dcm")
    kinds = {pydicom.dcmread(io.BytesIO(c), stop_before_pixels=True).ImageType[2] for c in came}
    assert kinds == {"VOLUME", "THUMBNAIL"} or kinds == {"VOLUME"}
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, contents in ((old, files.values()), (new, came)):
        folder.mkdir()
        for number, content in enumerate(contents):
            (folder / f"{number}.dcm").write_bytes(content)
    with openslide.OpenSlide(_volume(old)) as before, openslide.OpenSlide(_volume(new)) as after:
        assert after.dimensions == before.dimensions
        assert set(after.associated_images) & {"label", "macro"} == set()
        ours, theirs = (np.asarray(s.read_region((500, 700), 0, (700, 600))) for s in (before, after))
        assert np.array_equal(ours, theirs)


def _volume(folder):
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)
