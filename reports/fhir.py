"""The report as FHIR R4: a collection Bundle of a DiagnosticReport and everything it refers to, as JSON bytes.

Bundle entries refer to each other by `urn:uuid:` (R4, Bundle 2.36.4). The ids are name-based UUIDs (RFC 4122, version
5) of the case and report, so the same content gives the same bytes.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha1
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from cases.order import Coded
from reports.content import Organisation, ReportContent, SlideRead

Resource = dict[str, Any]

_NAMESPACE = uuid5(NAMESPACE_OID, "teledx.reports")
_DICOM_UID = "urn:dicom:uid"
_IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"

# Our identifier types as HL7 table 0203 codes them; `other` has no code of its own there.
_TYPE_CODES: Mapping[str, str] = {
    "MR": "MR",
    "national-id": "NI",
    "insurance": "NIIP",
    "passport": "PPN",
    "other": "U",
}

# HL7 table 0074, diagnostic service section.
_SECTIONS: Mapping[str, tuple[str, str]] = {"dicom": ("RAD", "Radiology"), "slides": ("PAT", "Pathology")}
# LOINC: what kind of document the report is.
_REPORT_CODES: Mapping[str, tuple[str, str]] = {
    "dicom": ("18748-4", "Diagnostic imaging study"),
    "slides": ("11526-1", "Pathology study"),
}
_SIDE_CODES: Mapping[str, tuple[str, str]] = {
    "left": ("7771000", "Left"),
    "right": ("24028007", "Right"),
    "both": ("51440002", "Right and left"),
}


def document(content: ReportContent, pdf: bytes | None = None) -> bytes:
    """The Bundle's canonical JSON (UTF-8, sorted keys). `pdf` is carried in `presentedForm`, with its SHA-1 digest.

    R4 wants SHA-1 in `Attachment.hash`; the region's own binding is the SHA-256 digests among the identifiers.
    """
    return json.dumps(
        bundle(content, pdf), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    ).encode()


def bundle(content: ReportContent, pdf: bytes | None = None) -> Resource:
    """The Bundle as plain values: DiagnosticReport first, then what it refers to."""
    organisations = _organisations(content)
    entries = [
        _report(content, pdf),
        _patient(content),
        _practitioner(content),
        _practitioner_role(content),
        _service_request(content),
        *(_imaging_study(content, uid) for uid in content.study_uids),
        *_specimens(content),
        *(_organisation(content, o) for o in organisations),
        _provenance(content),
    ]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "identifier": {"system": "urn:teledx:report", "value": f"{content.report_id}/{content.version}"},
        "timestamp": _instant(content),
        "entry": [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r} for r in entries],
    }


def _uuid(content: ReportContent, *what: str) -> UUID:
    return uuid5(_NAMESPACE, "/".join((content.case_id, content.report_id, *what)))


def _refer(content: ReportContent, *what: str) -> dict[str, str]:
    return {"reference": f"urn:uuid:{_uuid(content, *what)}"}


def _resource(content: ReportContent, kind: str, *what: str) -> Resource:
    return {"resourceType": kind, "id": str(_uuid(content, *what))}


def _instant(content: ReportContent) -> str:
    return content.local(content.signed_at).isoformat()


def _codeable(coded: Coded) -> Resource:
    concept: Resource = {"text": coded.text}
    if coded.code:
        coding = {"code": coded.code, "display": coded.text}
        concept["coding"] = [{**coding, "system": coded.system} if coded.system else coding]
    return concept


def _organisations(content: ReportContent) -> list[Organisation]:
    found = (content.clinic, content.laboratory, content.reader.organisation)
    return list({o.id: o for o in found if o}.values())


def _report(content: ReportContent, pdf: bytes | None) -> Resource:
    section, code = _SECTIONS[content.family], _REPORT_CODES[content.family]
    report = _resource(content, "DiagnosticReport", "report") | {
        "identifier": [
            {"system": "urn:teledx:report", "value": content.report_id},
            {"system": "urn:teledx:case", "value": content.case_id},
        ],
        "meta": {"versionId": str(content.version)},
        "status": content.status,
        "category": [{"coding": [_coding("http://terminology.hl7.org/CodeSystem/v2-0074", section)]}],
        "code": {"coding": [_coding("http://loinc.org", code)], "text": content.service_name_zh},
        "subject": _refer(content, "patient"),
        "basedOn": [_refer(content, "request")],
        "effectiveDateTime": (content.examined_on or content.local(content.received_at).date()).isoformat(),
        "issued": _instant(content),
        "performer": [_refer(content, "organisation", content.reader.organisation.id)],
        "resultsInterpreter": [_refer(content, "reader-role")],
        "conclusion": _conclusion(content),
    }
    if content.study_uids:
        report["imagingStudy"] = [_refer(content, "study", uid) for uid in content.study_uids]
    if content.specimens:
        report["specimen"] = [_refer(content, "specimen", s.id) for s in content.specimens]
    if content.codes:
        report["conclusionCode"] = [_code_of(code, text) for code, text in content.codes]
    report["text"] = _narrative(content)
    if pdf is not None:
        report["presentedForm"] = [_presented(content, pdf)]
    return report


def _coding(system: str, code: tuple[str, str]) -> dict[str, str]:
    return {"system": system, "code": code[0], "display": code[1]}


def _code_of(code: str, text: str) -> Resource:
    system, _, bare = code.rpartition("|")
    coding = {"code": bare, "display": text}
    return {"coding": [{**coding, "system": system} if system else coding], "text": text}


def _conclusion(content: ReportContent) -> str:
    return "\n\n".join(part for part in (content.conclusion, content.recommendation) if part)


def _narrative(content: ReportContent) -> Resource:
    """Findings have no element of their own in R4: the narrative (R4 2.4) holds all that the reader wrote."""
    parts = (
        ("Findings 所见", content.findings),
        ("Conclusion 诊断意见", content.conclusion),
        ("Recommendation 建议", content.recommendation),
        ("Critical findings 危急值", "\n".join(content.critical_findings)),
        ("Why this version 修改原因", content.change_reason),
    )
    html = "".join(f"<h3>{name}</h3><p>{_html(text)}</p>" for name, text in parts if text)
    return {"status": "additional", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{html}</div>'}


def _html(text: str) -> str:
    """XHTML text: markup escaped, line breaks kept, characters that XML 1.0 forbids written by their number."""
    shown = "".join(c if c >= " " or c in "\n\t\r" else f"〔U+{ord(c):04X}〕" for c in text)
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br/>")


def _presented(content: ReportContent, pdf: bytes) -> Resource:
    return {
        "contentType": "application/pdf",
        "data": b64encode(pdf).decode(),
        "size": len(pdf),
        "hash": b64encode(sha1(pdf, usedforsecurity=False).digest()).decode(),
        "title": f"{content.case_id} v{content.version}",
        "creation": _instant(content),
    }


def _patient(content: ReportContent) -> Resource:
    patient = content.patient
    return _resource(content, "Patient", "patient") | {
        "identifier": [
            {
                "type": {"coding": [{"system": _IDENTIFIER_TYPES, "code": _TYPE_CODES[i.type]}]},
                "system": f"urn:teledx:{content.clinic.id}:{i.type}",
                "value": i.value,
                "assigner": _refer(content, "organisation", content.clinic.id),
            }
            for i in patient.identifiers
        ],
        "name": [{"text": patient.name}],
        "gender": patient.sex,
        "birthDate": patient.birth_date.isoformat(),
    }


def _practitioner(content: ReportContent) -> Resource:
    reader = content.reader
    identifiers: list[Resource] = [{"system": "urn:teledx:account", "value": reader.account}]
    if reader.licence:
        licence = {"type": {"coding": [{"system": _IDENTIFIER_TYPES, "code": "MD"}]}, "value": reader.licence}
        identifiers.append(licence)
    return _resource(content, "Practitioner", "reader") | {
        "identifier": identifiers,
        "name": [{"text": reader.name}],
    }


def _practitioner_role(content: ReportContent) -> Resource:
    return _resource(content, "PractitionerRole", "reader-role") | {
        "practitioner": _refer(content, "reader"),
        "organization": _refer(content, "organisation", content.reader.organisation.id),
    }


def _organisation(content: ReportContent, organisation: Organisation) -> Resource:
    return _resource(content, "Organization", "organisation", organisation.id) | {
        "identifier": [{"system": "urn:teledx:organisation", "value": organisation.id}],
        "name": organisation.name_zh,
        "alias": [organisation.name],
    }


def _service_request(content: ReportContent) -> Resource:
    site = _codeable(content.body_site)
    if content.side in _SIDE_CODES:
        site["coding"] = [
            *site.get("coding", []),
            _coding("http://snomed.info/sct", _SIDE_CODES[content.side]),
        ]
    request = _resource(content, "ServiceRequest", "request") | {
        "identifier": [
            {
                "type": {"coding": [{"system": _IDENTIFIER_TYPES, "code": "ACSN"}]},
                "value": content.accession_number,
                "assigner": _refer(content, "organisation", content.clinic.id),
            }
        ],
        "status": "completed",
        "intent": "order",
        "code": _codeable(content.procedure),
        "subject": _refer(content, "patient"),
        "requester": {
            **_refer(content, "organisation", content.clinic.id),
            "display": content.requesting_doctor,
        },
        "bodySite": [site],
    }
    if content.clinical_question:
        request["reasonCode"] = [{"text": content.clinical_question}]
    return request


def _imaging_study(content: ReportContent, uid: str) -> Resource:
    study = _resource(content, "ImagingStudy", "study", uid) | {
        "identifier": [{"system": _DICOM_UID, "value": f"urn:oid:{uid}"}],
        "status": "available",
        "subject": _refer(content, "patient"),
        "basedOn": [_refer(content, "request")],
    }
    if content.modalities:
        system = "http://dicom.nema.org/resources/ontology/DCM"
        study["modality"] = [{"system": system, "code": modality} for modality in content.modalities]
    return study


def _specimens(content: ReportContent) -> list[Resource]:
    """Each specimen, and below it each slide as a specimen of its own whose parent it is (R4 Specimen.parent)."""
    specimens = [
        _resource(content, "Specimen", "specimen", s.id)
        | {
            "identifier": [{"value": s.id}],
            "subject": _refer(content, "patient"),
            "request": [_refer(content, "request")],
            "note": [{"text": s.description}],
        }
        for s in content.specimens
    ]
    known = {s.id for s in content.specimens}
    return specimens + [_slide(content, s, has_parent=s.specimen in known) for s in content.slides]


def _slide(content: ReportContent, slide: SlideRead, *, has_parent: bool) -> Resource:
    resource = _resource(content, "Specimen", "slide", str(slide.number)) | {
        "identifier": [{"value": f"{slide.pathology_number} {slide.block} {slide.number}/{slide.of}"}],
        "type": {"text": "slide"},
        "subject": _refer(content, "patient"),
        "container": [{"identifier": [{"value": slide.block}], "description": "block"}],
        "processing": [{"procedure": {"text": slide.stain}}],
    }
    if has_parent:
        resource["parent"] = [_refer(content, "specimen", slide.specimen)]
    return resource


def _provenance(content: ReportContent) -> Resource:
    """What the report was made from, by digest, and who signed beside the responsible reader."""
    binding = content.binding
    digests = {
        "order": binding.order_sha256,
        "images": binding.images_manifest_sha256,
        "report": binding.report_sha256,
    }
    signed = [
        {"who": {"display": f"{c.name} {c.licence}".strip()}, "role": [{"text": c.role}]}
        for c in content.co_signatures
    ]
    return _resource(content, "Provenance", "provenance") | {
        "target": [_refer(content, "report")],
        "recorded": _instant(content),
        "agent": [{"who": _refer(content, "reader-role")}, *signed],
        "entity": [
            {
                "role": "source",
                "what": {"identifier": {"system": f"urn:teledx:sha256:{name}", "value": value}},
            }
            for name, value in digests.items()
            if value
        ],
    }
