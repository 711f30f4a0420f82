"""Both languages say everything, and every text is used."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path
from typing import get_args

import pytest

from cases.order import Priority, Purpose, Sex, Side
from cases.stages import LANES, STAGES
from cases.states import CASE_STATES, DROP_STATES, REPORT_STATES
from dashboard.here import Here, size
from dashboard.texts import LANGUAGES, TEXTS, text
from tests.dashboard.words import here_in

ROOT = Path(__file__).parents[2] / "dashboard"
# Tables of the domain whose every value has its word: prefix -> values.
SPOKEN = {
    "state": CASE_STATES,
    "drop": DROP_STATES,
    "report": REPORT_STATES,
    "lane": LANES,
    "stage": tuple(STAGES),
    "priority": get_args(Priority),
    "purpose": get_args(Purpose),
    "side": tuple(s for s in get_args(Side) if s != "none"),
    "sex": get_args(Sex),
    "role": ("clinic", "reader", "manager", "operator"),
}


def fields(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name}


def literals() -> set[str]:
    """Every string that the pages' code writes, with the formatted ones as patterns."""
    found = set()
    for path in ROOT.glob("*.py"):
        if path.name == "texts.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.escape(node.value))
            if isinstance(node, ast.JoinedStr):
                parts = (
                    re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".+" for v in node.values
                )
                found.add("".join(parts))
    return found


@pytest.mark.parametrize("key", TEXTS)
def test_a_text_is_there_in_both_languages_and_takes_the_same_values(key: str) -> None:
    said = TEXTS[key]

    assert set(said) == set(LANGUAGES)
    assert all(words.strip() for words in said.values())
    assert fields(said["en"]) == fields(said["zh"])
    assert not re.search(r"[\u4e00-\u9fff]", said["en"])


def test_every_text_is_used() -> None:
    known = [f"{prefix}." for prefix in (*SPOKEN, "refused")]
    written = [re.compile(pattern) for pattern in literals() if "." in pattern or pattern.isidentifier()]

    unused = [
        key
        for key in TEXTS
        if not key.startswith(tuple(known)) and not any(p.fullmatch(key) for p in written)
    ]

    assert unused == []


def test_every_text_that_the_pages_ask_for_is_there() -> None:
    asked = set()
    for path in ROOT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "t":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    asked.add(first.value)

    assert len(asked) > 80
    assert asked - set(TEXTS) == set()


@pytest.mark.parametrize(("prefix", "values"), SPOKEN.items())
def test_every_value_of_the_domains_tables_has_its_word(prefix: str, values: tuple[str, ...]) -> None:
    assert [v for v in values if f"{prefix}.{v}" not in TEXTS] == []


def test_a_missing_value_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(KeyError):
        text("left", "en", nothing=1)


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (0, "0 s", "0 秒"),
        (59.4, "59 s", "59 秒"),
        (61, "1 min", "1 分钟"),
        (14_400, "4 h", "4 小时"),
        (4 * 3600 + 65 * 1, "4 h 1 min", "4 小时 1 分"),
        (26 * 3600, "1 d 2 h", "1 天 2 小时"),
        (None, "—", "—"),
    ],
)
def test_a_duration_is_said_in_the_two_units_that_matter(seconds: float | None, en: str, zh: str) -> None:
    assert (here_in("en").span(seconds), here_in("zh").span(seconds)) == (en, zh)


def test_time_left_and_time_late_are_told_apart() -> None:
    here: Here = here_in("en")

    assert (here.time_left(600), here.time_left(-600)) == ("10 min left", "10 min late")


def test_times_are_shown_on_the_networks_clock() -> None:
    assert here_in("en").moment("2026-11-22T23:30:00Z") == "2026-11-23 07:30"


@pytest.mark.parametrize(("count", "words"), [(3, "3 B"), (4000, "4 KB"), (1_200_000_000, "1.2 GB")])
def test_sizes_are_for_people(count: int, words: str) -> None:
    assert size(count) == words
