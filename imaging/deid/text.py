"""Cleaning free text: what identifies goes, what it means stays.

"CT CHEST for Maria Hernandez 2019-06-19" becomes "CT CHEST".

What goes is what is known of this case, in every written form, and what fits a pattern below. Nothing is removed
for being a single Chinese character: several surnames are words of reports (左, 白, 高).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from imaging.deid import undeclared
from imaging.deid.known import KnownIdentity
from imaging.deid.written import pattern_of

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_CUT = "\ue000"
_DIGIT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔"
    "钟谭陆汪范石廖贾夏韦付傅方邹熊孟秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔汤温康施文牛樊葛邢安齐"
    "庞颜庄聂章鲁岳翟殷詹欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华"
)
_TITLES = "医生|医师|大夫|主任|教授|护士长|护士|技师|技士|院长|先生|女士|小姐|同志"
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_MONTH = rf"(?:{_MONTHS})[a-z]{{0,6}}\.?"
_PLACES = "省|市|区|县|镇|乡|街道|社区|小区|新村|村|路|街|大道|弄|巷|组|号楼|号|幢|栋|单元|室"
_NUMBERED = (
    "住院号|门诊号|病历号|病案号|就诊号|检查号|影像号|放射号|登记号|条码号|病理号|标本号|医保卡?号|社保卡?号|身份证号?码?|"
    "护照号?|床号|(?:CT|MRI?|DR|CR|US|X线|超声|心电)号|ID号?"
)


def is_national_id(text: str) -> bool:
    """Whether 18 characters are a Chinese citizen's number: a day that exists, and the check digit of GB 11643."""
    if not re.fullmatch(r"\d{17}[\dXx]", text) or not _is_day(text[6:14]):
        return False
    total = sum(int(d) * w for d, w in zip(text, _DIGIT_WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == text[17].upper()


def _is_day(digits: str) -> bool:
    try:
        read = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return 1900 <= read.year < 2100


def _is_citizen(found: str) -> bool:
    """A number that names a citizen, or was meant to: a mistyped check digit does not make it harmless."""
    plain = re.sub(r"\s", "", found)
    if len(plain) == 15:
        return _is_day("19" + plain[6:12])
    return is_national_id(plain) or _is_day(plain[6:14])


def _always(_: str) -> bool:
    return True


# what | pattern (over text with wide forms made narrow) | whether what was found is one
# fmt: off
PATTERNS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("national ID", re.compile(r"(?<![\dA-Za-z.])(?:\d{6}\s?\d{8}\s?\d{3}[\dXx]|\d{15})(?![\dA-Za-z])"), _is_citizen),
    ("mobile", re.compile(r"(?<![\d.])(?:\+?86[\s-]?)?1[3-9]\d[\s-]?\d{4}[\s-]?\d{4}(?!\d)"), _always),
    ("land line", re.compile(r"(?<![\d.])(?:\(0\d{2,3}\)\s?|0\d{2,3}[\s-])\d{7,8}(?:-\d{1,6})?(?!\d)"), _always),
    ("land line", re.compile(
        r"(?:(?:联系)?电话|联系方式|[Tt]el|TEL|[Pp]hone)[:.\s]{0,3}\+?[\d\s()-]{6,20}\d"), _always),
    ("mail address", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), _always),
    ("date", re.compile(r"(?<!\d)(?:19|20)\d{2}\s?年\s?\d{1,2}\s?月(?:\s?\d{1,2}\s?[日号])?"), _always),
    ("date", re.compile(r"[一二][〇○零九一二三四五六七八]{3}年[一二三四五六七八九十]{1,2}月"
                        r"(?:[一二三四五六七八九十]{1,3}[日号])?"), _always),
    ("date", re.compile(r"(?<!\d)\d{1,2}月\d{1,2}[日号]"), _always),
    ("date", re.compile(r"(?<![\d.])(?:19|20)\d{2}([-/.])\d{1,2}\1\d{1,2}(?![\d.])"), _always),
    ("date", re.compile(r"(?<![\d.])\d{1,2}([-/.])\d{1,2}\1(?:19|20)\d{2}(?![\d.])"), _always),
    ("date", re.compile(r"(?<![\dA-Za-z.])(?:19|20)\d{6}(?![\dA-Za-z])"), _is_day),
    ("date", re.compile(rf"\b\d{{1,2}}(?:st|nd|rd|th)?[\s-]{_MONTH}[\s,-]{{1,2}}(?:19|20)\d{{2}}\b", re.I), _always),
    ("date", re.compile(rf"\b{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?,?\s(?:19|20)\d{{2}}\b", re.I), _always),
    ("number", re.compile(
        rf"(?<![A-Za-z])(?:{_NUMBERED})[:#\s]{{0,3}}[A-Za-z]{{0,6}}[-]?\d[A-Za-z0-9-]{{0,23}}"), _always),
    ("number", re.compile(
        r"\b(?:MRN|patient\s?id|hosp(?:ital)?\s?(?:no|id)|accession(?:\s?(?:no|number|nr))?|acc\.?\s?(?:no|number|nr|#)|case\s?(?:no|number))\b"
        r"[.:#\s]{0,3}[A-Za-z]{0,6}-?\d[A-Za-z0-9-]{0,23}", re.I), _always),
    ("name", re.compile(rf"[{_SURNAMES}][\u4e00-\u9fff]{{0,2}}?(?:{_TITLES})"), _always),
    ("name", re.compile(
        r"(?:姓\s?名|(?:申请|送检|主管|主治|经治|报告|审核|检查)(?:医生|医师|者))"
        r"[:\s]{1,3}[\u4e00-\u9fff·]{2,4}"), _always),
    ("name", re.compile(
        r"\b(?:Dr|Mr|Mrs|Ms|Miss|Prof|Doctor|Professor|Nurse)\.?\s[A-Z][\w'-]+(?:\s[A-Z][a-z'-]+)?"), _always),
    ("name", re.compile(r"\b(?:DR|MR|MRS|MS|PROF)\.\s?[A-Z][\w'-]+"), _always),
    ("name", re.compile(
        r"\b(?:[Pp]atient(?:'s)?\s?[Nn]ame|PATIENT NAME|[Nn]ame|NAME)\s?[:=]\s?[A-Z][\w'-]+"
        r"(?:[\s,^]{1,2}[A-Z][\w'-]+){0,2}"),
     _always),
    ("address", re.compile(
        r"[\u4e00-\u9fff]{2,12}(?:路|街|大道|弄|巷|村|镇|乡)"
        r"[\u4e00-\u9fff]{0,4}\d{1,5}(?:号|弄|栋|幢|单元|室)(?:\d{1,4}(?:号楼|号|栋|幢|单元|室))*"), _always),
    ("address", re.compile(
        rf"(?:家住|现住址?|住址|住在|住于|户籍|籍贯|地址)[于在地:\s]{{0,3}}(?:[\u4e00-\u9fff\d-]{{1,8}}?(?:{_PLACES}))+"),
     _always),
    ("address", re.compile(
        rf"[\u4e00-\u9fff]{{2,4}}(?:镇|乡|街道)[\u4e00-\u9fff]{{1,6}}?(?:村|社区|小区|新村)"
        rf"(?:[一二三四五六七八九十百\d]{{1,4}}(?:{_PLACES}))*"), _always),
)
# fmt: on
# What identifies wherever it stands: looked for in names of devices and meanings of codes too.
STRONG = frozenset({"national ID", "mobile", "mail address"})

_BEFORE_A_CUT = re.compile(
    r"(?:(?:\b(?:for|of|by|from|on|at|dated?|patient|pt|name|id|mrn|dob|born|tel|phone|and|ref(?:erred)?|per|in)\b|"
    r"姓名|联系电话|联系方式|电话|手机|日期|身份证号?码?|住址|家庭住址|地址|出生日期|生日|出生于|[,;:=/^|_#])"
    r"[\s:.,;-]*)*\ue000",
    re.IGNORECASE,
)


def spans(text: str, known: KnownIdentity, *, strong: bool = False) -> list[tuple[int, int, str]]:
    """Where `text` identifies: start, end and what, in order; they may overlap. `strong` patterns alone, if asked."""
    plain = text.translate(_WIDE)
    found: list[tuple[int, int, str]] = []
    if (whole := pattern_of(known)) is not None:
        found += [(m.start(), m.end(), "known") for m in whole.finditer(plain) if m.end() > m.start()]
    for what, pattern, is_one in PATTERNS:
        if not strong or what in STRONG:
            found += [(m.start(), m.end(), what) for m in pattern.finditer(plain) if is_one(m[0])]
    if not strong:
        found += undeclared.spans(plain, known)
    return sorted(found)


def clean(text: str, known: KnownIdentity, *, strong: bool = False, reference: date | None = None) -> str:
    """`text` without what identifies, and without the words that led to it; the same object if nothing did.

    :param reference: the day of the examination; whole dates then become the interval to it ("183 days earlier").
    """
    found = spans(text, known, strong=strong)
    if not found:
        return text
    pieces, at, chinese = [], 0, bool(_HAN.search(text))
    for start, end, what in found:
        if start >= at:
            interval = (
                _interval(text[start:end], reference, chinese) if what == "date" and reference else None
            )
            pieces += [text[at:start], interval or _CUT]
        at = max(at, end)
    return _tidy("".join(pieces) + text[at:])


_HAN = re.compile("[\u4e00-\u9fff]")
_WHOLE_DATE = re.compile(r"((?:19|20)\d{2})\s?[-/.年]?\s?(\d{1,2})\s?[-/.月]?\s?(\d{1,2})?\s?[日号]?")


def _interval(written: str, reference: date, chinese: bool) -> str | None:
    """How long before or after `reference` a written date is; None if it has no year or cannot be read."""
    read = _WHOLE_DATE.fullmatch(written.translate(_WIDE))
    if read is None:
        return None
    year, month, day = (int(part) if part else 0 for part in read.groups())
    if day:
        try:
            days = (reference - date(year, month, day)).days
        except ValueError:
            return None
        return _said(abs(days), "天", "day", later=days < 0, chinese=chinese)
    months = (reference.year - year) * 12 + reference.month - month
    return _said(abs(months), "个月", "month", later=months < 0, chinese=chinese)


def _said(count: int, unit_zh: str, unit: str, *, later: bool, chinese: bool) -> str:
    if chinese:
        return f"{count}{unit_zh}{'后' if later else '前'}" if count else f"同{unit_zh[-1]}"
    return (
        f"{count} {unit}{'' if count == 1 else 's'} {'later' if later else 'earlier'}"
        if count
        else "the same day"
    )


def _tidy(cut: str) -> str:
    text = _BEFORE_A_CUT.sub(_CUT, cut)
    text = re.sub(r"\b(?:on|dated?|in) (?=\d+ (?:days?|months?) (?:earlier|later)|the same day)", "", text)
    text = re.sub(rf"[(\[{{（【<]\s*{_CUT}+\s*[)\]}}）】>]", " ", text)
    text = re.sub(r"[(\[{（【<]\s*[)\]}）】>]", " ", text.replace(_CUT, " "))
    text = re.sub(r"[ \t]{2,}", " ", text)
    text = re.sub(r"\s+([,.;:，。；：、])", r"\1", text)
    text = re.sub(r"([,，、;；])(?:\s*[,，、;；])+", r"\1", text)
    text = re.sub(r"(?<=[\u4e00-\u9fff，。；、]) (?=[\u4e00-\u9fff，。；、])", "", text)
    return text.strip(" \t,，、;；:：-_^/|=")
