"""What stands for a patient, a date or a number outside: values derived with a secret, the same in every run.

HMAC-SHA-256 (RFC 2104) over a domain word and length-prefixed parts: without the secret nobody can reverse a
value or test a guess, and no two roles or splits of the same text ever meet.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

LONGEST_SHIFT_DAYS = 3650
_VERSION = b"teledx/deid/1"


def derive(secret: bytes, domain: str, *parts: str) -> bytes:
    """32 bytes for `parts` in `domain`.

    :raises ValueError: if the secret has fewer than 16 bytes.
    """
    if len(secret) < 16:
        raise ValueError("the secret has fewer than 16 bytes")
    mac = hmac.new(secret, digestmod=hashlib.sha256)
    for part in (_VERSION, domain.encode(), *(p.encode() for p in parts)):
        mac.update(len(part).to_bytes(4, "big"))
        mac.update(part)
    return mac.digest()


def _letters(digest: bytes, count: int) -> str:
    return base64.b32encode(digest).decode("ascii")[:count]


def pseudonym(secret: bytes, clinic: str, patient_id: str) -> str:
    """The name under which a patient of one clinic travels: `P-` and 13 letters (65 bits), a valid LO and PN."""
    return f"P-{_letters(derive(secret, 'pseudonym', clinic, patient_id), 13)}"


def shift_days(secret: bytes, clinic: str, patient_id: str) -> int:
    """By how many whole days the patient's dates move: -1 to -3650, into the past."""
    draw = int.from_bytes(derive(secret, "shift", clinic, patient_id)[:8], "big")
    return -(1 + draw % LONGEST_SHIFT_DAYS)


def patient_secret(secret: bytes, clinic: str, patient_id: str) -> bytes:
    """The secret for one patient's own UIDs and tokens, so that a worker never holds the network's."""
    return derive(secret, "patient", clinic, patient_id)


def uid(secret: bytes, original: str) -> str:
    """A UID in place of `original`: `2.25.` and a UUID of version 8 as a decimal (PS3.5 B.2, RFC 9562)."""
    raw = bytearray(derive(secret, "uid", original)[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(raw, 'big')}"


def token(secret: bytes, role: str, value: str) -> str:
    """What replaces the identifier `value` in its `role` (`specimen`, `block`, `accession`, `container`).

    The role's first letter, a dash and 11 letters (55 bits): 13 characters, a valid SH. The same number in two
    roles gives two tokens.
    """
    return f"{role[:1].upper()}-{_letters(derive(secret, 'token', role, value.strip()), 11)}"
