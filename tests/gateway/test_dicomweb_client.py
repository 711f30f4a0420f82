"""DICOMweb by a client that is not ours: every transfer syntax of the sample files comes back as it is stored."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array

from tests.gateway.instances import at_partner_with, sample

SAMPLES = (
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "JPEG-lossy.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "emri_small_jpeg_2k_lossless.dcm",
    "693_J2KI.dcm",
    "emri_small_RLE.dcm",
    "image_dfl.dcm",
    "color3d_jpeg_baseline.dcm",
    "liver.dcm",
    "SC_rgb_2frame.dcm",
)
BIG_ENDIAN = (
    "MR_small_bigendian.dcm",
    "emri_small_big_endian.dcm",
    "liver_expb.dcm",
    "SC_rgb_expb_32bit_2frame.dcm",
)


@pytest.fixture
def client(partner_url, token):
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token('lin')}"
    yield DICOMwebClient(f"{partner_url}/dicomweb", session=session)
    session.close()


def uids(dataset):
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


def frames_of(path: Path) -> list[bytes]:
    """Each frame's bytes by pydicom's reading of the file."""
    dataset = pydicom.dcmread(path)
    count = int(dataset.get("NumberOfFrames", 1))
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return list(generate_frames(dataset.PixelData, number_of_frames=count))
    size = len(dataset.PixelData) // count
    if dataset.BitsAllocated == 1:
        bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
        size = dataset.Rows * dataset.Columns
        return [np.packbits(bits[n * size :][:size], bitorder="little").tobytes() for n in range(count)]
    exact = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    return [dataset.PixelData[n * exact : (n + 1) * exact] for n in range(count)] if size >= exact else []


@pytest.mark.parametrize("name", SAMPLES)
def test_an_instance_its_metadata_and_its_frames_come_back_as_they_are_stored(client, region, s3, name):
    path = sample(name)
    at_partner_with(region, s3, [path])
    stored = pydicom.dcmread(path)

    (study,) = client.search_for_studies(search_filters={"StudyInstanceUID": stored.StudyInstanceUID})
    assert study["0020000D"]["Value"] == [stored.StudyInstanceUID]
    fetched = client.retrieve_instance(*uids(stored))
    assert fetched.file_meta.TransferSyntaxUID == stored.file_meta.TransferSyntaxUID
    assert fetched == stored

    (told,) = client.retrieve_series_metadata(*uids(stored)[:2])
    read = pydicom.Dataset.from_json(told, bulk_data_uri_handler=lambda uri: None)
    assert (read.Rows, read.Columns, read.SOPInstanceUID) == (
        stored.Rows,
        stored.Columns,
        stored.SOPInstanceUID,
    )

    expected = frames_of(path)
    got = client.retrieve_instance_frames(*uids(stored), frame_numbers=list(range(1, len(expected) + 1)))
    assert got == expected
    last = client.retrieve_instance_frames(*uids(stored), frame_numbers=[len(expected)])
    assert last == expected[-1:]


@pytest.mark.parametrize("name", BIG_ENDIAN)
def test_frames_of_a_big_endian_object_are_given_little_endian(client, region, s3, name):
    path = sample(name)
    at_partner_with(region, s3, [path])
    stored = pydicom.dcmread(path)
    count = int(stored.get("NumberOfFrames", 1))
    got = client.retrieve_instance_frames(*uids(stored), frame_numbers=list(range(1, count + 1)))
    if stored.BitsAllocated == 1:
        assert got == frames_of(sample("liver.dcm"))
        return
    little = np.dtype(f"<{'i' if stored.PixelRepresentation else 'u'}{stored.BitsAllocated // 8}")
    shape = (stored.Rows, stored.Columns, *([3] if stored.SamplesPerPixel == 3 else []))
    for number, frame in enumerate(got):
        expected = pixel_array(stored, index=number)
        assert np.array_equal(np.frombuffer(frame, little).reshape(shape), expected)


def test_a_study_a_series_and_bulk_data_come_back_whole(client, region, s3, partner_url):
    paths = [sample("CT_small.dcm"), sample("MR_small.dcm")]
    at_partner_with(region, s3, paths)
    ct = pydicom.dcmread(paths[0])
    (found,) = client.retrieve_study(ct.StudyInstanceUID)
    assert found == ct
    (again,) = client.retrieve_series(ct.StudyInstanceUID, ct.SeriesInstanceUID)
    assert again == ct
    told = client.retrieve_instance_metadata(*uids(ct))
    # this client sends Host without the port, so the address that comes back lacks it
    at = partner_url + told["7FE00010"]["BulkDataURI"].removeprefix("http://127.0.0.1")
    (value,) = client.retrieve_bulkdata(at)
    assert value == ct.PixelData


def test_searching_at_every_level(client, region, s3):
    at_partner_with(region, s3, [sample("CT_small.dcm"), sample("MR_small.dcm")])
    ct = pydicom.dcmread(sample("CT_small.dcm"))
    assert len(client.search_for_studies()) == 2
    (study,) = client.search_for_studies(
        search_filters={"ModalitiesInStudy": "CT"}, fields=["StudyDescription"]
    )
    assert study["00081030"]["Value"] == [ct.StudyDescription]
    (series,) = client.search_for_series(ct.StudyInstanceUID)
    assert series["00201209"]["Value"] == [1]
    (instance,) = client.search_for_instances(search_filters={"Modality": "CT"}, fields=["SliceLocation"])
    assert instance["00201041"]["Value"] == [float(ct.SliceLocation)]
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    assert len(client.search_for_studies(limit=1, get_remaining=True)) == 2
