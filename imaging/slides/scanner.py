"""Which scanner made a slide and when, for the figures of equipment use; read while it is still in the region."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import openslide

from cases.errors import Quarantine

# Properties in which scanners name themselves, best first (OpenSlide's names).
_STATION = (
    "aperio.ScanScope ID", "dicom.DeviceSerialNumber", "hamamatsu.NDP.S/N", "leica.device-model", "ventana.UnitNumber",
    "philips.DICOM_DEVICE_SERIAL_NUMBER", "tiff.HostComputer", "mirax.GENERAL.SCANNER_HARDWARE_ID",
    "mirax.NONHIERLAYER_0_SECTION.SCANNER_HARDWARE_ID", "mirax.NONHIERLAYER_1_SECTION.SCANNER_HARDWARE_ID",
)  # fmt: skip
# Day and time of day, or both in the first; and how they are written.
_MONTH_FIRST = ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")
_DATES = (
    ("aperio.Date", "aperio.Time", _MONTH_FIRST),
    ("philips.DICOM_ACQUISITION_DATETIME", "", ("%Y%m%d%H%M%S.%f", "%Y%m%d%H%M%S")),
    ("mirax.GENERAL.SLIDE_CREATIONDATETIME", "", ("%d/%m/%Y %H:%M:%S",)),
)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The scanner's own name (empty if it gives none) and its naive local time of the scan."""

    station: str
    at: datetime | None


def read_scan(path: Path) -> Scan:
    """Runs in a killable child: OpenSlide is native code.

    :raises Quarantine: `file-damaged`.
    """
    try:
        with openslide.OpenSlide(path) as slide:
            told = dict(slide.properties)
    except (openslide.OpenSlideError, OSError) as error:
        raise Quarantine("file-damaged", "the slide cannot be opened") from error
    station = next((told[name] for name in _STATION if told.get(name)), "")
    moments = (_moment(f"{told.get(day, '')} {told.get(clock, '')}", forms) for day, clock, forms in _DATES)
    return Scan(station=station[:64], at=next((at for at in moments if at), None))


def _moment(text: str, forms: tuple[str, ...]) -> datetime | None:
    for form in forms:
        try:
            return datetime.strptime(text.strip(), form)  # noqa: DTZ007 -- the scanner's clock has no zone
        except ValueError:
            continue
    return None
