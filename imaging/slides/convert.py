"""Slides in formats that cannot be taken, converted by a program that the operator names, and then looked at.

The program gets a copy and a folder, and nothing else (`sandbox.py`). Whatever it makes is believed as little as what
a clinic drops: it must be a slide of a format that is taken, as large as its source, with its scale and with tissue.
De-identification and the second pass follow as for any other slide.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from cases.errors import Quarantine
from imaging.slides import look
from imaging.slides.check import LEAST_TISSUE, microns_per_pixel
from imaging.slides.formats import FORMATS, recognise
from imaging.slides.sandbox import Ended, Limits, run

PLACEHOLDERS = ("{source}", "{target}")
# Of one file, not a folder of them: what a converter may make.
MADE_FORMATS = ("svs", "generic-tiff", "philips-tiff")
# A slide's file takes at most this many bytes for each of its pixels, and this many beside them: a result of fewer
# pixels is a thumbnail of the source.
BYTES_PER_PIXEL, BYTES_BESIDE = 12, 32 << 20
SCALE_SLACK, SIZE_SLACK = 0.02, 0.02
SAMPLES, SAMPLE_SIDE = 24, 256
# Grey values by which a region at full size may differ from the overview, on average over the samples.
MOST_APART, LEAST_CONTRAST = 30.0, 2.0
# Slides that are a folder of files: what is received of them is an index alone.
_OF_SEVERAL_FILES = ("mirax-part", "vms", "ets")
# Source formats that OpenSlide reads, so that the result can be held against the source itself.
_READABLE = ("ndpi", "ventana-bif", "leica-scn", "trestle", "czi")


@dataclass(frozen=True, kw_only=True)
class Converter:
    """The program for one format: its absolute path and arguments, `{source}` and `{target}` among them."""

    code: str
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        return Path(self.command[0]).name

    def filled(self, source: Path, target: Path) -> tuple[str, ...]:
        return tuple(
            part.replace("{source}", str(source)).replace("{target}", str(target)) for part in self.command
        )


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What a converter made, and by what it was made, in words without identity."""

    path: Path
    by: str


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Which converters there are, by the format that they read, and what all of them are held to."""

    by_format: Mapping[str, Converter] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    hidden: tuple[Path, ...] = ()

    def of(self, slide: Path) -> Converter | None:
        """The converter for a file, by its content; None if none is needed, or there is none.

        :raises Quarantine: `file-damaged` if it begins as a TIFF and is none.
        """
        found = recognise(slide) if self.by_format else None
        return self.by_format.get(found.code) if found else None


def converters(told: Mapping[str, Sequence[str]]) -> dict[str, Converter]:
    """The converters that a setting names, by format.

    :raises ValueError: saying what is wrong with the setting.
    """
    for code, command in told.items():
        codes = [c for c, f in FORMATS.items() if not f.accepted and c not in _OF_SEVERAL_FILES]
        if code not in codes:
            raise ValueError(f"'{code}' is no format that can be converted; those are {', '.join(codes)}")
        if not command or not Path(command[0]).is_absolute():
            raise ValueError(f"the converter of {code} is not named by its absolute path")
        if not all(any(p in part for part in command) for p in PLACEHOLDERS):
            raise ValueError(
                f"the converter of {code} needs {' and '.join(PLACEHOLDERS)} among its arguments"
            )
    return {code: Converter(code=code, command=tuple(command)) for code, command in told.items()}


def failed(code: str, what: str) -> Quarantine:
    return Quarantine("conversion-failed", f"{FORMATS[code].name}: {what}")


@contextmanager
def converted(
    source: Path, folder: Path, converter: Converter, limits: Limits, hidden: tuple[Path, ...] = ()
) -> Iterator[Converted]:
    """The slide that the converter makes of `source`, for the length of the block; `folder` is made and goes again.

    :raises Quarantine: `conversion-failed` if it fails, hangs, writes too much, nothing, or more than one file.
    """
    made = folder / "made"
    made.mkdir(parents=True)
    try:
        copy = folder / f"source.{converter.code}"
        shutil.copyfile(source, copy)
        room = Limits(seconds=limits.seconds, memory=limits.memory, disk=limits.disk + copy.stat().st_size)
        ended = run(converter.filled(copy, made / "slide"), folder, room, hidden)
        _require_success(converter, ended, limits)
        copy.unlink(missing_ok=True)
        network = "without network" if ended.closed else "the network could not be closed"
        yield Converted(path=_only_file(converter, made), by=f"{converter.name} ({network})")
    finally:
        shutil.rmtree(folder)


def _require_success(converter: Converter, ended: Ended, limits: Limits) -> None:
    if ended.why == "time":
        raise failed(converter.code, f"{converter.name} took longer than {limits.seconds:.0f} s")
    if ended.why == "disk":
        raise failed(converter.code, f"{converter.name} wrote more than {limits.disk} bytes")
    if ended.code == 127:
        raise failed(converter.code, f"{converter.name} cannot be started")
    if ended.code:
        raise failed(converter.code, f"{converter.name} ended with code {ended.code}")


def _only_file(converter: Converter, made: Path) -> Path:
    found = list(made.iterdir())
    if not found:
        raise failed(converter.code, f"{converter.name} made no file")
    if len(found) > 1:
        raise failed(converter.code, f"{converter.name} made {len(found)} files, and one is needed")
    if not stat.S_ISREG(found[0].lstat().st_mode):
        raise failed(converter.code, f"{converter.name} made no file, but something else")
    return found[0]


def check_made(made: Path, source: Path, code: str) -> str:
    """Whether a converter's result is the slide that its source is; the format that it is in.

    Runs in a killable child: OpenSlide is native code.

    :raises Quarantine: `conversion-failed` with what is wrong.
    """
    try:
        found = recognise(made)
    except Quarantine:
        found = None
    if found is None or found.code not in MADE_FORMATS:
        raise failed(code, f"the result is {found.name if found else 'no slide'}, which is not taken")
    try:
        with openslide.OpenSlide(made) as slide:
            _require_size(slide, source, code)
            _require_tissue(slide, code)
            if code in _READABLE:
                with openslide.OpenSlide(source) as original:
                    _require_same(slide, original, code)
    except (openslide.OpenSlideError, OSError, ValueError) as error:
        raise failed(code, "the result cannot be opened or decoded") from error
    return found.code


def _require_size(slide: openslide.OpenSlide, source: Path, code: str) -> None:
    width, height = slide.dimensions
    if source.stat().st_size > BYTES_PER_PIXEL * width * height + BYTES_BESIDE:
        raise failed(code, f"the result of {width} x {height} pixels is too small for its source")
    if microns_per_pixel(slide) is None:
        raise failed(code, "the result does not say how large its pixels are")


def _require_tissue(slide: openslide.OpenSlide, code: str) -> None:
    """Tissue in the overview, and at full size the same where the overview shows it."""
    picture = look.overview(slide)
    found = look.tissue(picture)
    if float(found.mean()) < LEAST_TISSUE:
        raise failed(code, "the result is blank")
    small = np.asarray(picture.convert("L"), dtype=np.float64)
    rows, columns = np.nonzero(found)
    chosen = np.unique(np.linspace(0, len(rows) - 1, SAMPLES).astype(int))
    scale = slide.dimensions[0] / picture.width
    apart, contrasts = [], []
    for row, column in zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True):
        at = (int((column + 0.5) * scale) - SAMPLE_SIDE // 2, int((row + 0.5) * scale) - SAMPLE_SIDE // 2)
        seen = _region(slide, at)
        reach = max(1, round(SAMPLE_SIDE / 2 / scale))
        part = small[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        apart.append(abs(float(seen.mean()) - float(part.mean())))
        contrasts.append(float(seen.std()))
    if float(np.mean(apart)) > MOST_APART or float(np.max(contrasts)) < LEAST_CONTRAST:
        raise failed(code, "the result shows at full size something else than in its overview")


def _region(slide: openslide.OpenSlide, at: tuple[int, int]) -> np.ndarray:
    region = slide.read_region(at, 0, (SAMPLE_SIDE, SAMPLE_SIDE))
    white = Image.new("RGB", region.size, "white")
    white.paste(region, mask=region.getchannel("A"))
    return np.asarray(white.convert("L"), dtype=np.float64)


def _require_same(slide: openslide.OpenSlide, original: openslide.OpenSlide, code: str) -> None:
    """As large as the source, in pixels and in microns, where OpenSlide can read both."""
    stated, scale = microns_per_pixel(original), microns_per_pixel(slide)
    if stated and scale and any(abs(a / b - 1) > SCALE_SLACK for a, b in zip(scale, stated, strict=True)):
        raise failed(code, "the result's pixels are of another size than the source's")
    sizes = zip(slide.dimensions, original.dimensions, strict=True)
    if any(abs(a / b - 1) > SIZE_SLACK for a, b in sizes):
        raise failed(code, "the result has another size than the source")
