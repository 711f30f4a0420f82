"""A configured converter: what it makes is looked at like anything a stranger sends, and it can do no harm."""

from __future__ import annotations

import fcntl
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile

from cases.errors import Quarantine
from imaging.slides import deid
from imaging.slides.convert import Converter, check_made, converted, converters
from imaging.slides.formats import accept
from imaging.slides.plan import write
from imaging.slides.sandbox import Ended, Limits, run
from teledx.samples.slide import make_slide
from tests.imaging.slides.conftest import BLOCK, NAME, NUMBER, STAIN

MARK = b"\xf1\x01\xee\xeeKFB\0" + bytes(56)
UNPACK = "import sys; open(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read()[64:])"
QUICK = Limits(seconds=20, memory=2 << 30, disk=64 << 20)


@pytest.fixture(scope="module")
def kfb(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that begins as a KFB, with a real slide behind its first 64 bytes."""
    path = tmp_path_factory.mktemp("kfb") / "slide.kfb"
    path.write_bytes(MARK + made.read_bytes())
    return path


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Converter]:
    """A converter of KFB that runs these lines of Python."""

    def make(lines: str, target: str = "{target}.svs") -> Converter:
        script = tmp_path / "kfb2svs.py"
        script.write_text(lines)
        return converters({"kfb": (sys.executable, "-I", str(script), "{source}", target)})["kfb"]

    return make


def test_a_converted_slide_goes_the_ordinary_way(
    kfb: Path, made: Path, program: Callable[..., Converter], tmp_path: Path
) -> None:
    with pytest.raises(Quarantine):
        accept(kfb)
    before = kfb.read_bytes()

    with converted(kfb, tmp_path / "cell", program(UNPACK), QUICK) as slide:
        assert check_made(slide.path, kfb, "kfb") == "svs"
        assert slide.path.read_bytes() == made.read_bytes()
        write(deid.plan_slide(slide.path), slide.path, tmp_path / "out.svs")

    deid.check_written(tmp_path / "out.svs", identity_values=(NAME, NUMBER))
    assert slide.by.startswith(Path(sys.executable).name)
    assert not (tmp_path / "cell").exists()
    assert kfb.read_bytes() == before


def test_the_converter_gets_a_copy_and_cannot_change_the_clinics_file(
    kfb: Path, program: Callable[..., Converter], tmp_path: Path
) -> None:
    lines = f"{UNPACK}; open(sys.argv[1], 'wb').write(b'gone')"

    with converted(kfb, tmp_path / "cell", program(lines), QUICK) as slide:
        assert slide.path.stat().st_size == kfb.stat().st_size - 64

    assert kfb.read_bytes().startswith(MARK)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("raise SystemExit(3)", "ended with code 3"),
        ("import os; os.abort()", "ended with code 134"),
        ("", "made no file"),
        ("import sys; [open(sys.argv[2] + str(n), 'w') for n in range(3)]", "made 3 files"),
        ("import os, sys; os.symlink('/etc/hostname', sys.argv[2])", "something else"),
        ("import os, sys; os.mkdir(sys.argv[2])", "something else"),
        ("bytearray(3 << 30)", "ended with code 1"),
    ],
    ids=["code", "signal", "nothing", "several", "link", "folder", "memory"],
)
def test_a_converter_that_fails_sets_the_slide_aside_and_says_why(
    lines: str, what: str, kfb: Path, program: Callable[..., Converter], tmp_path: Path
) -> None:
    with pytest.raises(Quarantine) as found, converted(kfb, tmp_path / "cell", program(lines), QUICK):
        pytest.fail("nothing was converted")

    assert found.value.code == "conversion-failed"
    assert what in found.value.detail
    assert found.value.detail.startswith("KFBIO KFB: ")
    assert not (tmp_path / "cell").exists()


def test_a_converter_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """A grandchild in a session of its own holds a lock; it is free again once nothing of it lives."""
    lock = tmp_path / "lock"
    lines = (
        "import fcntl, os, signal\n"
        f"held = open({str(lock)!r}, 'w')\n"
        "fcntl.flock(held, fcntl.LOCK_EX)\n"
        "if os.fork() == 0: os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open('started', 'w'); signal.pause()\n"
    )

    ended = run(
        (sys.executable, "-I", "-c", lines), tmp_path, Limits(seconds=2, memory=2 << 30, disk=1 << 20)
    )

    assert ended.why == "time"
    assert (tmp_path / "started").exists()
    _needs_closed(ended)
    with lock.open() as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_slide_whose_converter_hangs_is_set_aside(
    kfb: Path, program: Callable[..., Converter], tmp_path: Path
) -> None:
    hangs = program("import signal; signal.pause()")
    limits = Limits(seconds=1, memory=2 << 30, disk=64 << 20)

    with pytest.raises(Quarantine) as found, converted(kfb, tmp_path / "cell", hangs, limits):
        pytest.fail("nothing was converted")

    assert "longer than 1 s" in found.value.detail


@pytest.mark.parametrize(
    "lines",
    [
        "open('big', 'wb').write(bytes(200 << 20))",
        "for n in range(10**6): open(f'small{n}', 'wb').write(bytes(8 << 20))",
    ],
    ids=["one file", "many files"],
)
def test_a_converter_that_writes_too_much_is_stopped(
    lines: str, kfb: Path, program: Callable[..., Converter], tmp_path: Path
) -> None:
    limits = Limits(seconds=60, memory=2 << 30, disk=32 << 20)

    with pytest.raises(Quarantine) as found, converted(kfb, tmp_path / "cell", program(lines), limits):
        pytest.fail("nothing was converted")

    assert found.value.code == "conversion-failed"
    assert "wrote more" in found.value.detail or "ended with code" in found.value.detail


def _needs_closed(ended: Ended) -> None:
    if not ended.closed:
        pytest.skip("this kernel lets no program close its cell")


def _tried(lines: str, folder: Path, **options: tuple[Path, ...]) -> str:
    """What lines of Python found out in the cell: they write it into the file `found`."""
    ended = run((sys.executable, "-I", "-c", lines), folder, QUICK, **options)
    assert ended.code == 0, ended
    _needs_closed(ended)
    return (folder / "found").read_text()


def test_a_converter_reaches_no_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        lines = (
            "import socket\n"
            f"try: socket.create_connection({server.getsockname()!r}, 5).sendall(b'patient'); said = 'sent'\n"
            "except OSError as error: said = type(error).__name__\n"
            "open('found', 'w').write(said)\n"
        )

        assert _tried(lines, tmp_path) == "OSError"

        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_converter_writes_nowhere_but_in_its_folder(tmp_path: Path) -> None:
    other, own = tmp_path / "other", tmp_path / "own"
    own.mkdir()
    lines = (
        "said = []\n"
        f"for path in ({str(other)!r}, '/tmp/teledx-stray', '/dev/shm/teledx-stray', '/var/tmp/teledx-stray'):\n"
        "    try: open(path, 'w'); said.append(path)\n"
        "    except OSError: pass\n"
        "open('found', 'w').write(repr(said))\n"
    )

    assert _tried(lines, own) == "[]"
    assert not other.exists()


def test_a_converter_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither our environment, nor hidden folders and files, nor our processes; and it cannot undo that."""
    monkeypatch.setenv("TELEDX_SECRET_CANARY", "canary")
    keys, own = tmp_path / "keys", tmp_path / "own"
    keys.mkdir()
    own.mkdir()
    (keys / "k1.key").write_text("canary")
    (tmp_path / "one.key").write_text("canary")
    lines = (
        "import ctypes, os\n"
        f"ctypes.CDLL(None).umount2({str(keys).encode()!r}, 2)\n"
        "said = [os.environ.get('TELEDX_SECRET_CANARY'), sorted(os.environ)]\n"
        f"try: said.append(os.listdir({str(keys)!r}))\n"
        "except OSError: said.append([])\n"
        f"said.append(open({str(tmp_path / 'one.key')!r}).read())\n"
        "said.append(len([p for p in os.listdir('/proc') if p.isdigit()]) < 4)\n"
        "open('found', 'w').write(repr(said))\n"
    )

    found = _tried(lines, own, hidden=(keys, tmp_path / "one.key"))

    assert found == "[None, ['HOME', 'LANG', 'PATH', 'TMPDIR'], [], '', True]"
    assert (keys / "k1.key").read_text() == "canary"


def test_a_program_that_is_not_there_is_said_to_be_missing(kfb: Path, tmp_path: Path) -> None:
    absent = Converter(code="kfb", command=("/nowhere/kfb2svs", "{source}", "{target}"))

    with pytest.raises(Quarantine) as found, converted(kfb, tmp_path / "cell", absent, QUICK):
        pytest.fail("nothing was converted")

    assert "kfb2svs cannot be started" in found.value.detail


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("svs", ("/bin/x", "{source}", "{target}")),
        ("mirax", ("/bin/x", "{source}", "{target}")),
        ("vms", ("/bin/x", "{source}", "{target}")),
        ("docx", ("/bin/x", "{source}", "{target}")),
        ("kfb", ("x", "{source}", "{target}")),
        ("kfb", ("/bin/x", "{source}")),
        ("kfb", ("/bin/x", "{target}")),
        ("kfb", ()),
    ],
)
def test_a_converter_that_makes_no_sense_is_refused_when_it_is_named(
    code: str, command: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError):
        converters({code: command})


def _tiff(path: Path, levels: list[np.ndarray], *, mpp: float | None = 0.5) -> Path:
    scale: dict[str, Any] = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": 3} if mpp else {}
    with tifffile.TiffWriter(path) as writer:
        for number, pixels in enumerate(levels):
            writer.write(
                pixels, tile=(256, 256), photometric="rgb", compression="jpeg", metadata=None,
                subfiletype=int(number > 0), **(scale if number == 0 else {}),
            )  # fmt: skip
    return path


def _refused(made: Path, source: Path) -> str:
    with pytest.raises(Quarantine) as found:
        check_made(made, source, "kfb")
    assert found.value.code == "conversion-failed"
    return found.value.detail


def test_what_is_no_slide_at_all_is_no_result(kfb: Path, tmp_path: Path) -> None:
    for content in (b"hello", b"II*\0\xff\xff\xff\xff", MARK, b""):
        made = tmp_path / "made"
        made.write_bytes(content)

        assert "which is not taken" in _refused(made, kfb)


def _glass() -> np.ndarray:
    return np.full((2048, 2048, 3), 243, np.uint8)


def _tissue() -> np.ndarray:
    import skimage.data

    picture = _glass()
    picture[512:1536, 512:1536] = np.tile(np.asarray(skimage.data.immunohistochemistry()), (2, 2, 1))
    return picture


def test_a_result_is_as_good_as_its_source_or_none(kfb: Path, tmp_path: Path) -> None:
    glass, tissue = _glass(), _tissue()
    cases = {
        "blank": [glass, glass[::2, ::2]],
        "something else": [glass, tissue[::2, ::2]],
        "how large its pixels are": [tissue, tissue[::2, ::2]],
    }
    for what, levels in cases.items():
        mpp = None if what.startswith("how large") else 0.5
        assert what in _refused(_tiff(tmp_path / f"{len(what)}.tiff", levels, mpp=mpp), kfb)
    good = _tiff(tmp_path / "good.tiff", [tissue, tissue[::2, ::2]])
    assert check_made(good, kfb, "kfb") == "generic-tiff"

    large = tmp_path / "large.kfb"
    with large.open("wb") as out:
        out.truncate(100 << 20)
    assert "too small for its source" in _refused(good, large)


def test_a_result_is_held_against_a_source_that_can_be_read(tmp_path: Path) -> None:
    """Where OpenSlide reads the source too, size in pixels and microns per pixel must be the source's."""
    source = make_slide(
        tmp_path / "a.svs",
        size=1_000_000,
        pathology_number=NUMBER,
        block=BLOCK,
        stain=STAIN,
        patient_name=NAME,
    )
    with openslide.OpenSlide(source) as opened:
        width, height = opened.dimensions
        mpp = float(opened.properties["openslide.mpp-x"])
        pixels = np.asarray(opened.read_region((0, 0), 0, (width, height)).convert("RGB"))
    cut = pixels[: height // 2]

    assert check_made(_tiff(tmp_path / "same.tiff", [pixels], mpp=mpp), source, "ndpi") == "generic-tiff"
    wrong = {"another size": (cut, mpp), "pixels are of another size": (pixels, 2 * mpp)}
    for what, (shown, scale) in wrong.items():
        made = _tiff(tmp_path / f"{len(what)}.tiff", [shown], mpp=scale)
        with pytest.raises(Quarantine) as found:
            check_made(made, source, "ndpi")
        assert what in found.value.detail
