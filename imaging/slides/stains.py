"""Stains by every name that a label or an order gives them, as one table."""

from __future__ import annotations

import re
import unicodedata

# name | how it is also written. Latin names match with or without '-', '&', '+', '/', '.' and blanks between parts.
_ROWS: tuple[tuple[str, str], ...] = (
    ("HE", "H&E, H E, HEMATOXYLIN EOSIN, HAEMATOXYLIN EOSIN, 苏木素伊红, 苏木精伊红, 常规染色, 伊红"),
    ("PAS", "过碘酸雪夫, 高碘酸雪夫"),
    ("AB-PAS", "AB/PAS, ALCIAN BLUE PAS"),
    ("ALCIAN BLUE", "AB, 阿尔新蓝, 阿辛蓝"),
    ("MASSON", "MASSON TRICHROME, 马松, 三色"),
    ("RETICULIN", "网染, 网状纤维, 网织"),
    ("CONGO RED", "刚果红"),
    ("GIEMSA", "吉姆萨, 姬姆萨"),
    ("ACID FAST", "AFB, ZN, ZIEHL NEELSEN, 抗酸"),
    ("GMS", "六胺银, PASM"),
    ("WARTHIN STARRY", "WS, W S"),
    ("ELASTIC", "EVG, 弹力纤维"),
    ("IRON", "普鲁士蓝, PERLS"),
    ("PAP", "PAPANICOLAOU, 巴氏"),
    ("DIFF QUIK", "DQ, 迪夫"),
    ("WRIGHT", "瑞氏, 瑞士染色"),
    ("KI67", "KI 67, MIB1"),
    ("ER", "雌激素受体"),
    ("PR", "孕激素受体"),
    ("HER2", "HER 2, CERBB2, C ERBB 2, HER2 NEU"),
    ("CK", "PANCK, PAN CK, CKPAN, AE1/AE3, 广谱CK"),
    ("CK56", "CK5/6"),
    ("P40", ""), ("P53", ""), ("P63", ""), ("P16", ""), ("P504S", "AMACR"),
    ("TTF1", "TTF 1"), ("NAPSINA", "NAPSIN A"), ("SYN", "SYNAPTOPHYSIN"), ("CGA", "CHROMOGRANIN A"),
    ("S100", "S 100"), ("SMA", ""), ("DESMIN", "DES"), ("VIMENTIN", "VIM"), ("HMB45", "HMB 45"),
    ("MELANA", "MELAN A, MART1"), ("SOX10", ""), ("GATA3", ""), ("CDX2", ""), ("SATB2", ""), ("PAX8", ""),
    ("WT1", "WT 1"), ("CEA", ""), ("EMA", ""), ("GFAP", ""), ("OLIG2", ""), ("IDH1", "IDH 1"), ("ATRX", ""),
    ("MLH1", ""), ("MSH2", ""), ("MSH6", ""), ("PMS2", ""), ("PDL1", "PD L1, PD-L1, 22C3, SP142, SP263"),
    ("ALK", "D5F3"), ("ROS1", ""), ("BCL2", ""), ("BCL6", ""), ("MUM1", ""), ("CYCLIND1", "CYCLIN D1"),
    ("EBER", ""), ("HP", "幽门螺杆菌"), ("DOG1", ""), ("CD117", "C KIT, CKIT"), ("E CADHERIN", "ECAD, E CAD"),
)  # fmt: skip
_JOIN = r"[-&+/. ]*"
# Series of markers that need no row each.
_FAMILIES = re.compile(r"(?<![A-Z0-9])(CD|CK|MUC|PCK)[- ]?(\d{1,3})(?![0-9])")


def normal(text: str) -> str:
    """Full width to half, upper case, every dash one dash, every run of blanks one blank."""
    text = unicodedata.normalize("NFKC", text).upper()
    text = re.sub(r"[\u2010-\u2015\u2212_~～一](?=[A-Z0-9])", "-", text)
    return re.sub(r"[ \t\r\f\v]+", " ", text).strip()


def _pattern(written: str) -> re.Pattern[str]:
    parts = re.findall(r"[A-Z]+|\d+|[^\sA-Z\d&/+.-]+", normal(written))
    body = _JOIN.join(re.escape(p) for p in parts)
    before = r"(?<![A-Z])" if parts[0][0].isascii() else ""
    after = r"(?![A-Z0-9])" if parts[-1][-1].isascii() else ""
    return re.compile(before + body + after)


_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, _pattern(written))
    for name, also in _ROWS
    for written in (name, *(a.strip() for a in also.split(",") if a.strip()))
)


def stains_in(text: str) -> frozenset[str]:
    """The stains that a text names, by their one name each; a name inside a longer one does not count."""
    text = normal(text)
    hits: list[tuple[int, int, str]] = [
        (m.start(), m.end(), name) for name, pattern in _PATTERNS for m in pattern.finditer(text)
    ]
    hits += [(m.start(), m.end(), m.group(1) + m.group(2)) for m in _FAMILIES.finditer(text)]
    return frozenset(
        name
        for start, end, name in hits
        if not any(a <= start and end <= b and (b - a) > (end - start) for a, b, _ in hits)
    )


def stain_of(name: str) -> str:
    """The one name of an ordered stain; what the table does not know is its own name."""
    found = stains_in(name)
    if len(found) == 1:
        return next(iter(found))
    return re.sub(r"[^A-Z0-9\u4e00-\u9fff]", "", normal(name))


def names_stain(text: str, name: str) -> bool:
    """Whether a text names the ordered stain."""
    wanted = stain_of(name)
    return wanted in stains_in(text) or bool(_pattern(name).search(normal(text)))
