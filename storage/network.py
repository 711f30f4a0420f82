"""The network file as applied: every version kept, the newest in force."""

from __future__ import annotations

from cases.network import Network, load
from storage.database import Connection, Database


class NetworkRows:
    """The network in force, read again only when another version was applied."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, Network] = {}

    def current(self) -> tuple[int, Network]:
        """(version, network); raises `LookupError` with what to do if none was applied yet."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT max(version) AS version FROM network_version").fetchone()
            version = row["version"] if row else None
            if version is None:
                raise LookupError("no network is applied yet; run `teledx network apply FILE`")
            if version not in self._known:
                text = connection.execute(
                    "SELECT document FROM network_version WHERE version = %s", (version,)
                ).fetchone()
                assert text is not None, "versions are never deleted"
                self._known[version] = load(text["document"])
        return version, self._known[version]


def apply(connection: Connection, text: str, by: str) -> tuple[int, bool]:
    """Validate and keep `text` as the version in force; returns (version, is it new). Raises `NetworkInvalid`."""
    network = load(text)
    row = connection.execute(
        "SELECT version, digest FROM network_version ORDER BY version DESC LIMIT 1"
    ).fetchone()
    if row and row["digest"] == network.digest:
        return row["version"], False
    added = connection.execute(
        "INSERT INTO network_version (digest, document, applied_by) VALUES (%s, %s, %s) RETURNING version",
        (network.digest, text, by),
    ).fetchone()
    assert added is not None, "INSERT RETURNING gives a row"
    return added["version"], True
