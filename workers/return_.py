"""return: the signed report goes back under the real name and true dates, after everything was bound together again.

Order, images, pseudonym and report are compared by digest, and the four identifiers of the images with the order's,
before a byte is written. Whatever does not hold is quarantined: a report never reaches the wrong patient.
"""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Any

from cases.documents import Brief, Deidentified, Delivered, Preprocessed, Received, ReportBody, Returned
from cases.errors import Quarantine
from cases.milestones import MILESTONES
from cases.network import Network
from imaging import identity
from imaging.deid.dates import age_at
from imaging.dicom import study
from imaging.dicom.read import inspect
from reports import fhir, pdf
from reports.content import (
    Binding,
    Milestone,
    Organisation,
    Person,
    ReportContent,
    Signer,
    SlideRead,
    SpecimenRead,
)
from storage.signing import digest_of
from storage.transition import Done
from workers.facts import SignedReport
from workers.files import Files
from workers.parts import Tools, Work
from workers.receive import content_sha256

# Milestones that a clinic reads on its report.
SHOWN = ("received", "delivered", "claimed", "reported")


def return_report(work: Work, tools: Tools) -> Done:
    """Bind, render, write. Raises `Quarantine("binding-broken")` or `Quarantine("identity-mismatch")`."""
    signed: SignedReport | None = work.facts
    if signed is None:
        raise Quarantine("binding-broken", "the case is reported, but there is no signed report")
    manifest = _bind(work, tools, signed)
    content = _content(work, signed, manifest)
    folder = f"{work.case.id}/return/{work.case.version:03d}"
    printed = pdf.render(content)
    paper = tools.objects.write("reports", f"{folder}/report.pdf", printed, "application/pdf")
    resource = tools.objects.write(
        "reports", f"{folder}/report.json", fhir.document(content, printed), "application/fhir+json"
    )
    site = None if work.case.scanning_site == work.case.clinic else work.case.scanning_site
    recipients = work.network.recipients(work.case.clinic, work.case.service, site)
    return Done(
        document=Returned(pdf=paper, fhir=resource, recipients=recipients),
        objects=[paper, resource],
        note=f"version {signed.version}, {signed.status}, to {', '.join(recipients)}",
    )


def _bind(work: Work, tools: Tools, signed: SignedReport) -> str:
    """Compare everything that ties the report to the patient; returns the digest of what the reader was sent."""
    brief = Brief.model_validate(work.case.brief)
    delivered = Delivered.model_validate(work.documents["deliver"])
    key = tools.vault.patient_key(work.case.clinic, work.order.patient.id)
    sent = Deidentified.model_validate(work.documents["deidentify"])
    folder = "/".join(delivered.objects[0].key.split("/")[:3])
    manifest = tools.objects.read_at(
        work.network.partner(delivered.partner).bucket, f"{folder}/manifest.json"
    )
    _hold(content_sha256(work.order) == signed.order_sha256, "the order is not the one that was received")
    _hold(
        digest_of(work.case.id, ReportBody.model_validate(signed.body)) == signed.body_sha256,
        "the report's text is not what was signed",
    )
    _hold(
        key.pseudonym == work.case.pseudonym == brief.pseudonym == sent.brief.pseudonym,
        "the pseudonym differs",
    )
    _hold(brief == sent.brief, "the reader was shown another brief than was sent")
    _hold(signed.partner == work.case.partner == delivered.partner, "another partner signed")
    _hold(hashlib.sha256(manifest).hexdigest() == delivered.manifest_sha256, "the partner's manifest differs")
    _match_images_again(work, tools)
    return delivered.manifest_sha256


def _match_images_again(work: Work, tools: Tools) -> None:
    """The received files are those of the order, and an image of each series still shows the order's patient."""
    received = Received.model_validate(work.documents["receive"])
    found = Preprocessed.model_validate(work.documents["preprocess"])
    named = {(f.name, f.size, f.sha256) for f in work.order.files}
    kept = {(f.name, f.stored.size, f.stored.sha256) for f in received.files}
    _hold(named == kept, "the kept files are not those of the order")
    files = Files(received, tools.objects, tools.scratch)
    for slide in found.slides:
        tools.objects.require_same(files.of(slide.file).stored)
    seen = []
    for series in (s for st in found.studies for s in st.series if s.modality != "SM"):
        middle = study.representative(series)
        with files.here(middle.file, middle.member) as path:
            seen.append(inspect(path, file=middle.file, member=middle.member))
        _hold(seen[-1].sop_instance_uid == middle.sop_instance_uid, "an image was replaced")
    if seen:
        identity.check(work.order.patient, seen)
    _hold(all(s.label in ("matches", "confirmed") for s in found.slides), "a slide's label was never matched")


def _hold(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Quarantine("binding-broken", otherwise)


def _content(work: Work, signed: SignedReport, manifest: str) -> ReportContent:
    case, network = work.case, work.network
    body = ReportBody.model_validate(signed.body)
    return ReportContent(
        **_case_part(work),
        **_order_part(work),
        report_id=signed.report_id,
        version=signed.version,
        status=signed.status,
        signed_at=signed.signed_at,
        change_reason=signed.why,
        findings=body.findings,
        conclusion=body.conclusion,
        recommendation=body.recommendation,
        codes=body.codes,
        reader=_signer(network, signed),
        milestones=tuple(
            Milestone(name=MILESTONES[name].what, name_zh=MILESTONES[name].what_zh, at=at)
            for name, at in signed.milestones
            if name in SHOWN
        ),
        binding=Binding(
            order_sha256=signed.order_sha256,
            images_manifest_sha256=manifest,
            pseudonym=case.pseudonym or "",
            report_sha256=signed.body_sha256,
        ),
        timezone=network.time_zone,
    )


def _case_part(work: Work) -> dict[str, Any]:
    """What the report says of the case: who asked whom for what, and which images were read."""
    case, network = work.case, work.network
    found = Preprocessed.model_validate(work.documents["preprocess"])
    service = network.service(case.service)
    examined = min((s.study_date for s in found.studies if s.study_date), default=None)
    return {
        "case_id": case.id,
        "patient": _person(work, examined or case.received_at.date()),
        "clinic": _organisation(network, case.clinic),
        "laboratory": None
        if case.scanning_site == case.clinic
        else _organisation(network, case.scanning_site),
        "service": service.id,
        "service_name": service.name,
        "service_name_zh": service.name_zh,
        "family": service.family,
        "modalities": tuple(sorted({s.modality for st in found.studies for s in st.series})),
        "received_at": case.received_at,
        "examined_on": examined,
        "study_uids": tuple(s.uid for s in found.studies),
    }


def _order_part(work: Work) -> dict[str, Any]:
    """What the report repeats of the order, with the clinic's own numbers."""
    order = work.order
    return {
        "accession_number": order.accession_number,
        "requesting_doctor": order.requesting_doctor,
        "procedure": order.procedure,
        "body_site": order.body_site,
        "side": order.side,
        "clinical_question": order.clinical_question,
        "specimens": tuple(SpecimenRead(id=s.id, description=s.description) for s in order.specimens),
        "slides": tuple(SlideRead(**s.model_dump(exclude={"file"})) for s in order.slides),
    }


def _person(work: Work, on: date) -> Person:
    patient = work.order.patient
    return Person(
        name=patient.name,
        identifiers=patient.identifiers,
        sex=patient.sex,
        birth_date=patient.birth_date,
        age=age_at(patient.birth_date, on) or "",
    )


def _organisation(network: Network, organisation_id: str) -> Organisation:
    found = network.organisation(organisation_id)
    return Organisation(id=found.id, name=found.name, name_zh=found.name_zh)


def _signer(network: Network, signed: SignedReport) -> Signer:
    return Signer(
        account=signed.signer.id,
        name=signed.signer.name_zh,
        licence=signed.signer.licence or "",
        organisation=_organisation(network, signed.partner),
    )
