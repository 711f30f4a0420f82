"""`teledx deid`: a folder as the network would let it out."""

import hashlib
import json
import shutil
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import openslide
import pydicom
import pytest

from storage.vault import Keyring
from teledx import bootstrap
from teledx.commands import deid_files
from teledx.commands.exits import Exit
from teledx.samples import orders, studies
from teledx.samples.slide import make_slide
from tests.cli import hanging
from tests.imaging.slides.conftest import NAME
from tests.imaging.slides.mirax_slide import CANARIES, parts, write_mirax
from tests.imaging.slides.treated import bytes_of, found_in

PATIENT, OTHER = orders.PATIENTS[0], orders.PATIENTS[1]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
SLIDE = Path(__file__).parents[3] / "shared" / "data" / "slides" / "CMU-1-Small-Region.svs"


@pytest.fixture
def keyring(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "keys"
    bootstrap.new_keyring(folder)
    monkeypatch.setenv("TELEDX_KEYRING", str(folder))
    return folder


@pytest.fixture
def source(tmp_path, keyring) -> Path:
    """A patient's CT under that patient's name, and what lies beside it."""
    folder = tmp_path / "王秀英"
    for name, content in studies.ct_series(PATIENT, 2, station="CT1", at=AT, rows=64):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def deid(teledx, source, tmp_path):
    return lambda *words: teledx("deid", source, tmp_path / "out", "--clinic", "jiangshan", *words, "--json")


def came_out(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def order_of(patient, file: Path) -> Path:
    order = orders.order("ct", patient, [orders.file_line("x", b"")], accession_number="CT-1")
    file.write_text(order.model_dump_json(exclude_unset=True))
    return file


def reports(answer) -> dict[str, dict]:
    return {report["name"]: report for report in answer.json["files"]}


def withheld(answer) -> set[tuple[str, str]]:
    return {(r["name"], r["reasons"][0][0]) for r in answer.json["files"] if r["verdict"] == "withheld"}


def test_a_folder_comes_out_under_the_pseudonym_that_the_network_would_give(deid, tmp_path, keyring):
    answer = deid()
    assert answer.code == 0, answer.err
    expected, _, _ = bootstrap.derive(Keyring.read(keyring).secrets["k1"], "jiangshan", PATIENT.id)
    files = came_out(tmp_path / "out")
    assert [pydicom.dcmread(file).PatientID for file in files] == [expected, expected]


def test_a_slide_of_several_files_is_one_report_and_comes_out_as_one(deid, source, tmp_path):
    write_mirax(source / "王秀英.mrxs", parts())

    answer = deid()

    assert answer.code == 0, answer.err
    told = reports(answer)["王秀英.mrxs"]
    assert (told["verdict"], told["format"]) == ("clean", "mirax")
    result = tmp_path / "out" / told["named"]
    assert openslide.OpenSlide.detect_format(result) == "mirax"
    assert len(list(result.with_suffix("").iterdir())) == 4
    assert not found_in(bytes_of(result), (*CANARIES, PATIENT.name))
    assert len(answer.json["files"]) == 4


def test_what_a_slides_folder_holds_beside_it_has_a_report_of_its_own(deid, source):
    write_mirax(source / "a.mrxs", parts())
    shutil.move(next(source.rglob("*.dcm")), source / "a" / "beside.dcm")

    rows = reports(deid())

    told = {name: row["verdict"] for name, row in rows.items() if name.startswith("a")}
    assert told == {"a.mrxs": "clean", "a/beside.dcm": "clean", f"a/{NAME}.txt": "left-out"}


def test_no_result_holds_or_is_named_after_the_patient(deid, tmp_path):
    deid()
    said = (PATIENT.id, PATIENT.name, PATIENT.name_latin.split()[0], f"{PATIENT.birth_date:%Y%m%d}")
    for file in came_out(tmp_path / "out"):
        content = file.read_bytes()
        assert not [v for v in said if v.encode() in content or v in str(file.relative_to(tmp_path / "out"))]


def test_the_answer_says_what_became_of_each_file(deid, source, tmp_path):
    rows = reports(deid())
    assert set(rows) == {p.relative_to(source).as_posix() for p in came_out(source)}
    for row in rows.values():
        content = (tmp_path / "out" / row["named"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]


def test_what_is_not_proved_is_withheld_with_its_reason(teledx, deid, source, tmp_path):
    whole = next(p for p in came_out(source) if p.suffix == ".dcm").read_bytes()
    (source / "cut.dcm").write_bytes(whole[:3000])
    (source / "empty").touch()
    (source / "notes.txt").write_text("a note")
    with zipfile.ZipFile(source / "more.zip", "w") as archive:
        archive.writestr("x.dcm", whole)
    answer = deid()
    assert answer.code == Exit.SET_ASIDE
    assert withheld(answer) == {
        ("cut.dcm", "file-damaged"), ("empty", "file-damaged"), ("more.zip", "format-unknown")
    }  # fmt: skip
    assert reports(answer)["notes.txt"]["verdict"] == "left-out"
    assert len(came_out(tmp_path / "out")) == 2
    words = teledx("deid", source, tmp_path / "out2", "--clinic", "jiangshan")
    assert "2 of 6 files" in words.out
    assert "unpack it first" in words.out


def test_the_same_instance_twice_comes_out_once(deid, source, tmp_path):
    first = next(p for p in came_out(source) if p.suffix == ".dcm")
    shutil.copy(first, source / "again.dcm")
    assert len(withheld(deid())) == 1
    assert len(came_out(tmp_path / "out")) == 2


def test_with_an_order_a_file_of_another_patient_is_withheld(deid, source, tmp_path):
    (source / "other.dcm").write_bytes(studies.single("CT_small.dcm", OTHER, station="CT1", at=AT))
    answer = deid("--order", order_of(PATIENT, tmp_path / "order.json"))
    assert withheld(answer) == {("other.dcm", "identity-mismatch")}
    assert len(came_out(tmp_path / "out")) == 2


def test_patients_of_one_folder_stay_apart(deid, source, tmp_path):
    (source / "other.dcm").write_bytes(studies.single("CT_small.dcm", OTHER, station="CT1", at=AT))
    deid()
    assert len({pydicom.dcmread(file).PatientID for file in came_out(tmp_path / "out")}) == 2


def test_a_file_that_never_ends_is_withheld(deid, source, tmp_path, monkeypatch):
    """Its child is killed."""
    monkeypatch.setattr(deid_files, "FILE_SECONDS", 0.2)
    monkeypatch.setattr(deid_files, "one", hanging.one)
    answer = deid()
    assert answer.code == Exit.SET_ASIDE
    assert {code for _, code in withheld(answer)} == {"read-limit"}
    assert came_out(tmp_path / "out") == []


@pytest.mark.skipif(not SLIDE.exists(), reason="the sample slide is not here")
def test_a_slide_comes_out_without_label_and_macro(teledx, keyring, tmp_path):
    import openslide

    answer = teledx("deid", SLIDE, tmp_path / "out", "--clinic", "jiangshan", "--json")
    assert answer.code == 0, answer.out
    (file,) = came_out(tmp_path / "out")
    with openslide.OpenSlide(file) as slide:
        assert not {"label", "macro"} & set(slide.associated_images)
    assert b"ScanScope ID" not in file.read_bytes()


@pytest.fixture
def kfb(tmp_path) -> Path:
    """A folder with a file that begins as a KFB, with a slide behind its first 64 bytes."""
    made, folder = tmp_path / "made.svs", tmp_path / "scans"
    make_slide(
        made, size=2_000_000, pathology_number="S26-1", block="A1", stain="HE", patient_name="Wang Xiuying"
    )
    (folder / "day").mkdir(parents=True)
    (folder / "day" / "wang.kfb").write_bytes(b"\xf1\x01\xee\xeeKFB\0" + bytes(56) + made.read_bytes())
    return folder


def converter(lines: str) -> str:
    return json.dumps({"kfb": [sys.executable, "-I", "-c", lines, "{source}", "{target}.svs"]})


def test_a_slide_that_is_refused_comes_out_converted(teledx, keyring, kfb, tmp_path, monkeypatch):
    unpack = "import sys; open(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read()[64:])"
    monkeypatch.setenv("TELEDX_SLIDE_CONVERTERS", converter(unpack))
    answer = teledx("deid", kfb, tmp_path / "out", "--clinic", "jiangshan", "--json")
    assert answer.code == 0, answer.err
    row = reports(answer)["day/wang.kfb"]
    assert (row["verdict"], row["format"]) == ("clean", "svs")
    assert row["converted"].startswith("kfb by python")
    with openslide.OpenSlide(tmp_path / "out" / row["named"]) as slide:
        assert set(slide.associated_images) <= {"thumbnail"}
    assert [p.name for p in came_out(tmp_path / "out")] == [Path(row["named"]).name]


def test_a_converter_that_fails_withholds_its_slide(teledx, keyring, kfb, tmp_path, monkeypatch):
    for said in ("", converter("raise SystemExit(4)")):
        monkeypatch.setenv("TELEDX_SLIDE_CONVERTERS", said)
        answer = teledx("deid", kfb, tmp_path / f"out{len(said)}", "--clinic", "jiangshan", "--json")
        expected = "conversion-failed" if said else "slide-unsafe"
        assert answer.code == Exit.SET_ASIDE
        assert withheld(answer) == {("day/wang.kfb", expected)}


def test_a_converter_that_makes_no_sense_is_said_so(teledx, keyring, kfb, tmp_path, monkeypatch):
    for wrong in ('{"kfb": ', '{"svs": ["/bin/x", "{source}", "{target}"]}', '{"kfb": ["x"]}', "7"):
        monkeypatch.setenv("TELEDX_SLIDE_CONVERTERS", wrong)
        answer = teledx("deid", kfb, tmp_path / "out", "--clinic", "jiangshan", "--json")
        assert answer.code == Exit.USAGE
        assert json.loads(answer.err)["problems"][0].startswith("TELEDX_SLIDE_CONVERTERS: ")


@pytest.mark.parametrize("place", ["in", "around", "same", "full", "file"])
def test_nothing_is_written_where_something_is(teledx, source, tmp_path, place):
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    dest = {"in": source / "out", "around": tmp_path, "same": source, "full": full, "file": full / "x"}[place]
    before = came_out(tmp_path)
    assert teledx("deid", source, dest, "--clinic", "jiangshan").code == Exit.USAGE
    assert came_out(tmp_path) == before


def pseudonyms(folder: Path) -> set[str]:
    return {str(pydicom.dcmread(file).PatientID) for file in came_out(folder)}


def test_a_key_in_a_file_gives_what_it_gives_in_a_keyring(teledx, source, keyring, tmp_path, monkeypatch):
    teledx("deid", source, tmp_path / "ring", "--clinic", "jiangshan")
    monkeypatch.delenv("TELEDX_KEYRING")
    told = ("--clinic", "jiangshan", "--key", keyring / "k1.key", "--json")
    answer = teledx("deid", source, tmp_path / "file", *told)
    assert (answer.code, answer.json["key"]) == (0, "file")
    assert pseudonyms(tmp_path / "file") == pseudonyms(tmp_path / "ring")


def test_outside_the_network_neither_key_nor_clinic_is_needed(teledx, source, tmp_path, monkeypatch):
    monkeypatch.delenv("TELEDX_KEYRING")
    answers = [teledx("deid", source, tmp_path / name) for name in ("one", "two")]
    assert [answer.code for answer in answers] == [0, 0]
    assert "kept nowhere" in answers[0].err
    assert len(pseudonyms(tmp_path / "one")) == 1
    assert pseudonyms(tmp_path / "one").isdisjoint(pseudonyms(tmp_path / "two"))


@pytest.mark.parametrize("said", ["", "ab" * 31, "no key at all", "\u94a5"])
def test_a_file_that_holds_no_key_is_said_so(said, deid, tmp_path):
    (tmp_path / "x.key").write_text(said, "utf-8")
    answer = deid("--key", tmp_path / "x.key")
    assert answer.code == Exit.USAGE
    assert "openssl" in answer.error["todo"]
    assert not (tmp_path / "out").exists()


def test_the_report_says_what_became_of_each_file(teledx, source, tmp_path):
    (source / "cut.dcm").write_bytes(b"DICM" * 40)
    report = tmp_path / "became.json"
    answer = teledx("deid", source, tmp_path / "out", "--report", report)
    assert answer.code == Exit.SET_ASIDE
    assert report.stat().st_mode & 0o777 == 0o600
    said = json.loads(report.read_text("utf-8"))
    assert (said["profile"], said["clinic"], said["key"]) == ("network", "", "keyring")
    rows = {row["name"]: row for row in said["files"]}
    assert set(rows) == {p.relative_to(source).as_posix() for p in came_out(source)}
    assert rows.pop("cut.dcm")["reasons"][0][0] == "file-damaged"
    for row in rows.values():
        assert (row["verdict"], row["actions"]["uid"] > 3) == ("clean", True)
        assert (tmp_path / "out" / row["named"]).stat().st_size == row["size"]


@pytest.mark.parametrize("place", ["out/became.json", "there.json", "nowhere/became.json"])
def test_a_report_stands_neither_beside_what_leaves_nor_in_a_files_place(place, deid, tmp_path):
    (tmp_path / "there.json").write_text("mine")
    assert deid("--report", tmp_path / place).code == Exit.USAGE
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "there.json").read_text() == "mine"


def test_one_file_comes_out_alone(teledx, source, tmp_path):
    one = next(p for p in came_out(source) if p.suffix == ".dcm")
    assert teledx("deid", one, tmp_path / "out", "--keep-names", "--jobs", 1).code == 0
    assert [p.name for p in came_out(tmp_path / "out")] == [one.name]


def test_options_are_added_to_a_profile_by_name(deid, tmp_path):
    assert deid("--profile", "basic+retain-uids").code == Exit.OK
    kept = {pydicom.dcmread(path).StudyInstanceUID for path in came_out(tmp_path / "out")}
    sent = {pydicom.dcmread(path).StudyInstanceUID for path in came_out(tmp_path / "王秀英")}
    assert kept == sent


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("everything", "no profile is called"),
        ("basic+retain-everything", "no option is called"),
        ("network+clean-recognizable-visual-features", "is refused"),
    ],
)
def test_a_profile_that_is_none_stops_before_anything_is_read(name, why, deid, tmp_path):
    answer = deid("--profile", name)
    assert answer.code == Exit.USAGE
    assert why in answer.err
    assert not (tmp_path / "out").exists()
