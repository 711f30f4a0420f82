"""`teledx submit`: an order completed, files in the store by presigned parts, a receipt; and what if it breaks."""

import hashlib
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from teledx.commands import uploads
from teledx.commands.exits import Exit
from teledx.samples import orders, studies

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
BIG = 40 << 20  # three parts


@pytest.fixture
def chen(as_person):
    return as_person("chen")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clinic's folder: two images in subfolders, and an order that says nothing of sizes and digests."""
    folder = tmp_path / "images"
    (folder / "王秀英").mkdir(parents=True)
    (folder / "王秀英" / "1.dcm").write_bytes(studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT))
    (folder / "2.dcm").write_bytes(
        studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT, InstanceNumber=2)
    )
    (folder / ".DS_Store").write_bytes(b"hidden")
    write_order(folder)
    return folder


def write_order(folder: Path, **changes: object) -> dict:
    order = orders.order("ct", PATIENT, [orders.file_line("x", b"")], accession_number="CT-1")
    content = order.model_dump(mode="json", exclude_unset=True) | {"files": []} | changes
    (folder / "order.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return content


def test_a_folder_becomes_a_case_with_a_receipt(region, chen, folder, receiving):
    answer = chen("submit", folder, "--clinic", "jiangshan", "--json")
    assert answer.code == 0
    assert answer.json["state"] == "received"
    assert {f["name"] for f in answer.json["receipt"]["files"]} == {"王秀英/1.dcm", "2.dcm"}
    case = answer.json["case_id"]
    stored = region.s3.get("identified", f"{case}/receive/00000")
    assert stored in ((folder / "2.dcm").read_bytes(), (folder / "王秀英" / "1.dcm").read_bytes())
    assert chen("status", case, "--json").json["accession_number"] == "CT-1"


def test_in_words_it_says_how_to_go_on(chen, folder, receiving):
    answer = chen("submit", folder, "--clinic", "jiangshan")
    assert answer.code == 0
    assert "Received with 2 files. Follow it: teledx status " in answer.out


def test_a_large_file_goes_in_parts_and_arrives_whole(region, chen, folder):
    content = random.Random(1).randbytes(BIG)
    (folder / "big.svs").write_bytes(content)
    answer = chen("submit", folder, "--clinic", "jiangshan", "--wait", 0, "--json")
    assert answer.code == 0
    (key,) = [f.key for f in region.s3.listing("inbox", "jiangshan/") if f.key.endswith("big.svs")]
    whole = hashlib.sha256(b"".join(region.s3.stream("inbox", key))).hexdigest()
    assert whole == hashlib.sha256(content).hexdigest()


def test_what_the_order_says_of_a_file_must_be_true(chen, folder):
    lines = [orders.file_line("2.dcm", b"other bytes")]
    write_order(folder, files=lines)
    answer = chen("submit", folder, "--clinic", "jiangshan")
    assert answer.code == Exit.USAGE
    assert "2.dcm: sha256 differs" in answer.err


def test_a_file_that_is_not_there_is_named(chen, folder):
    write_order(folder, files=[{"name": "3.dcm"}])
    answer = chen("submit", folder, "--clinic", "jiangshan", "--json")
    assert (answer.code, json.loads(answer.err)["problems"]) == (Exit.USAGE, ["3.dcm"])


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b"])
def test_an_order_cannot_lead_out_of_the_folder(chen, folder, name):
    (folder.parent / "secret").write_text("x")
    write_order(folder, files=[{"name": name}])
    assert chen("submit", folder, "--clinic", "jiangshan").code == Exit.USAGE


def test_what_the_order_does_not_name_stays_and_is_said(region, chen, folder):
    write_order(folder, files=[{"name": "2.dcm"}])
    answer = chen("submit", folder, "--clinic", "jiangshan", "--wait", 0)
    assert "not named by the order, not sent: 王秀英/1.dcm" in answer.err
    assert not [f for f in region.s3.listing("inbox", "jiangshan/") if f.key.endswith("1.dcm")]


def test_an_incomplete_order_is_told_part_by_part_before_anything_is_sent(region, chen, folder):
    content = write_order(folder)
    for part in ("patient", "consent"):
        del content[part]
    (folder / "order.json").write_text(json.dumps(content))
    answer = chen("submit", folder, "--clinic", "jiangshan", "--json")
    assert answer.code == Exit.USAGE
    assert json.loads(answer.err)["problems"] == ["patient: is missing", "consent: is missing"]
    assert list(region.s3.listing("inbox", "")) == []


def test_an_order_that_does_not_fit_the_network_is_told_before_anything_is_sent(region, chen, folder):
    write_order(folder, service="astrology")
    answer = chen("submit", folder, "--clinic", "jiangshan", "--json")
    assert (answer.code, answer.error["code"]) == (Exit.USAGE, "order-incomplete")
    assert list(region.s3.listing("inbox", "")) == []


def test_another_clinics_name_is_noticed(chen, folder):
    answer = chen("submit", folder, "--clinic", "wuxiang")
    assert answer.code == Exit.NOT_ALLOWED
    assert "jiangshan" in answer.err


def test_a_dry_run_completes_the_order_and_sends_nothing(teledx, folder):
    """It needs no gateway and no token."""
    answer = teledx("submit", folder, "--clinic", "jiangshan", "--dry-run", "--json")
    assert answer.code == 0
    sizes = {f["name"]: f["size"] for f in answer.json["files"]}
    assert sizes == {
        "2.dcm": (folder / "2.dcm").stat().st_size,
        "王秀英/1.dcm": (folder / "王秀英/1.dcm").stat().st_size,
    }


def test_what_cannot_be_received_is_said_with_a_code_of_its_own(region, chen, folder, receiving):
    first = chen("submit", folder, "--clinic", "jiangshan", "--json")
    write_order(folder, clinical_question="Something else?")  # the number is taken
    again = chen("submit", folder, "--clinic", "jiangshan")
    assert (first.code, again.code) == (0, Exit.SET_ASIDE)
    assert "to do" in again.out


@pytest.mark.parametrize("content", ["{", "[]", '"x"'])
def test_an_order_that_is_no_json_object_is_a_usage_error(teledx, folder, content):
    (folder / "order.json").write_text(content)
    assert teledx("submit", folder, "--clinic", "jiangshan").code == Exit.USAGE


class Line:
    """A line to the store that a test can make bad: it answers some PUTs with 503 or cuts them off."""

    def __init__(self, store_url: str, *, answers_503: int = 0, cuts: int = 0) -> None:
        self.store_url = store_url
        self.puts = 0
        self.answers_503 = answers_503
        self.cuts = cuts
        self.lock = threading.Lock()


@contextmanager
def line_to(store_url: str, **faults: int) -> Iterator[tuple[Line, str]]:
    line = Line(store_url, **faults)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Door", (_Door,), {"line": line}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield line, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Door(BaseHTTPRequestHandler):
    """Passes a PUT on to the store under the host name that its link was signed for."""

    line: Line

    def do_PUT(self) -> None:
        with self.line.lock:
            self.line.puts += 1
            cut, away = self.line.puts <= self.line.cuts, self.line.puts <= self.line.answers_503
        body = self.rfile.read(int(self.headers["Content-Length"]) // (2 if cut else 1))
        if cut:
            self.close_connection = True
            return
        if away:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        target = f"{self.line.store_url}{self.path}"
        answer = httpx.put(target, content=body, headers={"Host": self.headers["Host"]}, trust_env=False)
        self.send_response(answer.status_code)
        self.send_header("ETag", answer.headers.get("ETag", ""))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def hurried(monkeypatch):
    """Pauses between attempts of a few milliseconds."""
    monkeypatch.setattr(uploads, "FIRST_PAUSE", 0.005)


@pytest.fixture
def bad_line(request, object_store, monkeypatch, environment):
    """The public address of the store is a bad line; gateways are started after it."""
    with line_to(object_store.url, **request.param) as (line, url):
        monkeypatch.setenv("TELEDX_S3_PUBLIC_URL", url)
        yield line


@pytest.mark.parametrize("bad_line", [{"answers_503": 3}, {"cuts": 3}], indirect=True, ids=["503", "cut"])
def test_parts_that_fail_are_sent_again(bad_line, region, chen, folder, hurried):
    (folder / "big.svs").write_bytes(random.Random(2).randbytes(BIG))
    answer = chen("submit", folder, "--clinic", "jiangshan", "--wait", 0, "--json")
    assert answer.code == 0, answer.err
    assert bad_line.puts >= 5 + 3
    (found,) = [f for f in region.s3.listing("inbox", "jiangshan/") if f.key.endswith("big.svs")]
    assert found.size == BIG


@pytest.mark.parametrize("bad_line", [{"answers_503": 10_000}], indirect=True, ids=["away"])
def test_after_a_break_the_upload_carries_on_where_it_was(bad_line, region, chen, folder, hurried, receiving):
    (folder / "big.svs").write_bytes(random.Random(3).randbytes(BIG))
    broken = chen("submit", folder, "--clinic", "jiangshan", "--parallel", 1)
    assert broken.code == Exit.AWAY
    drop = broken.err.partition("--resume ")[2].split()[0]
    bad_line.answers_503 = 0
    first = bad_line.puts
    answer = chen("submit", folder, "--clinic", "jiangshan", "--resume", drop, "--json")
    assert (answer.code, answer.json["drop"]) == (0, drop)
    assert bad_line.puts == first + 5  # two plain files and three parts
    again = chen("submit", folder, "--clinic", "jiangshan", "--resume", drop, "--json")
    assert (again.code, again.json["case_id"]) == (0, answer.json["case_id"])
    assert region.one("SELECT count(*) AS n FROM cases")["n"] == 1


def test_a_clinic_with_its_own_identity_drops_directly_and_needs_no_gateway(
    region, environment, folder, teledx, receiving
):
    answer = teledx("submit", folder, "--clinic", "jiangshan", "--s3", "direct", "--json")
    assert answer.code == 0
    assert answer.json["notice"] == "receipt"
    assert region.one("SELECT case_id FROM vault.drops")["case_id"] == answer.json["case"]


def test_dropping_directly_twice_sends_nothing_twice(region, environment, folder, teledx):
    first = teledx("submit", folder, "--clinic", "jiangshan", "--s3", "direct", "--wait", 0, "--json").json
    before = {f.key: f.modified_at for f in region.s3.listing("inbox", "jiangshan/")}
    name = first["prefix_name"]
    teledx(
        "submit", folder, "--clinic", "jiangshan", "--s3", "direct", "--wait", 0, "--resume", name, "--json"
    )
    after = {f.key: f.modified_at for f in region.s3.listing("inbox", "jiangshan/")}
    assert {k: v for k, v in before.items() if not k.endswith("order.json")} == {
        k: v for k, v in after.items() if not k.endswith("order.json")
    }


def test_a_direct_drop_that_is_sent_back_says_why(region, environment, folder, teledx, receiving):
    write_order(folder, service="astrology")
    answer = teledx("submit", folder, "--clinic", "jiangshan", "--s3", "direct")
    assert answer.code == Exit.SET_ASIDE
    assert "to do" in answer.out


def test_no_link_and_no_secret_is_ever_printed(chen, folder, environment):
    answer = chen("submit", folder, "--clinic", "jiangshan", "--wait", 0, "--json")
    shown = answer.out + answer.err
    assert "X-Amz" not in shown
    assert environment["TELEDX_S3_SECRET_KEY"] not in shown
    assert not [part for part in urlsplit(shown).query.split("&") if "Signature" in part]
