"""The slides of vendors that tests make, as one table: what each of them is, shows and says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from imaging.slides.formats import SUFFIXES
from tests.imaging.slides import mirax_slide, philips_slide, vendors
from tests.imaging.slides.conftest import NAME, NUMBER
from tests.imaging.slides.vendors import Pixels

# OpenSlide makes three more levels of an NDPI's smallest one, by the scales of JPEG.
SIZES = ((2048, 1536), (1024, 768), (512, 384), (256, 192), (128, 96), (64, 48))


@dataclass(frozen=True, kw_only=True)
class Form:
    """A made slide: its format, its maker's name in OpenSlide, its levels in pixels and its scale.

    `levels` is empty where OpenSlide puts areas on a plane as large as the glass.
    `label` is what shows the label while the slide is in the region. `says` are words of it beside the canaries;
    `removed` some of what the plan must name; `told` properties that must stay beside scale and places. `pages` are
    those of the levels (first in the source, first in what leaves, how many); `gone` are pictures that must not leave.
    """

    code: str
    make: Callable[[Path], Path]
    vendor: str
    levels: tuple[tuple[int, int], ...]
    mpp: float
    associated: frozenset[str]
    label: Callable[[], Pixels]
    removed: frozenset[str]
    says: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    pages: tuple[int, int, int] = (0, 0, 0)
    gone: Callable[[], tuple[bytes, ...]] = tuple
    canaries: tuple[str, ...] = field(default=vendors.CANARIES)

    def at(self, folder: Path) -> Path:
        return self.make(folder / f"slide{SUFFIXES[self.code]}")


def _labels() -> tuple[bytes, ...]:
    return vendors.jpeg(vendors.label_on_glass()), vendors.jpeg(vendors.label_on_glass(600, 200))


def _ndpi(*, starts: bool) -> Form:
    return Form(
        code="ndpi", make=partial(vendors.ndpi, starts=starts), vendor="hamamatsu", levels=SIZES, mpp=10000 / 45440,
        associated=frozenset({"macro"}), label=vendors.label_on_glass, says=("C13220", "NDP.scan", "f00dfacebeef"),
        removed=frozenset({"macro image (1200x400)", "map image (160x60)", "tag: serial number"}),
        told=("hamamatsu.XOffsetFromSlideCentre",), pages=(0, 0, 3), gone=lambda: _labels()[:1],
    )  # fmt: skip


def _scn(areas: int) -> Form:
    return Form(
        code="leica-scn", make=partial(vendors.scn, areas=areas), vendor="leica", mpp=0.5,
        levels=(),
        associated=frozenset({"macro"}), label=partial(vendors.label_on_glass, 512, 1479),
        removed=frozenset({"macro or further image (512x1479)", "key: barcode", "key: device"}),
        says=("SCN400", "1.4.0.9691", "7d1b0c7e", "creationDate", "barcode"), told=("leica.aperture",),
        pages=(1, 0, 3 * areas), gone=lambda: tuple(vendors.tiles(vendors.label_on_glass(512, 1479), 256)),
    )  # fmt: skip


def _bif(across: int, down: int) -> Form:
    size = (2048 - 7 * across, 1536 - 5 * down)
    return Form(
        code="ventana-bif", make=partial(vendors.bif, overlap=(across, down)), vendor="ventana", mpp=0.465,
        levels=(size,), associated=frozenset({"macro", "thumbnail"}), label=vendors.label_on_glass,
        removed=frozenset({"macro image (1200x400)", "thumbnail (600x200)", "key: Barcode1D"}),
        says=("ScanOutputManager", "Barcode1D", "SlideAnnotation", "SlideInfo"), pages=(2, 1, 3), gone=_labels,
    )  # fmt: skip


def _mirax(layer: str) -> Form:
    def make(path: Path) -> Path:
        made = mirax_slide.parts()
        made.layer = layer
        return mirax_slide.write_mirax(path, made)

    return Form(
        code="mirax", make=make, vendor="mirax", levels=((2000, 1504), (1000, 752), (500, 376), (250, 188)),
        mpp=mirax_slide.MPP, associated=frozenset({"label", "macro", "thumbnail"}), label=vendors.label_on_glass,
        removed=frozenset({"label image", "macro image", "preview", "key: SLIDE_NAME"}), gone=lambda: _labels()[:1],
        says=("SlideBarcode", "SLIDE_CREATIONDATETIME", "NOTES"), canaries=mirax_slide.CANARIES,
    )  # fmt: skip


FORMS: dict[str, Form] = {
    "ndpi": _ndpi(starts=True),
    "ndpi without starts": _ndpi(starts=False),
    "scn": _scn(1),
    "scn of two areas": _scn(2),
    "bif": _bif(10, 6),
    "bif without overlap": _bif(0, 0),
    "bif of columns": _bif(31, 0),
    "philips": Form(
        code="philips-tiff", make=philips_slide.write_philips, vendor="philips", levels=SIZES[:5], mpp=0.226907,
        associated=frozenset({"label", "macro"}), label=philips_slide.label, pages=(0, 0, 5),
        removed=frozenset({"label image (640x480)", "macro image (800x300)", "key: PIM_DP_UFS_BARCODE"}),
        says=("LABELIMAGE", "MACROIMAGE", "UFS_BARCODE"), canaries=(NAME, NUMBER, *philips_slide.CANARIES),
    ),
    "mirax": _mirax("VIMSLIDE_POSITION_BUFFER"),
    "mirax, stitched": _mirax("StitchingIntensityLayer"),
    "mirax, in rows": _mirax(""),
}  # fmt: skip
