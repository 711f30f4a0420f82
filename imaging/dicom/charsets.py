"""Text of a data set as it was meant: Specific Character Set is a hint that senders get wrong.

Declared sets are those of PS3.3 C.12.1.1.2. Met in China besides: GBK without a declaration or under ISO_IR 100,
UTF-8 under GB18030 and the reverse, ISO 2022 IR 58 without its escapes, values cut within a character. So a value
with bytes above 7F is read in every set that fits, and the reading that looks like text wins; the declared one has
the advantage.
"""

from __future__ import annotations

import codecs
import functools
import re
from dataclasses import dataclass

# Defined terms, and how they are misspelt, without "ISO", "IR", blanks, "_" and "-": -> codec.
_CODECS = {
    "100": "latin_1", "101": "iso8859_2", "109": "iso8859_3", "110": "iso8859_4", "144": "iso8859_5",
    "127": "iso8859_6", "126": "iso8859_7", "138": "iso8859_8", "148": "iso8859_9", "203": "iso8859_15",
    "13": "shift_jis", "166": "iso8859_11", "192": "utf_8", "58": "gb18030", "149": "euc_kr", "87": "iso2022_jp",
    "159": "iso2022_jp_2", "GB18030": "gb18030", "GBK": "gb18030", "GB2312": "gb18030", "UTF8": "utf_8",
    "88591": "latin_1", "6": "ascii", "": "ascii",
}  # fmt: skip
# What a sender who declares this may really mean: nobody declares Greek by mistake, everybody declares Latin-1.
_GUESSED = ("utf_8", "gb18030")
_UNTRUSTED = frozenset(("ascii", "latin_1", "utf_8", "gb18030"))
# ISO 2022 (PS3.3 Tables C.12-3 and C.12-4): final bytes of a designation -> (codec, to what part, is multi-byte)
_ESCAPES = {
    b"(B": ("ascii", "low"), b"(J": ("shift_jis", "low"), b")I": ("shift_jis", "high"),
    b"-A": ("latin_1", "high"), b"-B": ("iso8859_2", "high"), b"-C": ("iso8859_3", "high"),
    b"-D": ("iso8859_4", "high"), b"-L": ("iso8859_5", "high"), b"-G": ("iso8859_6", "high"),
    b"-F": ("iso8859_7", "high"), b"-H": ("iso8859_8", "high"), b"-M": ("iso8859_9", "high"),
    b"-b": ("iso8859_15", "high"), b"-T": ("iso8859_11", "high"),
    b"$)A": ("gb18030", "high"), b"$)C": ("euc_kr", "high"),
    b"$B": ("iso2022_jp", "pair"), b"$@": ("iso2022_jp", "pair"), b"$(D": ("iso2022_jp_2", "pair"),
}  # fmt: skip
_ESCAPE = re.compile(rb"\x1b(\([A-Z]|\)[A-Z]|-[A-Za-z]|\$[()][A-Z]|\$[A-Z@])")
_DECLARED_BONUS = 0.2
_REMEMBERED_BYTES = 256


@dataclass(frozen=True, slots=True)
class Text:
    """A decoded value: which codec read it, whether it ended within a character, whether bytes were lost."""

    text: str
    codec: str = "ascii"
    cut: bool = False
    lossy: bool = False


def decode(raw: bytes, declared: tuple[str, ...] = ()) -> Text:
    """The text of a value of VR SH, LO, PN, ST, LT, UC or UT, without its padding. Never fails.

    `declared` are the values of Specific Character Set (0008,0005). Split at `\\`, `^` and `=` only afterwards:
    these bytes are second halves of characters in GBK and GB18030.
    """
    return _decode_short(raw, declared) if len(raw) <= _REMEMBERED_BYTES else _decode(raw, declared)


@functools.lru_cache(maxsize=4096)
def _decode_short(raw: bytes, declared: tuple[str, ...]) -> Text:
    return _decode(raw, declared)


def _decode(raw: bytes, declared: tuple[str, ...]) -> Text:
    raw = raw.rstrip(b" \0")
    if b"\x1b" in raw:
        return _iso_2022(raw, declared)
    if raw.isascii():
        return Text(raw.decode("ascii").strip())
    names = [_codec(term) for term in declared] or ["ascii"]
    trusted = [name for name in names if name not in _UNTRUSTED]
    if trusted:
        return _first_that_reads(raw, (*trusted, *_GUESSED))
    return _most_plausible(raw, names)


def _codec(term: str) -> str:
    short = re.sub(r"ISO(?!8859)|2022|IR|[ _\-]", "", term.upper())
    return _CODECS.get(short.removeprefix("ISO"), "ascii")


def _first_that_reads(raw: bytes, names: tuple[str, ...]) -> Text:
    for name in names:
        found = _read(raw, name)
        if found and not found.cut:
            return found
    return _read(raw, names[0]) or Text(raw.decode("latin_1").strip(), "latin_1", lossy=True)


def _most_plausible(raw: bytes, names: list[str]) -> Text:
    declared = next((name for name in names if name != "ascii"), "ascii")
    best, best_score = None, -1.0
    for name in dict.fromkeys((declared, *_GUESSED, "latin_1")):
        found = _read(raw, name)
        if found is None:
            continue
        score = _plausibility(found.text) + (_DECLARED_BONUS if name == declared else 0) - 0.1 * found.cut
        if score > best_score:
            best, best_score = found, score
    return best or Text(raw.decode("gb18030", "replace").strip(), "gb18030", lossy=True)


def _read(raw: bytes, name: str) -> Text | None:
    """The value in one codec; its last character may be cut. None if it does not fit."""
    decoder = codecs.getincrementaldecoder(name)()
    try:
        text = decoder.decode(raw, final=False)
    except UnicodeDecodeError:
        return None
    cut = bool(decoder.getstate()[0]) if name in ("utf_8", "gb18030", "euc_kr", "shift_jis") else False
    return Text(text.strip(), name, cut=cut)


def _plausibility(text: str) -> float:
    """From 0 to 1, the share of the characters above ASCII that Chinese and Western headers really use."""
    weights = [_weight(character) for character in text if character >= "\x80"]
    return sum(weights) / len(weights) if weights else 0.0


def _weight(character: str) -> float:
    if "\u4e00" <= character <= "\u9fff":
        return 1.0 if _is_common(character) else 0.45
    if "\u3000" <= character <= "\u303f" or "\uff00" <= character <= "\uff5e" or character in "·…—‘’“”℃":
        return 0.9
    if "\u3400" <= character <= "\u4dbf" or character >= "\U00020000":
        return 0.6
    if "\u00c0" <= character <= "\u00ff" and character not in "×÷":
        return 0.5
    return 0.1


def _is_common(character: str) -> bool:
    """Level 1 of GB 2312, rows 16 to 55, sorted by use; rows above hold the rarer ones."""
    try:
        return character.encode("gb2312")[0] < 0xF8
    except UnicodeEncodeError:
        return False


def _iso_2022(raw: bytes, declared: tuple[str, ...]) -> Text:
    """Code extension by escapes: each designates what the bytes below or above 80 mean from there on."""
    first = _codec(declared[0]) if declared else "ascii"
    low, high = "ascii", first
    texts: list[str] = []
    used, cut, lossy, at = first, False, False, 0
    for found in [*_ESCAPE.finditer(raw), None]:
        run = raw[at : found.start() if found else len(raw)]
        piece = _run(run, low, high)
        texts.append(piece.text)
        cut, lossy = piece.cut, lossy or piece.lossy
        if found is None:
            break
        at = found.end()
        name, part = _ESCAPES.get(found[1], ("ascii", "low"))
        if part == "high":
            high = used = name
        else:
            low = name
            used = name if name != "ascii" else used
    return Text("".join(texts).replace("\x1b", "").strip(), used, cut=cut, lossy=lossy)


def _run(run: bytes, low: str, high: str) -> Text:
    """Bytes between two escapes. Codecs of the 94x94 sets take them as they are after their own escape."""
    if low in ("iso2022_jp", "iso2022_jp_2"):
        escape = b"\x1b$B" if low == "iso2022_jp" else b"\x1b$(D"
        cut = len(run) % 2 == 1
        return Text((escape + run).decode(low, "replace").replace("\ufffd", ""), low, cut=cut)
    if low == "shift_jis" or high == "shift_jis":
        return Text(run.decode("shift_jis", "replace"), "shift_jis")
    if run.isascii():
        return Text(run.decode("ascii"))
    decoder = codecs.getincrementaldecoder(high if high != "ascii" else "gb18030")(errors="replace")
    text = decoder.decode(run, final=False)
    return Text(text, high, cut=bool(decoder.getstate()[0]), lossy="\ufffd" in text)
