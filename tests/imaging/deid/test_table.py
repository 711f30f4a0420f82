"""The table whole: nothing that identifies comes out of any attribute, at any level, in any block."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imaging.deid import profiles, rules
from imaging.deid.dicom import transform
from imaging.deid.elements import Element, Reader, Writer
from imaging.deid.profiles import Action, profile, table
from tests.imaging.deid.conftest import CANARIES, EXPLICIT, TAGS, canary, identified, nested


def written(elements):
    return b"".join(Writer(EXPLICIT).chunks(elements))


def leaks(raw):
    return [c for c in CANARIES if c in raw]


@pytest.mark.parametrize("name", ["network", "basic"])
def test_no_canary_of_any_attribute_comes_out(name, key, known):
    elements = identified()
    elements += nested(3, identified())
    elements.append(Element(0x00111001, "SQ", b"", [identified()]))
    elements.sort(key=lambda e: e.tag)
    assert leaks(written(elements))

    transform(elements, key, known, profile(name))

    assert leaks(written(elements)) == []


@pytest.mark.parametrize("name", ["network", "basic"])
def test_what_is_remembered_of_a_patient_is_what_would_be_worked_out(name, key, known):
    chosen = profile(name)
    rules._memory_of.cache_clear()
    first, again = identified(), identified()
    counted = transform(first, key, known, chosen)
    assert transform(again, key, known, chosen) == counted
    assert written(again) == written(first)


def test_what_is_remembered_of_one_patient_never_serves_another(key, known):
    other = replace(key, pseudonym="P-ZZZZZZZZZZZZZ", shift_days=-7, secret=b"t" * 32)
    one, two, alone = identified(), identified(), identified()
    transform(one, key, known, profile("network"))
    transform(two, other, known, profile("network"))
    rules._memory_of.cache_clear()
    transform(alone, other, known, profile("network"))
    assert written(two) == written(alone) != written(one)


def test_the_plain_basic_profile_removes_what_nobody_knew(key, known):
    elements = identified("QZXCANARY unheard of")
    for element in elements:
        # the meaning of a code in a reference that stays is no attribute of the table
        element.items = (
            [[e for e in item if e.tag != 0x00080104] for item in element.items] if element.items else None
        )

    transform(elements, key, known, profile("basic"))

    raw = written(elements)
    assert b"unheard" not in raw
    assert leaks(raw) == []


def _strictly(code: str, before: Element, after: Element | None) -> bool:
    allowed = code.replace("*", "").split("/")
    if after is None:
        return "X" in allowed
    if after.items is None and not len(after.value):
        return "Z" in allowed
    changed = bytes(after.value) != bytes(before.value) or after.items is not None
    return changed and ("D" in allowed or "U" in allowed)


def test_under_the_plain_basic_profile_actions_are_as_the_table_says(key, known):
    wrong = []
    for row in table():
        if len(row.tag) != 8 or "x" in row.tag or int(row.tag, 16) >> 16 < 8:
            continue
        tag = int(row.tag, 16)
        before, elements = canary(tag), [canary(tag)]
        transform(elements, key, known, profile("basic"))
        after = next((e for e in elements if e.tag == tag), None)
        if not _strictly(row.actions["basic"], before, after):
            wrong.append((row.tag, row.name))
    assert wrong == []


def test_every_row_of_the_table_has_an_action():
    assert len(table()) == 621
    for name in ("basic", "network"):
        rules = profile(name).rules
        assert set(TAGS) <= set(rules)
        assert all(isinstance(action, Action) for action in rules.values())


@pytest.mark.parametrize(
    ("tag", "action"),
    [
        (0x00100030, Action.EMPTY),
        (0x00100040, Action.KEEP),
        (0x00101010, Action.AGE),
        (0x00080020, Action.SHIFT),
        (0x00081030, Action.CLEAN),
        (0x00080080, Action.DUMMY),
        (0x00080090, Action.EMPTY),
        (0x0020000D, Action.UID),
        (0x04000561, Action.REMOVE),
    ],
)
def test_the_network_keeps_what_a_reading_needs_and_no_more(tag, action):
    assert profiles.profile("network").rules[tag] is action


@pytest.mark.parametrize("depth", [1, 50, 2000])
def test_nesting_of_any_depth_is_treated_to_its_bottom(depth, key, known):
    inner = [canary(0x00081010), canary(0x00081155), canary(0x0040A123)]
    elements = nested(depth, inner)
    raw = written(elements)
    read = Reader(memoryview(raw), 0, EXPLICIT).read()

    transform(read, key, known, profile("network"))

    out = written(read)
    assert leaks(out) == []
    assert out.count(b"\x08\x00\x15\x11SQ") == depth
