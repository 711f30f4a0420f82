"""What a label says against what the order says: pathology number, block and stain.

A part `differs` only if something else of the same shape was read for certain; garbled text is `unreadable`, never a
mismatch. Barcodes are certain; printed text is as certain as the reader says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cases.order import SlideLine
from imaging.slides.stains import names_stain, normal, stain_of, stains_in

Part = Literal["matches", "differs", "unreadable"]

CERTAIN = 0.9
# One character apart: only what was read beyond doubt is another number, not a misreading.
BEYOND_DOUBT = 0.97
_LOOKALIKES = {"0": "0OQ", "O": "0OQ", "1": "1IL|", "I": "1IL|", "L": "1IL|"}
_BETWEEN = r"[-\s./:#]*"
_KEYWORD = re.compile(r"病理(?:编)?号|编号|PATH(?:OLOGY)?|ACC(?:ESSION)?|\bN[O0][.:]")
_BLOCK_KEYWORD = re.compile(r"(?:蜡块|块号|BLOCK|BLK)[-\s.:#]*([A-Z]{0,3}-?\d{0,3})")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One piece of text from a label; `confidence` from 0 to 1, and a barcode is certain."""

    text: str
    confidence: float
    barcode: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How the label compares, part by part."""

    number: Part
    block: Part
    stain: Part

    @property
    def differs(self) -> tuple[str, ...]:
        """The parts that differ, in words."""
        named = (("pathology number", self.number), ("block", self.block), ("stain", self.stain))
        return tuple(name for name, part in named if part == "differs")

    @property
    def matches(self) -> bool:
        return self.number == self.block == self.stain == "matches"


def compare(lines: tuple[Line, ...], order: SlideLine, *, names: tuple[str, ...] = ()) -> Comparison:
    """Compare a label with its line of the order.

    :param names: the patient's names in all written forms; they are no stain (何 is "He") and no block.
    """
    cleaned = tuple(_without(line, names) for line in lines)
    number, rest = _number(cleaned, order.pathology_number)
    if number == "unreadable" and not any(line.barcode or line.confidence >= CERTAIN for line in cleaned):
        return Comparison(number="unreadable", block="unreadable", stain="unreadable")
    # What is built like a block may be a piece of a number that could not be read.
    block = _block(rest, order, shapes=number != "unreadable")
    return Comparison(number=number, block=block, stain=_stain(rest, order.stain))


def _without(line: Line, names: tuple[str, ...]) -> Line:
    text = normal(line.text)
    for name in sorted((normal(n) for n in names if len(n) > 1), key=len, reverse=True):
        text = re.sub(r"[\s,]*".join(re.escape(p) for p in re.split(r"[\s,]+", name)), " \n ", text)
    return Line(text=text, confidence=line.confidence, barcode=line.barcode)


def _groups(number: str) -> list[str]:
    return re.findall(r"[A-Z]+|\d+|[\u4e00-\u9fff]+", normal(number))


def _expected(number: str) -> re.Pattern[str]:
    """The ordered number as a label may write it: short year, leading zeros left out, look-alikes, other dashes."""
    groups = _groups(number)
    parts = []
    for index, group in enumerate(groups):
        likely = "".join(
            f"[{re.escape(_LOOKALIKES[c])}]" if c in _LOOKALIKES else re.escape(c) for c in group
        )
        last = index == len(groups) - 1
        if group.isdigit() and not last and re.fullmatch(r"20\d\d", group):
            likely = f"(?:[2][0OQ])?{likely[likely.index(']') + 1 :]}"
        elif group.isdigit() and not last and len(group) == 2 and groups[index + 1].isdigit():
            likely = f"(?:2[0OQ])?{likely}"
        elif group.isdigit() and last and len(groups) > 1:
            bare = group.lstrip("0") or "0"
            likely = r"[0OQ]{0,4}" + "".join(
                f"[{re.escape(_LOOKALIKES[c])}]" if c in _LOOKALIKES else c for c in bare
            )
        parts.append(likely)
    return re.compile(r"(?<![0-9A-Z])" + _BETWEEN.join(parts) + r"(?![0-9])")


def _shape(number: str) -> re.Pattern[str]:
    """Any number that is built like the ordered one, digit for digit."""
    parts = []
    for group in _groups(number):
        kind = r"\d" if group.isdigit() else "[A-Z]" if group.isascii() else r"[\u4e00-\u9fff]"
        parts.append(f"{kind}{{{len(group)}}}")
    separator = r"[-\s./]?" if re.search(r"[-\s./]", number.strip()) else ""
    return re.compile(r"(?<![0-9A-Z])" + separator.join(parts) + r"(?![0-9])")


def _number(lines: tuple[Line, ...], ordered: str) -> tuple[Part, tuple[Line, ...]]:
    """The number's part, and the lines without the number."""
    expected, shape = _expected(ordered), _shape(ordered)
    found = False
    rest: list[Line] = []
    others: list[tuple[str, Line]] = []
    for line in lines:
        text, hits = expected.subn(" \n ", line.text)
        found = found or (hits > 0 and (line.barcode or line.confidence >= 0.5))
        others += [(m.group(), line) for m in shape.finditer(text)]
        rest.append(Line(text=shape.sub(" \n ", text), confidence=line.confidence, barcode=line.barcode))
    certain = [other for other, line in others if _is_other_number(other, line, ordered)]
    barcode_differs = any(line.barcode for _, line in others if _is_other_number(_, line, ordered))
    if barcode_differs or (certain and not found):
        return "differs", tuple(rest)
    return ("matches" if found else "unreadable"), tuple(rest)


def _is_other_number(other: str, line: Line, ordered: str) -> bool:
    """Whether something built like the number is one, and another. Bare digits could be anything, dates above all."""
    if not line.barcode and line.confidence < CERTAIN:
        return False
    groups = _groups(ordered)
    plain = len(groups) == 1 and groups[0].isdigit()
    if plain and not line.barcode and not _KEYWORD.search(line.text):
        return False
    if len(groups) > 1 and all(g.isdigit() for g in groups) and _is_date(other):
        return False
    apart = sum(a != b for a, b in zip("".join(_groups(other)), "".join(groups), strict=True))
    return apart > 0 and (line.barcode or apart > 1 or line.confidence >= BEYOND_DOUBT)


def _is_date(text: str) -> bool:
    return bool(re.fullmatch(r"(?:19|20)?\d\d[-\s./]?(?:0[1-9]|1[0-2])[-\s./]?(?:0[1-9]|[12]\d|3[01])", text))


def _block(lines: tuple[Line, ...], order: SlideLine, *, shapes: bool) -> Part:
    wanted = _bare(order.block)
    likely = [f"[{re.escape(_LOOKALIKES[c])}]" if c in _LOOKALIKES else re.escape(c) for c in wanted]
    before = r"(?<![A-Z0-9.])" if wanted[:1].isascii() else ""
    after = r"(?![0-9])" if wanted[-1:].isdigit() else r"(?![A-Z])"
    expected = re.compile(before + r"0*[-. ]?".join(likely) + after) if wanted else re.compile(r"(?!)")
    seen = [line for line in lines if line.barcode or line.confidence >= 0.5]
    certain = [line for line in seen if line.barcode or line.confidence >= CERTAIN]
    others = {o for line in certain for o in _other_blocks(line.text, order, shapes=shapes)}
    if any(expected.search(_without_stain(line.text, order.stain, wanted)) for line in seen):
        return "matches"
    return "differs" if others else "unreadable"


def _bare(block: str) -> str:
    return re.sub(r"[^A-Z0-9\u4e00-\u9fff]", "", normal(block))


def _without_stain(text: str, stain: str, block: str) -> str:
    """A stain such as P40 or CD20 must not be taken for a block."""
    if block in _bare(stain):
        return re.sub(r"[-&+/. ]*".join(re.findall(r"[A-Z]+|\d+", normal(stain))) or "(?!)", " ", text)
    return text


def _other_blocks(text: str, order: SlideLine, *, shapes: bool) -> set[str]:
    """Blocks that a text names: after the word itself, or (`shapes`) a letter and a number like the ordered one."""
    wanted = _bare(order.block)
    found = {_bare(m.group(1)) for m in _BLOCK_KEYWORD.finditer(text) if m.group(1)}
    if shapes and re.fullmatch(r"[A-Z]\d{1,2}", wanted):
        found |= {
            m.group()
            for m in re.finditer(r"(?<![A-Z0-9.-])[A-Z]\d{1,2}(?![0-9])", text)
            if not stains_in(m.group())
        }
    return {f for f in found if f and f != wanted}


def _stain(lines: tuple[Line, ...], ordered: str) -> Part:
    seen = [line for line in lines if line.barcode or line.confidence >= 0.5]
    if any(names_stain(line.text, ordered) for line in seen):
        return "matches"
    certain = {s for line in seen if line.barcode or line.confidence >= CERTAIN for s in stains_in(line.text)}
    return "differs" if certain - {stain_of(ordered)} else "unreadable"
