"""DICOM studies for demonstration and measurement, made from the images that `pydicom` and its data package carry."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from teledx.samples.orders import SamplePatient

SEXES = {"male": "M", "female": "F", "other": "O"}


def instance(source: str | Path | Dataset, patient: SamplePatient, **attributes: Any) -> bytes:
    """One instance of `source` (a pydicom test file's name, a path, a dataset) under the patient's name, as a file."""
    dataset = source if isinstance(source, Dataset) else pydicom.dcmread(_path(source))
    dataset.SpecificCharacterSet = "GB18030"
    dataset.PatientName = patient.dicom_name
    dataset.PatientID = patient.id
    dataset.PatientSex = SEXES[patient.sex]
    dataset.PatientBirthDate = f"{patient.birth_date:%Y%m%d}"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    if not hasattr(dataset, "file_meta") or "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def single(source: str, patient: SamplePatient, *, station: str, at: datetime, **attributes: Any) -> bytes:
    """A study of one image, newly numbered and dated."""
    moment = {"StudyDate": f"{at:%Y%m%d}", "StudyTime": f"{at:%H%M%S}", "AcquisitionDate": f"{at:%Y%m%d}"}
    moment |= {"AcquisitionTime": f"{at:%H%M%S}", "SeriesDate": f"{at:%Y%m%d}", "ContentDate": f"{at:%Y%m%d}"}
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    return instance(source, patient, StationName=station, **uids, **moment, **attributes)


def ct_series(
    patient: SamplePatient,
    slices: int,
    *,
    station: str,
    at: datetime,
    rows: int = 512,
    description: str = "Chest",
) -> Iterator[tuple[str, bytes]]:
    """(file name, bytes) of an axial CT of `slices` images of `rows` by `rows` pixels, 1.25 mm apart, 16 bits each."""
    small = pydicom.dcmread(_path("CT_small.dcm"))
    picture = small.pixel_array
    factor = max(rows // picture.shape[0], 1)
    large = np.kron(picture, np.ones((factor, factor), dtype=picture.dtype))
    noise = np.random.default_rng(7)
    study, series = generate_uid(), generate_uid()
    for number in range(1, slices + 1):
        taken = at + timedelta(seconds=number * 0.4)
        image = large + noise.integers(0, 8, large.shape, dtype=picture.dtype)
        changes = {
            "StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": generate_uid(),
            "InstanceNumber": number, "Rows": image.shape[0], "Columns": image.shape[1], "PixelData": image.tobytes(),
            "ImagePositionPatient": [0.0, 0.0, 1.25 * number], "SliceLocation": 1.25 * number, "SliceThickness": 1.25,
            "StudyDate": f"{at:%Y%m%d}", "StudyTime": f"{at:%H%M%S}", "SeriesDate": f"{at:%Y%m%d}",
            "AcquisitionDate": f"{taken:%Y%m%d}", "AcquisitionTime": f"{taken:%H%M%S.%f}", "StationName": station,
            "ContentDate": f"{taken:%Y%m%d}", "ContentTime": f"{taken:%H%M%S.%f}",
            "SeriesDescription": description, "StudyDescription": "CT CHEST", "BodyPartExamined": "CHEST",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        }  # fmt: skip
        yield f"series1/slice{number:04d}.dcm", instance(small, patient, **changes)


def _path(source: str | Path) -> Path:
    if isinstance(source, Path):
        return source
    found = get_testdata_file(source, download=False)
    if not isinstance(found, str):
        raise FileNotFoundError(f"pydicom carries no test file {source}")
    return Path(found)
