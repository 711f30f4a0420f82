"""Two hundred drops made to do harm: each is a name, its files, and its order as bytes; the same each time."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pydicom
from pydicom.uid import generate_uid

from teledx.samples import orders, studies
from tests.imaging.dicom.samples import TEST_FILES, nested

PATIENT = orders.PATIENTS[0]
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
NUMBER, BLOCK, STAIN = "S26-01234", "A1", "HE"
TINY_FILES = 10_000


@dataclass(frozen=True)
class Hostile:
    """One drop."""

    name: str
    files: dict[str, bytes]
    order: bytes


def ct(**changes: Any) -> bytes:
    return studies.single("CT_small.dcm", PATIENT, station="CT1", at=AT, **changes)


def ordered(name: str, files: dict[str, bytes], service: str = "ct", **changes: Any) -> Hostile:
    """A drop whose order is good and whose files are not."""
    lines = [orders.file_line(file, content) for file, content in files.items()]
    order = orders.order(service, PATIENT, lines, accession_number=f"H-{name}"[:64], **changes)
    return Hostile(name, files, order.model_dump_json().encode())


# ---------------------------------------------------------------- orders


def bad_orders() -> Iterator[Hostile]:
    image = ct()
    files = {"a.dcm": image}
    good = json.loads(ordered("order", files).order)
    for number, (path, value) in enumerate(_BAD_VALUES):
        told = copy.deepcopy(good) | {"accession_number": f"H-order-{number}"}
        _put(told, path, value)
        yield Hostile(f"order-{number}-{path[-1]}", files, json.dumps(told).encode())
    raw = {
        "empty": b"",
        "null": b"null",
        "list": b"[]",
        "number": b"1e999999",
        "not-json": b"{'a': 1}",
        "half": ordered("half", files).order[:300],
        "gb18030": json.dumps(good, ensure_ascii=False).encode("gb18030"),
        "utf16": json.dumps(good, ensure_ascii=False).encode("utf-16"),
        "bom": b"\xef\xbb\xbf" + json.dumps(good | {"accession_number": "H-bom"}).encode(),
        "deep": b'{"a":' * 50_000,
        "deep-list": json.dumps(good).encode()[:-1] + b',"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        "huge": b" " * (17 << 20),
        "same-key-twice": json.dumps(good).encode()[:-1] + b',"patient":{}}',
        "nul": b"\0" * 1000,
        "many-files": json.dumps(good | {"files": [f"f{n}" for n in range(30_000)]}).encode(),
    }
    for name, content in raw.items():
        yield Hostile(f"order-{name}", files, content)


_LONG = "x" * 100_000
# where in the order, and what stands there
_BAD_VALUES: tuple[tuple[tuple[str | int, ...], Any], ...] = (
    (("files", 0, "name"), "../../../etc/passwd"),
    (("files", 0, "name"), "/etc/passwd"),
    (("files", 0, "name"), "a\nb.dcm"),
    (("files", 0, "name"), "a\r\nSet-Cookie: x"),
    (("files", 0, "name"), "a\x00.dcm"),
    (("files", 0, "name"), "a\\..\\b.dcm"),
    (("files", 0, "name"), "order.json"),
    (("files", 0, "name"), "a//b"),
    (("files", 0, "name"), "."),
    (("files", 0, "name"), _LONG),
    (("files", 0, "name"), "\u202egnp.mcd"),
    (("files", 0, "name"), "receipt.json"),
    (("files", 0, "size"), -1),
    (("files", 0, "size"), 2**70),
    (("files", 0, "size"), 1.5),
    (("files", 0, "size"), "many"),
    (("files", 0, "sha256"), "0" * 64),
    (("files", 0, "sha256"), "z" * 64),
    (("files",), []),
    (("files",), {}),
    (("files",), None),
    (("accession_number",), "a\nb"),
    (("accession_number",), "a\x00b"),
    (("accession_number",), ""),
    (("accession_number",), _LONG),
    (("patient", "name"), "王\x00秀英"),
    (("patient", "name"), "\ud800"),
    (("patient", "name"), _LONG),
    (("patient", "name"), "<script>alert(1)</script>"),
    (("patient", "name"), "'; DROP TABLE cases; --"),
    (("patient", "identifiers"), []),
    (("patient", "identifiers", 0, "value"), "\x00"),
    (("patient", "birth_date"), "0000-00-00"),
    (("patient", "birth_date"), "9999-12-31"),
    (("patient", "birth_date"), "19580314"),
    (("patient", "sex"), "M"),
    (("clinical_question",), "\x00"),
    (("clinical_question",), "\U0010ffff" * 4000),
    (("history",), "\x1b[2J\x07" * 100),
    (("service",), "../ct"),
    (("service",), "no-such-service"),
    (("wished_partner",), "nobody"),
    (("scanning_site",), "nobody"),
    (("priority",), "immediately"),
    (("version",), "2"),
    (("consent", "document_sha256"), "no"),
    (("callback", "phone"), "1" * 1000),
    (("slides",), [{"file": "a.dcm"}]),
    (("first_diagnosis",), {"text": "x", "doctor": "y", "made_at": "+292277026596-12-04"}),
    (("allergies",), ["x"] * 50_000),
)


def _put(told: Any, path: tuple[str | int, ...], value: Any) -> None:
    for step in path[:-1]:
        told = told[step]
    told[path[-1]] = value


# ---------------------------------------------------------------- DICOM


def bad_instances() -> Iterator[Hostile]:
    dice = random.Random(20261120)
    whole = ct()
    for number in range(20):
        at = dice.randrange(len(whole))
        yield ordered(f"cut-{number}", {"a.dcm": whole[:at]})
    for number in range(25):
        yield ordered(f"flipped-{number}", {"a.dcm": _flipped(ct(), dice)})
    for number in range(10):
        yield ordered(f"overwritten-{number}", {"a.dcm": _overwritten(ct(), dice)})
    for depth in (500, 100_000):
        for explicit in (True, False):
            for undefined in (True, False):
                content = nested(depth, explicit=explicit, undefined=undefined)
                yield ordered(f"nested-{depth}-{explicit}-{undefined}", {"a.dcm": content})
    for name, make in _BAD_INSTANCES.items():
        yield ordered(name, make())


def _flipped(content: bytes, dice: random.Random) -> bytes:
    """Some bits of the header turned over."""
    changed = bytearray(content)
    for _ in range(dice.randrange(1, 30)):
        at = dice.randrange(132, min(len(changed), 6000))
        changed[at] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _overwritten(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    at, length = dice.randrange(132, 5000), dice.randrange(1, 2000)
    changed[at : at + length] = dice.randbytes(length)
    return bytes(changed)


def _with(**changes: Any) -> bytes:
    return ct(**changes)


def _raw_uid(uid: bytes) -> dict[str, bytes]:
    """An instance whose SOP Instance UID is these bytes, in the data set and in the file meta."""
    marker = generate_uid()
    content = ct()
    own = pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID
    assert len(marker) == len(own) or own
    return {"a.dcm": content.replace(own.encode(), uid.ljust(len(own), b"\0")[: len(own)])}


def _deflated_bomb() -> bytes:
    """A deflated data set of half a gigabyte of one element."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bytearray(packer.compress(struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 512 << 20)))
    zeros = bytes(1 << 20)
    for _ in range(512):
        packed += packer.compress(zeros)
    packed += packer.flush()
    meta = (TEST_FILES / "image_dfl.dcm").read_bytes()
    length = 144 + struct.unpack("<I", meta[140:144])[0]
    return meta[:length] + bytes(packed)


def _two(first: bytes, second: bytes) -> dict[str, bytes]:
    return {"a.dcm": first, "b.dcm": second}


def _same_uid() -> dict[str, bytes]:
    content = ct()
    return _two(content, content[:-2] + b"\x01\x02")


_BAD_INSTANCES: dict[str, Callable[[], dict[str, bytes]]] = {
    "uid-letters": lambda: _raw_uid(b"1.2.abc"),
    "uid-dots": lambda: _raw_uid(b"1..2"),
    "uid-path": lambda: _raw_uid(b"../../../etc/passwd"),
    "uid-newline": lambda: _raw_uid(b"1.2\n3.4"),
    "uid-empty": lambda: _raw_uid(b""),
    "same-uid-other-bytes": _same_uid,
    "rows-65535": lambda: {"a.dcm": _with(Rows=65535, Columns=65535)},
    "rows-0": lambda: {"a.dcm": _with(Rows=0, Columns=0)},
    "frames-many": lambda: {"a.dcm": _with(NumberOfFrames=2_000_000_000)},
    "bits-64": lambda: {"a.dcm": _with(BitsAllocated=64, BitsStored=64, HighBit=63)},
    "samples-9": lambda: {"a.dcm": _with(SamplesPerPixel=9)},
    "no-pixels": lambda: {"a.dcm": _with(PixelData=b"")},
    "charset-unknown": lambda: {"a.dcm": ct().replace(b"GB18030 ", b"NOSUCH  ")},
    "modality-newline": lambda: {"a.dcm": _with(Modality="C\nT")},
    "deflated-bomb": lambda: {"a.dcm": _deflated_bomb()},
    "truncated-meta": lambda: {"a.dcm": bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\xff\xff\xff\x7f"},
    "only-magic": lambda: {"a.dcm": bytes(128) + b"DICM"},
}


# ---------------------------------------------------------------- archives


def _zip(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _zip_of_links() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("a.dcm")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return packed.getvalue()


def _bomb(mebibytes: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.dcm", "w") as out:
        for _ in range(mebibytes):
            out.write(bytes(1 << 20))
    return packed.getvalue()


def _overlapping() -> bytes:
    """A thousand entries that all are the same bytes of the archive."""
    one = _bomb(8)
    start = one.rindex(b"PK\x01\x02")
    directory, end = one[start : one.rindex(b"PK\x05\x06")], one[one.rindex(b"PK\x05\x06") :]
    count = 1000
    sizes = struct.pack("<HHII", count, count, len(directory) * count, start)
    return one[:start] + directory * count + end[:8] + sizes + end[20:]


def _changed_size() -> bytes:
    """An entry that says that it is a terabyte."""
    packed = bytearray(_zip({"a.dcm": ct()}))
    at = packed.rindex(b"PK\x01\x02")
    packed[at + 24 : at + 28] = b"\xfe\xff\xff\xff"
    return bytes(packed)


def bad_archives() -> Iterator[Hostile]:
    good = _zip({"a.dcm": ct()})
    dice = random.Random(7)
    made = {
        "zip-bomb": _bomb(1024),
        "zip-overlapping": _overlapping(),
        "zip-traversal": _zip({"../../a.dcm": ct()}),
        "zip-absolute": _zip({"/etc/cron.d/a": ct()}),
        "zip-backslash": _zip({"..\\..\\a.dcm": ct()}),
        "zip-newline": _zip({"a\nb.dcm": ct()}),
        "zip-link": _zip_of_links(),
        "zip-nested": _zip({"a.zip": _zip({"b.zip": _zip({"c.zip": _bomb(64)})})}),
        "zip-empty": _zip({}),
        "zip-many": _zip({f"{n:06d}": b"" for n in range(30_000)}, zipfile.ZIP_STORED),
        "zip-lying": _changed_size(),
        "zip-cut": good[: len(good) // 2],
        "zip-crc": good[:200] + bytes([good[200] ^ 1]) + good[201:],
        "zip-locked": good.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
    }
    for name, content in made.items():
        yield ordered(name, {"a.zip": content})
    for number in range(6):
        yield ordered(f"zip-flipped-{number}", {"a.zip": _overwritten(good, dice)})


# ---------------------------------------------------------------- slides and others


def bad_slides(whole: bytes) -> Iterator[Hostile]:
    dice = random.Random(11)
    line = orders.slide_line("a.svs", pathology_number=NUMBER, block=BLOCK, stain=STAIN)

    def drop(name: str, content: bytes) -> Hostile:
        return ordered(name, {"a.svs": content}, "histology", slides=[line])

    first = struct.unpack("<I", whole[4:8])[0]
    for number in range(5):
        yield drop(f"slide-cut-{number}", whole[: dice.randrange(100, len(whole))])
    for number in range(8):
        changed = bytearray(whole)
        for _ in range(6):
            changed[first + dice.randrange(300)] ^= 1 << dice.randrange(8)
        yield drop(f"slide-flipped-{number}", bytes(changed))
    yield drop("slide-directory-loop", _looping(whole, first))
    yield drop("slide-directory-outside", whole[:4] + b"\xff\xff\xff\x7f" + whole[8:])
    yield drop("slide-many-entries", whole[:first] + b"\xff\xff" + whole[first + 2 :])


def _looping(whole: bytes, first: int) -> bytes:
    """The first directory's next one is the first directory."""
    entries = struct.unpack("<H", whole[first : first + 2])[0]
    at = first + 2 + 12 * entries
    return whole[:at] + struct.pack("<I", first) + whole[at + 4 :]


def other_files() -> Iterator[Hostile]:
    made = {
        "empty": b"",
        "one-byte": b"\0",
        "elf": b"\x7fELF" + bytes(500),
        "html": b"<html><script>alert(1)</script></html>",
        "text": "患者王秀英".encode(),
        "zeros": bytes(100_000),
        "noise": random.Random(3).randbytes(100_000),
        "jpeg-cut": b"\xff\xd8\xff\xe0" + bytes(100),
        "png-cut": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "gzip": b"\x1f\x8b\x08" + bytes(50),
        "pdf": b"%PDF-1.7\n" + bytes(50),
        "dicomdir": (TEST_FILES / "DICOMDIR").read_bytes() if (TEST_FILES / "DICOMDIR").exists() else b"DICM",
    }
    for name, content in made.items():
        yield ordered(f"file-{name}", {"a.dcm": content})
    yield ordered("name-of-ours", {"receipt.json/a.dcm": ct()})
    yield ordered("name-long", {"x/" * 200 + "a.dcm": ct()})
    yield ordered("name-odd", {" a ?#%2e&=+;.dcm": ct()})
    yield ordered("no-question", {"a.dcm": ct()}, clinical_question=" ")
    yield ordered("other-service", {"a.dcm": ct()}, "mr")
    yield ordered("slide-as-ct", {"a.dcm": b"II*\0" + bytes(2000)})
    yield ordered("tiny-files", {f"{n:05d}": f"{n}".encode() for n in range(TINY_FILES)})


def all_of_them(slide: bytes) -> list[Hostile]:
    """Two hundred and some."""
    return [*bad_orders(), *bad_instances(), *bad_archives(), *bad_slides(slide), *other_files()]
