"""STOW-RS: a clinic's instances are durable in its inbox before they are said to be, and nothing else is said."""

import hashlib
import io
import tracemalloc

import httpx
import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom.uid import generate_uid

from gateway.app import create
from gateway.arriving import CANNOT_UNDERSTAND, OTHER_STUDY, OUT_OF_RESOURCES
from storage.s3 import MIB
from tests.gateway.conftest import clients, parts_of, serving
from tests.gateway.instances import sample, written
from tests.servers.server import until

KEPT, REFUSED, UNREADABLE = "00081199", "00081198", "0008119A"
TYPE = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=X'}


def body(*contents, media_type="application/dicom"):
    head = f"--X\r\nContent-Type: {media_type}\r\n\r\n".encode()
    return b"".join(head + content + b"\r\n" for content in contents) + b"--X--"


def send(client, *contents, study="", **headers):
    path = f"/dicomweb/studies{study and '/'}{study}"
    return client.post(path, content=body(*contents), headers=TYPE | headers)


def told(answer, tag, attribute="00081155"):
    """One attribute of each item of a sequence of the answer."""
    return [item[attribute]["Value"][0] for item in answer.json().get(tag, {}).get("Value", [])]


def inbox(s3):
    return {found.key: s3.get("inbox", found.key) for found in s3.listing("inbox", "jiangshan/")}


def rows(region, query="SELECT * FROM vault.arrived_instance ORDER BY intended_at"):
    with region.transaction() as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def ct():
    return sample("CT_small.dcm").read_bytes()


def test_instances_lie_in_the_clinics_inbox_under_keys_that_tell_nothing(at_region, region, s3, ct):
    mr = sample("MR_small.dcm").read_bytes()
    answer = send(at_region("chen"), ct, mr)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    uids = [str(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID) for content in (ct, mr)]
    assert told(answer, KEPT) == uids
    assert {REFUSED, UNREADABLE}.isdisjoint(answer.json())
    assert sorted(inbox(s3).values()) == sorted([ct, mr])
    assert not any(uid in key for uid in uids for key in inbox(s3))
    assert {row["sha256"] for row in rows(region) if row["stored_at"]} == {
        hashlib.sha256(content).hexdigest() for content in (ct, mr)
    }


def test_a_client_that_is_not_ours_stores_what_it_reads(region_url, token, s3):
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token('chen')}"
    names = (
        "CT_small.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "image_dfl.dcm",
        "MR_small_bigendian.dcm",
        "693_J2KI.dcm",
    )
    datasets = [pydicom.dcmread(sample(name)) for name in names]
    client = DICOMwebClient(f"{region_url}/dicomweb", session=session)
    answer = client.store_instances(datasets)
    session.close()
    assert [i.ReferencedSOPInstanceUID for i in answer.ReferencedSOPSequence] == [
        d.SOPInstanceUID for d in datasets
    ]
    arrived = [pydicom.dcmread(io.BytesIO(content)) for content in inbox(s3).values()]
    assert {d.SOPInstanceUID for d in arrived} == {d.SOPInstanceUID for d in datasets}


def test_the_same_instance_twice_is_stored_once(at_region, region, s3, ct):
    chen = at_region("chen")
    first, second = send(chen, ct), send(chen, ct, ct)
    assert (first.status_code, second.status_code) == (200, 200)
    assert len(told(second, KEPT)) == 2
    assert len(inbox(s3)) == len(rows(region)) == 1


def test_other_bytes_for_an_instance_take_its_place(at_region, region, s3, ct, tmp_path):
    chen = at_region("chen")
    again = written(tmp_path, "CT_small.dcm", PatientName="Corrected").read_bytes()
    for content in (ct, again, ct, again):
        send(chen, content).raise_for_status()
    standing = {row["sha256"]: bool(row["stored_at"]) for row in rows(region)}
    assert standing == {hashlib.sha256(ct).hexdigest(): False, hashlib.sha256(again).hexdigest(): True}


def test_two_clinics_same_study_is_two_arrivals(at_region, region, ct):
    for person in ("chen", "zhou"):
        send(at_region(person), ct).raise_for_status()
    found = rows(region, "SELECT clinic, prefix FROM vault.arrival ORDER BY clinic")
    assert [row["clinic"] for row in found] == ["jiangshan", "wuxiang"]
    assert all(row["prefix"].startswith(f"{row['clinic']}/") for row in found)


def test_what_cannot_be_read_is_refused_by_itself(at_region, s3, ct):
    answer = send(at_region("chen"), b"no DICOM", ct, ct[:3000])
    assert answer.status_code == 202
    assert told(answer, UNREADABLE, "00081197") == [CANNOT_UNDERSTAND] * 2
    assert len(told(answer, KEPT)) == 1
    assert list(inbox(s3).values()) == [ct]


def test_nothing_stored_is_a_conflict(at_region, s3):
    assert send(at_region("chen"), b"no DICOM").status_code == 409
    assert inbox(s3) == {}


def test_an_instance_of_another_study_is_refused_by_name(at_region, s3, ct):
    chen, read = at_region("chen"), pydicom.dcmread(io.BytesIO(ct))
    refused = send(chen, ct, study=generate_uid())
    assert refused.status_code == 409
    assert told(refused, REFUSED) == [read.SOPInstanceUID]
    assert told(refused, REFUSED, "00081197") == [OTHER_STUDY]
    assert inbox(s3) == {}
    assert send(chen, ct, study=read.StudyInstanceUID).status_code == 200


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=X'}, b"--X--", 415),
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, b"--X--", 415),
        (TYPE, body(b"{}", media_type="application/dicom+json"), 415),
        (TYPE, b"--X--", 400),
        (TYPE, b"--X\r\nContent-Type: application/dicom\r\n\r\nabc", 400),
        (TYPE | {"Accept": "application/dicom+xml"}, b"--X--", 406),
    ],
)
def test_a_request_that_is_none_is_refused_with_a_reason(at_region, s3, headers, content, status):
    answer = at_region("chen").post("/dicomweb/studies", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]["message_zh"]
    assert inbox(s3) == {}


@pytest.fixture
def narrow(region, s3, token):
    """A gateway that takes instances of 100 kB and requests of 200 kB."""
    with serving(create("region", parts_of(region, s3, instance_max=100_000, study_max=200_000))) as url:
        yield from clients(url, token)


def test_what_is_too_large_is_refused_and_the_rest_is_stored(narrow, s3, ct):
    large = ct + bytes(100_000)
    answer = send(narrow("chen"), large, ct)
    assert (answer.status_code, told(answer, UNREADABLE, "00081197")) == (202, [OUT_OF_RESOURCES])
    assert list(inbox(s3).values()) == [ct]


def test_a_request_that_is_too_large_ends_there_and_keeps_what_it_stored(narrow, s3, ct):
    answer = send(narrow("chen"), ct, bytes(300_000))
    assert answer.status_code == 413
    assert list(inbox(s3).values()) == [ct]


def test_another_door_still_takes_small_bodies_alone(at_region):
    answer = at_region("chen").post("/api/drops", content=b" " * (33 * MIB))
    assert answer.status_code == 413


def test_nothing_is_said_to_be_stored_while_the_store_is_away(at_region, region, object_store, ct):
    chen = at_region("chen")
    object_store.stop()
    answer = send(chen, ct)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "away")
    assert [row["stored_at"] for row in rows(region)] == [None]
    object_store.start()
    assert send(chen, ct).status_code == 200
    assert [bool(row["stored_at"]) for row in rows(region)] == [True]


def test_a_line_that_breaks_stores_what_was_whole(region_url, token, region, s3, ct):
    def broken():
        yield body(ct)[:-2] + b"\r\nContent-Type: application/dicom\r\n\r\n" + ct[:5000]
        until(lambda: any(row["stored_at"] for row in rows(region)), what="the first instance")
        raise httpx.WriteError("the line broke")

    headers = TYPE | {"Authorization": f"Bearer {token('chen')}"}
    with pytest.raises(httpx.WriteError):
        httpx.post(f"{region_url}/dicomweb/studies", content=broken(), headers=headers)
    assert list(inbox(s3).values()) == [ct]
    assert len(rows(region)) == 1


def test_a_large_instance_is_never_whole_in_memory(at_region, s3, tmp_path):
    frames = 160
    large = written(
        tmp_path, "CT_small.dcm", NumberOfFrames=frames, Rows=1024, Columns=512,
        PixelData=np.zeros((frames, 1024, 512), np.int16).tobytes(),
    )  # fmt: skip

    def pieces():
        yield b"--X\r\nContent-Type: application/dicom\r\n\r\n"
        with large.open("rb") as file:
            while piece := file.read(MIB):
                yield piece
        yield b"\r\n--X--"

    chen = at_region("chen")
    tracemalloc.start()
    answer = chen.post("/dicomweb/studies", content=pieces(), headers=TYPE)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 200
    (found,) = s3.listing("inbox", "jiangshan/")
    assert found.size == large.stat().st_size > 160 * MIB
    assert most < 96 * MIB, "a few parts of 16 MiB are under way at once"
