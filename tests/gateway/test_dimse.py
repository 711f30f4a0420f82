"""C-STORE and C-ECHO by senders that are not ours: success is said of what is durable, and strangers are refused."""

import io
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pydicom
import pytest
from pydicom.uid import generate_uid
from pynetdicom import AE, build_context

from gateway.arriving import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from gateway.dimse import VERIFICATION, Tls, serve
from tests.gateway.conftest import parts_of
from tests.gateway.instances import sample, written
from tests.gateway.test_store import inbox, rows

TITLE = "TELEDX-JIANGSHAN"
# PS3.8 Table 9-21: permanent, by the service user, called AE title not recognised
NOT_RECOGNISED = (1, 1, 7)
SYNTAXES = (
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "emri_small_big_endian.dcm",
    "693_J2KI.dcm",
)


@pytest.fixture
def door(region, s3):
    """Where the door for modalities listens."""
    server = serve(parts_of(region, s3), host="127.0.0.1", port=0)
    yield server.server_address
    server.shutdown()


def called(door, *files, title=TITLE, tls=None):
    """Statuses of the C-STORE of these data sets, or None if there was no association, with how it was refused."""
    ae = AE(ae_title="A_CT")
    asked = {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in files}
    contexts = [build_context(*pair) for pair in asked] or [build_context(VERIFICATION)]
    assoc = ae.associate(
        door[0], door[1], contexts=contexts, ae_title=title, tls_args=tls and (tls, "localhost")
    )
    if not assoc.is_established:
        answer = assoc.acceptor.primitive
        return None, answer and (answer.result, answer.result_source, answer.diagnostic)
    try:
        statuses = [assoc.send_c_store(each).Status for each in files]
        return statuses or [assoc.send_c_echo().Status], None
    finally:
        assoc.release()


def test_instances_lie_in_the_inbox_of_the_clinic_that_was_called(door, region, s3):
    files = [pydicom.dcmread(sample(name)) for name in SYNTAXES]
    assert called(door, *files) == ([0] * len(files), None)
    arrived = [pydicom.dcmread(io.BytesIO(content)) for content in inbox(s3).values()]
    told = {(d.SOPInstanceUID, d.file_meta.TransferSyntaxUID, d.PixelData) for d in arrived}
    assert told == {(d.SOPInstanceUID, d.file_meta.TransferSyntaxUID, d.PixelData) for d in files}
    assert all(row["stored_at"] for row in rows(region))


def test_an_echo_is_answered(door):
    assert called(door) == ([0], None)


@pytest.mark.parametrize("title", ["ANY-SCP", "JIANGSHAN_CT", "TELEDX-JIANGSHA"])
def test_who_calls_a_title_of_no_clinic_is_refused(door, title):
    assert called(door, title=title) == (None, NOT_RECOGNISED)


def test_no_success_is_said_while_the_store_is_away(door, region, object_store):
    ct = pydicom.dcmread(sample("CT_small.dcm"))
    object_store.stop()
    assert called(door, ct) == ([OUT_OF_RESOURCES], None)
    assert [row["stored_at"] for row in rows(region)] == [None]
    object_store.start()
    assert called(door, ct) == ([0], None)


def test_what_cannot_be_read_is_refused(door, s3):
    ct = pydicom.dcmread(sample("CT_small.dcm"))
    del ct.StudyInstanceUID
    assert called(door, ct) == ([CANNOT_UNDERSTAND], None)
    assert inbox(s3) == {}


def test_what_is_too_large_is_refused(region, s3):
    server = serve(parts_of(region, s3, instance_max=1000), host="127.0.0.1", port=0)
    assert called(server.server_address, pydicom.dcmread(sample("CT_small.dcm"))) == (
        [OUT_OF_RESOURCES],
        None,
    )
    server.shutdown()
    assert inbox(s3) == {}


def test_four_senders_at_once_make_one_study_of_what_is_one(door, region, tmp_path):
    study = generate_uid()
    files = [
        pydicom.dcmread(
            written(tmp_path, "CT_small.dcm", StudyInstanceUID=study, SOPInstanceUID=generate_uid())
        )
        for _ in range(24)
    ]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda group: called(door, *group), [files[n::4] for n in range(4)]))
    assert answers == [([0] * 6, None)] * 4
    assert len(rows(region, "SELECT * FROM vault.arrival")) == 1
    assert len({row["sop_uid"] for row in rows(region) if row["stored_at"]}) == 24


def test_dcmtk_stores_and_is_answered(door, region, s3, component_required):
    component_required("dcmtk")
    host, port = map(str, door)
    subprocess.run(["echoscu", "-aec", TITLE, host, port], check=True, timeout=60)
    files = [str(sample(name)) for name in ("CT_small.dcm", "MR_small.dcm")]
    subprocess.run(["storescu", "-aec", TITLE, host, port, *files], check=True, timeout=60)
    assert len([row for row in rows(region) if row["stored_at"]]) == len(inbox(s3)) == 2
    refused = subprocess.run(
        ["storescu", "-aec", "ELSEWHERE", host, port, *files], capture_output=True, timeout=60
    )
    assert refused.returncode != 0


class Closed(ssl.SSLSocket):
    """Closed when nobody holds it: pynetdicom's client lets go of one that the door has left, still open."""

    def __del__(self):
        self.close()


@pytest.fixture
def certificate(tmp_path):
    """A certificate that vouches for itself, and its key."""
    names = tmp_path / "door.pem", tmp_path / "door.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-out", str(names[0]), "-keyout", str(names[1])],
        check=True, capture_output=True,
    )  # fmt: skip
    return names


@pytest.mark.parametrize("shown", [True, False])
def test_over_tls_a_certificate_may_be_asked_for(region, s3, certificate, shown):
    pem, key = certificate
    tls = Tls(certificate=pem, key=key, client_ca=pem)
    server = serve(parts_of(region, s3), host="127.0.0.1", port=0, tls=tls)
    client = ssl.create_default_context(cafile=str(pem))
    client.sslsocket_class = Closed
    if shown:
        client.load_cert_chain(pem, key)
    with socket.create_connection(server.server_address[:2]):  # somebody who says nothing
        statuses, _ = called(server.server_address, tls=client)
    server.shutdown()
    assert statuses == ([0] if shown else None)
