"""The network file as applied: every version kept, the newest in force."""

from __future__ import annotations

from cases.network import Network, load
from cases.network_errors import NetworkInvalid, Problem
from cases.states import CASE_ENDED
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
    """Validate and keep `text` as the version in force; returns (version, is it new).

    Raises `NetworkInvalid`, also when it leaves out what an open case still needs.
    """
    network = load(text)
    connection.execute("LOCK TABLE network_version IN EXCLUSIVE MODE")  # one change after the other
    if problems := _left_out(connection, network):
        raise NetworkInvalid(problems)
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


# What an open case names: the list of the network file in which it stands, and the case's column.
_NEEDED = (
    ("organisations", "clinic"),
    ("organisations", "scanning_site"),
    ("services", "service"),
    ("partners", "partner"),
)


def _left_out(connection: Connection, network: Network) -> tuple[Problem, ...]:
    """What open cases need and `network` does not have any more: they would never come to their end."""
    found = []
    for name, column in _NEEDED:
        rows = connection.execute(
            f"SELECT {column} AS id, count(*) AS cases FROM cases"  # noqa: S608 -- columns of the table above
            f" WHERE {column} IS NOT NULL AND NOT state = ANY(%s) GROUP BY 1 ORDER BY 1",
            (list(CASE_ENDED),),
        ).fetchall()
        known = {row.id for row in getattr(network, name)}
        found += [
            Problem(
                key=name,
                value=None,
                wrong=f"'{row['id']}' is left out, and {row['cases']} open cases name it ({column})",
                remedy="keep it until they have ended; a partner with accepting = false gets no new ones",
            )
            for row in rows
            if row["id"] not in known
        ]
    return tuple(found)
