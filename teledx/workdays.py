"""The Chinese working days, from the yearly decree that `chinese_calendar` carries."""

from __future__ import annotations

from datetime import date

import chinese_calendar

from cases.calendar import monday_to_friday


def is_chinese_workday(day: date) -> bool:
    """Whether `day` is worked in China: public holidays are not, make-up weekends are.

    A year whose decree the installed package does not carry counts Monday to Friday; update the package each December.
    """
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return monday_to_friday(day)
