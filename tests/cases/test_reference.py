"""The pages made from tables say what the tables say."""

import json
from pathlib import Path

import jsonschema
import pytest

from cases.network import Network
from teledx import reference


@pytest.mark.parametrize("path", [p.name for p in reference.pages()])
def test_the_generated_page_is_up_to_date(path: str) -> None:
    written = (reference.DOCS / path).read_text(encoding="utf-8")
    assert written == reference.pages()[reference.DOCS / path], "run script/generate-docs"


def test_every_key_of_the_network_file_has_its_meaning() -> None:
    rows = [line for line in reference.network_keys().splitlines() if line.startswith("| `")]
    assert all(row.split(" | ")[-1].rstrip(" |") for row in rows)
    for name in Network.model_fields:
        assert any(row.startswith(f"| `{name}` |") for row in rows)


def test_the_order_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(reference.order_schema()))


def test_checking_tells_the_page_that_differs_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for path, text in reference.pages().items():
        (docs / path.name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(reference, "DOCS", docs)
    assert reference.main(["--check"]) == 0
    page = docs / "network.md"
    page.write_text(
        page.read_text(encoding="utf-8").replace("| `at_once` |", "| `at_once ` |"), encoding="utf-8"
    )
    spoiled = page.read_text(encoding="utf-8")
    assert reference.main(["--check"]) == 1
    assert capsys.readouterr().out == "docs/network.md\n"
    assert page.read_text(encoding="utf-8") == spoiled
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
