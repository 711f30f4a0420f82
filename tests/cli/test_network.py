"""`network check` and `network apply`."""

from importlib import resources
from pathlib import Path

import pytest

SAMPLE = (resources.files("teledx") / "sample_network.toml").read_text("utf-8")

# what is broken | where it is said to be | with which words
BROKEN = (
    (lambda t: t.replace('role = "reader"', 'role = "raeder"', 1), "accounts[", "did you mean 'reader'?"),
    (
        lambda t: t.replace('services = ["', 'services = ["histolgy", "', 1),
        "services",
        "did you mean 'histology'?",
    ),
    (lambda t: t.replace('time_zone = "Asia/Shanghai"', 'time_zone = "Asia/Shangai"'), "time_zone", ""),
    (lambda t: t.replace('version = "1"\n', "", 1), "version", "this key is required"),
    (lambda t: t + "\n[[", "", ""),
    (lambda t: "", "name", "this key is required"),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.toml"


def test_the_sample_hangs_together(teledx, file):
    file.write_text(SAMPLE, "utf-8")
    answer = teledx("network", "check", file, "--json")
    assert answer.code == 0
    assert (answer.json["partners"], answer.json["name"]) == (3, "Yinzhou remote diagnosis network")


def test_a_policy_that_is_not_carried_out_yet_is_told(teledx, file):
    file.write_text(SAMPLE, "utf-8")
    said = teledx("network", "check", file, "--json").json["notices"]
    assert [s.partition(":")[0] for s in said] == [
        "reading_policies[1].mode = 'double'",
        "reading_policies[2].mode = 'double'",
    ]
    file.write_text(SAMPLE.replace('mode = "double"', 'mode = "primary"'), "utf-8")
    assert teledx("network", "check", file, "--json").json["notices"] == []


@pytest.mark.parametrize(("breaking", "where", "words"), BROKEN)
def test_a_broken_file_is_told_by_key_value_and_remedy(teledx, file, breaking, where, words):
    file.write_text(breaking(SAMPLE), "utf-8")
    answer = teledx("network", "check", file)
    assert answer.code == 1
    assert where in answer.err
    assert words in answer.err
    assert "Traceback" not in answer.err
    assert teledx("network", "check", file, "--json").error["code"] == "network-invalid"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None], ids=["not UTF-8", "not there"])
def test_a_file_that_cannot_be_read_is_a_usage_error_that_names_it(teledx, file, content):
    if content is not None:
        file.write_bytes(content)
    answer = teledx("network", "check", file, "--json")
    assert answer.code == 2
    assert answer.error["todo"]


def test_applying_makes_one_version_and_the_same_file_again_none(teledx, region, environment, file):
    file.write_text(SAMPLE.replace("Yinzhou remote diagnosis network", "Another name"), "utf-8")
    first = teledx("network", "apply", file, "--by", "lin", "--json")
    again = teledx("network", "apply", file, "--json")
    assert (first.code, again.code) == (0, 0)
    assert first.json == {"version": 2, "new": True}
    assert again.json == {"version": 2, "new": False}
    assert region.one("SELECT applied_by FROM network_version WHERE version = 2")["applied_by"] == "lin"


def test_a_broken_file_does_not_come_into_force(teledx, region, environment, file):
    file.write_text(SAMPLE.replace('role = "reader"', 'role = "raeder"', 1), "utf-8")
    assert teledx("network", "apply", file).code == 1
    assert region.one("SELECT count(*) AS n FROM network_version")["n"] == 1


def test_without_a_database_it_says_which_setting_is_missing(teledx, file, monkeypatch):
    monkeypatch.delenv("TELEDX_DATABASE_URL", raising=False)
    file.write_text(SAMPLE, "utf-8")
    answer = teledx("network", "apply", file)
    assert answer.code == 2
    assert "TELEDX_DATABASE_URL" in answer.err
