"""The pseudonym vault: which patient of which clinic has which pseudonym, and the keys from which all is derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cases.ports import PatientKey
from storage.database import Database

# (secret, clinic, patient id) -> (pseudonym, shift in days, negative; the patient's own secret)
Derive = Callable[[bytes, str, str], tuple[str, int, bytes]]


@dataclass(frozen=True)
class Keyring:
    """The region's secret keys by id; new patients get `current`. Kept in files, never in the database."""

    current: str
    secrets: dict[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> Keyring:
        """Read `<id>.key` files (hex, at least 32 bytes) and `current`, the id for new patients.

        Raises OSError, ValueError.
        """
        secrets = {p.stem: bytes.fromhex(p.read_text().strip()) for p in sorted(folder.glob("*.key"))}
        current = (folder / "current").read_text().strip()
        if current not in secrets:
            raise ValueError(f"key '{current}' is named as current but {current}.key is not there")
        short = [name for name, secret in secrets.items() if len(secret) < 32]
        if short:
            raise ValueError(f"key {short[0]} is shorter than 32 bytes")
        return cls(current, secrets)


class PatientVault:
    """`cases.ports.Vault` over `vault.patient`."""

    def __init__(self, database: Database, keyring: Keyring, derive: Derive) -> None:
        self._database = database
        self._keyring = keyring
        self._derive = derive

    def patient_key(self, clinic: str, patient_id: str) -> PatientKey:
        """The key of one patient of one clinic, made and kept at the first asking.

        Raises `LookupError` if the patient's key file is not there: it must be restored, never made anew.
        """
        pseudonym, shift, _ = self._derive(self._keyring.secrets[self._keyring.current], clinic, patient_id)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO vault.patient (clinic, patient_id, pseudonym, shift_days, key_id)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (clinic, patient_id) DO NOTHING",
                (clinic, patient_id, pseudonym, shift, self._keyring.current),
            )
            row = connection.execute(
                "SELECT pseudonym, shift_days, key_id FROM vault.patient WHERE clinic = %s AND patient_id = %s",
                (clinic, patient_id),
            ).fetchone()
        assert row is not None, "the row was inserted or was there"
        secret = self._keyring.secrets.get(row["key_id"])
        if secret is None:
            raise LookupError(f"key {row['key_id']} is not in the keyring; restore its file from the backup")
        _, _, own = self._derive(secret, clinic, patient_id)
        return PatientKey(
            pseudonym=row["pseudonym"], shift_days=row["shift_days"], key_id=row["key_id"], secret=own
        )
