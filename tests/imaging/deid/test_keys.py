"""Derived values: the same with the key, nothing without it."""

import re

import pytest

from imaging.deid import keys

SECRET, OTHER = b"a" * 32, b"b" * 32


def test_two_clinics_patients_of_one_number_are_two_people():
    assert keys.pseudonym(SECRET, "a", "0001") != keys.pseudonym(SECRET, "b", "0001")
    assert keys.pseudonym(SECRET, "ab", "c") != keys.pseudonym(SECRET, "a", "bc")
    assert keys.patient_secret(SECRET, "a", "1") != keys.patient_secret(SECRET, "b", "1")


def test_every_value_needs_the_key():
    for derive in (
        lambda s: keys.pseudonym(s, "a", "1"),
        lambda s: keys.uid(s, "1.2.3"),
        lambda s: keys.token(s, "block", "A1"),
        lambda s: keys.patient_secret(s, "a", "1"),
    ):
        assert derive(SECRET) == derive(SECRET)
        assert derive(SECRET) != derive(OTHER)


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="fewer than 16"):
        keys.pseudonym(b"short", "a", "1")


def test_shifts_go_into_the_past_by_at_most_ten_years():
    shifts = {keys.shift_days(SECRET, "clinic", str(n)) for n in range(500)}
    assert all(-3650 <= s <= -1 for s in shifts)
    assert len(shifts) > 400


def test_uids_are_valid_and_hold_a_uuid_of_version_8():
    for n in range(200):
        uid = keys.uid(SECRET, f"1.2.{n}")
        assert re.fullmatch(r"2\.25\.(0|[1-9]\d*)", uid)
        assert len(uid) <= 64
        number = int(uid[5:])
        assert number >> 76 & 0xF == 8
        assert number >> 62 & 0b11 == 0b10


def test_the_same_number_in_two_roles_gives_two_tokens_that_fit_a_short_string():
    tokens = {keys.token(SECRET, role, "B23-4") for role in ("specimen", "block", "accession", "container")}
    assert len(tokens) == 4
    assert all(re.fullmatch(r"[A-Z]-[A-Z2-7]{11}", t) for t in tokens)
    assert keys.token(SECRET, "block", " B23-4 ") == keys.token(SECRET, "block", "B23-4")
