"""What lies at partners, and which of it does not belong there any more."""

from __future__ import annotations

from dataclasses import dataclass

from storage import dicom_index
from storage.database import Connection


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A case's files in a partner's bucket."""

    case_id: str
    partner: str


# A case that was declined has another partner by now, or none until it is routed again.
_ASTRAY = """
SELECT DISTINCT o.case_id, o.partner FROM partner_object o JOIN cases c ON c.id = o.case_id
WHERE c.state = 'cancelled' OR o.partner IS DISTINCT FROM c.partner
   OR (c.state IN ('deidentified', 'quarantined') AND EXISTS (
        SELECT FROM work_item w WHERE w.case_id = c.id AND w.partner = o.partner AND w.ended_because = 'declined'))
ORDER BY 1, 2 LIMIT %s
"""


def astray(connection: Connection, limit: int = 200) -> list[Delivery]:
    """Deliveries of cases that are cancelled, or that the partner gave back."""
    rows = connection.execute(_ASTRAY, (limit,)).fetchall()
    return [Delivery(case_id=r["case_id"], partner=r["partner"]) for r in rows]


def forget(connection: Connection, delivery: Delivery, bucket: str) -> None:
    """Remove the rows of a delivery whose objects were deleted."""
    connection.execute(
        "DELETE FROM partner_object WHERE case_id = %s AND partner = %s", (delivery.case_id, delivery.partner)
    )
    dicom_index.withdrawn(connection, delivery.case_id, delivery.partner)
    connection.execute("DELETE FROM object WHERE zone = %s AND case_id = %s", (bucket, delivery.case_id))
