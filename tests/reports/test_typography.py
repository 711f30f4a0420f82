"""Lines break where Chinese and English allow it, and lose nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reports.typography import NOT_FIRST, lines_of, visible

GLYPHS = frozenset(range(0x20, 0x3000)) | frozenset(range(0x3000, 0xA000)) | frozenset(range(0xFF00, 0xFFEF))


def width(text: str) -> float:
    return float(sum(2 if ord(c) > 0x2E80 else 1 for c in text))


def test_no_line_begins_with_closing_punctuation() -> None:
    lines = lines_of("未见积液，" * 40, 21, width)

    assert len(lines) > 5
    assert not any(line[0] in NOT_FIRST for line in lines)


def test_words_and_numbers_are_not_broken() -> None:
    lines = lines_of("大小约8 mm的结节adenocarcinoma位于右肺下叶" * 6, 30, width)

    assert sum(line.count("adenocarcinoma") for line in lines) == 6


def test_line_breaks_of_the_author_are_kept() -> None:
    assert lines_of("1. 甲\n\n2. 乙", 40, width) == ["1. 甲", "", "2. 乙"]


@given(
    st.text(alphabet="双肺清晰，。（）(), abc1.2-\n", max_size=200), st.integers(min_value=4, max_value=40)
)
def test_no_character_is_lost_and_no_line_is_too_wide(text: str, limit: int) -> None:
    lines = lines_of(text, limit, width)

    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(width(line) <= limit for line in lines)


@given(st.text(max_size=50))
def test_what_is_visible_can_be_shown_and_only_then_is_text_left_alone(text: str) -> None:
    shown, lacking = visible(text, GLYPHS | {0x3014, 0x3015})

    assert all(c == "\n" or ord(c) in GLYPHS for c in shown)
    assert lacking == any(f"〔U+{ord(c):04X}〕" in shown and ord(c) not in GLYPHS for c in text)
