"""Pictures that a case waits for a person to look at, and what people decided about them."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from cases.documents import Doubtful, DoubtfulPicture, Finding, PixelDecision, PixelVerdict
from cases.errors import NotAllowed
from storage import cases
from storage.accounts import Principal
from storage.cases import Case
from storage.database import Connection

_FINDINGS: TypeAdapter[tuple[Finding, ...]] = TypeAdapter(tuple[Finding, ...])
# verdict -> the milestone that tells of it
MILESTONES: dict[PixelVerdict, str] = {"leave": "pixels_left", "blank": "pixels_blanked"}


def to_look_at(connection: Connection, case: Case) -> tuple[DoubtfulPicture, ...]:
    """The marked pictures of a case that was set aside for them, in their order; none for any other case."""
    if case.state != "quarantined" or case.reason_code != "pixels-doubtful":
        return ()
    row = connection.execute(
        "SELECT body FROM vault.document WHERE case_id = %s AND stage = %s AND case_version = %s",
        (case.id, case.held_stage, case.version - 1),
    ).fetchone()
    return Doubtful.model_validate(row["body"]).pictures if row else ()


def looked_at(picture: DoubtfulPicture) -> str:
    """The note of the audit row that says that somebody was shown the picture."""
    return f"picture {picture.stored.sha256}"


def decide(connection: Connection, case: Case, who: Principal, verdict: PixelVerdict, why: str) -> int:
    """Keep the decision about every picture of the case, and tell of it in its log; returns how many pictures.

    :raises NotAllowed: if there is no picture to decide about, `who` was not shown them all, or a name or a number of
        this very case stands in one that is to stay as it is.
    """
    pictures = to_look_at(connection, case)
    if not pictures:
        raise NotAllowed("there is no picture to decide about")
    if not _has_seen(connection, case.id, who, pictures):
        raise NotAllowed("look at every picture first; then decide")
    if verdict == "leave" and any(f.known for p in pictures for f in p.findings):
        raise NotAllowed("a name or number of this case stands in a picture: it can be blanked, never left")
    for picture in pictures:
        connection.execute(
            "INSERT INTO vault.pixel_decision (case_id, instance, verdict, findings, picture, account, why)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (
                case.id,
                picture.instance,
                verdict,
                _json(picture.findings),
                picture.stored.sha256,
                who.account,
                why,
            ),
        )
    cases.add_milestone(
        connection,
        case.id,
        MILESTONES[verdict],
        case.state,
        case.version,
        actor=who.account,
        note=f"pictures: {len(pictures)}",
    )
    return len(pictures)


def decisions(connection: Connection, case_id: str) -> dict[str, tuple[PixelDecision, ...]]:
    """What was decided about the case's pictures, by the instance's SHA-256, the oldest first."""
    found: dict[str, tuple[PixelDecision, ...]] = {}
    for row in connection.execute(
        "SELECT instance, verdict, findings FROM vault.pixel_decision WHERE case_id = %s ORDER BY id",
        (case_id,),
    ).fetchall():
        found[row["instance"]] = (*found.get(row["instance"], ()), PixelDecision.model_validate(row))
    return found


def _has_seen(
    connection: Connection, case_id: str, who: Principal, pictures: tuple[DoubtfulPicture, ...]
) -> bool:
    rows = connection.execute(
        "SELECT DISTINCT note FROM audit_log WHERE case_id = %s AND account = %s AND action = 'quarantine.see'",
        (case_id, who.account),
    ).fetchall()
    return {row["note"] for row in rows} >= {looked_at(p) for p in pictures}


def _json(findings: tuple[Finding, ...]) -> Any:
    return Jsonb(_FINDINGS.dump_python(findings, mode="json"))
