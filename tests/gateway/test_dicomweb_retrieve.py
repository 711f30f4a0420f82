"""WADO-RS: what is accepted, what is refused and why, ranges, rights, and what the audit log says."""

import email
import time
from email.policy import HTTP

import pydicom
import pytest

from gateway.dicomweb.viewings import Viewings
from storage import readings
from storage.s3 import S3
from tests.gateway.instances import address, at_partner_with, sample, written
from tests.storage.filled import open_item

CT, RLE, LS, JPEG = (
    "CT_small.dcm",
    "emri_small_RLE.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "color3d_jpeg_baseline.dcm",
)


def parts_of(answer):
    """The parts of a multipart answer: (content type, bytes), read by Python's own parser."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=HTTP)
    assert message.is_multipart()
    return [
        (part["content-type"].replace('"', ""), part.get_payload(decode=True))
        for part in message.iter_parts()
    ]


@pytest.fixture
def lin(at_partner):
    return at_partner("lin")


def at(name, level="instance"):
    return address(pydicom.dcmread(sample(name)), level)


# Accept | of an object stored as | status, content type of what comes
NEGOTIATED = [
    ("", LS, 200, 'multipart/related; type="image/jls"'),
    ("*/*", LS, 200, 'multipart/related; type="image/jls"'),
    ('multipart/related; type="image/jls"', LS, 200, 'multipart/related; type="image/jls"'),
    ('multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80', LS, 200, "multipart/related"),
    ('multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.81', LS, 406, "application/json"),
    ("image/jls", LS, 200, "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
    ("image/*", LS, 200, "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
    ("image/png", LS, 406, "application/json"),
    ("application/octet-stream", LS, 406, "application/json"),
    ("application/octet-stream; transfer-syntax=*", LS, 200, "application/octet-stream; transfer-syntax=1.2.840.10008"),
    ("image/jls; q=0.1, image/*; q=0", LS, 200, "image/jls"),
    ("image/jls; q=0", LS, 406, "application/json"),
    ("image/jls; q=0, */*", LS, 200, 'multipart/related; type="image/jls"'),
    ("image/jls; q=0, image/*", LS, 406, "application/json"),
    ("image/jls; q=1.5", LS, 400, "application/json"),
    ("image/jls; q=nan", LS, 400, "application/json"),
    ("image/*; q=0.9, image/jls; transfer-syntax=*; q=0, multipart/related; q=0.1", LS, 200, "multipart/related"),
    ("image/jls; q=much", LS, 400, "application/json"),
    ('image/jls; type="', LS, 400, "application/json"),
    ("application/octet-stream", CT, 200, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"),
    ("image/jp2, application/octet-stream;q=0.5", CT, 200, "application/octet-stream"),
    ("image/dicom-rle", RLE, 200, "image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5"),
]  # fmt: skip


@pytest.fixture
def samples(region, s3):
    return at_partner_with(region, s3, [sample(name) for name in (CT, RLE, LS, JPEG)])


def test_frames_come_in_a_form_that_is_accepted_or_not_at_all(samples, lin):
    for accept, name, status, kind in NEGOTIATED:
        answer = lin.get(f"{at(name)}/frames/1", headers={"Accept": accept} if accept else {})
        assert (answer.status_code, answer.headers["content-type"][: len(kind)]) == (status, kind), accept
        if status == 406:
            stored = pydicom.dcmread(sample(name)).file_meta.TransferSyntaxUID
            assert any(stored in problem for problem in answer.json()["problems"])
    by_query = lin.get(f"{at(LS)}/frames/1", params={"accept": "image/png"}, headers={"Accept": "image/jls"})
    assert by_query.status_code == 406


def test_instances_come_as_they_are_stored_or_not_at_all(samples, lin):
    content = sample(LS).read_bytes()
    ((kind, body),) = parts_of(lin.get(at(LS)))
    assert (kind, body) == ("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80", content)
    alone = lin.get(at(LS), headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert (alone.content, alone.headers["content-length"]) == (content, str(len(content)))
    wanted = 'multipart/related; type="application/dicom"; transfer-syntax={}'
    for syntax, status in (("*", 200), ("1.2.840.10008.1.2.4.80", 200), ("1.2.840.10008.1.2.1", 406)):
        assert lin.get(at(LS), headers={"Accept": wanted.format(syntax)}).status_code == status


def test_one_instance_of_a_study_that_cannot_be_accepted_refuses_the_study(region, s3, lin, tmp_path):
    ct = pydicom.dcmread(sample(CT))
    other = written(tmp_path, LS, StudyInstanceUID=ct.StudyInstanceUID)
    at_partner_with(region, s3, [sample(CT), other])
    accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'}
    assert lin.get(at(CT, "study"), headers=accept).status_code == 406
    assert lin.get(at(CT, "series"), headers=accept).status_code == 200
    assert len(parts_of(lin.get(at(CT, "study")))) == 2
    assert lin.get(at(CT, "study"), headers={"Accept": "application/dicom"}).status_code == 406


@pytest.mark.parametrize(
    ("numbers", "status"), [("1,10,1", 200), ("11", 404), ("0", 400), ("1,", 400), ("-1", 400), ("a", 400)]
)
def test_frames_are_numbered_from_one(samples, lin, numbers, status):
    answer = lin.get(f"{at(RLE)}/frames/{numbers}")
    assert answer.status_code == status
    if status == 200:
        first, _, again = (body for _, body in parts_of(answer))
        assert first == again


def test_a_frame_is_cut_by_one_range_of_its_own_length(samples, lin, partner_app, monkeypatch):
    asked = []
    original = S3.stream

    def watched(self, *args, **kwargs):
        asked.append((kwargs["offset"], kwargs["length"]))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(S3, "stream", watched)
    answer = lin.get(f"{at(JPEG)}/frames/60", headers={"Accept": "image/jpeg"})
    ((_, length),) = asked
    assert length == len(answer.content) + 8, "the frame with its item's head, out of 6 MB"


def test_nothing_is_ever_read_whole_into_memory(samples, lin, monkeypatch):
    def refused(self, *args, **kwargs):
        raise AssertionError("an object was read whole")

    monkeypatch.setattr(S3, "get", refused)
    for step in ("", "/metadata", "/frames/2,7", "/bulkdata/7FE00010", "/frames/2/rendered", "/thumbnail"):
        assert lin.get(f"{at(RLE)}{step}").status_code == 200, step


def test_metadata_holds_everything_but_large_values_which_it_names(samples, lin):
    answer = lin.get(f"{at(CT, 'study')}/metadata")
    assert answer.headers["content-type"] == "application/dicom+json"
    (told,) = answer.json()
    assert list(told) == sorted(told)
    large = told["00431029"]["BulkDataURI"]
    stored = pydicom.dcmread(sample(CT))
    assert lin.get(large).content == stored[0x00431029].value
    assert lin.get(f"{at(CT)}/metadata", headers={"Accept": "application/dicom+xml"}).status_code == 406
    assert lin.get(f"{at(CT)}/bulkdata/00431028").status_code == 404


# Range | status, first and last byte
RANGES = [
    ("bytes=0-9", 206, 0, 9),
    ("bytes=32760-", 206, 32760, 32767),
    ("bytes=-8", 206, 32760, 32767),
    ("bytes=32760-99999", 206, 32760, 32767),
    ("bytes=32768-", 416, 0, 0),
    ("bytes=5-4", 416, 0, 0),
    ("bytes=-", 416, 0, 0),
    ("bytes=0-1,4-5", 416, 0, 0),
    ("BYTES=0-9", 206, 0, 9),
    ("items=0-9", 200, 0, 32767),
    ("0-9", 200, 0, 32767),
]


def test_bulk_data_is_given_in_part(samples, lin):
    pixels = pydicom.dcmread(sample(CT)).PixelData
    whole = lin.get(f"{at(CT)}/bulkdata/7FE00010")
    assert (whole.content, whole.headers["accept-ranges"]) == (pixels, "bytes")
    for asked, status, first, last in RANGES:
        answer = lin.get(f"{at(CT)}/bulkdata/7FE00010", headers={"Range": asked})
        assert answer.status_code == status, asked
        if status != 416:
            assert answer.content == pixels[first : last + 1], asked
        told = {206: f"bytes {first}-{last}/{len(pixels)}", 416: f"bytes */{len(pixels)}", 200: None}
        assert answer.headers.get("content-range") == told[status]
    conditional = {"Range": "bytes=0-9", "If-Range": '"anything"'}
    assert lin.get(f"{at(CT)}/bulkdata/7FE00010", headers=conditional).content == pixels


def test_large_values_within_sequences_are_named_by_whole_addresses_in_metadata_and_in_searches(
    region, s3, lin, tmp_path
):
    inner = pydicom.Dataset()
    inner.add_new(0x00420011, "OB", bytes(range(256)) * 40)  # Encapsulated Document
    path = written(tmp_path, CT, ReferencedImageSequence=[inner])
    at_partner_with(region, s3, [path])
    (told,) = lin.get(f"{at(CT)}/metadata").json()
    (found,) = lin.get(f"{at(CT, 'series')}/instances", params={"includefield": "all"}).json()
    for answer in (told, found):
        where = answer["00081140"]["Value"][0]["00420011"]["BulkDataURI"]
        assert where == f"{lin.base_url}{at(CT)}/bulkdata/00081140.1.00420011"
        assert lin.get(where).content == inner[0x00420011].value


def test_compressed_pixels_as_bulk_data_are_their_frames(samples, lin):
    frames = parts_of(lin.get(f"{at(RLE)}/bulkdata/7FE00010"))
    assert len(frames) == 10
    assert frames[3] == parts_of(lin.get(f"{at(RLE)}/frames/4"))[0]


def test_fragments_of_one_frame_are_put_together(region, s3, lin, tmp_path):
    dataset = pydicom.dcmread(sample(LS))
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    cut = pydicom.encaps.encapsulate([frame], fragments_per_frame=4)
    path = written(tmp_path, LS, PixelData=cut)
    at_partner_with(region, s3, [path])
    assert lin.get(f"{at(LS)}/frames/1", headers={"Accept": "image/jls"}).content.startswith(frame)


@pytest.mark.parametrize("share", [1, 0.01])
def test_an_object_that_is_not_the_one_that_was_indexed_is_not_given(region, s3, lin, share):
    case_id = at_partner_with(region, s3, [sample(RLE)])
    (key,) = [f.key for f in s3.listing("partner-yinzhou2", case_id)]
    s3.replace("partner-yinzhou2", key, bytes(int(sample(RLE).stat().st_size * share)), "application/dicom")
    for step in ("/frames/9", "/bulkdata/7FE00010", "/frames/9/rendered"):
        answer = lin.get(f"{at(RLE)}{step}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "file-differs"), step


def test_what_a_partner_gave_back_is_unknown_to_it_at_once(region, samples, lin):
    assert lin.get(f"{at(CT)}/metadata").status_code == 200
    with region.transaction() as connection:
        item = open_item(connection, samples)
        readings.decline(connection, item.id, "lin", "not our field")
    for path in (at(CT), f"{at(CT)}/metadata", f"{at(CT)}/frames/1", f"{at(CT)}/bulkdata/7FE00010"):
        assert lin.get(path).status_code == 404


def test_an_instance_that_came_with_two_cases_is_given_once_as_the_newest_brought_it(
    region, s3, lin, tmp_path
):
    at_partner_with(region, s3, [sample(CT)])
    at_partner_with(region, s3, [written(tmp_path, CT, SeriesDescription="again")], number=2)
    ((_, body),) = parts_of(lin.get(at(CT, "study")))
    (told,) = lin.get(f"{at(CT, 'study')}/metadata").json()
    assert told["0008103E"]["Value"] == ["again"]
    assert b"again" in body


def test_a_viewing_leaves_one_row_however_many_frames_are_looked_at(region, samples, lin, at_partner):
    for number in range(1, 11):
        assert lin.get(f"{at(RLE)}/frames/{number}").status_code == 200
    assert lin.get(f"{at(CT)}/frames/1").status_code == 200
    assert at_partner("he").get(f"{at(CT)}/frames/1").status_code == 200
    with region.transaction() as connection:
        rows = connection.execute(
            "SELECT account, note FROM audit_log WHERE action = 'images.see' AND case_id = %s ORDER BY id",
            (samples,),
        ).fetchall()
    studies = [pydicom.dcmread(sample(name)).StudyInstanceUID for name in (RLE, CT, CT)]
    assert [(r["account"], r["note"]) for r in rows] == [
        (account, f"DICOMweb {study}") for account, study in zip(("lin", "lin", "he"), studies, strict=True)
    ]


def test_a_look_after_a_pause_is_another_viewing():
    look = ("lin", "K7QX-3M9D", "1.2.3")
    at_once, patient = Viewings(pause=0), Viewings(pause=3600)
    for viewings, expected in ((at_once, [look]), (patient, [])):
        assert viewings.new([look]) == [look]
        viewings.seen([look])
        assert viewings.new([look]) == expected
    assert patient.new([("he", *look[1:])])


def test_text_in_any_character_set_is_told_in_unicode(region, s3, lin, tmp_path):
    names = {"GB18030": "王^小东", "ISO_IR 192": "Zhang^三", "ISO_IR 100": "Müller^Jörg"}
    for number, (charset, name) in enumerate(names.items(), 1):
        study = f"1.2.3.{number}"
        changes = {"SpecificCharacterSet": charset, "PatientName": name, "StudyInstanceUID": study}
        path = written(tmp_path, CT, **changes, SOPInstanceUID=f"{study}.1")
        at_partner_with(region, s3, [path], number=number)
        (told,) = lin.get(f"/dicomweb/studies/{study}/metadata").json()
        assert told["00100010"]["Value"] == [{"Alphabetic": name}]
        assert told["00080005"]["Value"] == ["ISO_IR 192"]
        (found,) = lin.get("/dicomweb/studies", params={"PatientName": name.casefold()}).json()
        assert found["00100010"]["Value"] == [{"Alphabetic": name}]


def test_a_deflated_data_set_gives_its_frames_too(region, s3, lin):
    path = sample("image_dfl.dcm")
    at_partner_with(region, s3, [path])
    stored = pydicom.dcmread(path)
    answer = lin.get(f"{address(stored)}/frames/1", headers={"Accept": "application/octet-stream"})
    assert answer.content == stored.PixelData


def test_an_accept_takes_no_longer_than_its_length_and_empty_elements_count_for_nothing(samples, lin):
    where = f"{at(CT)}/frames/1"
    assert lin.get(where, headers={"Accept": ",,application/octet-stream,,"}).status_code == 200
    began = time.monotonic()
    answer = lin.get(where, params={"accept": "a" + " " * 3900 + '"'})
    assert (answer.status_code, time.monotonic() - began < 5) == (400, True)
    assert lin.get(where, headers={"Accept": "a" + " " * 20_000 + '"'}).status_code == 400
