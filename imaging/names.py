"""Whether two written names can be the same person's: Chinese characters, pinyin in any habit, Latin names.

One person is written 张三丰, 张^三丰, ZHANG^SANFENG, Sanfeng Zhang, ZHANG SAN FENG, Zhāng Sānfēng, zhang1san1feng1 or
`Zhang^Sanfeng=张^三丰`. Every reading of a polyphonic character is allowed (单 is Shan, Dan or Chan), so is ü as v,
u, yu or ue, and a surname of one or two characters first or last.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import lru_cache
from typing import Literal

from pypinyin import Style, pinyin

Outcome = Literal["matches", "differs", "absent"]

_HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")
_LONGEST_SURNAME = 2
_MOST_TOKENS = 6
# Readings that surnames have and dictionaries of single characters lack.
_SURNAME_READINGS = {
    "仇": "qiu", "单": "shan", "区": "ou", "查": "zha", "解": "xie", "曾": "zeng", "朴": "piao",
    "盖": "ge", "缪": "miao", "万": "mo", "俟": "qi", "尉": "yu", "秘": "bi", "冼": "xian",
    "翟": "zhai", "繁": "po", "黑": "he", "员": "yun", "逄": "pang", "折": "she", "那": "na",
    "乐": "yue", "覃": "qin", "洗": "xian", "召": "shao", "种": "chong", "澹": "tan", "长": "zhang",
    "令": "ling", "晟": "cheng", "台": "tai", "亓": "qi", "郇": "xun", "佴": "nai", "隗": "wei",
    "葛": "ge", "宓": "mi", "适": "kuo", "句": "gou", "阚": "kan", "乜": "nie", "祭": "zhai",
    "车": "che",
}  # fmt: skip


def compare(written: str, name: str, name_latin: str | None, *, cut: bool = False) -> Outcome:
    """Whether a PN of a file can be the person of an order.

    :param written: the decoded PN, with its groups (`=`) and components (`^`).
    :param name: the order's name, `name_latin` how the order spells it in Latin letters.
    :param cut: the PN was cut off; then it can differ but is no evidence of being the same.
    """
    outcomes = {_compare_group(group, name, name_latin, cut) for group in written.split("=")}
    for outcome in ("differs", "matches"):
        if outcome in outcomes:
            return outcome
    return "absent"


def _compare_group(group: str, name: str, name_latin: str | None, cut: bool) -> Outcome:
    plain = unicodedata.normalize("NFKC", " ".join(group.split("^")[:3]))
    han, tokens = "".join(_HAN.findall(plain)), _tokens(plain)
    own_plain = unicodedata.normalize("NFKC", name)
    own_han = "".join(_HAN.findall(own_plain))
    own_tokens = [_tokens(own_plain)] if _tokens(own_plain) else []
    if name_latin:
        own_tokens.append(_tokens(name_latin))
    outcomes = [
        _compare_han(han, own_han, own_tokens, cut) if han else "absent",
        _compare_latin(tokens, own_han, own_tokens, cut) if tokens else "absent",
    ]
    if "differs" in outcomes:
        return "differs"
    return "matches" if "matches" in outcomes else "absent"


def _compare_han(han: str, own_han: str, own_tokens: list[tuple[str, ...]], cut: bool) -> Outcome:
    if own_han:
        if cut:
            return "absent" if any(form.startswith(han) for form in _orders(own_han)) else "differs"
        return "matches" if han in _orders(own_han) else "differs"
    patterns = _patterns(han)
    if cut or not patterns or not own_tokens:
        return "absent"
    spelt = [letters for tokens in own_tokens for letters in _joined(tokens)]
    return "matches" if any(p.fullmatch(letters) for p in patterns for letters in spelt) else "differs"


def _compare_latin(
    tokens: tuple[str, ...], own_han: str, own_tokens: list[tuple[str, ...]], cut: bool
) -> Outcome:
    if any(_same_tokens(tokens, own) for own in own_tokens):
        return "absent" if cut else "matches"
    patterns = _patterns(own_han) if own_han else ()
    if not patterns and not own_tokens:
        return "absent"
    letters = "".join(tokens)
    if cut:
        begun = [own for tokens_ in own_tokens for own in _joined(tokens_)]
        begun += [own for form in _orders(own_han) for own in _spellings(form)]
        return "absent" if any(own.startswith(letters) for own in begun) else "differs"
    return "matches" if any(pattern.fullmatch(letters) for pattern in patterns) else "differs"


def _tokens(text: str) -> tuple[str, ...]:
    """The words of a text in folded Latin letters and digits, other scripts' letters as they are; no Han."""
    decomposed = unicodedata.normalize("NFD", _HAN.sub(" ", text).casefold().replace("u:", "u"))
    bare = "".join(c for c in decomposed if not unicodedata.combining(c) and c not in "'’`´")
    return tuple(re.findall(r"[^\W_]+", bare))


def _same_tokens(tokens: tuple[str, ...], own: tuple[str, ...]) -> bool:
    """The same words in any order, joined or not; a single letter more (a middle initial) on one side is allowed."""
    if len(tokens) > _MOST_TOKENS or len(own) > _MOST_TOKENS:
        return tokens == own
    if "".join(tokens) in _joined(own):
        return True
    more = set(tokens) ^ set(own)
    common = set(tokens) & set(own)
    one_sided = more <= set(tokens) or more <= set(own)
    return len(common) >= 2 and one_sided and all(len(word) == 1 and word.isalpha() for word in more)


def _joined(tokens: tuple[str, ...]) -> frozenset[str]:
    if len(tokens) > _MOST_TOKENS:
        return frozenset(("".join(tokens),))
    return frozenset("".join(order) for order in itertools.permutations(tokens))


def _orders(han: str) -> tuple[str, ...]:
    """Surname first, and surname (of one or two characters) last."""
    last = [han[n:] + han[:n] for n in range(1, _LONGEST_SURNAME + 1) if n < len(han)]
    return (han, *last)


@lru_cache(maxsize=4096)
def _readings(character: str) -> tuple[str, ...]:
    found = {
        reading
        for each in pinyin(character, Style.NORMAL, heteronym=True, errors="ignore")
        for reading in each
    }
    if character in _SURNAME_READINGS:
        found.add(_SURNAME_READINGS[character])
    return tuple(sorted(found))


@lru_cache(maxsize=256)
def _patterns(han: str) -> tuple[re.Pattern[str], ...]:
    """A name's pinyin without separators, a tone after every syllable or none; empty if a reading is not known."""
    if not all(_readings(character) for character in han):
        return ()
    return tuple(
        re.compile("".join(f"(?:{_syllable(character)}){tone}" for character in order))
        for order in _orders(han)
        for tone in ("", "[1-5]")
    )


def _syllable(character: str) -> str:
    return "|".join(reading.replace("v", "(?:v|yu|ue|u)") for reading in _readings(character))


def _spellings(han: str) -> frozenset[str]:
    """Some full spellings (at most 512), for looking whether a cut name begins one of them."""
    product = itertools.product(*(_readings(character) for character in han))
    return frozenset("".join(syllables) for syllables in itertools.islice(product, 512))
