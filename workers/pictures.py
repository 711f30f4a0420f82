"""Pictures that a stage makes of a case, kept in the region's own zone."""

from __future__ import annotations

from cases.documents import StoredObject
from workers.parts import Tools, Work

PNG = "image/png"


def keep(work: Work, tools: Tools, name: str, picture: bytes) -> StoredObject:
    """Write a PNG of this case into `identified`; `name` is its place below the case, the stage and the version."""
    key = f"{work.case.id}/{work.run.stage}/{work.case.version:03d}/{name}"
    return tools.objects.write("identified", key, picture, PNG)
