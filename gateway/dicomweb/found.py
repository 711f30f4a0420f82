"""From an address to the instances behind it, for who may see them, with the viewing in the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from gateway.dicomweb.objects import Objects
from gateway.signin import Caller
from storage import dicom_instances
from storage.dicom_instances import Instance

ROOT = "/dicomweb"


def found(asking: Caller, study: str, series: str | None = None, sop: str | None = None) -> list[Instance]:
    """The instances of a study, series, or the one instance. Raises `UnknownInstance`."""
    with asking.transaction() as connection:
        instances = dicom_instances.instances(connection, study, series, sop)
        looks = {(asking.who.account, i.case_id, i.study_uid): None for i in instances}
        for _, case_id, study_uid in asking.parts.viewings.new(looks):
            asking.audit(connection, "images.see", case_id, note=f"DICOMweb {study_uid}")
    asking.parts.viewings.seen(looks)
    return instances


def one(asking: Caller, study: str, series: str, sop: str) -> Instance:
    """The instance, with the places of its frames and bulk data."""
    return found(asking, study, series, sop)[0]


def objects(asking: Caller) -> Objects:
    """The asking partner's bucket."""
    return Objects(s3=asking.parts.s3, bucket=asking.network.partner(asking.who.organisation).bucket)


def address(request: Request, *uids: str) -> str:
    """Where a study, series or instance is retrieved."""
    names: Sequence[str] = ("studies", "series", "instances")
    steps = "".join(f"/{name}/{uid}" for name, uid in zip(names, uids, strict=False))
    return f"{str(request.base_url).rstrip('/')}{ROOT}{steps}"


def address_of(request: Request, instance: Instance) -> str:
    return address(request, instance.study_uid, instance.series_uid, instance.sop_uid)


def representative(asking: Caller, study: str, series: str | None = None) -> Instance:
    """The instance that stands for a study or series: the middle one of the (first) series that has pixels."""
    instances = found(asking, study, series)
    first = next((i.series_uid for i in instances if i.has_pixels), instances[0].series_uid)
    members = [i for i in instances if i.series_uid == first]
    middle = members[len(members) // 2]
    return one(asking, middle.study_uid, middle.series_uid, middle.sop_uid)
