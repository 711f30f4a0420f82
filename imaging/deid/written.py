"""How identity is written: patterns for a name in Chinese characters, pinyin and Latin letters, and for numbers.

For the first pass alone: the second works out its own.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata

from pypinyin import Style, pinyin

from imaging.deid.known import KnownIdentity

_HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")
_GAP = r"[\s^,，.\-_·'=]{0,3}"
_NEITHER = re.compile(r"[^\W_]+")
COMPOUND_SURNAMES = frozenset(
    re.findall(
        r"\w+",
        "欧阳 司马 上官 诸葛 皇甫 夏侯 尉迟 公孙 慕容 东方 令狐 长孙 宇文 司徒 轩辕 端木 独孤 南宫 西门"
        " 闻人 澹台 申屠 太史",
    )
)

# Latin name parts that are words of reports too: removed within a whole name, never alone.
CLINICAL_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    abdomen acute adult angle ankle apex axial back ball base bell bird black blood blue body bone born bowman
    brain branch breast bright brown bush chest child china clear coronal cross cyst deep delta dense dose early
    east elbow field fine first flair flat foot ford form fossa fox free front glass gold good graft gray great
    green grey gross hall hand hard head heart high hill hip hold horn image iris joint kidney kings knee lake
    lamb large last lateral left lens light limb line liver lobe long lower lung major male marrow mass masson
    mean medial middle mild miller minor moon neck noble normal north nose oblique open oral outer palm park
    part pelvis penn phase pitt plane point pole pool pope post power prior prone pure rice rich right ring rise
    rose round routine royal sagittal scan scout section series sharp shell short shoulder side simple sinus
    skull slice small smart soft south spine stage stone stout strong study supine swan test thin thorax tooth
    trace trunk unit upper valve vein view wall waters weak weight west whole white wide wood wrist young zone
    contrast phantom anonymous anonymized patient name unknown
    """,
    )
)


def han(text: str) -> str:
    """The Chinese characters of `text`."""
    return "".join(_HAN.findall(text))


def _latin_words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFD", _HAN.sub(" ", text))
    return [w for w in _NEITHER.findall("".join(c for c in decomposed if not unicodedata.combining(c))) if w]


def _word(pattern: str) -> str:
    return rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"


@functools.lru_cache(maxsize=2048)
def name_patterns(name: str) -> tuple[str, ...]:
    """Patterns for one person's name; none for what could be one character or two letters.

    A whole name in characters, joined or parted; a given name of two characters; its pinyin with either part
    first; Latin names in every order; single Latin parts of four letters that are no word of reports.
    """
    found: list[str] = []
    for group in name.split("="):
        characters = han(group)
        words = _latin_words(group)
        if len(characters) >= 2:
            found += _han_patterns(characters)
        if words:
            found += _latin_patterns(words)
    return tuple(dict.fromkeys(found))


def _han_patterns(characters: str) -> list[str]:
    found = [_GAP.join(characters)]
    surname = 2 if characters[:2] in COMPOUND_SURNAMES and len(characters) > 2 else 1
    given = characters[surname:]
    if len(given) >= 2:
        found.append(given)
    syllables = [_syllable(c) for c in characters]
    if all(syllables):
        gap = rf"[1-5]?{_GAP}"
        for order in (syllables, syllables[surname:] + syllables[:surname]):
            found.append(_word(gap.join(order) + "[1-5]?"))
        if len(given) >= 2:
            found.append(_word(gap.join(syllables[surname:]) + "[1-5]?"))
    return found


def _syllable(character: str) -> str:
    readings = {r for each in pinyin(character, Style.NORMAL, heteronym=True, errors="ignore") for r in each}
    if not readings:
        return ""
    return "(?:" + "|".join(sorted(r.replace("v", "(?:v|u|yu|ü)") for r in readings)) + ")"


def _latin_patterns(words: list[str]) -> list[str]:
    found = []
    letters = sum(len(w) for w in words)
    if 2 <= len(words) <= 4 and letters >= 4:
        for order in itertools.permutations([re.escape(w) for w in words]):
            found.append(_word(_GAP.join(order)))
    elif len(words) > 4:
        found.append(_word(_GAP.join(re.escape(w) for w in words)))
    for word in words:
        least = 3 if len(words) == 1 else 4
        if len(word) >= least and word.casefold() not in CLINICAL_WORDS and not word.isdigit():
            found.append(_word(re.escape(word)))
    return found


def identifier_pattern(value: str) -> str | None:
    """A pattern for a number: whole, its separators optional. None below four letters and digits."""
    parts = re.findall(r"[^\W_]+", value)
    if sum(len(p) for p in parts) < 4 or (parts and value.casefold() in CLINICAL_WORDS):
        return None
    return _word(r"[\s\-_./\\^*]{0,2}".join(re.escape(p) for p in parts))


def phone_pattern(value: str) -> str | None:
    """A pattern for a telephone number however its digits are parted. None below six digits."""
    digits = re.sub(r"\D", "", value)
    return None if len(digits) < 6 else r"(?<!\d)" + r"[\s\-()+]{0,2}".join(digits) + r"(?!\d)"


def phrase_pattern(value: str) -> str | None:
    """A pattern for an address or an institution: its words, however they are parted. None below four characters."""
    words = re.findall(r"[^\W_]+", value)
    if sum(len(w) for w in words) < 4 or (len(words) == 1 and words[0].casefold() in CLINICAL_WORDS):
        return None
    joined = r"[\W_]{0,3}".join(re.escape(w) for w in words)
    return joined if han(value) else _word(joined)


@functools.lru_cache(maxsize=256)
def pattern_of(known: KnownIdentity) -> re.Pattern[str] | None:
    """One pattern for all that is known, longest first; None if nothing is."""
    found: list[str | None] = []
    for name in (*known.names, *known.people):
        found += name_patterns(name)
    found += [identifier_pattern(v) for v in known.identifiers]
    found += [phone_pattern(v) for v in known.phones]
    found += [phrase_pattern(v) for v in (*known.addresses, *known.places)]
    patterns = sorted({p for p in found if p}, key=lambda p: (-len(p), p))
    return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None
