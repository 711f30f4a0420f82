"""Dates move by whole days, and ages are what PS3.5's AS allows."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.deid.dates import age_at, read_date, shifted_date, shifted_datetime

days = st.dates(date(1900, 1, 1), date(2100, 1, 1))


@given(days, days, st.integers(-3650, -1))
def test_intervals_stay_exact(one, other, shift):
    before, after = (read_date(shifted_date(d.strftime("%Y%m%d"), shift) or "") for d in (one, other))
    assert before is not None
    assert after is not None
    assert after - before == other - one


@pytest.mark.parametrize(
    "text", ["20240229", "2024.02.29", "2024-02-29", "2024/2/29", "20240229 ", "20240229\0"]
)
def test_every_spelling_of_a_date_moves_alike(text):
    assert shifted_date(text, -1) == "20240228"


@pytest.mark.parametrize(
    "text", ["", "2024", "20240230", "202402", "yesterday", "２０２４０２２９x", "00010101"]
)
def test_what_is_no_whole_date_has_none(text):
    assert shifted_date(text, -5) is None


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20240301235959.123456+0800", "20240229235959.123456+0800"),
        ("2024030112", "2024022912"),
        ("20240301", "20240229"),
        ("202403", None),
        ("2024", None),
        ("20240301-0500", "20240229-0500"),
    ],
)
def test_a_datetime_keeps_its_time_and_offset(text, moved):
    assert shifted_datetime(text, -1) == moved


@pytest.mark.parametrize(
    ("born", "age"),
    [
        (date(2024, 6, 1), "000D"), (date(2024, 5, 5), "027D"), (date(2024, 5, 4), "004W"), (date(2024, 3, 2), "013W"),
        (date(2024, 3, 1), "003M"), (date(2022, 6, 2), "023M"), (date(2022, 6, 1), "002Y"), (date(1934, 6, 2), "089Y"),
        (date(2024, 6, 2), None), (date(1800, 1, 1), None),
    ],
)  # fmt: skip
def test_ages_are_days_weeks_months_or_years(born, age):
    assert age_at(born, date(2024, 6, 1)) == age


@given(days, st.integers(0, 50000))
def test_every_age_is_a_valid_age_string(born, lived):
    age = age_at(born, born + timedelta(days=lived))
    assert age is None or (len(age) == 4 and age[:3].isdigit() and age[3] in "DWMY")
