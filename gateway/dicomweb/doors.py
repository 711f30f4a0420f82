"""The doors of DICOMweb, in the order of PS3.18's tables of resources: partners retrieve, clinics store."""

from __future__ import annotations

from gateway.dicomweb import rendered, retrieve, search, store
from gateway.dicomweb.found import ROOT
from gateway.routes import Route

_STUDIES = f"{ROOT}/studies"
_STUDY = f"{_STUDIES}/{{study}}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_JSON, _DICOM = "application/dicom+json", 'multipart/related; type="application/dicom"'
_ANY, _PICTURE = "*/*", "image/jpeg"

# address | deed | action | what it gives
_ROWS = (
    (_STUDIES, search.studies, "images.search", _JSON),
    (f"{ROOT}/series", search.series, "images.search", _JSON),
    (f"{ROOT}/instances", search.instances, "images.search", _JSON),
    (f"{_STUDY}/series", search.series_of_study, "images.search", _JSON),
    (f"{_STUDY}/instances", search.instances_of_study, "images.search", _JSON),
    (f"{_SERIES}/instances", search.instances_of_series, "images.search", _JSON),
    (_STUDY, retrieve.study, "images.see", _DICOM),
    (_SERIES, retrieve.series, "images.see", _DICOM),
    (_INSTANCE, retrieve.instance, "images.see", _DICOM),
    (f"{_STUDY}/metadata", retrieve.study_metadata, "images.see", _JSON),
    (f"{_SERIES}/metadata", retrieve.series_metadata, "images.see", _JSON),
    (f"{_INSTANCE}/metadata", retrieve.instance_metadata, "images.see", _JSON),
    (f"{_INSTANCE}/frames/{{numbers}}", retrieve.frames, "images.see", _ANY),
    (f"{_INSTANCE}/bulkdata/{{path}}", retrieve.bulk, "images.see", _ANY),
    (f"{_INSTANCE}/rendered", rendered.instance, "images.see", _PICTURE),
    (f"{_INSTANCE}/frames/{{numbers}}/rendered", rendered.frame, "images.see", _PICTURE),
    (f"{_STUDY}/thumbnail", rendered.study_thumbnail, "images.see", _PICTURE),
    (f"{_SERIES}/thumbnail", rendered.series_thumbnail, "images.see", _PICTURE),
    (f"{_INSTANCE}/thumbnail", rendered.instance_thumbnail, "images.see", _PICTURE),
    (f"{_INSTANCE}/frames/{{numbers}}/thumbnail", rendered.frame_thumbnail, "images.see", _PICTURE),
)
ROUTES = tuple(
    Route("GET", address, deed, action=action, tag="DICOMweb", media_type=gives)
    for address, deed, action, gives in _ROWS
)
STORE_ROUTES = tuple(
    Route("POST", address, deed, action="drop.create", tag="DICOMweb", media_type=_JSON, streams=True)
    for address, deed in ((_STUDIES, store.studies), (_STUDY, store.study))
)
