"""What a reading needs, looked at before and after: a loss withholds the file instead of passing unnoticed."""

from __future__ import annotations

from collections.abc import Mapping

from cases.errors import Quarantine
from imaging.deid.elements import PIXEL_DATA, DataSet

# tag | what a reader calls it | whether the value itself stays (else: a value stays)
NEEDED: tuple[tuple[int, str, bool], ...] = (
    (0x00080060, "modality", True),
    (0x00080008, "image type", True),
    (0x00100040, "sex", True),
    (0x00101010, "age", False),
    (0x00180015, "body part examined", True),
    (0x00200060, "laterality", True),
    (0x00200062, "image laterality", True),
    (0x00180010, "contrast agent", False),
    (0x00185101, "view position", True),
    (0x00185100, "patient position", True),
    (0x00200020, "patient orientation", True),
    (0x00180050, "slice thickness", True),
    (0x00180088, "spacing between slices", True),
    (0x00280030, "pixel spacing", True),
    (0x00181164, "imager pixel spacing", True),
    (0x00200032, "image position", True),
    (0x00200037, "image orientation", True),
    (0x00201041, "slice location", True),
    (0x00200011, "series number", True),
    (0x00200013, "instance number", True),
    (0x00280008, "number of frames", True),
    (0x00281052, "rescale intercept", True),
    (0x00281053, "rescale slope", True),
    (0x00281050, "window center", True),
    (0x00281051, "window width", True),
    (0x0020000D, "study", False),
    (0x0020000E, "series", False),
    (0x00080018, "instance", False),
    (0x00080020, "study date", False),
)
_NEEDED_SEQUENCES: tuple[tuple[int, str], ...] = (
    (0x00186011, "ultrasound regions"),
    (0x00400560, "specimen description"),
    (0x00480105, "optical paths"),
    (0x52009229, "shared functional groups"),
    (0x52009230, "per-frame functional groups"),
)
_AGE = 0x00101010


def needed(elements: DataSet) -> Mapping[str, str]:
    """What the reading needs of a data set, by its name: values, and how many items a sequence has."""
    here = {e.tag: e for e in elements}
    found = {
        name: bytes(here[tag].value).decode("latin-1").strip(" \0") if tag in here else ""
        for tag, name, _ in NEEDED
    }
    found |= {
        name: str(len(here[tag].items or ()) or "") if tag in here else "" for tag, name in _NEEDED_SEQUENCES
    }
    found["pixel data"] = "present" if PIXEL_DATA in here else ""
    return found


_EXACT = frozenset(
    [name for _, name, exact in NEEDED if exact] + [name for _, name in _NEEDED_SEQUENCES] + ["pixel data"]
)


def losses(before: Mapping[str, str], after: Mapping[str, str], *, age: str | None = None) -> tuple[str, ...]:
    """Which of the things needed are gone or other than they were; `age` is what could be computed."""
    lost = [
        name
        for name, value in before.items()
        if value and (after[name] != value if name in _EXACT else not after[name])
    ]
    if age and not after["age"]:
        lost.append("age")
    return tuple(dict.fromkeys(lost))


def require(before: Mapping[str, str], after: Mapping[str, str], *, age: str | None = None) -> None:
    """:raises Quarantine: `reading-loss`, naming what was lost, never its value."""
    if lost := losses(before, after, age=age):
        raise Quarantine("reading-loss", f"lost or changed: {', '.join(lost)}")
