"""Dates as DICOM writes them (PS3.5 6.2: DA, DT, AS), moved by whole days; what cannot be read has no date."""

from __future__ import annotations

import re
from datetime import date, timedelta

_DA = re.compile(r"(\d{4})(?:(\d{2})(\d{2})|([.\-/])(\d{1,2})\4(\d{1,2}))")
_DT = re.compile(r"(\d{8})(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?([+-]\d{4})?")
TIME = re.compile(r"\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?|\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?")
AGE = re.compile(r"\d{3}[DWMY]")


def read_date(text: str) -> date | None:
    """The date in `YYYYMMDD` or its older and foreign spellings (`YYYY.MM.DD`, `YYYY-MM-DD`, `YYYY/M/D`)."""
    found = _DA.fullmatch(text.strip(" \0"))
    if found is None:
        return None
    year, month, day, _, other_month, other_day = found.groups()
    try:
        return date(int(year), int(month or other_month), int(day or other_day))
    except ValueError:
        return None


def shifted_date(text: str, days: int) -> str | None:
    """The DA value `days` later as `YYYYMMDD`; None if it cannot be read or leaves the calendar."""
    read = read_date(text)
    if read is None:
        return None
    try:
        return (read + timedelta(days=days)).strftime("%Y%m%d").zfill(8)
    except OverflowError:
        return None


def shifted_datetime(text: str, days: int) -> str | None:
    """The DT value `days` later, its time and offset as they were; None as above, or without a whole day."""
    found = _DT.fullmatch(text.strip(" \0"))
    if found is None:
        return shifted_date(text, days)
    day, time, offset = found.groups()
    moved = shifted_date(day, days)
    return None if moved is None else f"{moved}{time or ''}{offset or ''}"


def age_at(born: date, examined: date) -> str | None:
    """The age as an AS value: days under 4 weeks, weeks under 3 months, months under 2 years, then years.

    None if the examination came before the birth or the age exceeds 150 years.
    """
    if examined < born:
        return None
    days = (examined - born).days
    months = (examined.year - born.year) * 12 + examined.month - born.month - (examined.day < born.day)
    years = months // 12
    if years > 150:
        return None
    if days < 28:
        return f"{days:03d}D"
    if months < 3:
        return f"{days // 7:03d}W"
    if months < 24:
        return f"{months:03d}M"
    return f"{years:03d}Y"
