"""The doors of DICOMweb, in the order of PS3.18's tables of resources: partners retrieve, clinics store."""

from __future__ import annotations

from gateway.dicomweb import rendered, retrieve, search, store, subscribers, workitems
from gateway.dicomweb.found import ROOT
from gateway.dicomweb.subscribers import CHANNEL
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
_WORKITEMS = f"{ROOT}/workitems"
_WORKITEM = f"{_WORKITEMS}/{{workitem}}"
_SUBSCRIBER = f"{_WORKITEM}/subscribers/{{aetitle}}"
# method | address | deed | action | status | what it gives
_UPS = (
    ("GET", _WORKITEMS, workitems.search, "worklist.see", 200, _JSON),
    ("GET", _WORKITEM, workitems.show, "case.see-brief", 200, _JSON),
    ("POST", _WORKITEM, workitems.update, "work-item.claim", 200, ""),
    ("PUT", f"{_WORKITEM}/state", workitems.change_state, "work-item.claim", 200, ""),
    ("POST", f"{_WORKITEM}/cancelrequest", workitems.request_cancel, "work-item.decline", 202, ""),
    ("POST", _SUBSCRIBER, subscribers.subscribe, "worklist.see", 201, ""),
    ("DELETE", _SUBSCRIBER, subscribers.unsubscribe, "worklist.see", 200, ""),
    ("POST", f"{_SUBSCRIBER}/suspend", subscribers.suspend, "worklist.see", 200, ""),
    ("GET", CHANNEL, subscribers.not_upgraded, "worklist.see", 200, ""),
)
ROUTES = (
    *(
        Route("GET", at, deed, action=action, tag="DICOMweb", media_type=gives)
        for at, deed, action, gives in _ROWS
    ),
    *(
        Route(method, at, deed, action=action, tag="UPS-RS", media_type=gives, status=status)
        for method, at, deed, action, status, gives in _UPS
    ),
)
STORE_ROUTES = tuple(
    Route("POST", address, deed, action="drop.create", tag="DICOMweb", media_type=_JSON, streams=True)
    for address, deed in ((_STUDIES, store.studies), (_STUDY, store.study))
)
