"""From Python: one call runs both passes, and nothing stands at the target that they did not prove."""

from __future__ import annotations

import re
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

import imaging.deid
from cases.errors import Quarantine
from imaging.deid import deidentify_dataset, deidentify_file, second_pass
from imaging.deid.known import KnownIdentity
from tests.imaging.deid.conftest import sample

SECRET = b"0123456789abcdef"
PAGE = Path(__file__).parents[3] / "docs" / "deidentification.md"


@pytest.fixture
def ct():
    dataset = pydicom.dcmread(sample("CT_small.dcm"))
    dataset.PatientName, dataset.PatientID = "Canaryson^Maria", "P-0042-77"
    return dataset


@pytest.fixture
def source(ct, tmp_path):
    ct.save_as(tmp_path / "in.dcm", enforce_file_format=True)
    return tmp_path / "in.dcm"


def test_a_file_and_its_data_set_come_out_the_same(ct, source, tmp_path):
    done = deidentify_file(source, tmp_path / "out.dcm", secret=SECRET, clinic="jiangshan")

    after = pydicom.dcmread(tmp_path / "out.dcm")
    assert after == deidentify_dataset(ct, secret=SECRET, clinic="jiangshan")
    assert done.sop_instance_uid == after.SOPInstanceUID != ct.SOPInstanceUID
    assert after.PatientID.startswith("P-")
    assert after.PixelData == ct.PixelData
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.dcm", "out.dcm"]


def test_another_secret_or_clinic_gives_another_pseudonym(ct):
    ways = [(SECRET, ""), (SECRET, "jiangshan"), (SECRET[::-1], "")]
    assert len({deidentify_dataset(ct, secret=s, clinic=c).PatientID for s, c in ways}) == 3


def test_the_given_data_set_stays_as_it_was(ct):
    before, meta = ct.to_json(), str(ct.file_meta)
    deidentify_dataset(ct, secret=SECRET, profile="basic")
    assert (ct.to_json(), str(ct.file_meta)) == (before, meta)


def test_a_data_set_without_a_file_around_it_is_enough(ct):
    bare = Dataset()
    for keyword in (
        "SOPClassUID",
        "SOPInstanceUID",
        "PatientID",
        "PatientName",
        "StudyInstanceUID",
        "Modality",
    ):
        setattr(bare, keyword, getattr(ct, keyword))
    after = deidentify_dataset(bare, secret=SECRET)
    assert after.PatientName.family_name.startswith("P-")
    assert after.PatientIdentityRemoved == "YES"


def test_what_is_known_beside_the_file_is_taken_out_too(ct):
    ct.StudyDescription = "CT CHEST for Lin Daoren"
    after = deidentify_dataset(ct, secret=SECRET, known=KnownIdentity(names=("Lin^Daoren",)))
    assert after.StudyDescription == "CT CHEST"


def test_a_name_that_is_no_profile_and_a_short_secret_are_refused(ct):
    with pytest.raises(ValueError, match="no profile"):
        deidentify_dataset(ct, secret=SECRET, profile="all")
    with pytest.raises(ValueError, match="16 bytes"):
        deidentify_dataset(ct, secret=b"short")


def test_what_the_second_pass_objects_to_is_not_at_the_target(source, tmp_path, monkeypatch):
    found = (second_pass.Finding(where="(0008,1030)", what="known identity"),)
    monkeypatch.setattr(second_pass, "_looked_through", lambda *_: (found, None))
    with pytest.raises(Quarantine, match="identity-left"):
        deidentify_file(source, tmp_path / "out.dcm", secret=SECRET)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.dcm"]


def test_a_target_that_is_there_is_never_overwritten(source, tmp_path):
    (tmp_path / "out.dcm").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        deidentify_file(source, tmp_path / "out.dcm", secret=SECRET)
    assert (tmp_path / "out.dcm").read_bytes() == b"mine"


def test_the_example_of_the_page_runs(ct, source, tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (tmp_path / "deid.key").write_text(SECRET.hex())
    monkeypatch.chdir(tmp_path)

    exec(compile(example, str(PAGE), "exec"), {})

    assert "2.25." in capsys.readouterr().out
    assert pydicom.dcmread("out.dcm").PatientIdentityRemoved == "YES"
    assert pydicom.dcmread("clean.dcm").StudyInstanceUID == ct.StudyInstanceUID


def test_the_package_offers_two_functions_and_no_other_name():
    assert sorted(imaging.deid.__all__) == ["deidentify_dataset", "deidentify_file"]
    with pytest.raises(AttributeError, match="anonymize"):
        imaging.deid.anonymize  # noqa: B018
