"""Files and folders: what is clean is there, what is withheld never is, and every file has its report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pydicom
import pytest

from imaging.deid.folder import Run, deidentify_tree
from tests.imaging.deid.conftest import sample

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
RUN = Run(secret=b"k" * 32, clinic="here")


@pytest.fixture
def drop(tmp_path):
    source = tmp_path / "in"
    (source / "王小明").mkdir(parents=True)
    for name in ("CT_small.dcm", "MR_small.dcm", "test-SR.dcm", "MR_truncated.dcm"):
        shutil.copy(sample(name), source / "王小明" / name)
    (source / "letter.txt").write_text("dear Maria", "utf-8")
    (source / "link.dcm").symlink_to(source / "王小明" / "CT_small.dcm")
    return source


def test_every_file_is_clean_in_the_destination_or_withheld_with_its_reason(drop, tmp_path):
    dest = tmp_path / "out"
    reports = {r.name.rsplit("/")[-1]: r for r in deidentify_tree(drop, dest, RUN)}

    assert {n: r.verdict for n, r in reports.items()} == {
        "CT_small.dcm": "clean",
        "MR_small.dcm": "clean",
        "test-SR.dcm": "withheld",
        "MR_truncated.dcm": "withheld",
        "letter.txt": "withheld",
    }
    assert {r.reasons[0][0] for r in reports.values() if r.reasons} == {
        "reading-loss", "file-damaged", "format-unknown",
    }  # fmt: skip
    there = sorted(
        p for p in tmp_path.rglob("*") if p.is_file() and "in" not in p.parts[len(tmp_path.parts) :]
    )
    assert there == sorted(dest / r.named for r in reports.values() if r.verdict == "clean")
    assert not any("王" in str(p.relative_to(dest)) for p in there)
    assert reports["CT_small.dcm"].actions["uid"] > 3
    assert reports["CT_small.dcm"].as_json()["sha256"] == reports["CT_small.dcm"].sha256


def test_names_are_kept_if_asked_and_never_overwritten(drop, tmp_path):
    dest, run = tmp_path / "out", Run(secret=b"k" * 32, keep_names=True)
    first = list(deidentify_tree(drop / "王小明" / "CT_small.dcm", dest, run))
    again = list(deidentify_tree(drop / "王小明" / "CT_small.dcm", dest, run))
    assert (first[0].verdict, first[0].named) == ("clean", "CT_small.dcm")
    assert (again[0].verdict, again[0].reasons[0][0]) == ("withheld", "name-taken")


def test_two_folders_of_one_patient_agree(drop, tmp_path):
    one = next(deidentify_tree(drop / "王小明" / "CT_small.dcm", tmp_path / "1", RUN))
    two = next(deidentify_tree(drop / "王小明" / "CT_small.dcm", tmp_path / "2", RUN))
    assert (one.named, one.sha256) == (two.named, two.sha256)
    patient = pydicom.dcmread(tmp_path / "1" / one.named).PatientID
    assert patient == RUN.key_of("1CT1").pseudonym


def test_a_destination_inside_the_source_is_refused(drop):
    with pytest.raises(ValueError, match="lie in each other"):
        list(deidentify_tree(drop, drop / "out", RUN))


@pytest.mark.skipif(not (SHARED / "slides").exists(), reason="the sample slide is not here")
def test_a_slide_comes_out_under_a_name_of_its_own(tmp_path):
    report = next(deidentify_tree(SHARED / "slides" / "CMU-1-Small-Region.svs", tmp_path / "out", RUN))
    assert (report.verdict, report.format) == ("clean", "svs")
    assert (tmp_path / "out" / report.named).stat().st_size == report.size
    assert "CMU" not in report.named
