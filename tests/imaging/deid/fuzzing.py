"""Changed files through both passes, importable by the child whose time and memory are bounded."""

from __future__ import annotations

import random
import re
import resource
import struct
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from cases.errors import Quarantine
from cases.ports import PatientKey
from imaging.deid import dicom, part10, second_pass
from imaging.deid.elements import Encoding, Writer
from imaging.deid.known import KnownIdentity
from imaging.deid.objects import LeftOut
from tests.imaging.deid.conftest import EXPLICIT, NAME, PHONE, identified, nested

KEY = PatientKey(pseudonym="P-ABCDEFGHIJKLM", shift_days=-100, key_id="k1", secret=b"s" * 32)
KNOWN = KnownIdentity(names=(NAME,), phones=(PHONE,))
# whole words: a changed byte beside a name makes another word of it
SAID = re.compile(
    rb"(?<![A-Za-z0-9])(?:Canaryson\^Maria|Maria Canaryson|13812345678)(?![A-Za-z0-9])|" + "金丝雀".encode()
)
VRS = re.compile(b"LO|SH|PN|UI|DA|DT|TM|CS|LT|ST|UT|OB|OW|SQ|DS|IS")
TELLING = (0, 1, 2, 8, 0x10, 0x20, 0x28, 0x40, 0x7F, 0x80, 0xDD, 0xE0, 0xFE, 0xFF)


@dataclass(frozen=True)
class Found:
    """What became of the files, the longest time that one took (s), by how much the memory's peak grew (bytes), and
    which changes went wrong."""

    ends: Counter[str]
    slowest: float
    grown: int
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Original:
    """A file's head and its data set, inflated."""

    head: bytes
    body: bytes
    deflated: bool

    def with_body(self, body: bytes) -> bytes:
        return self.head + (b"".join(part10.deflated([body])) if self.deflated else body)


def originals() -> list[Original]:
    """One data set, identified in every attribute of the table and below three levels, in four encodings."""
    elements = sorted([*identified(), *nested(3, identified())], key=lambda e: e.tag)
    made = []
    for syntax, encoding in (
        (ExplicitVRLittleEndian, EXPLICIT),
        (ImplicitVRLittleEndian, Encoding(explicit=False)),
        (ExplicitVRBigEndian, Encoding(explicit=True, big=True)),
        (DeflatedExplicitVRLittleEndian, EXPLICIT),
    ):
        head = part10.written_head(CTImageStorage, "1.2.3.999.1", syntax)
        deflated = syntax == DeflatedExplicitVRLittleEndian
        made.append(Original(head, b"".join(Writer(encoding).chunks(elements)), deflated))
    return made


def changed(original: Original, chance: random.Random) -> bytes:
    """The file with one change or two: of bytes, of VRs, of lengths, of pieces."""
    made = bytearray(original.body)
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(made))
        what = chance.choices(("byte", "vr", "length", "cut", "twice", "end"), (8, 6, 3, 2, 2, 1))[0]
        vr = VRS.search(made, at)
        if what == "byte":
            made[at] = chance.choice(TELLING)
        elif what == "vr" and vr:
            made[vr.start() : vr.end()] = chance.choice(
                (b"SQ", b"UN", b"OB", b"FL", b"UI", b"DS", b"LO", b"ZZ")
            )
        elif what == "length" and vr:
            made[vr.end() : vr.end() + 2] = struct.pack(
                "<H", chance.choice((0, 1, 7, 0x7FFF, 0xFFFE, 0xFFFF))
            )
        elif what == "length":
            made[at : at + 4] = struct.pack("<L", chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)))
        elif what == "cut":
            del made[at : at + chance.randint(1, 40)]
        elif what == "twice":
            made[at:at] = made[at : at + chance.randint(1, 200)]
        elif what == "end":
            del made[at:]
    return original.with_body(bytes(made))


def fuzz(seed: int, count: int, profile: str) -> Found:
    """`count` changed files through both passes: what came out is looked through for the identity it had."""
    chance, ends, wrong, slowest = random.Random(seed), Counter[str](), [], 0.0
    files = originals()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.dcm", Path(folder) / "out.dcm"
        before = 0
        for number in range(count):
            source.write_bytes(changed(files[number % len(files)], chance))
            began = time.perf_counter()
            try:
                end = treated(source, target, profile)
            except Exception as error:
                wrong.append(f"{seed}/{number}: {type(error).__name__} {error}")
                continue
            finally:
                slowest = max(slowest, time.perf_counter() - began)
            ends[end] += 1
            if target.exists() and SAID.search(target.read_bytes()):
                wrong.append(f"{seed}/{number}: identity came out")
            target.unlink(missing_ok=True)
            if number == len(files) * 5:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return Found(ends, slowest, grown, tuple(wrong))


def treated(source: Path, target: Path, profile: str) -> str:
    """`clean`, or why it was withheld; as a worker does, a file that the second pass objects to does not stay."""
    try:
        dicom.deidentify_file(source, target, KEY, KNOWN, profile)
        second_pass.check(source, target, KNOWN, KEY.shift_days, profile)
    except (Quarantine, LeftOut) as why:
        target.unlink(missing_ok=True)
        return getattr(why, "code", "left-out")
    return "clean"
