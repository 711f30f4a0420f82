"""The keyring by commands: made once, added to, never shown, never taken from."""

import stat
from pathlib import Path

import pytest

from storage.vault import Keyring


@pytest.fixture
def folder(tmp_path: Path, teledx) -> Path:
    folder = tmp_path / "keys"
    assert teledx("keys", "new", "--folder", folder).code == 0
    return folder


def test_a_keyring_is_made_once_readable_by_us_alone(teledx, folder):
    key = (folder / "k1.key").read_text()
    assert teledx("keys", "new", "--folder", folder, "--json").json == {"folder": str(folder), "new": False}
    assert (folder / "k1.key").read_text() == key
    assert stat.S_IMODE((folder / "k1.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_key_that_is_added_serves_new_patients_only_once_it_is_told_to(teledx, folder):
    before = Keyring.read(folder)
    assert teledx("keys", "add", "--folder", folder, "--json").json["key"] == "k2"
    assert stat.S_IMODE((folder / "k2.key").stat().st_mode) == 0o600
    assert Keyring.read(folder).current == "k1"
    assert teledx("keys", "use", "k2", "--folder", folder).code == 0
    after = Keyring.read(folder)
    assert (after.current, after.secrets["k1"]) == ("k2", before.secrets["k1"])
    assert after.secrets["k2"] != after.secrets["k1"]


def test_no_key_is_ever_printed(teledx, folder):
    teledx("keys", "add", "--folder", folder)
    shown = "".join(
        teledx("keys", *words, "--folder", folder).out
        for words in (("show",), ("add",), ("use", "k2"), ("show", "--json"))
    )
    assert not [key for key in folder.glob("*.key") if key.read_text().strip() in shown]


@pytest.mark.parametrize("name", ["k9", "../k1", ""])
def test_a_key_that_is_not_there_cannot_be_used(teledx, folder, name):
    assert teledx("keys", "use", name, "--folder", folder).code == 4
    assert Keyring.read(folder).current == "k1"


def test_keys_without_their_current_are_not_taken_for_an_empty_folder(teledx, folder):
    (folder / "current").unlink()
    assert teledx("keys", "new", "--folder", folder).code == 1
    assert teledx("keys", "use", "k1", "--folder", folder).code == 0


def test_without_a_place_it_says_which_setting_is_missing(teledx, monkeypatch):
    monkeypatch.delenv("TELEDX_KEYRING", raising=False)
    answer = teledx("keys", "new")
    assert answer.code == 2
    assert "TELEDX_KEYRING" in answer.err
